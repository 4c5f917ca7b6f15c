"""Removes the folders of volumes, and never anything that is only mounted or linked there.

A container may plant symlinks, and the sub-path of a hostPath is mounted below a pod's folder: what
stands behind them belongs to somebody else. So mounts go first, removal refuses to begin while one
is left, and symlinks are removed as symlinks.

Blocking. Safe to run again, and the same after a ``kill -9`` of the daemon: what is mounted is read
from the kernel.
"""

from __future__ import annotations

from pathlib import Path

from netlab.errors import ContainerError
from netlab.runtime.mounts import mounts_below, unmount
from netlab.runtime.trees import remove_tree


def unmount_volumes(folder: Path) -> None:
    """Take away every mount at and below a folder, the innermost first.

    Raises: ContainerError when one of them stays.
    """
    for point in mounts_below(folder):
        unmount(point)
    left = mounts_below(folder)
    if left:
        raise ContainerError(f"unmount {folder}: {left[0]} is still mounted")


def remove_volumes(folder: Path) -> None:
    """Remove a folder with all it holds; gone already is fine.

    Raises: ContainerError when something is still mounted below it, or cannot be removed.
    """
    if not folder.exists():
        return
    unmount_volumes(folder)
    remove_tree(folder)
