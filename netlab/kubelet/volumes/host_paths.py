"""Checks, and where the type asks for it makes, what a hostPath volume names.

Mirrors ``pkg/volume/hostpath`` with its wording. A path without a type that does not exist becomes
a folder, which is what containerd makes of it. Nothing here ever removes anything.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from netlab.api.volumes import HostPathVolume
from netlab.kubelet.volumes.content import VolumeError

_WHAT: Final[dict[str, tuple[Callable[[int], bool], str]]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}

FOLDER_MODE = 0o755
FILE_MODE = 0o644


def ensure_host_path(source: HostPathVolume) -> Path:
    """Return the path, which then is what its type says.

    Raises: VolumeError, worded for event FailedMount; OSError.
    """
    path = Path(source.path)
    if not path.is_absolute():
        raise VolumeError(f"hostPath {source.path} is not an absolute path")
    if not path.exists():
        _make(path, source.type)
    if source.type:
        fits, name = _WHAT[source.type]
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = 0
        if not fits(mode):
            raise VolumeError(f"hostPath type check failed: {source.path} is not {name}")
    return path


def _make(path: Path, kind: str) -> None:
    if kind in ("", "DirectoryOrCreate"):
        path.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        # the folder around it is not made, as in Kubernetes
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, FILE_MODE))
