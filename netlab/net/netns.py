"""Make, list, remove and enter network namespaces.

Named namespaces live in ``/run/netns`` as iproute2 keeps them (a bind mount of the namespace's
file, the folder shared between mount namespaces), so ``ip netns`` lists netlab's and netlab lists
those of ``ip netns``. No component of Kubernetes stands behind this module; the CRI runtimes do
the same through ``containernetworking/plugins`` ``pkg/ns``.

Rules for callers: this is the only module that calls ``setns`` or ``unshare``. Both change the
calling thread for good, so every call gets a fresh thread which ends afterwards; a function given
to ``call_in_netns`` must finish all its work on that thread and return plain data or open sockets.
A socket stays in the namespace it was opened in, whichever thread uses it later.

Left out: user, mount and other namespaces; they belong to the OCI runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from netlab.errors import NetworkError

T = TypeVar("T")
NetnsFolder: TypeAlias = Literal["absent", "plain", "mounted"]

NETNS_FOLDER = Path("/run/netns")

CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SHARED = 0x100000
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _call_libc(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str, target: Path, flags: int) -> None:
    _call_libc("mount", source.encode(), os.fsencode(target), b"none", ctypes.c_ulong(flags), None)


def _set_netns(netns: Path) -> None:
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call_libc("setns", descriptor, CLONE_NEWNET)
    finally:
        os.close(descriptor)


async def _on_fresh_thread(function: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if answer.done():  # the caller was cancelled meanwhile
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        result: T | None = None
        caught: BaseException | None = None
        try:
            result = function()
        except BaseException as error:  # carried over to the caller, whatever it is
            caught = error
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, caught)

    threading.Thread(target=body, name="netns", daemon=True).start()
    return await answer


async def call_in_netns(netns: Path | None, function: Callable[[], T]) -> T:
    """Return what ``function`` returns when run inside the network namespace at ``netns``.

    None means the namespace of the process. The function runs on a thread of its own, so it may
    block; its exceptions reach the caller unchanged. A cancelled caller does not stop it.

    Raises: NetworkError when the namespace cannot be entered.
    """
    if netns is None:
        return await _on_fresh_thread(function)

    def enter_and_call() -> T:
        try:
            _set_netns(netns)
        except OSError as error:
            raise NetworkError(f"enter network namespace {netns}: {error.strerror}") from error
        return function()

    return await _on_fresh_thread(enter_and_call)


async def open_socket(
    netns: Path | None,
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    protocol: int = 0,
    *,
    bind: Any = None,
    backlog: int | None = None,
) -> socket.socket:
    """Return a non-blocking socket that belongs to the namespace, whoever uses it.

    bind: address to bind to, with SO_REUSEADDR; backlog: start listening with that queue.

    Raises: NetworkError when it cannot be opened or bound.
    """

    def open_here() -> socket.socket:
        opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            if bind is not None:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(bind)
            if backlog is not None:
                opened.listen(backlog)
        except OSError as error:
            opened.close()
            raise NetworkError(f"bind socket to {bind}: {error.strerror}") from error
        return opened

    return await call_in_netns(netns, open_here)


def _share_folder() -> None:
    """Make /run/netns a shared mount point, so that later mounts reach other mount namespaces."""
    NETNS_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", NETNS_FOLDER, MS_SHARED | MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: not a mount point yet
            raise
        _mount(str(NETNS_FOLDER), NETNS_FOLDER, MS_BIND | MS_REC)
        _mount("", NETNS_FOLDER, MS_SHARED | MS_REC)


def netns_folder() -> NetnsFolder:
    """Return how ``/run/netns`` is: as ``ip netns`` keeps it only when it is mounted."""
    if not NETNS_FOLDER.is_dir():
        return "absent"
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    is_mounted = any(line.split(" ")[4] == str(NETNS_FOLDER) for line in mounts)
    return "mounted" if is_mounted else "plain"


def release_netns_folder(before: NetnsFolder) -> None:
    """Make ``/run/netns`` what it was before, unless namespaces have names in it.

    Raises: NetworkError when the process lacks the right.
    """
    if before == "mounted" or list_netns():
        return
    try:
        while netns_folder() == "mounted":
            _call_libc("umount2", os.fsencode(NETNS_FOLDER), MNT_DETACH)
        if before == "absent":
            with contextlib.suppress(FileNotFoundError):
                NETNS_FOLDER.rmdir()
    except OSError as error:
        raise NetworkError(f"release {NETNS_FOLDER}: {error.strerror}") from error


async def create_netns(name: str) -> Path:
    """Return the path of a new, empty network namespace: ``/run/netns/NAME``; its lo is down.

    Raises: NetworkError when the name is taken or the process lacks the right.
    """
    path = NETNS_FOLDER / name

    def unshare_and_mount() -> None:
        _share_folder()
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444))
        try:
            _call_libc("unshare", CLONE_NEWNET)
            # this thread's namespace: /proc/self would name the main thread's
            _mount("/proc/thread-self/ns/net", path, MS_BIND)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    try:
        await _on_fresh_thread(unshare_and_mount)
    except OSError as error:
        raise NetworkError(f"create network namespace {name}: {error.strerror}") from error
    return path


async def remove_netns(name: str) -> None:
    """Remove the name; the kernel ends the namespace when no process is left in it. Idempotent.

    Raises: NetworkError when the process lacks the right.
    """
    path = NETNS_FOLDER / name

    def unmount_and_unlink() -> None:
        try:
            _call_libc("umount2", os.fsencode(path), MNT_DETACH)
        except OSError as error:
            # EINVAL: only the file is left, after a crash between creating and mounting
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
        path.unlink(missing_ok=True)

    try:
        await _on_fresh_thread(unmount_and_unlink)
    except OSError as error:
        raise NetworkError(f"remove network namespace {name}: {error.strerror}") from error


def list_netns() -> list[str]:
    """Return the names under ``/run/netns``, sorted."""
    try:
        return sorted(entry.name for entry in NETNS_FOLDER.iterdir())
    except FileNotFoundError:
        return []


def is_netns(path: Path) -> bool:
    """True when a namespace is mounted at ``path``; False for a leftover plain file or nothing."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except OSError:
        return False
