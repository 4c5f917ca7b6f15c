"""The images that netlab brings itself: recipes in ``images/``, made into layers when first used.

A recipe's root shares the machine's own programs read-only (``layout``). Most need no download;
those that run a real server of Debian fetch its packages when they are first needed
(``packages``), and count as not present until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

import netlab
from netlab.errors import HostError, ImageError
from netlab.runtime.busybox import DEFAULT_FOLDER as BUSYBOX_FOLDER
from netlab.runtime.busybox import FullBusybox, list_applets, program_digest
from netlab.runtime.cri import ImageInfo
from netlab.runtime.layers import entries_bytes, find_host_parts, find_program, write_layer
from netlab.runtime.layout import (
    HostParts,
    base_entries,
    hidden_paths,
    host_binds,
    image_entries,
)
from netlab.runtime.packages import DEFAULT_FOLDER, DebianPackages, PackageSet, Progress, Wanted
from netlab.runtime.recipe import (
    LAYOUT_VERSION,
    ImageConfig,
    Recipe,
    RootKind,
    StackedFolder,
    UnpackedImage,
    parse_recipe,
    recipe_digest,
)
from netlab.runtime.reference import DEFAULT_TAG, ImageReference, parse_reference
from netlab.runtime.tags import StandsFor


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    """One image: a recipe, or one tag of a recipe that has tags (tag is empty otherwise).

    repositories: which tags there are of each of its names. digest: of the recipe and its files,
    without packages.
    """

    recipe: Recipe
    tag: str
    contents: dict[str, bytes]
    files: Sequence[tuple[str, Path, int]]
    repositories: Mapping[str, StandsFor]
    size_bytes: int
    digest: str

    @property
    def wanted(self) -> Wanted | None:
        """The Debian packages it needs."""
        recipe = self.recipe
        return Wanted(recipe.packages, recipe.packages_alone) if recipe.packages else None

    def id(self, packages: PackageSet | None) -> str:
        """Return the image's digest with these packages."""
        if packages is None:
            return self.digest
        return recipe_digest(self.recipe, self.contents, packages.versions)


def default_images_dir() -> Path:
    """Return the folder of the recipes that belong to this netlab."""
    return Path(netlab.__file__).resolve().parent.parent / "images"


