"""Loads images from files: OCI archives, OCI layouts and what ``docker save`` writes.

Mirrors ``ctr images import``. An archive may be compressed (gzip, bzip2, xz, zstd) or come from
standard input; it may hold several images. Nothing of an archive is written to disk by its own
names: of an OCI archive only index and blobs are taken, each under the digest that was computed
from it; one of docker is read by skopeo, which does the same.

Archives of docker before 1.10 (2016), which have no ``manifest.json``, are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from netlab.api.release import go_architecture
from netlab.errors import HostError, ImageError
from netlab.runtime.image_store.records import (
    DIGEST,
    Descriptor,
    LayoutIndex,
    StoredImage,
    content_digest,
    require_digest,
)
from netlab.runtime.image_store.store import LAYOUT_NAME, ImageStore, Workspace
from netlab.runtime.image_store.tools import run_skopeo
from netlab.runtime.reference import DEFAULT_TAG, ImageReference, parse_reference

COPY_TIMEOUT_S = 900.0

_PIECE_BYTES = 1 << 20
_INDEX_BYTES_MAX = 4 << 20
_MAGIC_BYTES = 6
_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_PACKAGES = {"xz": "xz-utils"}
_UNREADABLE = (OSError, EOFError, tarfile.TarError)


class _DockerImage(msgspec.Struct, frozen=True, rename="pascal"):
    repo_tags: list[str] | None = None


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """One image of an archive. source: as skopeo takes it; names: those the archive gives it."""

    source: str
    names: Sequence[str]


async def load_archive(
    store: ImageStore, source: Path | IO[bytes], *, name: str = "", title: str = ""
) -> list[StoredImage]:
    """Put the images of an archive, a stream or a layout folder into the store.

    name: instead of the archive's own names, for an archive with one image. title: what errors
    call the source; None of its images is in the store after an error.

    Raises: ImageError; HostError when a program is missing.
    """
    title = title or (str(source) if isinstance(source, Path) else "standard input")
    wanted = parse_reference(name) if name else None
    try:
        async with store.workspace() as work:
            found = await asyncio.to_thread(_open_source, source, work.folder)
            if wanted and len(found) > 1:
                raise ImageError(f"{len(found)} images in it; a name fits only one")
            images = [await _unpack(store, work, each, _names_for(each, wanted)) for each in found]
            return await asyncio.to_thread(store.put, *images)
    except ImageError as error:
        raise ImageError(f"load {title}: {error}") from error


async def _unpack(
    store: ImageStore, work: Workspace, image: ArchivedImage, names: Sequence[str]
) -> StoredImage:
    layout = work.layout()
    target = f"oci:{layout}:{LAYOUT_NAME}"
    # umoci does not read zstd
    await run_skopeo(
        ["copy", "--quiet", "--dest-compress-format", "gzip", image.source, target],
        scratch=work.folder,
        timeout_s=COPY_TIMEOUT_S,
    )
    return await store.unpack(work, layout, source="loaded", names=names)


def _names_for(image: ArchivedImage, wanted: ImageReference | None) -> list[str]:
    """Return the complete names to give an image.

    Raises: ImageError when neither the archive nor the user names it.
    """
    if wanted is not None:
        return [_tagged(wanted)]
    try:
        found = [_tagged(parse_reference(each)) for each in image.names]
    except ImageError as error:
        raise ImageError(f"the name of an image in it: {error}; give one with --name") from error
    if not found:
        raise ImageError("the image in it has no name; give one with --name")
    return found


def _tagged(reference: ImageReference) -> str:
    return f"{reference.repository}:{reference.tag or DEFAULT_TAG}"


def _open_source(source: Path | IO[bytes], scratch: Path) -> list[ArchivedImage]:
    """Return the images of a source, whose parts are made ready in scratch where need be.

    Raises: ImageError.
    """
    if isinstance(source, Path) and source.is_dir():
        return _layout_images(source, source / "blobs", scratch)
    try:
        plain = _plain_tar(source, scratch)
        with tarfile.open(plain, "r:") as archive:
            names = {member.name.removeprefix("./"): member for member in archive}
            if "manifest.json" in names:
                # skopeo takes what follows a colon for a name
                link = scratch / "docker.tar"
                link.symlink_to(plain.resolve())
                return _docker_images(archive, names["manifest.json"], link)
            if "index.json" in names:
                taken = _take_blobs(archive, names, scratch)
                return _layout_images(taken, taken / "blobs", scratch)
            if "repositories" in names:
                raise ImageError("an archive of docker before 1.10; save it with a newer docker")
    except _UNREADABLE as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(f"not readable: {cause}") from error
    raise ImageError("neither an OCI archive nor one of 'docker save'")


def _plain_tar(source: Path | IO[bytes], scratch: Path) -> Path:
    """Return an uncompressed archive: the file itself, or a copy in scratch."""
    if isinstance(source, Path) and (source.is_file() or not source.exists()):
        with source.open("rb") as file:
            kind = _compression(file.read(_MAGIC_BYTES))
        if not kind:
            return source
        return _decompress(source, kind, scratch / "archive.tar")
    # a pipe, which can be read only once
    spool = scratch / "stream"
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        shutil.copyfileobj(stream, stack.enter_context(spool.open("wb")), _PIECE_BYTES)
    return _plain_tar(spool, scratch)


def _compression(magic: bytes) -> str:
    """Return the program that reads a compressed file; "" when it is not one."""
    starts = {
        b"\x1f\x8b": "gzip",
        b"BZh": "bzip2",
        b"\xfd7zXZ\x00": "xz",
        b"\x28\xb5\x2f\xfd": "zstd",
    }
    return next((kind for start, kind in starts.items() if magic.startswith(start)), "")


def _decompress(source: Path, program: str, target: Path) -> Path:
    """Write what a compressed file holds; by a program, for Python cannot read zstd.

    Raises: ImageError; HostError when the program is not installed.
    """
    argv = [program, "--decompress", "--quiet", "--stdout"]
    with source.open("rb") as packed, target.open("wb") as plain:
        try:
            subprocess.run(
                argv,
                stdin=packed,
                stdout=plain,
                stderr=subprocess.PIPE,
                check=True,
                timeout=COPY_TIMEOUT_S,
            )
        except FileNotFoundError as error:
            package = _PACKAGES.get(program, program)
            raise HostError(
                f"{program}: not installed; run: sudo apt-get install {package}"
            ) from error
        except subprocess.CalledProcessError as error:
            lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
            cause = lines[-1] if lines else f"{program} failed"
            raise ImageError(f"not readable: {cause}") from error
        except subprocess.TimeoutExpired as error:
            raise ImageError(f"{program} did not end within {COPY_TIMEOUT_S:g} s") from error
    return target


def _docker_images(
    archive: tarfile.TarFile, manifest: tarfile.TarInfo, path: Path
) -> list[ArchivedImage]:
    """Return the images of ``docker save``; both names and order are those of manifest.json."""
    try:
        images = msgspec.json.decode(_read_small(archive, manifest), type=list[_DockerImage])
    except msgspec.MsgspecError as error:
        raise ImageError(f"manifest.json: {error}") from error
    if not images:
        raise ImageError("no image in it")
    return [
        ArchivedImage(f"docker-archive:{path}:@{at}", image.repo_tags or ())
        for at, image in enumerate(images)
    ]


def _read_small(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None or member.size > _INDEX_BYTES_MAX:
        raise ImageError(f"{member.name}: not a file of a sensible size")
    return file.read()


def _take_blobs(archive: tarfile.TarFile, names: dict[str, tarfile.TarInfo], scratch: Path) -> Path:
    """Return a layout folder with the index and blobs of an OCI archive.

    Raises: ImageError when a blob is not what its name says.
    """
    layout = scratch / "taken"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    (layout / "index.json").write_bytes(_read_small(archive, names["index.json"]))
    for name, member in names.items():
        digest = name.removeprefix("blobs/").replace("/", ":", 1)
        if name.startswith("blobs/") and member.isreg() and DIGEST.fullmatch(digest):
            file = archive.extractfile(member)
            assert file is not None, "a regular member has content"
            _write_blob(file, layout / name, digest)
    return layout


def _write_blob(file: IO[bytes], target: Path, digest: str) -> None:
    hasher = hashlib.sha256()
    with target.open("wb") as blob:
        while piece := file.read(_PIECE_BYTES):
            hasher.update(piece)
            blob.write(piece)
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise ImageError(f"the content of {digest} does not have that digest")


def _layout_images(layout: Path, blobs: Path, scratch: Path) -> list[ArchivedImage]:
    """Return the images of a layout folder, each as a layout of its own with the same blobs."""
    try:
        data = (layout / "index.json").read_bytes()
        index = msgspec.json.decode(data, type=LayoutIndex)
    except OSError as error:
        raise ImageError(f"not an OCI layout: index.json: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ImageError(f"index.json: {error}") from error
    images: list[ArchivedImage] = []
    for digest, descriptors in _by_digest(index.manifests).items():
        _check_blob(blobs, digest)
        folder = scratch / f"source-{len(images)}"
        folder.mkdir()
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "blobs").symlink_to(blobs.resolve())
        entry = _renamed(data, digest)
        (folder / "index.json").write_bytes(entry)
        images.append(ArchivedImage(f"oci:{folder}:{LAYOUT_NAME}", _names(descriptors)))
    if not images:
        own = go_architecture(platform.machine())
        raise ImageError(f"no image for linux/{own} in it")
    return images


def _check_blob(blobs: Path, digest: str) -> None:
    """Compare a manifest with its digest; skopeo checks all that a manifest names, but not it.

    Raises: ImageError.
    """
    algorithm, _, name = require_digest(digest).partition(":")
    try:
        with (blobs / algorithm / name).open("rb") as file:
            data = file.read(_INDEX_BYTES_MAX)
    except OSError as error:
        raise ImageError(f"{digest}: {error.strerror}") from error
    if content_digest(data) != digest:
        raise ImageError(f"the content of {digest} does not have that digest")


def _by_digest(manifests: Sequence[Descriptor]) -> dict[str, list[Descriptor]]:
    """Return the descriptors that this machine can use, by what they describe."""
    found: dict[str, list[Descriptor]] = {}
    for descriptor in manifests:
        if _fits(descriptor):
            found.setdefault(descriptor.digest, []).append(descriptor)
    return found


def _fits(descriptor: Descriptor) -> bool:
    wanted = msgspec.json.encode(go_architecture(platform.machine()))
    says = (descriptor.platform or {}).get("architecture")
    return says is None or bytes(says) == wanted


def _names(descriptors: Sequence[Descriptor]) -> list[str]:
    """Return the names of an image; containerd's own annotation has the complete one."""
    found: list[str] = []
    for descriptor in descriptors:
        annotations = descriptor.annotations or {}
        name = next((annotations[key] for key in _NAME_KEYS if annotations.get(key)), "")
        if name and name not in found:
            found.append(name)
    return found


def _renamed(index: bytes, digest: str) -> bytes:
    """Return an index with one image of another, under the name this module gives it."""
    entries = msgspec.json.decode(index)["manifests"]
    entry = next(each for each in entries if each["digest"] == digest)
    entry = {**entry, "annotations": {"org.opencontainers.image.ref.name": LAYOUT_NAME}}
    entry.pop("platform", None)
    return msgspec.json.encode({"schemaVersion": 2, "manifests": [entry]})
