"""Opening files inside a folder that may hold anybody's links: none of them leads out of it.

Two rules of openat2(2): in an image's root links are followed as if the root were ``/``; in the
context of a build what leads out is refused. Descriptors are the caller's to close.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_SYS_OPENAT2: Final = 437
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE_IN_ROOT: Final = 0x10

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_folder(path: Path) -> int:
    """Return a descriptor of a folder to open others in."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open a path as a process does whose root folder this is.

    Raises: OSError.
    """
    return _open(root, path or ".", flags, _RESOLVE_IN_ROOT)


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Open a relative path below a folder.

    Raises: OSError, EXDEV when it leads out.
    """
    return _open(folder, path or ".", flags, _RESOLVE_BENEATH)


def make_folders(root: int, path: str) -> int:
    """Return a folder inside a root, made with those above it where it is missing.

    Raises: OSError.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY
    made = "/"
    current = open_in_root(root, made, flags)
    for part in path.strip("/").split("/"):
        if not part:
            continue
        made = f"{made}{part}/"
        try:
            following = open_in_root(root, made, flags)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=current)
            following = open_in_root(root, made, flags)
        finally:
            os.close(current)
        current = following
    return current


def _open(folder: int, path: str, flags: int, resolve: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    size = ctypes.sizeof(how)
    number: int = _libc.syscall(_SYS_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), size)
    if number < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return number
