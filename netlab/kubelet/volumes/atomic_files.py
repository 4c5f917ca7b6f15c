"""Writes a folder of files so that a reader sees either all old or all new ones.

Mirrors the kubelet's ``AtomicWriter``: the files lie in a folder named after the time,
``..data`` is a symlink to it, and each visible name is a symlink through ``..data``. One rename of
``..data`` changes them all. A container sees the change because the folder itself is mounted; the
mount of a single file (subPath) goes on showing the old one, as in Kubernetes.

With a group, the files are the group's to read as ``ownership`` makes them, before anybody
sees them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from netlab.kubelet.volumes.content import VolumeFile
from netlab.kubelet.volumes.ownership import READ_ONLY, give_to_group

DATA = "..data"


def write_atomically(
    folder: Path, files: Mapping[str, VolumeFile], now: datetime, *, group: int | None = None
) -> bool:
    """Make ``folder`` hold exactly ``files``; return False when it did already.

    group: the pod's fsGroup. What a container's subPath has added to the folder stays.
    Blocking. Raises: OSError.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    current = folder / DATA
    if _holds(current, files, group):
        return False
    stamp = now.strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=folder))
    fresh.chmod(0o755)
    for name, file in files.items():
        _write(fresh / name, file)
    if group is not None:
        give_to_group(fresh, group, read_only=True)
    previous = _target(current)
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(current)
    _show(folder, {PurePosixPath(name).parts[0] for name in files})
    if previous is not None:
        shutil.rmtree(folder / previous, ignore_errors=True)
    return True


def write_in_place(file: Path, data: bytes) -> None:
    """Make a file hold just this; not renamed, for running containers have this very file mounted.

    They may have written anything to it: no text, or more than one would want to read.
    Raises: OSError.
    """
    try:
        with file.open("rb") as present:
            if present.read(len(data) + 1) == data:
                return
    except FileNotFoundError:
        pass
    file.write_bytes(data)


def _holds(current: Path, files: Mapping[str, VolumeFile], group: int | None) -> bool:
    try:
        present = {
            str(path.relative_to(current)): path for path in current.rglob("*") if not path.is_dir()
        }
        return (
            present.keys() == files.keys()
            and all(_is(path, files[name], group) for name, path in present.items())
            and current.is_dir()
        )
    except OSError:
        return False


def _is(path: Path, file: VolumeFile, group: int | None) -> bool:
    status = path.stat()
    mode = file.mode if group is None else file.mode | READ_ONLY
    return (
        status.st_mode & 0o777 == mode
        and group in (None, status.st_gid)
        and file.uid in (None, status.st_uid)
        and path.read_bytes() == file.content
    )


def _write(path: Path, file: VolumeFile) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(file.content)
        os.fchmod(out.fileno(), file.mode)  # open's mode would pass through the umask
        if file.uid is not None:
            os.fchown(out.fileno(), file.uid, -1)


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _show(folder: Path, names: set[str]) -> None:
    for name in names:
        wanted = f"{DATA}/{name}"
        if _target(folder / name) != wanted:
            _make_way(folder / name)
            (folder / name).symlink_to(wanted)
    for entry in folder.iterdir():
        # what is no link of ours is a folder that a subPath asked for
        ours = entry.is_symlink() and not entry.name.startswith("..")
        if ours and entry.name not in names:
            entry.unlink()


def _make_way(path: Path) -> None:
    """Remove an old link, or the folder that a subPath made because its key did not exist."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
