"""The images of this machine that did not come with netlab, on disk.

Plays containerd's content store, snapshots and image metadata. One store serves all labs and is
worked on by their daemons and by the root command line at the same time:

    index.json          the images (``records.StoredImage``), replaced in one step
    blobs/sha256/…      manifests, configs and layers by digest, shared between images
    rootfs/ID           an image's layers unpacked on one another: the lower side of overlays
    recipes/ID          the files of an image built from a recipe
    scratch/…           what is being loaded; nothing in it counts
    lock, writers       see below

Rules: ``lock`` is held for as long as the index is read and replaced, ``writers`` (shared) while
blobs are written that no image names yet. What nothing names is only removed by whoever gets
``writers`` for itself. An image is in the index when all of it is on disk, and is taken out before
any of it is removed. The folder is root's alone: images hold programs with the setuid bit.

netlab leaves out sharing unpacked layers between images: each image is unpacked whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from netlab.clock import Clock
from netlab.config import STATE_ROOT
from netlab.errors import HostError, ImageError
from netlab.runtime.image_store.records import (
    LayoutIndex,
    Manifest,
    OciImage,
    StoredImage,
    parse_config,
    parse_manifest,
    require_digest,
    require_platform,
    with_image,
)
from netlab.runtime.image_store.tools import unpack_layers
from netlab.runtime.image_store.usage import file_bytes, mounted_layers, users_of
from netlab.runtime.reference import ImageReference, parse_reference

IMAGES_ROOT = STATE_ROOT / "images"
LAYOUT_NAME = "image"
"""What the one image of a layout in the scratch folder is called."""

_SHORTEST_ID = 4


class Workspace:
    """A folder inside the store in which one image is brought together; gone afterwards."""

    def __init__(self, folder: Path, blobs: Path) -> None:
        self.folder = folder
        self._blobs = blobs

    def layout(self) -> Path:
        """Return an empty OCI layout whose blobs go straight to the store."""
        layout = Path(tempfile.mkdtemp(prefix="layout-", dir=self.folder))
        (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (layout / "blobs").symlink_to(self._blobs)
        return layout


class ImageStore:
    """The images below a folder. What is not async blocks for a moment: use a thread."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self._clock = clock
        self._read: tuple[tuple[int, int, int], tuple[StoredImage, ...]] | None = None

    @property
    def blobs(self) -> Path:
        """The folder of blobs, by algorithm and digest."""
        return self.root / "blobs"

    @property
    def recipes(self) -> Path:
        """The folder of recipes, by image."""
        return self.root / "recipes"

    def rootfs(self, image: StoredImage) -> Path:
        """Return where an image's files are."""
        return self.root / "rootfs" / image.hex

    def images(self) -> tuple[StoredImage, ...]:
        """Return all images, the newest last.

        Raises: HostError when the store may not be read; ImageError when its index is damaged.
        """
        path = self.root / "index.json"
        try:
            found = path.stat()
            # a changed index is a new file, so it is read again only then
            key = (found.st_ino, found.st_mtime_ns, found.st_size)
            if self._read is None or self._read[0] != key:
                images = msgspec.json.decode(path.read_bytes(), type=tuple[StoredImage, ...])
                self._read = (key, images)
        except FileNotFoundError:
            return ()
        except PermissionError as error:
            raise HostError(f"image store {self.root} is root's; run this with sudo") from error
        except (msgspec.MsgspecError, OSError) as error:
            raise ImageError(f"image store {self.root}: index.json: {error}") from error
        return self._read[1]

    def find(self, reference: ImageReference) -> StoredImage | None:
        """Return the image a reference means."""
        return next((image for image in self.images() if image.answers(reference)), None)

    def lookup(self, text: str) -> StoredImage:
        """Return the image that a name, or the beginning of an id, means.

        Raises: ImageError.
        """
        beginning = text.removeprefix("sha256:")
        if len(beginning) >= _SHORTEST_ID and not beginning.strip("0123456789abcdef"):
            found = [image for image in self.images() if image.hex.startswith(beginning)]
            if len(found) == 1:
                return found[0]
            if found:
                raise ImageError(f"image {text}: {len(found)} images have an id like that")
        image = self.find(parse_reference(text))
        if image is None:
            raise ImageError(f"image {text}: not in the store {self.root}")
        return image

    def config(self, image: StoredImage) -> OciImage:
        """Return what an OCI image's config says.

        Raises: ImageError.
        """
        return parse_config(self.blob(image.id))

    def blob(self, digest: str) -> bytes:
        """Return a blob: for manifests and configs.

        Raises: ImageError.
        """
        try:
            return self.blob_path(digest).read_bytes()
        except OSError as error:
            raise ImageError(f"image store {self.root}: {digest}: {error.strerror}") from error

    def blob_path(self, digest: str) -> Path:
        """Return the file of a blob.

        Raises: ImageError when the text is no digest.
        """
        algorithm, _, name = require_digest(digest).partition(":")
        return self.blobs / algorithm / name

    @contextlib.asynccontextmanager
    async def workspace(self) -> AsyncIterator[Workspace]:
        """Give a folder to bring images together in; what it wrote is kept until it ends, and
        removed after an error.

        Raises: HostError without the right to write here; ImageError when the disk refuses.
        """
        whole = False
        try:
            with self._locked("writers", fcntl.LOCK_SH):
                with _disk_errors(self.root):
                    folder = Path(tempfile.mkdtemp(dir=self.root / "scratch"))
                try:
                    yield Workspace(folder, self.blobs)
                    whole = True
                finally:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        finally:
            if not whole:
                await asyncio.to_thread(self.sweep)

    async def unpack(
        self,
        work: Workspace,
        layout: Path,
        *,
        source: Literal["loaded", "pulled"],
        names: Sequence[str],
        digests: Sequence[str] = (),
    ) -> StoredImage:
        """Unpack the image of a layout made in a workspace; ``put`` makes it count.

        names and digests: complete.
        Raises: ImageError when it cannot run here or its content is not what its digests say.
        """
        manifest, blobs = await asyncio.to_thread(self._read_layout, layout)
        oci = parse_config(await asyncio.to_thread(self.blob, manifest.config.digest))
        require_platform(oci, platform.machine())
        identifier = manifest.config.digest.removeprefix("sha256:")
        rootfs = self.root / "rootfs" / identifier
        if not rootfs.is_dir():
            unpacked = work.folder / identifier
            await unpack_layers(layout, LAYOUT_NAME, unpacked)
            with _disk_errors(self.root):
                await asyncio.to_thread(_move_folder, unpacked, rootfs)
        return StoredImage(
            id=manifest.config.digest,
            source=source,
            size_bytes=await asyncio.to_thread(file_bytes, rootfs),
            added_at=self._clock.now(),
            names=tuple(names),
            digests=tuple(digests),
            manifest=blobs[0],
            blobs=blobs,
            user=oci.process.user,
        )

    def put(self, *new: StoredImage) -> list[StoredImage]:
        """Put images whose files are in place into the index, all at once; return them as they
        stand there.
        """

        def put(images: tuple[StoredImage, ...]) -> tuple[StoredImage, ...]:
            for image in new:
                images = with_image(images, image)
            return images

        after = {image.id: image for image in self._change(put)}
        return [after[image.id] for image in new]

    def add_name(self, image: StoredImage, name: str, digests: Sequence[str] = ()) -> StoredImage:
        """Give an image a further name, which other images lose."""
        more = msgspec.structs.replace(image, names=(name,), digests=tuple(digests))
        return self.put(more)[0]

    def remove(self, text: str, *, force: bool = False) -> tuple[list[str], StoredImage | None]:
        """Take a name away; with the last name, or for an id, the image too.

        Returns the names that are gone, and the image if it is gone. force: even if containers
        use it; its files stay until they end.

        Raises: ImageError when there is no such image or a container uses it.
        """
        image = self.lookup(text)
        by_id = image.hex.startswith(text.removeprefix("sha256:"))
        name = "" if by_id else str(parse_reference(text))
        if name in image.names and len(image.names) > 1:
            rest = tuple(each for each in image.names if each != name)
            self._replace(image, msgspec.structs.replace(image, names=rest))
            return [name], None
        users = self.users(image)
        if users and not force:
            raise ImageError(f"image {text}: in use by {', '.join(users)}; delete the pod first")
        self._replace(image, None)
        self.sweep()
        return list(image.names), image

    def prune(self) -> list[StoredImage]:
        """Remove all images that no container uses; return them."""
        mounted = mounted_layers()
        idle = [i for i in self.images() if not users_of(i, self.rootfs(i), mounted)]
        for image in idle:
            self._replace(image, None)
        self.sweep()
        return idle

    def users(self, image: StoredImage) -> list[str]:
        """Return the containers that use an image, in words."""
        return users_of(image, self.rootfs(image), mounted_layers())

    def sweep(self) -> None:
        """Remove what no image names and no container uses; nothing while images are loaded."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._locked("writers", fcntl.LOCK_EX | fcntl.LOCK_NB))
            except BlockingIOError:
                return
            stack.enter_context(self._locked("lock", fcntl.LOCK_EX))
            images, mounted = self.images(), mounted_layers()
            roots = {image.hex for image in images} | {path.name for path in mounted}
            self._sweep_folder(self.root / "rootfs", roots)
            self._sweep_folder(self.recipes, {image.recipe for image in images})
            self._sweep_folder(self.root / "scratch", set())
            named = {blob for image in images for blob in image.blobs}
            self._sweep_folder(
                self.blobs / "sha256", {blob.removeprefix("sha256:") for blob in named}
            )

    def _sweep_folder(self, folder: Path, kept: Iterable[str]) -> None:
        names = set(kept)
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(folder)):
                if entry.name in names:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)

    def _replace(self, old: StoredImage, new: StoredImage | None) -> None:
        def replace(images: tuple[StoredImage, ...]) -> tuple[StoredImage, ...]:
            swapped = (new if image.id == old.id else image for image in images)
            return tuple(image for image in swapped if image is not None)

        self._change(replace)

    def _change(
        self, change: Callable[[tuple[StoredImage, ...]], tuple[StoredImage, ...]]
    ) -> tuple[StoredImage, ...]:
        with _disk_errors(self.root):
            self._make_folders()
            with self._locked("lock", fcntl.LOCK_EX):
                images = change(self.images())
                partial = self.root / ".index.json"
                with partial.open("wb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(images)))
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(self.root / "index.json")
        return images

    def _read_layout(self, layout: Path) -> tuple[Manifest, tuple[str, ...]]:
        """Return the manifest of a layout's only image, and its blobs, the manifest's first."""
        try:
            index = msgspec.json.decode((layout / "index.json").read_bytes(), type=LayoutIndex)
        except (OSError, msgspec.MsgspecError) as error:
            raise ImageError(f"image layout: {error}") from error
        if len(index.manifests) != 1:
            raise ImageError(f"image layout: {len(index.manifests)} images instead of one")
        digest = index.manifests[0].digest
        manifest = parse_manifest(self.blob(digest))
        parts = (manifest.config.digest, *(layer.digest for layer in manifest.layers))
        return manifest, (digest, *dict.fromkeys(parts))

    def _make_folders(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for name in (".", "blobs", "blobs/sha256", "rootfs", "recipes", "scratch"):
                (self.root / name).mkdir(mode=0o700, exist_ok=True)
            if self.root.stat().st_mode & 0o077:
                # the packages of built-in images may have been here first
                self.root.chmod(0o700)
        except PermissionError as error:
            raise HostError(f"image store {self.root} is root's; run this with sudo") from error

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        """Hold one of the store's locks; the kernel drops it when the process ends."""
        with _disk_errors(self.root):
            self._make_folders()
            descriptor = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    """Turn what the file system refuses (full, read-only) into an ImageError."""
    try:
        yield
    except OSError as error:
        raise ImageError(f"image store {root}: {error.strerror}: {error.filename}") from error


def _move_folder(source: Path, target: Path) -> None:
    """Rename a folder unless somebody else made the same one first."""
    source.chmod(0o755)
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise
