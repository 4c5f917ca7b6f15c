"""Removes images that nothing uses when the disk fills up.

Mirrors ``pkg/kubelet/images/image_gc_manager.go`` with the kubelet's default thresholds: above
85 % of the disk, images go until it would be at 80 %, the one not used for longest first. Kept are
images in use, those seen for less than two minutes, netlab's own, and, other than in a cluster,
those loaded or built by hand: no registry could bring them again.

When an image was last used is known only since this agent started, as in the kubelet.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from netlab.api.core import Node
from netlab.api.kinds import NODE
from netlab.config import STATE_ROOT
from netlab.errors import ImageError, NetlabError
from netlab.kubelet.node_parts import WARNING, NodeParts
from netlab.runtime.cri import ImageInfo

log = logging.getLogger(__name__)

HIGH_PERCENT = 85
LOW_PERCENT = 80
MIN_AGE = timedelta(minutes=2)
DETECTION_S = 300.0
"""How often images are looked at, as in the kubelet (``ImageGCPeriod``)."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)

GC_FAILED = "ImageGCFailed"
FREE_FAILED = "FreeDiskSpaceFailed"


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """A file system, in bytes; available: to programs."""

    capacity_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class ImageUse:
    """What is remembered of an image. last_used: None means not since it was first seen."""

    first_seen: datetime
    last_used: datetime | None = None


def note_use(
    known: Mapping[str, ImageUse],
    images: Sequence[ImageInfo],
    used: Collection[str],
    now: datetime,
    *,
    first_look: bool = False,
) -> dict[str, ImageUse]:
    """Return what is to be remembered of each image by its id; used: ids of images in use.

    first_look: images found when the agent starts may be as old as can be.
    """
    noted = {}
    for image in images:
        before = known.get(image.id, ImageUse(LONG_AGO if first_look else now))
        last_used = now if image.id in used else before.last_used
        noted[image.id] = ImageUse(before.first_seen, last_used)
    return noted


def bytes_to_free(disk: DiskSpace) -> int:
    """Return how much must go; 0 below the high threshold."""
    if disk.capacity_bytes <= 0:
        return 0
    used_percent = 100 - disk.available_bytes * 100 // disk.capacity_bytes
    if used_percent < HIGH_PERCENT:
        return 0
    return max(0, disk.capacity_bytes * (100 - LOW_PERCENT) // 100 - disk.available_bytes)


def removable(
    images: Sequence[ImageInfo], known: Mapping[str, ImageUse], now: datetime
) -> list[ImageInfo]:
    """Return the images that may go, the one not used for longest first."""
    candidates = []
    for image in images:
        use = known.get(image.id)
        if use is None or image.built_in or image.pinned or use.last_used == now:
            continue
        if now - use.first_seen >= MIN_AGE:
            candidates.append(
                (use.last_used or datetime.min.replace(tzinfo=now.tzinfo), use, image)
            )
    candidates.sort(key=lambda each: (each[0], each[1].first_seen, each[2].id))
    return [image for _, _, image in candidates]


def read_disk(folder: Path) -> DiskSpace:
    """Return the file system that holds images."""
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return DiskSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


class ImageCollector:
    """Remembers when images were used and frees disk. node: the Node that events are about."""

    def __init__(
        self,
        parts: NodeParts,
        *,
        node: Callable[[], Node | None],
        disk: Callable[[], DiskSpace] = lambda: read_disk(STATE_ROOT / "images"),
    ) -> None:
        self._parts = parts
        self._node = node
        self._disk = disk
        self._known: dict[str, ImageUse] = {}
        self._looked = False

    async def collect(self) -> int:
        """Note which images are used; remove some if the disk is too full; return bytes freed.

        Raises: ImageError when not enough could go, which an event has told; other NetlabErrors
        when the runtime does not answer.
        """
        runtime = self._parts.runtime
        now = self._parts.clock.now()
        images = await runtime.list_images()
        used = {container.image_id for container in await runtime.list_containers()}
        self._known = note_use(self._known, images, used, now, first_look=not self._looked)
        self._looked = True
        wanted = bytes_to_free(self._disk())
        if wanted == 0:
            return 0
        freed = await _remove(runtime.remove_image, removable(images, self._known, now), wanted)
        if freed < wanted:
            message = (
                "Failed to garbage collect required amount of images. Attempted to free "
                f"{wanted} bytes, but only found {freed} bytes eligible to free."
            )
            self.tell(FREE_FAILED, message)
            raise ImageError(message)
        return freed

    def tell(self, reason: str, message: str) -> None:
        """Record a warning about the node."""
        node = self._node()
        if node is not None:
            self._parts.events.record(NODE, node, WARNING, reason, message)


async def _remove(
    remove: Callable[[str], Awaitable[None]], images: Sequence[ImageInfo], wanted: int
) -> int:
    freed = 0
    for image in images:
        if freed >= wanted:
            break
        try:
            await remove(image.id)
        except NetlabError as error:
            # a container of another lab may use it
            log.info("image %s stays: %s", image.id, error)
            continue
        freed += image.size_bytes
    return freed


async def run_image_gc(
    parts: NodeParts,
    *,
    node: Callable[[], Node | None],
    disk: Callable[[], DiskSpace] = lambda: read_disk(STATE_ROOT / "images"),
) -> None:
    """Collect every five minutes until cancelled; the second failure in a row is an event."""
    collector = ImageCollector(parts, node=node, disk=disk)
    failed_before = False
    while True:
        try:
            await collector.collect()
            failed_before = False
        except (NetlabError, OSError) as error:
            log.warning("image garbage collection: %s", error)
            if failed_before:
                collector.tell(GC_FAILED, str(error))
            failed_before = True
        await parts.clock.sleep(DETECTION_S)
