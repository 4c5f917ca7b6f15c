"""Images that users build from recipes of their own, kept in the store.

A recipe outside netlab's tree is the same ``image.toml`` as a built-in image's (see
``runtime.recipe``). Building copies it with the files it names, so that the image stays what it
was when the folder changes; its root is made, as a built-in image's, when a container first needs
it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from netlab.clock import Clock
from netlab.errors import ImageError
from netlab.runtime.builtin import BuiltInImages
from netlab.runtime.cri import ImageInfo
from netlab.runtime.image_store.records import StoredImage
from netlab.runtime.image_store.store import ImageStore
from netlab.runtime.recipe import UnpackedImage, parse_recipe
from netlab.runtime.reference import DEFAULT_TAG, ImageReference, parse_reference

RECIPE_FILE = "image.toml"


async def build_image(
    store: ImageStore,
    folder: Path,
    *,
    name: str = "",
    clock: Clock,
    progress: Callable[[str], None] | None = None,
) -> list[StoredImage]:
    """Put the images that a recipe folder describes into the store: one, or one for each tag.

    name: instead of the recipe's own names, which get the tag ``latest``. progress: told what
    takes time, such as fetching packages.
    Raises: ImageError with the place in the recipe.
    """
    wanted = parse_reference(name) if name else None
    async with store.workspace() as work:
        copied = work.folder / "recipe"
        await asyncio.to_thread(_copy_recipe, folder, copied)
        images = BuiltInImages(images_dir=copied, layers_dir=work.folder / "layers")
        found = images.present()
        if wanted is not None and len(found) > 1:
            raise ImageError(f"image recipe {folder}: has tags; a name fits only one image")
        place = secrets.token_hex(8)
        built = []
        for info in found:
            names = info.names if wanted is None else (_tagged(wanted),)
            own = parse_reference(info.names[0])
            whole = await asyncio.to_thread(images.fetch, own, progress) or info
            built.append(_record(whole, place, info.names[0], names, clock))
        await asyncio.to_thread(copied.rename, store.recipes / place)
        return await asyncio.to_thread(store.put, *built)


def _record(
    info: ImageInfo, place: str, recipe_name: str, names: Sequence[str], clock: Clock
) -> StoredImage:
    return StoredImage(
        id=info.id,
        source="built",
        size_bytes=info.size_bytes,
        added_at=clock.now(),
        names=tuple(names),
        recipe=place,
        recipe_name=recipe_name,
        user=info.user,
        description=info.description,
    )


def _tagged(reference: ImageReference) -> str:
    return f"{reference.repository}:{reference.tag or DEFAULT_TAG}"


def unpack_recipe(store: ImageStore, image: StoredImage, layers_dir: Path) -> UnpackedImage:
    """Return a built image ready to run; its layers are written below layers_dir.

    Raises: ImageError; HostError when a program it consists of is not installed.
    """
    folder = store.recipes / image.recipe
    images = BuiltInImages(images_dir=folder, layers_dir=layers_dir)
    unpacked = images.unpack(parse_reference(image.recipe_name))
    if unpacked is None:
        raise ImageError(f"image {image.recipe_name}: its recipe in {folder} is gone")
    return unpacked


def _copy_recipe(folder: Path, target: Path) -> None:
    """Copy a recipe and what it names, each to the place beside it."""
    source = folder.resolve() / RECIPE_FILE
    try:
        text = source.read_text()
        recipe = parse_recipe(text, source=str(folder / RECIPE_FILE))
        own = target / source.parent.name
        own.mkdir(parents=True)
        (own / RECIPE_FILE).write_text(text)
        for named in recipe.files.values():
            _copy_file(source.parent, named, own, recipe_name=str(folder / RECIPE_FILE))
    except UnicodeDecodeError as error:
        raise ImageError(f"image recipe {folder / RECIPE_FILE}: {error}") from error
    except OSError as error:
        where = error.filename or folder
        raise ImageError(f"image recipe {folder}: {where}: {error.strerror}") from error


def _copy_file(beside: Path, named: str, own: Path, *, recipe_name: str) -> None:
    found = (beside / named).resolve()
    if not found.is_relative_to(beside.parent):
        raise ImageError(f"image recipe {recipe_name}: {named} lies outside {beside.parent}")
    copy = own / Path(named)
    copy.parent.mkdir(parents=True, exist_ok=True)
    place = copy.resolve()
    if not place.is_relative_to(own.parent) or place.name == RECIPE_FILE:
        raise ImageError(f"image recipe {recipe_name}: {named}: not a file beside the recipe")
    shutil.copy(found, place)
