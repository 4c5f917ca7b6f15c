"""Rotation of containers' logs, and following across it."""

import asyncio
import gzip
from datetime import UTC, datetime

import pytest

from netlab.api.streams import LogOptions
from netlab.clock import FakeClock
from netlab.errors import ContainerError
from netlab.kubelet.streams import log_rotation
from netlab.kubelet.streams.log_rotation import Rotation, log_files, plan_rotation, rotate_if_large
from netlab.kubelet.streams.logs import read_log
from netlab.runtime.cri import ContainerPhase, ContainerState, PodIdentity

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
NEW = "0.log.20260101-123000"
OLD = [f"0.log.2025010{day}-000000" for day in range(1, 6)]

PLANS = {
    "first": (["0.log"], Rotation((), (), NEW)),
    "one older": (["0.log", OLD[0]], Rotation((), (OLD[0],), NEW)),
    "as many as may be": (
        ["0.log", OLD[2], f"{OLD[0]}.gz", f"{OLD[1]}.gz"],
        Rotation((), (OLD[2],), NEW),
    ),
    "one too many": (
        [OLD[3], f"{OLD[2]}.gz", f"{OLD[1]}.gz", f"{OLD[0]}.gz"],
        Rotation((f"{OLD[0]}.gz",), (OLD[3],), NEW),
    ),
    "an unfinished one": (
        [OLD[1], f"{OLD[0]}.gz.tmp"],
        Rotation((f"{OLD[0]}.gz.tmp",), (OLD[1],), NEW),
    ),
    "another container's": (["1.log", "1.log.20250101-000000"], Rotation((), (), NEW)),
}


@pytest.mark.parametrize(("names", "plan"), PLANS.values(), ids=PLANS)
def test_plan(names, plan):
    assert plan_rotation("0.log", names, NOW) == plan


class Runtime:
    """Opens the log anew, as conmon does, or refuses."""

    def __init__(self, path, *, fails=False):
        self.path, self.fails = path, fails

    async def rotate_log(self, container_id):
        if self.fails:
            raise ContainerError("conmon is gone")
        self.path.touch()


def container(path):
    return ContainerState(
        id="c", sandbox_id="s", pod=PodIdentity("d", "p", "u"), name="c", attempt=0, image="i",
        image_id="i", phase=ContainerPhase.RUNNING, pid=1, created_at=NOW, log_path=path,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(log_rotation, "LARGEST_LOG_BYTES", 100)
    return tmp_path / "0.log"


async def test_a_small_log_stays(path):
    path.write_bytes(b"x" * 99)
    assert not await rotate_if_large(Runtime(path), container(path), FakeClock(NOW))
    assert log_files(path) == [path]


async def test_a_large_log_is_rotated_and_older_ones_are_compressed(path):
    path.write_bytes(b"x" * 100)
    path.with_name(OLD[0]).write_bytes(b"older")
    assert await rotate_if_large(Runtime(path), container(path), FakeClock(NOW))
    assert sorted(file.name for file in log_files(path)) == ["0.log", f"{OLD[0]}.gz", NEW]
    assert path.read_bytes() == b""
    assert gzip.decompress(path.with_name(f"{OLD[0]}.gz").read_bytes()) == b"older"


async def test_a_log_that_conmon_does_not_open_anew_keeps_its_name(path):
    path.write_bytes(b"x" * 100)
    assert not await rotate_if_large(Runtime(path, fails=True), container(path), FakeClock(NOW))
    assert path.read_bytes() == b"x" * 100


async def test_a_log_that_is_gone_is_no_fault(path):
    assert not await rotate_if_large(Runtime(path), container(path), FakeClock(NOW))


def line(text):
    return f"2026-01-01T00:00:00.000000000+00:00 stdout F {text}\n".encode()


async def test_following_goes_on_in_the_next_file(path):
    path.write_bytes(line("zero") + line("one"))
    running, clock, seen = True, FakeClock(NOW), []

    async def follow():
        options = LogOptions(follow=True, tail_lines=1)
        async for piece in read_log(path, options, clock=clock, ended=lambda: not running):
            seen.append(piece)

    async def turn():
        for _ in range(20):
            await asyncio.sleep(0)
        await clock.advance(1)

    following = asyncio.ensure_future(follow())
    await turn()
    with path.open("ab") as old:
        path.rename(path.with_name(NEW))
        await turn()
        path.write_bytes(line("three"))
        old.write(line("two"))
    for _ in range(6):
        await turn()
    running = False
    for _ in range(6):
        await turn()
    await following
    assert b"".join(seen) == b"one\ntwo\nthree\n"


async def test_one_stream_only(path):
    path.write_bytes(line("out") + line("err").replace(b"stdout", b"stderr"))
    pieces = read_log(path, LogOptions(stream="Stderr"), clock=FakeClock(NOW), ended=lambda: True)
    assert [piece async for piece in pieces] == [b"err\n"]
