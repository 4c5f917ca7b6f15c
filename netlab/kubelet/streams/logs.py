"""Reads a container's log in the CRI format and gives back what ``kubectl logs`` asks for.

Mirrors ``k8s.io/cri-client/pkg/logs``. A line of the file is ``TIME STREAM F|P TEXT``; P marks
a part of a longer line, which goes on in the next entry of the same stream. ``tail`` counts
entries of the file, as the kubelet does.

Rules for callers: iterating ends by itself at the end of the file, or, when following, once
``ended()`` is true and everything has been read. Reads come from the page cache in pieces of
64 KiB, so they are made on the event loop. Following goes on in the next file when the log is
rotated; what was rotated away before cannot be asked for, as with the kubelet.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from netlab.api.streams import LogOptions
from netlab.clock import Clock

READ_BYTES = 64 * 1024
POLL_S = 0.05
"""How often a followed log is looked at; kubectl shows a new line within this time."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the file. time_text: RFC 3339 with nanoseconds as written; text without newline
    for a partial entry, with one otherwise.
    """

    time_text: str
    stream: str
    partial: bool
    text: bytes

    @property
    def time(self) -> datetime:
        """The entry's time; digits after the sixth are dropped."""
        return datetime.fromisoformat(self.time_text)


def utc_text(text: str) -> str:
    """Return a log's time in UTC with nine digits and ``Z``, as ``--timestamps`` prints it."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    fraction = text.partition(".")[2]
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + digits.ljust(9, "0")[:9] + "Z"


def parse_entry(line: bytes) -> LogEntry | None:
    """Return the entry in a line of the file, without its newline; None if it is none."""
    parts = line.split(b" ", 3)
    if len(parts) < 3:
        return None
    text = parts[3] if len(parts) == 4 else b""
    # tags are separated by colons; only the first has a meaning
    partial = parts[2].split(b":")[0] == b"P"
    time_text = parts[0].decode("ascii", "replace")
    try:
        datetime.fromisoformat(time_text)
    except ValueError:
        return None
    stream = parts[1].decode("ascii", "replace")
    return LogEntry(time_text, stream, partial, text if partial else text + b"\n")


class LogFormatter:
    """Turns entries into what the client receives; remembers where in a line it is."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = options.since
        self._stream = options.stream.lower()
        self._left = options.limit_bytes
        self._inside_line = False

    @property
    def full(self) -> bool:
        """True when ``limit_bytes`` is used up."""
        return self._left is not None and self._left <= 0

    def format(self, entries: Iterable[LogEntry]) -> bytes:
        """Return the bytes for the next entries."""
        pieces = []
        for entry in entries:
            if self._stream not in ("all", entry.stream):
                continue
            if self._since is not None and entry.time < self._since:
                continue
            if self._timestamps and not self._inside_line:
                pieces.append(utc_text(entry.time_text).encode() + b" ")
            pieces.append(entry.text)
            self._inside_line = entry.partial
        data = b"".join(pieces)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Return where in the file its last ``lines`` lines begin."""
    end = file.seek(0, 2)
    if lines <= 0:
        return end
    position, missing = end, lines
    skip_last = True  # the newline at the very end of the file does not begin another line
    while position > 0:
        size = min(READ_BYTES, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        index = len(block)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            if skip_last and position + index == end - 1:
                skip_last = False
                continue
            missing -= 1
            if missing == 0:
                return position + index + 1
        skip_last = False
    return 0


class EntryReader:
    """Reads whole entries from where the file is positioned; half-written ones wait."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rest = b""

    def read(self) -> list[LogEntry] | None:
        """Return the entries in the next piece of the file, or None at its present end."""
        block = self._file.read(READ_BYTES)
        if not block:
            return None
        *lines, self._rest = (self._rest + block).split(b"\n")
        entries = (parse_entry(line) for line in lines)
        return [entry for entry in entries if entry is not None]


async def read_log(
    path: Path, options: LogOptions, *, clock: Clock, ended: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield the log's content in pieces; see the module's rules.

    A file that does not exist yet is empty.
    """
    formatter = LogFormatter(options)
    tail_lines = options.tail_lines
    file = await _open(path, options, clock=clock, ended=ended)
    while file is not None:
        with file:
            if tail_lines is not None:
                file.seek(tail_offset(file, tail_lines))
                tail_lines = None  # a file that follows is read from its beginning
            async for data in _read_file(file, path, options, formatter, clock=clock, ended=ended):
                yield data
            if formatter.full or not options.follow or not was_rotated(file, path):
                return
        file = await _open(path, options, clock=clock, ended=ended)


async def _read_file(
    file: BinaryIO,
    path: Path,
    options: LogOptions,
    formatter: LogFormatter,
    *,
    clock: Clock,
    ended: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """Yield one file; following, until the container has ended or another file took its place."""
    reader = EntryReader(file)
    rotated = False
    while not formatter.full:
        # asked before reading: what was written before the end is then read after it
        finished = ended()
        entries = reader.read()
        if entries is None:
            if finished or rotated or not options.follow:
                return
            rotated = was_rotated(file, path)
            # once more after a while: conmon may have had a line for the old file in hand
            await clock.sleep(POLL_S)
        elif data := formatter.format(entries):
            yield data
        else:
            await clock.sleep(0)


def was_rotated(file: BinaryIO, path: Path) -> bool:
    """True when another file is at the path now."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


async def _open(
    path: Path, options: LogOptions, *, clock: Clock, ended: Callable[[], bool]
) -> BinaryIO | None:
    while True:
        finished = ended()
        try:
            return path.open("rb")
        except FileNotFoundError:
            if finished or not options.follow:
                return None
        await clock.sleep(POLL_S)
