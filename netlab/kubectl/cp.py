"""``netlab cp``: files and folders between this machine and a container, through tar.

Mirrors ``kubectl cp``: ``tar`` runs in the container (so its image must have one) and the archive
is made or unpacked here as it passes. Unpacking trusts nothing: a member that would be written
outside the target (an absolute path, ``..``, through a link of the archive or one that was there)
is refused, and so are devices; nothing outside the target is ever touched.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
import threading
from pathlib import Path

from netlab.errors import UsageError
from netlab.kubectl.exec import exec_request, finish, stream
from netlab.kubectl.failures import ExitError
from netlab.kubectl.flags import Command, Flag, HintedUsageError
from netlab.kubectl.pod_choice import choose_container, find_pods
from netlab.kubectl.remote_streams import Descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


class _Place:
    """One side of a copy; pod is "" for this machine."""

    __slots__ = ("namespace", "path", "pod")

    def __init__(self, text: str) -> None:
        where, colon, path = text.partition(":")
        # a path of this machine may hold a colon after its first slash
        if not colon or ("/" in where and where.count("/") > 1) or where.startswith((".", "/")):
            self.namespace, self.pod, self.path = "", "", text
            return
        namespace, slash, pod = where.partition("/")
        self.namespace, self.pod = (namespace, pod) if slash else ("", namespace)
        self.path = path
        if not self.pod:
            raise HintedUsageError(
                "filespec must match the canonical format: [[namespace/]pod:]file/path"
            )


def _run(session: Session, parsed: Parsed) -> int:
    if len(parsed.args) != 2:
        raise HintedUsageError("source and destination are required")
    source, target = (_Place(word) for word in parsed.args)
    if not source.path or not target.path:
        raise UsageError("filepath can not be empty")
    if source.pod and target.pod:
        raise UsageError("one of src or dest must be a local file specification")
    if source.pod:
        return _copy_from_pod(session, parsed, source, target)
    if target.pod:
        return _copy_to_pod(session, parsed, source, target)
    raise UsageError("one of src or dest must be a remote file specification")


def _find(session: Session, parsed: Parsed, place: _Place) -> tuple[dict[str, Any], str]:
    if place.namespace:
        path = session.resources.find("pods").path(place.namespace, place.pod)
        pod: dict[str, Any] = session.client.call("GET", path)
    else:
        pod = find_pods(session, place.pod, "exec")[0]
    return pod, choose_container(session, pod, parsed["container"])


def _copy_to_pod(session: Session, parsed: Parsed, source: _Place, target: _Place) -> int:
    local = Path(source.path)
    if not local.exists():
        raise UsageError(f"{source.path} doesn't exist in local filesystem")
    pod, container = _find(session, parsed, target)
    folder, name = posixpath.split(target.path.rstrip("/"))
    if _is_folder(session, pod, container, target.path):
        folder, name = target.path.rstrip("/") or "/", local.resolve().name
    command = (
        ["tar", "-xmf", "-"]
        if not parsed["no-preserve"]
        else ["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"]
    )
    if folder:
        command += ["-C", folder]
    reader, writer = os.pipe()
    failure: list[OSError] = []

    def feed() -> None:
        try:
            with os.fdopen(writer, "wb") as pipe, tarfile.open(fileobj=pipe, mode="w|") as archive:
                archive.add(local, arcname=name or local.resolve().name)
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        _exec(session, pod, container, command, Descriptors(reader))
    finally:
        os.close(reader)
        thread.join()
    if failure and not isinstance(failure[0], BrokenPipeError):
        raise UsageError(f"{failure[0].filename or source.path}: {failure[0].strerror}")
    return 0


def _is_folder(session: Session, pod: Mapping[str, Any], container: str, path: str) -> bool:
    quiet = os.open(os.devnull, os.O_WRONLY)
    try:
        _exec(session, pod, container, ["test", "-d", path], Descriptors(-1, quiet, quiet))
    except ExitError:
        return False
    finally:
        os.close(quiet)
    return True


def _copy_from_pod(session: Session, parsed: Parsed, source: _Place, target: _Place) -> int:
    pod, container = _find(session, parsed, source)
    reader, writer = os.pipe()
    outcome: list[BaseException] = []
    base = posixpath.normpath(source.path.lstrip("/")) if source.path.strip("/") else "."

    def unpack() -> None:
        try:
            with os.fdopen(reader, "rb") as pipe:
                _unpack(session, pipe, base, Path(target.path))
        except (OSError, tarfile.TarError, UsageError) as error:
            outcome.append(error)

    thread = threading.Thread(target=unpack, daemon=True)
    thread.start()
    try:
        _exec(session, pod, container, ["tar", "cf", "-", source.path], Descriptors(-1, writer))
    except BrokenPipeError:
        pass  # the unpacking ended first, and says why
    finally:
        os.close(writer)
        thread.join()
    if outcome:
        error = outcome[0]
        if isinstance(error, OSError):
            raise UsageError(f"{error.filename or target.path}: {error.strerror}") from error
        if isinstance(error, tarfile.TarError):
            raise UsageError(f"the container sent no good archive: {error}") from error
        raise error
    return 0


def _exec(
    session: Session,
    pod: Mapping[str, Any],
    container: str,
    command: list[str],
    local: Descriptors,
) -> None:
    path, query = exec_request(
        session, dict(pod), container, command, stdin=local.stdin >= 0, tty=False
    )
    finish(stream(session, path, query, local, tty=False))


def _unpack(session: Session, pipe: IO[bytes], base: str, target: Path) -> None:
    """Unpack an archive of ``base`` to ``target``; what would leave it is refused and told."""
    root = target / posixpath.basename(base) if target.is_dir() and base != "." else target
    with tarfile.open(fileobj=pipe, mode="r|") as archive:
        for member in archive:
            inside = _relative(member.name, base)
            if inside is None:
                session.complain(
                    f"warning: file {member.name!r} is outside target destination, skipping"
                )
                continue
            _write(session, archive, member, root, inside)
    while pipe.read(65536):
        pass  # let tar finish writing its padding


def _relative(name: str, base: str) -> str | None:
    """Return a member's path below ``base``, "" for itself; None when it lies elsewhere."""
    path = posixpath.normpath(name.lstrip("/"))
    if base == "." and not path.startswith(".."):
        return "" if path == "." else path
    if path == base:
        return ""
    return path[len(base) + 1 :] if path.startswith(f"{base}/") else None


