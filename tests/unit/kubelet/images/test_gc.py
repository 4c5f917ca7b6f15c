"""Which images go when the disk fills up."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from netlab.errors import ContainerError, ImageError
from netlab.kubelet.images.gc import (
    LONG_AGO,
    DiskSpace,
    ImageCollector,
    ImageUse,
    bytes_to_free,
    note_use,
    removable,
    run_image_gc,
)
from netlab.runtime.cri import ImageInfo

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = NOW - timedelta(hours=1)


def image(name, size=10, **more):
    return ImageInfo(name, (name,), size, more.pop("built_in", False), **more)


DISKS = {
    "half full": (100, 50, 0),
    "just below": (100, 16, 0),
    "at the threshold": (100, 15, 5),
    "full": (1000, 0, 200),
    "no capacity": (0, 0, 0),
    "more free than there is": (100, 120, 0),
}


@pytest.mark.parametrize(("capacity", "free", "wanted"), DISKS.values(), ids=DISKS.keys())
def test_how_much_must_go(capacity, free, wanted):
    assert bytes_to_free(DiskSpace(capacity, free)) == wanted


def test_the_one_not_used_for_longest_goes_first():
    known = {
        "recent": ImageUse(OLD, NOW - timedelta(minutes=1)),
        "older": ImageUse(OLD, NOW - timedelta(minutes=50)),
        "never": ImageUse(OLD),
        "never, seen before": ImageUse(LONG_AGO),
        "in use": ImageUse(OLD, NOW),
        "young": ImageUse(NOW - timedelta(seconds=119)),
        "own": ImageUse(OLD),
        "loaded": ImageUse(OLD),
    }
    images = [image(name) for name in known if name not in ("own", "loaded")]
    images += [image("own", built_in=True), image("loaded", pinned=True), image("unknown")]
    names = [each.id for each in removable(images, known, NOW)]
    assert names == ["never, seen before", "never", "older", "recent"]


def test_what_is_remembered():
    first = note_use({}, [image("a"), image("b")], {"a"}, OLD, first_look=True)
    assert first == {"a": ImageUse(LONG_AGO, OLD), "b": ImageUse(LONG_AGO)}
    later = note_use(first, [image("a"), image("c")], set(), NOW)
    assert later == {"a": ImageUse(LONG_AGO, OLD), "c": ImageUse(NOW)}


@dataclass
class FakeRuntime:
    images: list[ImageInfo]
    used: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()
    removed: list[str] = field(default_factory=list)
    broken: bool = False

    async def list_images(self):
        if self.broken:
            raise ContainerError("runtime is down")
        return self.images

    async def list_containers(self):
        return [SimpleNamespace(image_id=each) for each in self.used]

    async def remove_image(self, image_id):
        if image_id in self.busy:
            raise ImageError("in use by a container of another lab")
        self.removed.append(image_id)


class FakeClock:
    """A clock that ends the loop after some rounds."""

    def __init__(self, rounds):
        self.rounds = rounds

    def now(self):
        return NOW

    async def sleep(self, duration_s):
        assert duration_s == 300
        self.rounds -= 1
        if self.rounds == 0:
            raise asyncio.CancelledError


def parts(runtime, rounds=1):
    told = []
    events = SimpleNamespace(
        record=lambda kind, obj, type_, reason, text: told.append((reason, text))
    )
    return SimpleNamespace(runtime=runtime, clock=FakeClock(rounds), events=events), told


async def test_images_go_until_there_is_room_and_busy_ones_are_passed_over():
    runtime = FakeRuntime(
        [image("a", 3), image("b", 3), image("c", 3), image("d", 3)], used=("a",), busy=("b",)
    )
    made, told = parts(runtime)
    collector = ImageCollector(made, node=lambda: object(), disk=lambda: DiskSpace(100, 15))
    assert await collector.collect() == 6
    assert (runtime.removed, told) == (["c", "d"], [])


async def test_nothing_goes_while_there_is_room():
    runtime = FakeRuntime([image("a")])
    collector = ImageCollector(
        parts(runtime)[0], node=lambda: None, disk=lambda: DiskSpace(100, 50)
    )
    assert await collector.collect() == 0
    assert runtime.removed == []


async def test_too_little_is_an_event_and_the_second_failure_another():
    made, told = parts(FakeRuntime([image("a", 3)], used=("a",)), rounds=2)
    with pytest.raises(asyncio.CancelledError):
        await run_image_gc(made, node=lambda: object(), disk=lambda: DiskSpace(100, 10))
    text = (
        "Failed to garbage collect required amount of images. Attempted to free 10 bytes, but "
        "only found 0 bytes eligible to free."
    )
    free, failed = ("FreeDiskSpaceFailed", text), ("ImageGCFailed", text)
    assert told == [free, free, failed]


async def test_a_runtime_that_does_not_answer_does_not_end_the_loop():
    made, told = parts(FakeRuntime([], broken=True), rounds=3)
    with pytest.raises(asyncio.CancelledError):
        await run_image_gc(made, node=lambda: object())
    assert told == [("ImageGCFailed", "runtime is down")] * 2
