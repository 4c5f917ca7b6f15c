"""An image's ``/etc/passwd`` and ``/etc/group``, looked up inside its root.

A link in an image never leads to the host's files. What stands in them is the subject of ``users``.

Source: openat2(2) for RESOLVE_IN_ROOT.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from netlab.runtime.users import Accounts

_SYS_OPENAT2: Final = 437
_RESOLVE_IN_ROOT: Final = 0x10
LARGEST_FILE_BYTES: Final = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def read_accounts(root: Path) -> Accounts:
    """Return the accounts of an image whose root is mounted; files that are missing are empty."""
    return Accounts(_read_inside(root, "etc/passwd"), _read_inside(root, "etc/group"))


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _read_inside(root: Path, path: str) -> str:
    """Return the text of a file below root, all links resolved as if root were ``/``."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OpenHow(os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, 0, _RESOLVE_IN_ROOT)
        size = ctypes.sizeof(how)
        number = _libc.syscall(_SYS_OPENAT2, folder, path.encode(), ctypes.byref(how), size)
    finally:
        os.close(folder)
    if number < 0:
        return ""
    with os.fdopen(number, "rb") as file:
        return file.read(LARGEST_FILE_BYTES).decode(errors="replace")
