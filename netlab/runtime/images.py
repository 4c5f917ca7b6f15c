"""Which images can run here, what a container needs of one, and how a missing one comes here.

Plays containerd's image service for the kubelet. A name means, in this order: what was loaded,
pulled or built on this machine under exactly that name; an image that netlab brings itself, under
any tag of a real version, because course manifests name old ones; and else what its registry has.

How the pull policies differ from a cluster's: ``Always`` asks the registry only for what came
from one that this lab may ask. An image loaded or built by hand, and netlab's own, count as up to
date, where a cluster would fail to find them in a registry.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from netlab.clock import SystemClock
from netlab.errors import ImageError
from netlab.runtime.builtin import BuiltInImages
from netlab.runtime.cri import ImageInfo, RegistryCredentials
from netlab.runtime.image_store.recipes import unpack_recipe
from netlab.runtime.image_store.records import StoredImage
from netlab.runtime.image_store.registry import RegistryRules, pull_from_registry
from netlab.runtime.image_store.store import IMAGES_ROOT, ImageStore
from netlab.runtime.recipe import ImageConfig, StackedFolder, UnpackedImage
from netlab.runtime.reference import ImageReference, parse_reference

# as containerd downloads at the same time
_PULLS_AT_ONCE = 3


class Images:
    """All images of a lab. What is not async may touch the disk: use a thread.

    store: None means the machine's. layers_dir: where layers of images from recipes are written.
    """

    def __init__(
        self,
        *,
        built_in: BuiltInImages,
        layers_dir: Path,
        store: ImageStore | None = None,
        rules: RegistryRules | None = None,
    ) -> None:
        self._built_in = built_in
        self._layers_dir = layers_dir
        self._store = store or ImageStore(IMAGES_ROOT, SystemClock())
        self._rules = rules or RegistryRules()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(_PULLS_AT_ONCE)

    def find(self, reference: str) -> ImageInfo | None:
        """Return the image a pod spec names as far as it is known here; None when it is not.

        Raises: ImageError (InvalidImageName).
        """
        parsed = parse_reference(reference)
        if stored := self._store.find(parsed):
            return _info(stored)
        return self._built_in.find(parsed)

    def unpack(self, reference: str) -> UnpackedImage:
        """Return the image a pod spec names, ready to run.

        Raises: ImageError when it is not here.
        """
        parsed = parse_reference(reference)
        stored = self._store.find(parsed)
        if stored is None:
            if found := self._built_in.unpack(parsed):
                return found
            raise ImageError(f'image "{parsed}": not found')
        if stored.recipe:
            return unpack_recipe(self._store, stored, self._layers_dir)
        config = self._store.config(stored).process
        if stored.base:
            return self._on_base(stored, config)
        return UnpackedImage(id=stored.id, config=config, layers=(self._store.rootfs(stored),))

    def _on_base(self, stored: StoredImage, config: ImageConfig) -> UnpackedImage:
        """Return an image that was built on one of netlab's own."""
        base = self._built_in.unpack(parse_reference(stored.base))
        if base is None:
            raise ImageError(f"image {stored.id}: its base {stored.base} is not here any more")
        own = self._store.rootfs(stored)
        return UnpackedImage(
            id=stored.id,
            config=config,
            layers=(own, *base.layers),
            binds=base.binds,
            hidden=base.hidden,
            stacked=[
                StackedFolder(folder.target, [*_folder_in(own, folder.target), *folder.lower])
                for folder in base.stacked
            ],
        )

    def present(self) -> list[ImageInfo]:
        """Return every image that is known here, those of the store first."""
        return [*(_info(image) for image in self._store.images()), *self._built_in.present()]

    async def pull(
        self,
        reference: str,
        *,
        policy: str = "IfNotPresent",
        credentials: Sequence[RegistryCredentials] = (),
    ) -> ImageInfo:
        """Return the image a pod spec names, brought here if the policy says so.

        Raises: ImageError whose reason is InvalidImageName, ErrImageNeverPull or ErrImagePull;
        HostError when a program that pulls is missing.
        """
        parsed = parse_reference(reference)
        found = await self._ready(parsed, policy)
        if found is not None:
            return found
        if policy == "Never":
            raise ImageError(
                f'Container image "{reference}" is not present with pull policy of Never',
                reason="ErrImageNeverPull",
            )
        async with self._turn(parsed):
            # somebody else may have brought it while this call waited for its turn
            found = await self._ready(parsed, policy)
            return found if found is not None else await self._bring(parsed, credentials)

    def remove(self, image_id: str) -> None:
        """Remove an image of the store; gone already is fine, a built-in one stays.

        Raises: ImageError when a container uses it.
        """
        if any(image.id == image_id for image in self._store.images()):
            self._store.remove(image_id)

    async def _ready(self, reference: ImageReference, policy: str) -> ImageInfo | None:
        """Return the image if it is here and the policy does not want a registry to be asked."""
        stored = await asyncio.to_thread(self._store.find, reference)
        if stored is not None:
            ask = policy == "Always" and stored.source == "pulled" and not reference.digest
            return None if ask and self._rules.allow(reference) else _info(stored)
        found = await asyncio.to_thread(self._built_in.find, reference)
        return found if found is not None and found.present else None

    async def _bring(
        self, reference: ImageReference, credentials: Sequence[RegistryCredentials]
    ) -> ImageInfo:
        in_store = await asyncio.to_thread(self._store.find, reference) is not None
        if not in_store and (own := await asyncio.to_thread(self._built_in.fetch, reference)):
            return own
        if not self._rules.allow(reference):
            raise ImageError(self._refusal(reference))
        pulled = await pull_from_registry(
            self._store, reference, rules=self._rules, credentials=credentials
        )
        return _info(pulled)

    def _refusal(self, reference: ImageReference) -> str:
        if tags := self._built_in.tags(reference):
            # a tag that nobody made, in the words of a registry that was asked
            main, _, _ = tags.partition(";")
            return (
                f'failed to pull and unpack image "{reference}": failed to resolve reference '
                f'"{reference}": {reference}: not found; netlab itself has {reference.familiar} '
                f"with tag {main}"
            )
        familiar = f"{reference.familiar}:{reference.tag}" if reference.tag else str(reference)
        hint = self._close_names(reference)
        return (
            f'failed to pull and unpack image "{reference}": not on this machine, and this lab '
            "asks only registries on its own loopback; load its archive, or run: "
            f"sudo netlab image pull {familiar}"
            f"{hint}"
        )

    def _close_names(self, reference: ImageReference) -> str:
        """Tell which built-in images the user may have meant by names that are alike."""
        names = self._built_in.familiar_names
        close = difflib.get_close_matches(reference.familiar, names, n=2)
        return f"; netlab itself has {' and '.join(close)}" if close else ""

    @contextlib.asynccontextmanager
    async def _turn(self, reference: ImageReference) -> AsyncIterator[None]:
        """Let pods that want the same image wait for one pull of it."""
        lock = self._locks.setdefault(str(reference), asyncio.Lock())
        async with lock, self._slots:
            yield


def _folder_in(layer: Path, target: str) -> list[Path]:
    folder = layer / target.lstrip("/")
    return [folder] if folder.is_dir() and not folder.is_symlink() else []


def _info(image: StoredImage) -> ImageInfo:
    return ImageInfo(
        id=image.id,
        names=(*image.digests, *image.names),
        size_bytes=image.size_bytes,
        built_in=False,
        description=image.description,
        user=image.user,
        pinned=image.source != "pulled",
    )