def _write(
    session: Session, archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, inside: str
) -> None:
    place = root / inside if inside else root
    top = root.parent if not inside else root
    if any(part.is_symlink() for part in _between(top, place)):
        session.complain(f"warning: {place} lies behind a symbolic link, skipping")
        return
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    if member.issym() or member.islnk():
        session.complain(f"warning: skipping symlink: {str(place)!r} -> {member.linkname!r}")
        return
    if not member.isfile():
        session.complain(f"warning: {member.name}: is no file, folder or link, skipping")
        return
    data = archive.extractfile(member)
    assert data is not None, "files have data"
    place.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(place, flags, 0o666), "wb") as file:
        while piece := data.read(1 << 20):
            file.write(piece)
        os.fchmod(file.fileno(), member.mode & 0o777 & ~_umask())


def _between(top: Path, place: Path) -> list[Path]:
    """Return the paths below ``top`` down to ``place`` itself."""
    found = []
    while place != top and place != place.parent:
        found.append(place)
        place = place.parent
    return found


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


COMMAND = Command(
    "cp",
    _run,
    usage="SOURCE TARGET, one of them as [NAMESPACE/]POD:PATH",
    text="Copy files and folders from or to a container, which must have tar.",
    flags=(
        Flag("container", short="c", help="The container; default: the pod's first."),
        Flag("no-preserve", "bool", help="Do not keep owners and permissions in the container."),
        Flag("retries", "int", default=0, help="Accepted for kubectl's sake."),
    ),
    examples=("cp ./site web:/usr/share/nginx/html", "cp shop/web:/var/log/app.log app.log"),
)
