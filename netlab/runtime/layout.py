"""What the root file system of a built-in image holds: folders, links and files, as data.

Pure. Five kinds of root (see ``recipe.RootKind``):

- ``busybox``: one static program and a link per applet; nothing of the host's /usr.
- ``python``: a busybox root, and the host's libraries and Python interpreter bound below it.
- ``debian``: the host's programs below those of Debian packages that the image brings; a
  container may write to its /usr, which changes nothing outside it.
- ``host-usr``: the host's programs, with /usr/local hidden.
- ``pause``: the one static program that holds a pod's namespaces.

Each has an /etc of its own: a container never sees the host's users, passwords, keys or home
folders. What comes from the host is bound read-only (``host_binds``) or is a public file that is
copied (certificate authorities, the loader's cache).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from netlab.runtime.cri import Mount
from netlab.runtime.recipe import RootKind


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder of the root."""

    path: str
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link of the root."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class TextFile:
    """A small file with this content."""

    path: str
    content: str = ""
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A copy of a file of the host; left out when the host has none and optional is set."""

    path: str
    source: Path
    mode: int = 0o644
    optional: bool = False


Entry = Directory | Link | TextFile | CopiedFile


@dataclass(frozen=True, slots=True)
class HostParts:
    """Where the host keeps what built-in images share.

    python: the interpreter's real file; python_prefix: ``sys.base_prefix``; venv: ``sys.prefix``;
    package: the folder of the netlab package. applets: paths without the leading slash, as
    ``busybox --list-full`` prints them. loader_links: links in /usr/lib64 (name, target);
    alternatives: those in /etc/alternatives, through which Debian's /usr/bin reaches programs.
    """

    python: Path
    python_prefix: Path
    venv: Path
    package: Path
    busybox: Path
    catatonit: Path
    applets: Sequence[str] = ()
    loader_links: Sequence[tuple[str, str]] = ()
    alternatives: Sequence[tuple[str, str]] = ()
    usr: Path = Path("/usr")


_USERS = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS = """root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
www-data:x:33:
nogroup:x:65534:
"""
_NSSWITCH = """passwd: files
group: files
hosts: files dns
services: files
protocols: files
"""
# The prompt of Debian's images, root@POD:/#; without it bash only tells its version.
_BASHRC = "PS1='\\u@\\h:\\w\\$ '\n"
_OS_RELEASE = """ID=netlab
NAME="netlab"
PRETTY_NAME="netlab built-in image"
"""

# Where images with ``venv`` see netlab's packages, wherever the host keeps them: a bind at the
# host's own path would show in the container's `ls /`.
_VENV, _SOURCE = "/usr/local/lib/netlab/venv", "/usr/local/lib/netlab/source"

# The kinds of root whose /usr is the host's, wholly or in part.
_OF_HOST = (RootKind.HOST_USR, RootKind.DEBIAN)

_TOP = ("dev", "etc", "home", "media", "mnt", "proc", "run", "srv", "sys", "usr", "var")
_VAR = ("var/cache", "var/lib", "var/log", "var/spool")


def base_entries(kind: RootKind, host: HostParts) -> list[Entry]:
    """Return the root of a kind, parents before what they hold."""
    if kind is RootKind.PAUSE:
        # runc wants the mount points of /proc and /dev to exist in a read-only root.
        return [
            Directory("dev"),
            Directory("proc"),
            Directory("sys"),
            CopiedFile("pause", host.catatonit, 0o755),
        ]
    entries: list[Entry] = [Directory(name) for name in (*_TOP, *_VAR)]
    entries += [
        Directory("root", 0o700),
        Directory("tmp", 0o1777),
        Directory("var/tmp", 0o1777),
        Directory("etc/ssl"),
        Directory("etc/ssl/certs"),
        Link("var/run", "/run"),
    ]
    entries += _etc_entries()
    if kind in _OF_HOST:
        entries += [Link(name, f"usr/{name}") for name in ("bin", "lib", "lib32", "lib64", "sbin")]
        entries += [_loader_cache(), Directory("etc/alternatives")]
        entries.append(TextFile("etc/bash.bashrc", _BASHRC))
        entries += [Link(f"etc/alternatives/{name}", to) for name, to in host.alternatives]
        return entries
    entries += _busybox_entries(host)
    if kind is RootKind.PYTHON:
        entries += _python_entries(host)
    else:
        entries.append(Directory("lib"))
    return entries


def image_entries(
    files: Iterable[tuple[str, Path, int]],
    directories: Sequence[str],
    *,
    links: Mapping[str, str] | None = None,
    users: Mapping[str, int] | None = None,
) -> list[Entry]:
    """Return an image's own layer: its files (path inside, source, mode), links (path inside ->
    target), users (name -> number) and their folders.
    """
    files, links, users = list(files), links or {}, users or {}
    parents = {PurePosixPath(path.lstrip("/")) for path in directories}
    for path in [
        *(path for path, _source, _mode in files),
        *links,
        *(["/etc/passwd"] if users else []),
    ]:
        parents.update(PurePosixPath(path.lstrip("/")).parents)
    for folder in list(parents):
        parents.update(folder.parents)
    parents.discard(PurePosixPath())
    ordered = sorted(parents, key=lambda folder: (len(folder.parts), folder))
    entries: list[Entry] = [Directory(str(folder)) for folder in ordered]
    entries += [CopiedFile(path.lstrip("/"), source, mode) for path, source, mode in files]
    entries += [Link(path.lstrip("/"), target) for path, target in links.items()]
    if users:
        entries += _user_entries(users)
    return entries


def _user_entries(users: Mapping[str, int]) -> list[Entry]:
    passwd = (
        f"{name}:x:{n}:{n}:{name}:/nonexistent:/usr/sbin/nologin\n" for name, n in users.items()
    )
    group = (f"{name}:x:{n}:\n" for name, n in users.items())
    return [
        TextFile("etc/passwd", _USERS + "".join(passwd)),
        TextFile("etc/group", _GROUPS + "".join(group)),
    ]


def host_binds(kind: RootKind, host: HostParts, *, venv: bool) -> list[Mount]:
    """Return what of the host an image's containers see, read-only.

    An interpreter keeps the host's own path, because it finds its library beside itself and a
    virtual environment names it by that path.
    """
    if kind is RootKind.HOST_USR:
        return [Mount(host.usr, "/usr", read_only=True)]
    if kind is not RootKind.PYTHON:
        return []
    binds = [Mount(host.usr / "lib", "/usr/lib", read_only=True)]
    if host.python_prefix == host.usr:
        binds.append(Mount(host.python, str(host.python), read_only=True))
    else:
        binds.append(Mount(host.python_prefix, str(host.python_prefix), read_only=True))
    if venv:
        if host.venv != host.python_prefix:
            binds.append(Mount(host.venv, _VENV, read_only=True))
        if not host.package.is_relative_to(host.venv):
            target = f"{_SOURCE}/{host.package.name}"
            binds.append(Mount(host.package, target, read_only=True))
    return binds


def hidden_paths(kind: RootKind) -> list[str]:
    """Return paths that an empty folder covers: /usr/local may hold what is not the system's."""
    return ["/usr/local"] if kind in _OF_HOST else []


