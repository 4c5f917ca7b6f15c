"""Read and replace a file that may be another user's, as root, with no more than his rights.

``sudo netlab up`` writes into the caller's home, and a name on the way there may be a link that
somebody put there. So the way is walked first, link by link: whoever owns the first thing on it
that is not root's is whose rights are used (``setfsuid``, on a thread of its own), and the kernel
refuses what he could not do himself. Below a folder that everybody may write to, such as ``/tmp``,
only what belongs to root or to the caller of sudo is used at all: a foreseeable name there may be
anybody's. The file is replaced by a new one of an unforeseeable name, in one step.

For a process that is not root, all this is plain reading and writing.

Source: setfsuid(2); path_resolution(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import pwd
import secrets
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from netlab.errors import HostError, UsageError
from netlab.locks import locked_folder

T = TypeVar("T")

MAX_LINKS = 40
MAX_BYTES = 16 << 20
FOLDER_MODE = 0o700
_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "ppc64le": 81, "s390x": 206}
"""Numbers of setgroups(2), which glibc's own would do to all threads. Source: syscalls(2)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file really is, links resolved. owner: (uid, gid) whose rights to use; None: ours."""

    folder: Path
    name: str
    owner: tuple[int, int] | None


def find_place(path: Path) -> Place:
    """Return where the file is, or would be made, and whose rights lead there.

    Raises: UsageError when something on the way is not to be trusted; OSError.
    """
    left = [part for part in reversed(Path.cwd().joinpath(path).parts) if part != "/"]
    here, owner, shared, links = Path("/"), None, False, 0
    while left:
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        try:
            found = (here / name).lstat()
        except FileNotFoundError:
            *folders, last = name, *reversed(left)
            return Place(here.joinpath(*folders), last, owner)
        if shared:
            _check_trusted(path, here / name, found)
        is_link = stat.S_ISLNK(found.st_mode)
        if owner is None and found.st_uid != 0 and (is_link or left) and os.geteuid() == 0:
            owner = (found.st_uid, _group_of(found))
        if is_link:
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = (here / name).readlink()
            here = Path("/") if target.is_absolute() else here
            left += [part for part in reversed(target.parts) if part != "/"]
        elif left:
            shared = shared or bool(found.st_mode & stat.S_IWOTH)
            here /= name
        else:
            return Place(here, name, owner)
    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))


def update_file(
    path: Path,
    rewrite: Callable[[bytes | None], bytes | None],
    *,
    mode: int,
    private: bool = False,
) -> None:
    """Replace the file's content by what ``rewrite`` makes of it, in one step, under a lock.

    rewrite: gets None where there is no file, and returns None to leave all as it is, b"" to
    remove the file. mode: of a file that is new; one that is there keeps its owner and,
    unless it shall be private, its mode. A folder that is missing is made, for its owner only.

    Raises: UsageError when something on the way is not to be trusted, and what ``rewrite`` raises;
    OSError; HostError when the lock cannot be had.
    """
    place = find_place(path)
    _with_rights_of(place.owner, lambda: _update(path, place, rewrite, mode, private))


def _update(
    path: Path,
    place: Place,
    rewrite: Callable[[bytes | None], bytes | None],
    mode: int,
    private: bool,
) -> None:
    place.folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    with locked_folder(place.folder), _opened_folder(place.folder) as folder:
        _check_trusted(path, place.folder, os.fstat(folder), place.owner)
        before, content = _read(place.name, folder)
        if before is not None:
            # whose it is will read the keys of the lab in it
            _check_trusted(path, place.folder / place.name, before, place.owner)
        new = rewrite(content)
        if new == b"":
            if before is not None:
                os.unlink(place.name, dir_fd=folder)
        elif new is not None:
            if before is not None and not private:
                mode = stat.S_IMODE(before.st_mode)
            _replace(place.name, folder, new, before, mode)


@contextlib.contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(name: str, folder: int) -> tuple[os.stat_result | None, bytes | None]:
    # O_NONBLOCK: opening a fifo would wait for its writer
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return None, None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        if found.st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return found, file.read(MAX_BYTES)


def _replace(name: str, folder: int, data: bytes, before: os.stat_result | None, mode: int) -> None:
    fresh = f".{name[:200]}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(fresh, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if before is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, mode)
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=folder)
        raise


def _check_trusted(
    path: Path, part: Path, found: os.stat_result, owner: tuple[int, int] | None = None
) -> None:
    if found.st_uid in (0, os.geteuid(), _sudo_uid()) or (owner and found.st_uid == owner[0]):
        return
    raise UsageError(
        f"{path}: {part} belongs to user {_user_name(found.st_uid)}, who is neither root nor you; "
        "choose another place for it"
    )


def _sudo_uid() -> int | None:
    """Return who called sudo, if somebody did."""
    text = os.environ.get("SUDO_UID", "")
    return int(text) if text.isdigit() else None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_of(found: os.stat_result) -> int:
    try:
        return pwd.getpwuid(found.st_uid).pw_gid
    except KeyError:
        return found.st_gid


def _with_rights_of(owner: tuple[int, int] | None, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, run with a user's rights on files; None: with our own."""
    if owner is None:
        return work()

    def restricted() -> T:
        _take_rights(*owner)
        return work()

    # the thread ends with the block, and with it the rights it took
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(restricted).result()


def _take_rights(uid: int, gid: int) -> None:
    """Give this thread a user's rights on files, and none of root's.

    Raises: HostError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SETGROUPS.get(platform.machine())
    if number is not None:
        libc.syscall(number, 0, None)
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    # -1 is no valid id: it changes nothing and tells the present one
    if libc.setfsuid(-1) != uid or libc.setfsgid(-1) != gid:
        raise HostError(f"cannot take the rights of user {_user_name(uid)} on files")
