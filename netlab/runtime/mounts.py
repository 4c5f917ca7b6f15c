"""Mounts that netlab makes in its own mount namespace: overlays, tmpfs, and their removal.

Straight to the system calls: a ``mount`` process costs more than the mount. Everything netlab
mounts lies below the lab's run folder, so ``mounts_below`` finds all of it after any crash.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from netlab.errors import ContainerError

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC = 0x1000, 0x4000
MNT_DETACH = 2
# Copies from an image's layer are not synced on unmount: a container's root ends with it.
_OVERLAY_EXTRAS = ("volatile", "")

_libc = ctypes.CDLL(None, use_errno=True)


def mount_overlay(lower: Sequence[Path], *, upper: Path, work: Path, target: Path) -> None:
    """Mount a writable view of layers at target; the first of lower is the topmost.

    Raises: ContainerError, e.g. where the file system under upper cannot carry an overlay.
    """
    layers = ":".join(_escape(path, ":,\\") for path in lower)
    options = f"lowerdir={layers},upperdir={_escape(upper)},workdir={_escape(work)}"
    error: OSError | None = None
    for extra in _OVERLAY_EXTRAS:
        try:
            _mount("overlay", target, "overlay", 0, f"{options},{extra}".rstrip(","))
        except OSError as failure:
            if failure.errno != errno.EINVAL:
                raise ContainerError(f"overlay at {target}: {failure.strerror}") from failure
            error = failure
        else:
            return
    raise ContainerError(f"overlay at {target}: refused; is {upper} on an overlay?") from error


def mount_shm(target: Path, size_bytes: int) -> None:
    """Mount the tmpfs that a pod's containers share as /dev/shm.

    Raises: ContainerError.
    """
    try:
        flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
        _mount("shm", target, "tmpfs", flags, f"mode=1777,size={size_bytes}")
    except OSError as error:
        raise ContainerError(f"tmpfs at {target}: {error.strerror}") from error


def mount_tmpfs(target: Path, *, size_bytes: int = 0, mode: int = 0o755) -> None:
    """Mount an empty tmpfs at target; size 0 means half of the machine's memory.

    Raises: ContainerError.
    """
    size = f",size={size_bytes}" if size_bytes else ""
    try:
        _mount("tmpfs", target, "tmpfs", 0, f"mode={mode:o}{size}")
    except OSError as error:
        raise ContainerError(f"tmpfs at {target}: {error.strerror}") from error


def mount_descriptor(descriptor: int, target: Path) -> None:
    """Show at target what a descriptor of ours holds, whatever has become of its name.

    Raises: ContainerError.
    """
    try:
        _mount(f"/proc/self/fd/{descriptor}", target, "none", MS_BIND | MS_REC, "")
    except OSError as error:
        raise ContainerError(f"bind mount at {target}: {error.strerror}") from error


def ensure_overlay_place(folder: Path, *, lower: Path, trial: Path) -> None:
    """Make sure that overlays can write below a folder: where its own file system cannot carry
    them (it is an overlay itself, as in a container), a tmpfs is mounted there.

    lower: any layer; trial: a folder that is made, mounted on once and removed.
    Raises: ContainerError when overlays do not work even so.
    """
    try:
        _try_overlay(folder, lower, trial)
    except ContainerError:
        try:
            _mount("netlab", folder, "tmpfs", MS_NODEV, "mode=700")
        except OSError as error:
            raise ContainerError(f"tmpfs at {folder}: {error.strerror}") from error
        _try_overlay(folder, lower, trial)


def _try_overlay(folder: Path, lower: Path, trial: Path) -> None:
    upper, work = folder / ".trial" / "upper", folder / ".trial" / "work"
    for made in (upper, work, trial):
        made.mkdir(parents=True, exist_ok=True)
    try:
        mount_overlay((lower,), upper=upper, work=work, target=trial)
        unmount(trial)
    finally:
        shutil.rmtree(folder / ".trial", ignore_errors=True)
        trial.rmdir()


def unmount(target: Path) -> None:
    """Take away the mount at target; nothing happens when there is none.

    Lazily: a process of another pod may look at the folder at this moment.
    Raises: ContainerError.
    """
    if _libc.umount2(os.fsencode(target), MNT_DETACH) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOENT):
        raise ContainerError(f"unmount {target}: {os.strerror(code)}")


def parse_mount_points(mountinfo: str) -> list[str]:
    """Return the mount points of a ``/proc/PID/mountinfo`` text, in the order of mounting."""
    return [_unescape(line.split(" ")[4]) for line in mountinfo.splitlines() if line]


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points at and below a folder, the innermost first."""
    points = parse_mount_points(Path("/proc/self/mountinfo").read_text())
    prefix = str(folder).rstrip("/") + "/"
    found = [point for point in points if point == str(folder) or point.startswith(prefix)]
    return [Path(point) for point in reversed(found)]


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    result = _libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        options.encode(),
    )
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def _escape(path: Path, special: str = ",\\") -> str:
    return "".join(f"\\{char}" if char in special else char for char in str(path))


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, char)
    return text