def _etc_entries() -> list[Entry]:
    ca_bundle = "etc/ssl/certs/ca-certificates.crt"
    return [
        TextFile("etc/passwd", _USERS),
        TextFile("etc/group", _GROUPS),
        TextFile("etc/nsswitch.conf", _NSSWITCH),
        TextFile("etc/os-release", _OS_RELEASE),
        TextFile("etc/shells", "/bin/sh\n"),
        # Mount points of what the kubelet writes per pod.
        TextFile("etc/hosts"),
        TextFile("etc/hostname"),
        TextFile("etc/resolv.conf"),
        CopiedFile("etc/services", Path("/etc/services"), optional=True),
        CopiedFile("etc/protocols", Path("/etc/protocols"), optional=True),
        CopiedFile(ca_bundle, Path("/") / ca_bundle, optional=True),
    ]


def _loader_cache() -> Entry:
    return CopiedFile("etc/ld.so.cache", Path("/etc/ld.so.cache"), optional=True)


def _busybox_entries(host: HostParts) -> list[Entry]:
    folders = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local", "usr/local/bin", "usr/lib")
    entries: list[Entry] = [Directory(folder) for folder in folders]
    entries.append(CopiedFile("bin/busybox", host.busybox, 0o755))
    entries += [Link(path, "/bin/busybox") for path in host.applets if path != "bin/busybox"]
    return entries


def _python_entries(host: HostParts) -> list[Entry]:
    entries: list[Entry] = [
        Link("lib", "usr/lib"),
        Link("lib64", "usr/lib64"),
        Directory("usr/lib64"),
        Link("usr/bin/python3", str(host.python)),
        # process 1 of images whose program takes a while until it handles signals
        CopiedFile("usr/bin/catatonit", host.catatonit, 0o755),
        _loader_cache(),
        TextFile("usr/local/bin/netlab-python", _netlab_python(host), 0o755),
    ]
    entries += [Link(f"usr/lib64/{name}", target) for name, target in host.loader_links]
    if host.python_prefix == host.usr:
        # The file that the interpreter is bound over; without it every container would get one.
        entries.append(TextFile(str(host.python).lstrip("/"), mode=0o755))
    return entries


def _netlab_python(host: HostParts) -> str:
    """Return the script that runs Python with netlab's packages, in images with ``venv``.

    PYTHONPATH leads to netlab where it is not installed in the virtual environment but run from
    its source; otherwise the folder is missing, which Python passes over.
    """
    venv = _VENV if host.venv != host.python_prefix else str(host.venv)
    return f'#!/bin/sh\nPYTHONPATH={_SOURCE} exec {shlex.quote(f"{venv}/bin/python3")} "$@"\n'