class BuiltInImages:
    """The images whose recipes lie in a folder; their layers go below ``layers_dir``, and what is
    fetched from Debian below ``packages_dir``, which all labs of the machine share; below
    ``busybox_dir`` ``FullBusybox`` keeps its program.

    A recipe without a table of tags stands for the tags of real versions, because course manifests
    name old ones, and for no other (``tags.py``).
    """

    def __init__(
        self,
        *,
        images_dir: Path,
        layers_dir: Path,
        packages_dir: Path = DEFAULT_FOLDER,
        busybox_dir: Path = BUSYBOX_FOLDER,
    ) -> None:
        self._layers_dir = layers_dir
        self._packages = DebianPackages(packages_dir)
        self._busybox = FullBusybox(busybox_dir)
        paths = sorted(images_dir.glob("*/image.toml"))
        self._images = [image for path in paths for image in _load(path)]
        self._by_name = {
            (repository, image.tag): image
            for image in self._images
            for repository in image.repositories
        }
        self._host: HostParts | None = None
        self._base_sizes: dict[RootKind, int] = {}

    def find(self, reference: ImageReference) -> ImageInfo | None:
        """Return the image a reference names; a digest must be its own."""
        image = self._match(reference)
        return None if image is None else self._info(image, [str(reference)])

    def fetch(
        self, reference: ImageReference, progress: Progress | None = None
    ) -> ImageInfo | None:
        """Return the image with all its parts on this machine, downloading what is missing.

        progress: told in one line each what takes time. None: not a built-in image.

        Raises: ImageError, worded for the pod's event.
        """
        image = self._match(reference)
        if image is None:
            return None
        if image.wanted:
            try:
                self._packages.fetch(image.wanted, progress)
            except ImageError as error:
                raise ImageError(
                    f'failed to pull and unpack image "{reference}": {error}', reason=error.reason
                ) from error
        return self._info(image, [str(reference)])

    def build_busybox(self, reference: ImageReference, progress: Progress) -> bool:
        """Build the busybox that an image consists of, if it does; return whether it was built now.

        Raises: ImageError.
        """
        image = self._match(reference)
        if image is None or image.recipe.root is not RootKind.BUSYBOX or self._busybox.find():
            return False
        self._busybox.build(progress)
        return True

    def was_fetched(self, reference: ImageReference) -> bool:
        """True when there are parts on this machine that ``forget`` would remove."""
        image = self._match(reference)
        return image is not None and self._found(image) is not None

    def forget(self, reference: ImageReference) -> None:
        """Remove what was fetched for an image; no container may use it."""
        image = self._match(reference)
        if image is not None and image.wanted:
            self._packages.forget(image.wanted)

    def unpack(self, reference: ImageReference) -> UnpackedImage | None:
        """Return the image with its layers written, fetching what is missing.

        Raises: ImageError; HostError when a program the image consists of is not installed.
        """
        image = self._match(reference)
        if image is None:
            return None
        self.fetch(reference)
        return self._unpack(image)

    def present(self) -> list[ImageInfo]:
        """Return the built-in images, each under its repositories' tag or ``latest``."""
        return [
            self._info(image, [f"{name}:{image.tag or DEFAULT_TAG}" for name in image.repositories])
            for image in self._images
        ]

    @property
    def familiar_names(self) -> list[str]:
        """The repositories as people write them, for error messages."""
        return sorted(
            {parse_reference(name).familiar for i in self._images for name in i.recipe.names}
        )

    def config(self, reference: ImageReference) -> ImageConfig | None:
        """Return how an image's process is started; None: not a built-in image."""
        image = self._match(reference)
        return None if image is None else _config(image.recipe)

    def tags(self, reference: ImageReference) -> str:
        """The tags there are of a name that exists, in few words; "" when there is no such name."""
        found = (image.repositories.get(reference.repository) for image in self._images)
        return next((tags.summary for tags in found if tags is not None), "")

    def pause_layer(self) -> Path:
        """Return the root folder of every sandbox."""
        folder = self._base_folder(RootKind.PAUSE)
        write_layer(folder, base_entries(RootKind.PAUSE, self._host_parts()))
        return folder

    def _match(self, reference: ImageReference) -> _BuiltIn | None:
        repository, tag = reference.repository, reference.tag
        image = self._by_name.get((repository, "")) or self._by_name.get((repository, tag))
        if image is None or (tag and not image.repositories[repository].has(tag)):
            return None
        if not reference.digest:
            return image
        return image if reference.digest == image.id(self._found(image)) else None

    def _found(self, image: _BuiltIn) -> PackageSet | None:
        return self._packages.find(image.wanted) if image.wanted else None

    def _info(self, image: _BuiltIn, names: Sequence[str]) -> ImageInfo:
        found = self._found(image)
        return ImageInfo(
            id=image.id(found),
            names=tuple(names),
            size_bytes=image.size_bytes
            + self._base_bytes(image.recipe.root)
            + (found.size_bytes if found else 0),
            built_in=True,
            description=_description(image, found) + self._busybox_note(image),
            tags=tuple(
                image.repositories[parse_reference(name).repository].summary for name in names
            )
            if not image.tag
            else (),
            present=found is not None or image.wanted is None,
            user=image.recipe.user,
        )

    def _busybox_note(self, image: _BuiltIn) -> str:
        if image.recipe.root is not RootKind.BUSYBOX or self._busybox.find():
            return ""
        return "; Debian's, built with less: sudo netlab image pull busybox builds it in full"

    def _unpack(self, image: _BuiltIn) -> UnpackedImage:
        recipe, host, found = image.recipe, self._host_parts(), self._found(image)
        base = self._base_folder(recipe.root)
        write_layer(base, base_entries(recipe.root, host))
        own = self._layers_dir / image.digest.removeprefix("sha256:")[:16]
        entries = image_entries(
            image.files, recipe.directories, links=recipe.links, users=recipe.users
        )
        write_layer(own, entries)
        return UnpackedImage(
            id=image.id(found),
            config=_config(recipe),
            layers=(own, base) if found is None else (own, found.root, base),
            binds=host_binds(recipe.root, host, venv=recipe.venv),
            hidden=hidden_paths(recipe.root),
            stacked=() if found is None else (_stacked_usr(own, found, host),),
        )

    def _base_bytes(self, kind: RootKind) -> int:
        """Return the size of a root's own files; what it shares with the machine takes no room."""
        if kind not in self._base_sizes:
            try:
                self._base_sizes[kind] = entries_bytes(base_entries(kind, self._host_parts()))
            except (HostError, ImageError):
                # a program is not installed: a container of such an image will say so
                return 0
        return self._base_sizes[kind]

    def _base_folder(self, kind: RootKind) -> Path:
        """Return where a root's layer lies: another once another busybox is there."""
        name = f"{kind.value}-{LAYOUT_VERSION}"
        if kind in (RootKind.BUSYBOX, RootKind.PYTHON):
            name += f"-{program_digest(self._host_parts().busybox)}"
        return self._layers_dir / name

    def _host_parts(self) -> HostParts:
        full = self._busybox.find()
        if self._host is None or full not in (None, self._host.busybox):
            program = full or find_program("busybox")
            self._host = find_host_parts(program, list_applets(program))
            self._base_sizes.clear()
        return self._host


