"""Which OCI runtime works on this machine: crun, else runc.

crun is smaller and faster; old versions (1.8, Debian 12) refuse hosts with cgroup v1 or hybrid
hierarchies, where runc works. Asking versions is guessing, so a container that prints its
version and ends is run once; the answer is kept for this boot and these files.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from netlab.command import run
from netlab.errors import CommandError, HostError
from netlab.runtime.cri import PodIdentity, SandboxConfig
from netlab.runtime.machine import own_lowest_oom_score
from netlab.runtime.recipe import DEFAULT_PATH
from netlab.runtime.records import read_record, write_record
from netlab.runtime.runtime_errors import runtime_message
from netlab.runtime.spec import sandbox_spec

CANDIDATES = ("crun", "runc")
# What is left when both are there and neither works: a machine that is a container itself.
_ALL_RIGHTS = "if this machine is a container itself, start it with --privileged --cgroupns=host"
_TRIAL_TIMEOUT_S = 20.0


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime that works, and what the answer depends on."""

    path: str
    boot_id: str
    candidates: list[str]


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def find_oci_runtime(
    *,
    pause_layer: Path,
    cache: Path,
    oci_root: Path,
    cgroup: str,
    names: Sequence[str] = CANDIDATES,
) -> Path:
    """Return the OCI runtime to use, the first of names that works.

    pause_layer: a root with /pause; cache: file that keeps the answer.
    Raises: HostError naming the Debian package, or why each candidate failed.
    """
    found = {name: which for name in names if (which := shutil.which(name, path=DEFAULT_PATH))}
    if not found:
        raise HostError(f"no OCI runtime is installed; run: sudo apt-get install {' '.join(names)}")
    candidates = [_fingerprint(Path(path)) for path in found.values()]
    kept = read_record(cache, ProbeResult)
    if kept and (kept.boot_id, kept.candidates) == (boot_id(), candidates):
        return Path(kept.path)
    failures: list[str] = []
    for name, path in found.items():
        failure = await _try_runtime(Path(path), pause_layer, oci_root, cgroup)
        if failure is None:
            result = ProbeResult(path=path, boot_id=boot_id(), candidates=candidates)
            write_record(cache, result)
            return Path(path)
        failures.append(f"{name}: {failure}")
    missing = [name for name in names if name not in found]
    hint = f"try: sudo apt-get install {' '.join(missing)}" if missing else _ALL_RIGHTS
    raise HostError(f"no OCI runtime works here: {'; '.join(failures)}; {hint}")


async def _try_runtime(runtime: Path, pause_layer: Path, oci_root: Path, cgroup: str) -> str | None:
    """Return None when a container ran, else the cause."""
    bundle = Path(tempfile.mkdtemp(prefix="probe-", dir=oci_root.parent))
    container = f"netlab-probe-{bundle.name}"
    try:
        spec = _trial_spec(pause_layer, cgroup)
        (bundle / "config.json").write_bytes(msgspec.json.encode(spec))
        argv = [str(runtime), "--root", str(oci_root), "run", "--bundle", str(bundle), container]
        await run(argv, timeout_s=_TRIAL_TIMEOUT_S)
    except CommandError as error:
        await run(
            [str(runtime), "--root", str(oci_root), "delete", "--force", container],
            timeout_s=_TRIAL_TIMEOUT_S,
            check=False,
        )
        return runtime_message(error.stderr)
    finally:
        shutil.rmtree(bundle, ignore_errors=True)
    return None


def _trial_spec(root: Path, cgroup: str) -> dict[str, Any]:
    """Return the spec of a sandbox that only prints its version.

    A sandbox's own, down to /dev on a tmpfs: the folder of roots may be mounted nodev, as /run is
    under systemd, and there no device of runc's could be opened.
    """
    sandbox = SandboxConfig(PodIdentity("", "probe", ""), 0, "probe", netns=None)
    spec = sandbox_spec(
        sandbox,
        root=root,
        cgroup=cgroup,
        argv=("/pause", "-V"),
        lowest_oom_score=own_lowest_oom_score(),
    )
    spec["linux"]["namespaces"].append({"type": "network"})
    return spec


def _fingerprint(path: Path) -> str:
    info = path.stat()
    return f"{path}:{info.st_size}:{info.st_mtime_ns}"
