"""Opens a path inside a volume without ever leaving the volume.

Containers can write into volumes, so any part of a ``subPath`` may be a symlink that a container
put there to be given a file of the node. The kernel resolves the path in one step and refuses
whatever leads out (``openat2`` with RESOLVE_BENEATH); what it found is held by a descriptor and
mounted from that descriptor, so that nothing can be exchanged between the look and the mount.

Mirrors ``pkg/volume/util/subpath``, which walks the path with O_NOFOLLOW; links that stay inside
the volume work in both.

Source: openat2(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

_OPENAT2: Final = 437
"""The same number on every architecture, as for all system calls since Linux 5.1."""

_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_TRIES: Final = 64
"""openat2 answers EAGAIN when somebody renames things on the way at that moment."""

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def check_sub_path(path: str) -> None:
    """Refuse a path that cannot lie inside a volume.

    Raises: ValueError, worded for the container's waiting message.
    """
    if PurePosixPath(path).is_absolute():
        raise ValueError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in PurePosixPath(path).parts:
        raise ValueError(f"unable to provision SubPath `{path}`: must not contain '..'")


@contextmanager
def open_beneath(root: Path, path: str, *, make_folders: bool) -> Iterator[int]:
    """Give a descriptor (O_PATH) of a path below a volume's folder.

    make_folders: what is missing is made, each folder with the permissions of the volume's own.

    Raises: OSError; EXDEV or ELOOP when the path leads out of the volume.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        try:
            found = _open(root_fd, path)
        except FileNotFoundError:
            if not make_folders:
                raise
            found = _make(root_fd, PurePosixPath(path).parts)
        try:
            yield found
        finally:
            os.close(found)
    finally:
        os.close(root_fd)


def _open(folder_fd: int, path: str) -> int:
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_TRIES):
        found = _libc.syscall(
            _OPENAT2,
            folder_fd,
            os.fsencode(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if found >= 0:
            return int(found)
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), path)


def _make(root_fd: int, parts: tuple[str, ...]) -> int:
    """Walk down, making each missing folder with the mode and owner of the volume's folder.

    Each step starts from what is held already, so it cannot lead above that.
    """
    status = os.fstat(root_fd)
    reached: list[str] = []
    for part in parts:
        above = _open(root_fd, "/".join(reached) or ".")
        try:
            _make_one(above, part, status)
        finally:
            os.close(above)
        reached.append(part)
    return _open(root_fd, "/".join(reached))


def _make_one(above: int, name: str, like: os.stat_result) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        return  # there before, or a link: opening it tells whether it stays inside
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        if like.st_mode & 0o2000:
            os.fchown(made, -1, like.st_gid)
        os.fchmod(made, like.st_mode & 0o7777)
    finally:
        os.close(made)
