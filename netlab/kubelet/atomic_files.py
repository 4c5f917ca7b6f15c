"""Writes a folder of files so that a reader sees either all old or all new ones.

Mirrors the kubelet's ``AtomicWriter``: the files lie in a folder named after the time,
``..data`` is a symlink to it, and each visible name is a symlink through ``..data``. One rename of
``..data`` changes them all. A container sees the change because the folder itself is mounted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from netlab.kubelet.volumes import VolumeFile

DATA = "..data"


def write_atomically(folder: Path, files: Mapping[str, VolumeFile], now: datetime) -> bool:
    """Make ``folder`` hold exactly ``files``; return False when it did already.

    Blocking. Raises: OSError.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    current = folder / DATA
    if _holds(current, files):
        return False
    stamp = now.strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=folder))
    fresh.chmod(0o755)
    for name, file in files.items():
        _write(fresh / name, file)
    previous = _target(current)
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(current)
    _show(folder, {PurePosixPath(name).parts[0] for name in files})
    if previous is not None:
        shutil.rmtree(folder / previous, ignore_errors=True)
    return True


def _holds(current: Path, files: Mapping[str, VolumeFile]) -> bool:
    try:
        present = {
            str(path.relative_to(current)): path for path in current.rglob("*") if not path.is_dir()
        }
        return (
            present.keys() == files.keys()
            and all(
                path.stat().st_mode & 0o777 == files[name].mode
                and path.read_bytes() == files[name].content
                for name, path in present.items()
            )
            and current.is_dir()
        )
    except OSError:
        return False


def _write(path: Path, file: VolumeFile) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(file.content)
        os.fchmod(out.fileno(), file.mode)  # open's mode would pass through the umask


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _show(folder: Path, names: set[str]) -> None:
    for name in names:
        wanted = f"{DATA}/{name}"
        if _target(folder / name) != wanted:
            with contextlib.suppress(FileNotFoundError):
                (folder / name).unlink()
            (folder / name).symlink_to(wanted)
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
