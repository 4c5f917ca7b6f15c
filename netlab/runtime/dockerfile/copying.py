"""Carries out COPY: from the build's context, or another stage's root, into an image's root.

Works on descriptors alone: no link of a context leads out of it, and none of an image to the
host. Blocking. As in Docker, the content of a folder is copied, links inside it stay links, and
owners are root unless ``--chown`` says otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import posixpath
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import ContainerError, ImageError
from netlab.runtime.account_files import read_accounts
from netlab.runtime.cri import ContainerSecurity
from netlab.runtime.dockerfile.ignoring import Ignoring
from netlab.runtime.dockerfile.planning import CopyStep
from netlab.runtime.inside import make_folders, open_beneath, open_folder, open_in_root
from netlab.runtime.users import process_user

_READ = os.O_RDONLY | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Origin:
    """Where files come from. is_context: what leads out of it is refused; else it is a root."""

    folder: Path
    ignoring: Ignoring
    is_context: bool = True


@dataclass(frozen=True, slots=True)
class _Rules:
    ignoring: Ignoring
    uid: int
    gid: int
    mode: int | None


def carry_out(step: CopyStep, origin: Origin, root: Path) -> None:
    """Copy a step's files into a root.

    Raises: ImageError with file and line.
    """
    source = ""
    try:
        rules = _rules(step, origin, root)
        with _closing(open_folder(root)) as into, _closing(open_folder(origin.folder)) as out_of:
            for source in _sources(step, origin):
                _copy_source(step, source, origin, out_of, into, rules)
    except ContainerError as error:
        raise ImageError(f"{step.place}: COPY: {error}") from error
    except OSError as error:
        cause = error.strerror
        if error.errno == errno.EXDEV or (error.errno == errno.ELOOP and origin.is_context):
            cause = "lies outside the build's folder"
        elif isinstance(error, FileNotFoundError):
            cause = "not found in the build's folder" if origin.is_context else "not found"
        raise ImageError(f"{step.place}: COPY {source or error.filename}: {cause}") from error


def _rules(step: CopyStep, origin: Origin, root: Path) -> _Rules:
    owner = process_user(ContainerSecurity(), step.owner or "0:0", read_accounts(root))
    gid = owner.gid if ":" in step.owner or not step.owner.isdigit() else owner.uid
    return _Rules(origin.ignoring, owner.uid, gid if step.owner else 0, step.mode)


def _sources(step: CopyStep, origin: Origin) -> Iterator[str]:
    """Yield the paths that a step names, relative to where they come from."""
    for written in step.sources:
        path = posixpath.normpath(written.lstrip("/") or ".")
        if path == ".." or path.startswith("../"):
            raise ImageError(f"{step.place}: COPY {written}: lies outside the build's folder")
        if not glob.has_magic(path):
            yield path
            continue
        found = sorted(glob.glob(path, root_dir=origin.folder))  # noqa: PTH207 relative ones
        seen = [each for each in found if not origin.ignoring.leaves_out(each)]
        if not seen:
            raise ImageError(f"{step.place}: COPY {written}: nothing has such a name")
        yield from seen


def _copy_source(
    step: CopyStep, path: str, origin: Origin, out_of: int, into: int, rules: _Rules
) -> None:
    if origin.ignoring.leaves_out(path) and not origin.ignoring.brings_back:
        raise FileNotFoundError(errno.ENOENT, "not found", path)
    opening = open_beneath if origin.is_context else open_in_root
    with _closing(opening(out_of, path, _READ)) as source:
        if stat.S_ISDIR(os.fstat(source).st_mode):
            with _closing(make_folders(into, step.target)) as target:
                _copy_folder(source, target, path if path != "." else "", rules)
            return
        folder, name = posixpath.split(step.target)
        if not name or _is_folder(into, step.target):
            folder, name = step.target, posixpath.basename(path)
        with _closing(make_folders(into, folder)) as target:
            _copy_file(source, target, name, rules)


def _is_folder(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path, os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return False
    return True


def _copy_folder(source: int, target: int, path: str, rules: _Rules) -> None:
    for name in sorted(os.listdir(source)):
        inner = posixpath.join(path, name)
        facts = os.stat(name, dir_fd=source, follow_symlinks=False)
        out = rules.ignoring.leaves_out(inner)
        if stat.S_ISDIR(facts.st_mode):
            if not out or rules.ignoring.brings_back:
                _copy_inner_folder(source, target, name, inner, rules, make=not out)
        elif out:
            continue
        elif stat.S_ISLNK(facts.st_mode):
            _make_way(target, name)
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, rules.uid, rules.gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISREG(facts.st_mode):
            with _closing(os.open(name, _READ | os.O_NOFOLLOW, dir_fd=source)) as file:
                _copy_file(file, target, name, rules)
        else:
            raise OSError(errno.EINVAL, "neither file, folder nor link", inner)


def _copy_inner_folder(
    source: int, target: int, name: str, path: str, rules: _Rules, *, make: bool
) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with _closing(os.open(name, flags, dir_fd=source)) as inner:
        if make or _has_kept(inner, path, rules):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=target)
                mode = stat.S_IMODE(os.fstat(inner).st_mode)
                os.chmod(name, mode if rules.mode is None else rules.mode, dir_fd=target)
                os.chown(name, rules.uid, rules.gid, dir_fd=target)
            with _closing(os.open(name, flags, dir_fd=target)) as made:
                _copy_folder(inner, made, path, rules)


def _has_kept(folder: int, path: str, rules: _Rules) -> bool:
    """True when something directly in a folder that is left out is brought back."""
    return any(
        not rules.ignoring.leaves_out(posixpath.join(path, name)) for name in os.listdir(folder)
    )


def _copy_file(source: int, target: int, name: str, rules: _Rules) -> None:
    facts = os.fstat(source)
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "neither file, folder nor link", name)
    _make_way(target, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    made = os.open(name, flags, 0o600, dir_fd=target)
    with os.fdopen(made, "wb") as file, os.fdopen(os.dup(source), "rb") as content:
        shutil.copyfileobj(content, file)
        os.fchown(made, rules.uid, rules.gid)
        os.fchmod(made, stat.S_IMODE(facts.st_mode) if rules.mode is None else rules.mode)


def _make_way(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
