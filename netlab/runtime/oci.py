"""The OCI runtime's command line: run a sandbox, start a container, the words of an exec.

crun and runc take the same commands and options for what netlab asks. Removal is not asked of
them: ``runc delete --force`` polls in steps of 0.1 s, and netlab must be able to remove a half-made
container anyway (``cgroups.py``, ``teardown.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from netlab.command import spawn
from netlab.errors import ContainerError
from netlab.runtime.process import read_pid
from netlab.runtime.runtime_errors import runtime_message

_COMMAND_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class OciCommand:
    """A runtime and the folder of its state."""

    path: Path
    root: Path

    def argv(self, *words: str, log: Path | None = None) -> list[str]:
        """Return a command line; with log, errors go to that file as JSON lines too."""
        options = [] if log is None else ["--log", str(log), "--log-format", "json"]
        return [str(self.path), "--root", str(self.root), *options, *words]

    @property
    def gives_consoles(self) -> bool:
        """True when an exec that is waited for may send its terminal away: crun's may."""
        return self.path.name == "crun"

    async def run_detached(self, container_id: str, bundle: Path) -> int:
        """Create and start a container that nobody supervises; return its pid.

        Raises: ContainerError.
        """
        pid_file = bundle / "pid"
        words = ("run", "--detach", "--pid-file", str(pid_file), "--bundle", str(bundle))
        await self._call("run", bundle, *words, container_id)
        return read_pid(pid_file)

    async def start(self, container_id: str, bundle: Path) -> None:
        """Let a created container run its process.

        Raises: ContainerError.
        """
        await self._call("start", bundle, "start", container_id)

    async def update(self, container_id: str, bundle: Path, resources: Mapping[str, Any]) -> None:
        """Change a container's bounds; resources: as in its spec, without devices.

        Raises: ContainerError.
        """
        wanted = bundle / "resources.json"
        wanted.write_bytes(msgspec.json.encode(resources))
        await self._call("update", bundle, "update", "--resources", str(wanted), container_id)

    async def _call(self, verb: str, bundle: Path, *words: str) -> None:
        # No pipes: a detached container inherits them, and reading would last as long as it.
        log = bundle / "oci.log"
        process = spawn(self.argv(*words, log=log))
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                code = await process.wait()
        except TimeoutError as error:
            raise ContainerError(
                f"OCI runtime {verb} failed: no end within {_COMMAND_TIMEOUT_S:g} s"
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code != 0:
            raise ContainerError(f"OCI runtime {verb} failed: {_read_log(log)}")

    def is_waiting(self, container_id: str) -> bool:
        """True while a container is created and not started: both runtimes keep a fifo."""
        return (self.root / container_id / "exec.fifo").exists()


def exec_words(
    container_id: str, *, process: Path, pid_file: Path, console: str = ""
) -> tuple[str, ...]:
    """Return the runtime's words for a further process in a container.

    process: the file that describes it wholly (``spec.exec_process``); console: the socket that
    its terminal is sent to.
    """
    socket = ("--console-socket", console) if console else ()
    return ("exec", *socket, "--process", str(process), "--pid-file", str(pid_file), container_id)


def _read_log(log: Path) -> str:
    try:
        return runtime_message(log.read_text(errors="replace"))
    except FileNotFoundError:
        return "it ended without a message"
