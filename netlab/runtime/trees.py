"""Removes a folder with all it holds, whatever a container has put there.

Containers write into volumes and into their roots, and what they leave is not always meant to be
removed: folders nested deeper than a path can be long or a program can call itself, files that
nobody may change (``chattr +i``). So each folder is first moved up, next to the top, and emptied
there: the depth does not matter. The kernel refuses to move what something is mounted on; such a
folder, and what is mounted, stays untouched. Symlinks are removed as symlinks.

Blocking. Safe to run again after an interruption.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import struct
from pathlib import Path
from typing import Final

from netlab.errors import ContainerError

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Source: linux/fs.h; what ``lsattr`` shows as i and a
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_UNCHANGEABLE: Final = 0x10 | 0x20


def remove_tree(folder: Path) -> None:
    """Remove a folder with all it holds; gone already is fine.

    Raises: ContainerError when something is in the way, as what is mounted below it.
    """
    try:
        top = os.open(folder, _OPEN_FOLDER)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ContainerError(f"remove {folder}: {error.strerror}") from error
    try:
        waiting = _empty(top, top, folder)
        while waiting:
            waiting += _remove_one(waiting.pop(), top, folder)
        folder.rmdir()
    except FileNotFoundError:
        return  # somebody else removes it at the same time
    except OSError as error:
        raise ContainerError(f"remove {folder}: {error.strerror}") from error
    finally:
        os.close(top)


def _remove_one(name: str, top: int, folder: Path) -> list[str]:
    """Remove a folder that was moved up; return the names of those that were in it."""
    descriptor = os.open(name, _OPEN_FOLDER, dir_fd=top)
    try:
        moved = _empty(descriptor, top, folder)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=top)
    return moved


def _empty(descriptor: int, top: int, folder: Path) -> list[str]:
    """Remove the files of a folder and move its folders up; return their names there."""
    with os.scandir(descriptor) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    moved: list[str] = []
    for name, is_folder in found:
        take = _move_up if is_folder else _unlink
        try:
            try:
                moved += take(name, descriptor, top)
            except PermissionError:
                _make_changeable(name, descriptor)
                moved += take(name, descriptor, top)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ContainerError(f"remove {folder}: {name}: {error.strerror}") from error
    return moved


def _unlink(name: str, descriptor: int, top: int) -> tuple[str, ...]:
    del top
    os.unlink(name, dir_fd=descriptor)
    return ()


def _move_up(name: str, descriptor: int, top: int) -> tuple[str, ...]:
    new = f".removed-{secrets.token_hex(8)}"
    os.rename(name, new, src_dir_fd=descriptor, dst_dir_fd=top)
    return (new,)


def _make_changeable(name: str, descriptor: int) -> None:
    """Take the flags away that keep an entry, or its folder, from being changed."""
    with contextlib.suppress(OSError):
        _clear_flags(descriptor)
    with contextlib.suppress(OSError):
        kind = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
            entry = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            try:
                _clear_flags(entry)
            finally:
                os.close(entry)


def _clear_flags(descriptor: int) -> None:
    (flags,) = struct.unpack("L", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("L", 0)))
    if flags & _UNCHANGEABLE:
        fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("L", flags & ~_UNCHANGEABLE))