def _load(path: Path) -> list[_BuiltIn]:
    """Return the images of a recipe: one, or one for each of its tags."""
    try:
        recipe = parse_recipe(path.read_text(), source=str(path))
        files = [(inside, *_source(path, name)) for inside, name in sorted(recipe.files.items())]
        contents = {inside: source.read_bytes() for inside, source, _mode in files}
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"image recipe {path}: {error}") from error
    images = []
    for tag in recipe.tags or [""]:
        variant = recipe.for_tag(tag)
        images.append(
            _BuiltIn(
                recipe=variant,
                tag=tag,
                contents=contents,
                files=files,
                repositories={
                    parse_reference(name).repository: _tags_of(recipe, name)
                    for name in recipe.names
                },
                size_bytes=sum(len(content) for content in contents.values()),
                digest=recipe_digest(variant, contents),
            )
        )
    return images


def _tags_of(recipe: Recipe, name: str) -> StandsFor:
    """Return which tags a recipe has of a name; netlab's own images have its version, too."""
    tags = recipe.tags_of(name)
    if not name.startswith("netlab/"):
        return tags
    return msgspec.structs.replace(tags, words=(*tags.words, netlab.__version__))


def _source(recipe_path: Path, name: str) -> tuple[Path, int]:
    source = (recipe_path.parent / name).resolve()
    if not source.is_relative_to(recipe_path.parent.parent.resolve()):
        raise ImageError(f"image recipe {recipe_path}: {name} lies outside the images folder")
    return source, 0o755 if source.stat().st_mode & 0o100 else 0o644


def _config(recipe: Recipe) -> ImageConfig:
    return ImageConfig(
        entrypoint=tuple(recipe.entrypoint),
        cmd=tuple(recipe.cmd),
        env=dict(recipe.env),
        working_dir=recipe.working_dir,
        stop_signal=recipe.stop_signal,
        user=recipe.user,
    )


def _stacked_usr(own: Path, packages: PackageSet, host: HostParts) -> StackedFolder:
    mine = [own / "usr"] if (own / "usr").is_dir() else []
    return StackedFolder("/usr", [*mine, packages.usr, host.usr])


def _description(image: _BuiltIn, found: PackageSet | None) -> str:
    """Return the recipe's line and, where packages are there, what really runs."""
    recipe = image.recipe
    if found is None:
        return recipe.description
    name = recipe.packages[0]
    return f"{recipe.description} ({name} {_upstream(found.versions.get(name, '?'))} from Debian)"


def _upstream(version: str) -> str:
    """Return the part of a Debian version that the server itself tells."""
    rest = version.rpartition(":")[2]
    return rest.rpartition("-")[0] or rest
