"""Gives the files of a volume to the pod's fsGroup.

Mirrors ``pkg/volume`` ``SetVolumeOwnership``: every file gets the group and its permission bits,
every folder also setgid, so that new files inherit the group. Symlinks are re-owned, never
followed. Blocking: a large volume is walked file by file, so callers use a thread.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

READ_WRITE = 0o660
READ_ONLY = 0o440
ENTER = 0o110
"""Added for folders, with setgid."""


def give_to_group(root: Path, group: int, *, read_only: bool, unless_owned: bool = False) -> None:
    """Make a volume the group's.

    read_only: the containers cannot write to it, so the group may only read. unless_owned: do
    nothing when the volume's own folder is the group's already (fsGroupChangePolicy
    OnRootMismatch).

    Raises: OSError.
    """
    bits = READ_ONLY if read_only else READ_WRITE
    if unless_owned and _is_owned(root, group, bits):
        return
    for folder, _, files, folder_fd in os.fwalk(root):
        del folder
        for name in files:
            _give(name, folder_fd, group, bits)
        _give_folder(folder_fd, group, bits)


def _is_owned(root: Path, group: int, bits: int) -> bool:
    status = root.stat()
    wanted = bits | ENTER | stat.S_ISGID
    return status.st_gid == group and status.st_mode & wanted == wanted


def _give_folder(folder_fd: int, group: int, bits: int) -> None:
    status = os.fstat(folder_fd)
    wanted = stat.S_IMODE(status.st_mode) | bits | ENTER | stat.S_ISGID
    if status.st_gid != group:
        os.fchown(folder_fd, -1, group)  # takes setgid away
    os.fchmod(folder_fd, wanted)


def _give(name: str, folder_fd: int, group: int, bits: int) -> None:
    """Hand over one entry of an open folder; it may be a symlink, or gone meanwhile."""
    try:
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return
        os.chown(name, -1, group, dir_fd=folder_fd, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            _set_mode(name, folder_fd, stat.S_IMODE(status.st_mode) | bits)
    except FileNotFoundError:
        return


def _set_mode(name: str, folder_fd: int, mode: int) -> None:
    # through a descriptor: chmod by name follows a symlink that was put there meanwhile
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder_fd)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            Path(f"/proc/self/fd/{descriptor}").chmod(mode)
    finally:
        os.close(descriptor)
