"""Which images can run here, and what a container needs of one.

Plays containerd's image service. netlab brings its images: recipes below ``images/`` at the
project's root, resolved without any download; every tag of such a repository is accepted, because
course manifests name old ones. ``ImageSource`` is the seam for archives and registries.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import netlab
from netlab.errors import ImageError
from netlab.runtime.cri import ImageInfo
from netlab.runtime.layers import find_host_parts, find_program, write_layer
from netlab.runtime.layout import (
    HostParts,
    base_entries,
    hidden_paths,
    host_binds,
    image_entries,
)
from netlab.runtime.recipe import (
    LAYOUT_VERSION,
    ImageConfig,
    Recipe,
    RootKind,
    UnpackedImage,
    parse_recipe,
    recipe_digest,
)
from netlab.runtime.reference import ImageReference, parse_reference

_APPLETS_TIMEOUT_S = 10.0


class ImageSource(Protocol):
    """A place that images come from. Blocking: callers use a thread."""

    def find(self, reference: ImageReference) -> ImageInfo | None:
        """Return the image a reference names, or None when this source has none."""
        ...

    def unpack(self, reference: ImageReference) -> UnpackedImage | None:
        """Return the image ready to run, or None when this source has none."""
        ...

    def present(self) -> list[ImageInfo]:
        """Return every image of this source that is present."""
        ...


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    recipe: Recipe
    id: str
    files: Sequence[tuple[str, Path, int]]
    repositories: Sequence[str]
    size_bytes: int


def default_images_dir() -> Path:
    """Return the folder of the recipes that belong to this netlab."""
    return Path(netlab.__file__).resolve().parent.parent / "images"


class BuiltInImages:
    """The images whose recipes lie in a folder; their layers go below ``layers_dir``."""

    def __init__(self, *, images_dir: Path, layers_dir: Path) -> None:
        self._layers_dir = layers_dir
        self._images = [_load(path) for path in sorted(images_dir.glob("*/image.toml"))]
        self._by_repository = {
            repository: image for image in self._images for repository in image.repositories
        }
        self._host: HostParts | None = None

    def find(self, reference: ImageReference) -> ImageInfo | None:
        """Return the built-in image of a repository; any tag does, a digest must be its own."""
        image = self._match(reference)
        return None if image is None else _info(image, [str(reference)])

    def unpack(self, reference: ImageReference) -> UnpackedImage | None:
        """Return the image with its layers written.

        Raises: ImageError; HostError when a program the image consists of is not installed.
        """
        image = self._match(reference)
        return None if image is None else self._unpack(image)

    def present(self) -> list[ImageInfo]:
        """Return the built-in images, each under its repositories' ``latest``."""
        return [
            _info(image, [f"{name}:latest" for name in image.repositories])
            for image in self._images
        ]

    @property
    def familiar_names(self) -> list[str]:
        """The repositories as people write them, for error messages."""
        names = [parse_reference(name).familiar for i in self._images for name in i.recipe.names]
        return sorted(names)

    def pause_layer(self) -> Path:
        """Return the root folder of every sandbox."""
        folder = self._base_folder(RootKind.PAUSE)
        write_layer(folder, base_entries(RootKind.PAUSE, self._host_parts()))
        return folder

    def _match(self, reference: ImageReference) -> _BuiltIn | None:
        image = self._by_repository.get(reference.repository)
        if image is None or (reference.digest and reference.digest != image.id):
            return None
        return image

    def _unpack(self, image: _BuiltIn) -> UnpackedImage:
        recipe, host = image.recipe, self._host_parts()
        base = self._base_folder(recipe.root)
        write_layer(base, base_entries(recipe.root, host))
        own = self._layers_dir / image.id.removeprefix("sha256:")[:16]
        write_layer(own, image_entries(image.files, recipe.directories))
        return UnpackedImage(
            id=image.id,
            config=ImageConfig(
                entrypoint=tuple(recipe.entrypoint),
                cmd=tuple(recipe.cmd),
                env=dict(recipe.env),
                working_dir=recipe.working_dir,
                stop_signal=recipe.stop_signal,
            ),
            layers=(own, base),
            binds=host_binds(recipe.root, host, venv=recipe.venv),
            hidden=hidden_paths(recipe.root),
        )

    def _base_folder(self, kind: RootKind) -> Path:
        return self._layers_dir / f"{kind.value}-{LAYOUT_VERSION}"

    def _host_parts(self) -> HostParts:
        if self._host is None:
            self._host = find_host_parts(_list_applets())
        return self._host


class Images:
    """All sources together: resolves references as the kubelet asks for them."""

    def __init__(self, *, built_in: BuiltInImages, further: Sequence[ImageSource] = ()) -> None:
        self._built_in = built_in
        self._sources: list[ImageSource] = [built_in, *further]

    def resolve(self, reference: str, *, policy: str = "IfNotPresent") -> ImageInfo:
        """Return the image a pod spec names.

        Raises: ImageError whose reason is InvalidImageName, ErrImageNeverPull or ErrImagePull.
        """
        parsed = parse_reference(reference)
        for source in self._sources:
            if found := source.find(parsed):
                return found
        if policy == "Never":
            raise ImageError(
                f'Container image "{reference}" is not present with pull policy of Never',
                reason="ErrImageNeverPull",
            )
        raise ImageError(_not_found(parsed, self._built_in.familiar_names))

    def unpack(self, reference: str) -> UnpackedImage:
        """Return the image a pod spec names, ready to run.

        Raises: ImageError as ``resolve``.
        """
        parsed = parse_reference(reference)
        for source in self._sources:
            if found := source.unpack(parsed):
                return found
        raise ImageError(_not_found(parsed, self._built_in.familiar_names))

    def present(self) -> list[ImageInfo]:
        """Return every image that is present."""
        return [image for source in self._sources for image in source.present()]


def _not_found(reference: ImageReference, names: Sequence[str]) -> str:
    known = ", ".join(names)
    return (
        f'failed to pull and unpack image "{reference}": failed to resolve reference '
        f'"{reference}": {reference}: not found; netlab has: {known}'
    )


def _load(path: Path) -> _BuiltIn:
    try:
        recipe = parse_recipe(path.read_text(), source=str(path))
        files = [(inside, *_source(path, name)) for inside, name in sorted(recipe.files.items())]
        contents = {inside: source.read_bytes() for inside, source, _mode in files}
    except OSError as error:
        raise ImageError(f"image recipe {path}: {error}") from error
    return _BuiltIn(
        recipe=recipe,
        id=recipe_digest(recipe, contents),
        files=files,
        repositories=[parse_reference(name).repository for name in recipe.names],
        size_bytes=sum(len(content) for content in contents.values()),
    )


def _source(recipe_path: Path, name: str) -> tuple[Path, int]:
    source = (recipe_path.parent / name).resolve()
    if not source.is_relative_to(recipe_path.parent.parent.resolve()):
        raise ImageError(f"image recipe {recipe_path}: {name} lies outside the images folder")
    return source, 0o755 if source.stat().st_mode & 0o100 else 0o644


def _info(image: _BuiltIn, names: Sequence[str]) -> ImageInfo:
    return ImageInfo(
        id=image.id,
        names=tuple(names),
        size_bytes=image.size_bytes,
        built_in=True,
        description=image.recipe.description,
    )


def _list_applets() -> list[str]:
    busybox = find_program("busybox")
    try:
        done = subprocess.run(
            [str(busybox), "--list-full"],
            capture_output=True,
            check=True,
            text=True,
            timeout=_APPLETS_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ImageError(f"{busybox} --list-full: {error}") from error
    return done.stdout.split()
