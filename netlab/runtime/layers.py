"""Writing layers: the entries of ``layout.py`` become a folder, once and whole.

A layer is written beside its place and renamed, so that a folder with a layer's name is complete.
Layers lie below the lab's run folder: they are quickly made again after a reboot.
"""

from __future__ import annotations

import contextlib
import os
import py_compile
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import netlab
from netlab.errors import HostError, ImageError
from netlab.runtime.layout import CopiedFile, Directory, Entry, HostParts, Link, TextFile

_PROGRAMS = {"catatonit": "catatonit", "busybox": "busybox-static"}


def find_host_parts(busybox: Path, applets: Sequence[str]) -> HostParts:
    """Return where this machine keeps what images share; the arguments are as in ``HostParts``.

    Raises: HostError naming the Debian package of a missing program.
    """
    return HostParts(
        python=Path(sys.executable).resolve(),
        python_prefix=Path(sys.base_prefix),
        venv=Path(sys.prefix),
        package=Path(netlab.__file__).resolve().parent,
        busybox=busybox,
        catatonit=find_program("catatonit"),
        applets=applets,
        loader_links=_links_in(Path("/usr/lib64"), "ld-*"),
        alternatives=_links_in(Path("/etc/alternatives"), "*"),
    )


def _links_in(folder: Path, pattern: str) -> list[tuple[str, str]]:
    found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    return [(path.name, str(path.readlink())) for path in found if path.is_symlink()]


def find_program(name: str) -> Path:
    """Return the file of a program that images or the runtime need.

    Raises: HostError naming the Debian package.
    """
    found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        package = _PROGRAMS.get(name, name)
        raise HostError(f"{name}: not installed; run: sudo apt-get install {package}")
    return Path(found)


def write_layer(folder: Path, entries: Sequence[Entry]) -> int:
    """Make a layer unless it is there; return the size of its files in bytes.

    Raises: ImageError.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name[:12]}-", dir=folder.parent))
        try:
            for entry in entries:
                _write_entry(partial, entry)
            partial.chmod(0o755)
            partial.rename(folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            # Another task may have finished the same layer first.
            if not folder.is_dir():
                raise ImageError(f"image layer {folder}: {error}") from error
    return sum(_size_bytes(folder, entry) for entry in entries)


def entries_bytes(entries: Sequence[Entry]) -> int:
    """Return the size that the files of a layer have or will have."""
    total = 0
    for entry in entries:
        match entry:
            case TextFile(content=content):
                total += len(content.encode())
            case CopiedFile(source=source):
                with contextlib.suppress(OSError):
                    total += source.stat().st_size
    return total


def _write_entry(root: Path, entry: Entry) -> None:
    path = root / entry.path
    match entry:
        case Directory(mode=mode):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        case Link(target=target):
            path.symlink_to(target)
        case TextFile(content=content, mode=mode):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(mode)
        case CopiedFile(source=source, mode=mode, optional=optional):
            if optional and not source.exists():
                return
            shutil.copyfile(source, path)
            path.chmod(mode)
            if path.suffix == ".py":
                _compile(path, f"/{entry.path}")


def _compile(path: Path, inner: str) -> None:
    """Write the bytecode beside a module, so that no container has to compile it again.

    Unchecked: nothing in a read-only layer changes, and looking would cost each start a stat.
    """
    cached = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(
        str(path),
        cfile=str(cached),
        dfile=inner,
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _size_bytes(root: Path, entry: Entry) -> int:
    if not isinstance(entry, TextFile | CopiedFile):
        return 0
    try:
        return os.lstat(root / entry.path).st_size
    except FileNotFoundError:
        return 0
