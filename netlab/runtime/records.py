"""What is on disk about sandboxes and containers, and what it means after any crash.

Write-ahead: ``record.json`` is complete before anything else of a sandbox or container is made,
so whatever exists in the kernel has a record that ``remove`` starts from. The other files of a
container's folder tell how far it came:

    record.json    what was asked for; never changes
    config.json    the OCI spec (with rootfs/, the bundle)
    started.json   written just before conmon is launched
    conmon.pid, pid, exits/ID  written by conmon
    outcome.json   how it ended, when conmon could not say

Everything lies below ``<run_dir>/runtime``; only the writable roots, because they may grow, lie
below ``<state_dir>/containers``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from netlab.runtime.cri import PodIdentity, SandboxConfig

OOM_KILLED: Final = "OOMKilled"
"""Why a container ended that needed more memory than it may have."""

EXIT_KILLED: Final = 137
"""128 and SIGKILL."""

_R = TypeVar("_R", bound=msgspec.Struct)


class SandboxRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A sandbox as it was asked for."""

    id: str
    config: SandboxConfig
    cgroup: str
    created_at: datetime


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A container as it was asked for."""

    id: str
    sandbox_id: str
    namespace: str
    pod_name: str
    pod_uid: str
    name: str
    attempt: int
    image: str
    image_id: str
    log_path: str
    stop_signal: str
    stdin: bool
    tty: bool
    shares_processes: bool
    stdin_once: bool = False
    cgroup: str
    created_at: datetime

    @property
    def pod(self) -> PodIdentity:
        """The pod it belongs to."""
        return PodIdentity(self.namespace, self.pod_name, self.pod_uid)


class Started(msgspec.Struct, frozen=True):
    """When a container's start was begun."""

    at: datetime


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a container ended."""

    exit_code: int
    reason: str
    finished_at: datetime
    message: str = ""


@dataclass(frozen=True, slots=True)
class RuntimePaths:
    """Where the runtime keeps what; see the module's docstring."""

    run_dir: Path
    state_dir: Path

    @property
    def root(self) -> Path:
        return self.run_dir / "runtime"

    @property
    def sandboxes(self) -> Path:
        return self.root / "sandboxes"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def empty(self) -> Path:
        return self.root / "empty"

    @property
    def oci_root(self) -> Path:
        return self.root / "oci"

    @property
    def boot_id(self) -> Path:
        return self.root / "boot_id"

    @property
    def probe_result(self) -> Path:
        return self.state_dir / "oci-runtime.json"

    @property
    def writable(self) -> Path:
        return self.state_dir / "containers"

    def sandbox(self, sandbox_id: str) -> Path:
        """The folder of a sandbox."""
        return self.sandboxes / sandbox_id

    def container(self, container_id: str) -> Path:
        """The folder of a container, which is also its OCI bundle."""
        return self.containers / container_id

    def make(self) -> None:
        """Make the folders; only root may look into them."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.sandboxes, self.containers, self.layers, self.empty, self.oci_root):
            folder.mkdir(exist_ok=True)
        self.writable.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Write a record so that it is there whole or not at all."""
    partial = path.with_name(f".{path.name}")
    partial.write_bytes(msgspec.json.encode(record, enc_hook=_encode))
    partial.replace(path)


def read_record(path: Path, kind: type[_R]) -> _R | None:
    """Return a record, or None when there is none or it is not whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=_decode)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


def record_folders(parent: Path) -> Iterator[Path]:
    """Yield the folders of sandboxes or containers, whole or not."""
    try:
        entries = sorted(os.scandir(parent), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)


def read_outcome(folder: Path, container_id: str) -> Outcome | None:
    """Return how a container ended as far as its folder says; None when it has not ended."""
    if written := read_record(folder / "outcome.json", Outcome):
        return written
    exit_file = folder / "exits" / container_id
    try:
        code = int(exit_file.read_text())
        finished = datetime.fromtimestamp(exit_file.stat().st_mtime, UTC)
    except (FileNotFoundError, ValueError):
        return None
    # conmon leaves a file of this name when the kernel's memory limit killed the container.
    if (folder / "oom").exists():
        return Outcome(exit_code=code, reason=OOM_KILLED, finished_at=finished)
    return Outcome(exit_code=code, reason=reason_of(code), finished_at=finished)


def judge_outcome(outcome: Outcome, kills: int) -> Outcome:
    """Return how a container ended in which the kernel killed this many processes for memory.

    With version 1 it kills one process, and the container's first may end in peace after it; with
    version 2 the whole container goes (``memory.oom.group``). Both are told as the latter.
    """
    if not kills:
        return msgspec.structs.replace(outcome, reason=reason_of(outcome.exit_code))
    code = outcome.exit_code or EXIT_KILLED
    return msgspec.structs.replace(outcome, reason=OOM_KILLED, exit_code=code)


def reason_of(exit_code: int) -> str:
    """Return the reason of a container that ended by itself."""
    return "Completed" if exit_code == 0 else "Error"
