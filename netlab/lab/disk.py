"""Can anything be written where a lab's state lies?"""

from __future__ import annotations

import os
from pathlib import Path

LOW_BYTES = 1 << 20
"""Below this the store's next batch may not fit."""


def disk_problem(folder: Path) -> str:
    """Return what keeps the lab from writing into its folder; "" when nothing does.

    Raises: OSError when the folder cannot be looked at.
    """
    found = os.statvfs(folder)
    if found.f_flag & os.ST_RDONLY:
        return f"{folder} is on a file system that is mounted read-only"
    if found.f_bavail * found.f_frsize < LOW_BYTES:
        return f"no space is left for {folder}"
    if found.f_files and not found.f_favail:
        return f"no file can be made any more in {folder}: the file system has no inode left"
    return ""
