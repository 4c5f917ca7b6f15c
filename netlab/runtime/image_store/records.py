"""What the store writes down about an image, and how an OCI image's config is read. Pure.

The store's ``index.json`` is a list of ``StoredImage``; the OCI config is the document that an
image's id is the digest of.

netlab leaves out of the config: volumes (what a container writes there lies in its writable layer
and ends with it), health checks and ``OnBuild``, which Kubernetes does not look at either; exposed
ports are shown and mean nothing.
"""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from netlab.api.release import go_architecture
from netlab.errors import ImageError
from netlab.runtime.recipe import ImageConfig
from netlab.runtime.reference import ImageReference

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class StoredImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image of the store.

    id: digest of its config. names: complete, with tag; an image whose names all went to newer
    ones has none. digests: ``repository@sha256:…`` under which registries know it. manifest and
    blobs: digests of its content; a recipe has none. recipe: its folder below ``recipes``, "" for
    an OCI image; recipe_name: what it is called there. base: netlab's own image that its files lie
    on, "" where they are all there are. size_bytes: of its files, unpacked.
    """

    id: str
    source: Literal["loaded", "pulled", "built"]
    size_bytes: int
    added_at: datetime
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    manifest: str = ""
    blobs: tuple[str, ...] = ()
    recipe: str = ""
    recipe_name: str = ""
    base: str = ""
    user: str = ""
    description: str = ""

    @property
    def hex(self) -> str:
        """The id without its algorithm: the name of the image's folders."""
        return self.id.removeprefix("sha256:")

    def answers(self, reference: ImageReference) -> bool:
        """True when a reference means this image; a digest says more than a tag beside it."""
        if reference.digest:
            by_digest = f"{reference.repository}@{reference.digest}"
            mine = any(name.rpartition(":")[0] == reference.repository for name in self.names)
            return by_digest in self.digests or (mine and reference.digest == self.id)
        return str(reference) in self.names


class _Process(msgspec.Struct, frozen=True, rename="pascal"):
    user: str | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    working_dir: str | None = None
    stop_signal: str | None = None


class _Config(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""
    config: _Process | None = None


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """Names one blob: an image's manifest in an index, its config or a layer in a manifest."""

    digest: str
    media_type: str = ""
    size: int = 0
    annotations: dict[str, str] | None = None
    platform: dict[str, msgspec.Raw] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """The blobs that an image consists of."""

    config: Descriptor
    layers: list[Descriptor] = []


class LayoutIndex(msgspec.Struct, frozen=True):
    """The ``index.json`` of an OCI layout: the images in it."""

    manifests: list[Descriptor] = []


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image as its config says; platform: ``linux/amd64``, "" where it says nothing."""

    process: ImageConfig
    platform: str


def parse_manifest(data: bytes) -> Manifest:
    """Return an image's manifest.

    Raises: ImageError when the text is none.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ImageError(f"image manifest: {error}") from error
    for blob in (manifest.config, *manifest.layers):
        require_digest(blob.digest)
    return manifest


def parse_config(data: bytes) -> OciImage:
    """Return what an image's config says.

    Raises: ImageError when the text is none.
    """
    try:
        config = msgspec.json.decode(data, type=_Config)
    except msgspec.MsgspecError as error:
        raise ImageError(f"image config: {error}") from error
    process = config.config or _Process()
    platform = f"{config.os or 'linux'}/{config.architecture}" if config.architecture else ""
    return OciImage(
        ImageConfig(
            entrypoint=tuple(process.entrypoint or ()),
            cmd=tuple(process.cmd or ()),
            env=_environment(process.env or ()),
            working_dir="/" + (process.working_dir or "").lstrip("/"),
            stop_signal=signal_name(process.stop_signal or ""),
            user=process.user or "",
        ),
        platform,
    )


def require_platform(image: OciImage, machine: str) -> None:
    """Refuse an image whose programs this machine (``platform.machine()``) cannot run.

    Raises: ImageError.
    """
    own = f"linux/{go_architecture(machine)}"
    if image.platform and image.platform != own:
        raise ImageError(f"the image is for {image.platform}; this machine is {own}")


def require_digest(text: str) -> str:
    """Return a digest that is safe as a file name.

    Raises: ImageError.
    """
    if not DIGEST.fullmatch(text):
        raise ImageError(f"{text[:80]!r} is not a sha256 digest")
    return text


def content_digest(data: bytes) -> str:
    """Return ``sha256:…`` of a text."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def signal_name(text: str) -> str:
    """Return ``SIGQUIT`` for SIGQUIT, QUIT or 3; ``SIGTERM`` for what Python cannot name, such as
    the real-time signals of systemd.
    """
    if text.isdigit():
        known = {int(each): each.name for each in signal.Signals}
        return known.get(int(text), "SIGTERM")
    name = text if text.startswith("SIG") else f"SIG{text}"
    return name if name in signal.Signals.__members__ else "SIGTERM"


def _environment(entries: Sequence[str]) -> Mapping[str, str]:
    pairs = (entry.partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if name}


def with_image(images: Sequence[StoredImage], new: StoredImage) -> tuple[StoredImage, ...]:
    """Return the store's images with one more: its names are taken from the others, and an image
    of the same id becomes one with it.
    """
    kept = []
    for image in images:
        if image.id == new.id:
            new = msgspec.structs.replace(
                new,
                names=_joined(image.names, new.names),
                digests=_joined(image.digests, new.digests),
                source="pulled" if "pulled" in (image.source, new.source) else new.source,
            )
        else:
            names = tuple(name for name in image.names if name not in new.names)
            kept.append(msgspec.structs.replace(image, names=names))
    return (*kept, new)


def _joined(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
