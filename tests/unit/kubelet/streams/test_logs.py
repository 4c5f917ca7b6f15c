"""Reading logs in the CRI format."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netlab.api.streams import LogOptions
from netlab.clock import FakeClock
from netlab.kubelet.streams.logs import parse_entry, read_log, tail_offset, utc_text

LOG = (
    b"2026-01-01T00:00:01.000000001+00:00 stdout F one\n"
    b"2026-01-01T00:00:02.5+00:00 stderr F two\n"
    b"2026-01-01T01:00:03.123456789+01:00 stdout P thr\n"
    b"2026-01-01T00:00:03.2Z stdout F ee\n"
    b"2026-01-01T00:00:04Z stdout F \n"
    b"2026-01-01T00:00:05Z stdout F five\n"
)

ROWS: dict[str, tuple[dict[str, Any], bytes]] = {
    "all": ({}, b"one\ntwo\nthree\n\nfive\n"),
    "tail": ({"tail_lines": 2}, b"\nfive\n"),
    "tail of nothing": ({"tail_lines": 0}, b""),
    "tail of more than there is": ({"tail_lines": 99}, b"one\ntwo\nthree\n\nfive\n"),
    "since": ({"since": datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC)}, b"\nfive\n"),
    "limit": ({"limit_bytes": 6}, b"one\ntw"),
    "timestamps": (
        {"timestamps": True, "tail_lines": 4},
        b"2026-01-01T00:00:03.123456789Z three\n"
        b"2026-01-01T00:00:04.000000000Z \n"
        b"2026-01-01T00:00:05.000000000Z five\n",
    ),
}


async def collect(path: Path, options: LogOptions, clock: FakeClock) -> bytes:
    return b"".join([p async for p in read_log(path, options, clock=clock, ended=lambda: True)])


@pytest.mark.parametrize("name", ROWS)
async def test_options(name: str, tmp_path: Path) -> None:
    options, expected = ROWS[name]
    path = tmp_path / "0.log"
    path.write_bytes(LOG)
    assert await collect(path, LogOptions(**options), FakeClock()) == expected


async def test_a_log_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    assert await collect(tmp_path / "x", LogOptions(), FakeClock()) == b""


async def test_following_ends_when_the_container_has_ended(tmp_path: Path) -> None:
    path, clock = tmp_path / "0.log", FakeClock()
    ended, received = [False], bytearray()

    async def follow() -> None:
        options = LogOptions(follow=True)
        async for piece in read_log(path, options, clock=clock, ended=lambda: ended[0]):
            received.extend(piece)

    task = asyncio.create_task(follow())
    await clock.advance(0.2)
    half = len(LOG) // 2
    with path.open("wb") as out:
        out.write(LOG[:half])
        out.flush()
        await clock.advance(0.1)
        assert bytes(received) == b"one\ntwo\n"
        out.write(LOG[half:])
    ended[0] = True
    await clock.advance(0.1)
    await task
    assert bytes(received) == b"one\ntwo\nthree\n\nfive\n"


@pytest.mark.parametrize("size", [10, 64 * 1024, 200_000])
def test_tail_offset_crosses_blocks(size: int) -> None:
    lines = [b"x" * 99 + b"\n"] * (size // 100) + [b"last but one\n", b"last\n"]
    file = io.BytesIO(b"".join(lines))
    file.seek(tail_offset(file, 2))
    assert file.read() == b"last but one\nlast\n"


def test_tail_of_an_unfinished_line() -> None:
    file = io.BytesIO(b"a\nb\nhalf")
    assert tail_offset(file, 1) == 4
    assert tail_offset(file, 2) == 2


@pytest.mark.parametrize("line", [b"", b"nonsense", b"a b", b"x stdout F text"])
def test_what_is_no_entry_is_skipped(line: bytes) -> None:
    assert parse_entry(line) is None


def test_times_are_given_in_utc() -> None:
    text = "2026-01-01T01:30:00.5-02:00"
    assert utc_text(text) == "2026-01-01T03:30:00.500000000Z"
