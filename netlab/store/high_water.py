"""How far the store had come, noted beside it: so that lost writes are not lost without a word.

A write-ahead log that is damaged, emptied or removed while no daemon runs takes the newest writes
with it, and SQLite starts with what is left, as it must after a power loss. The mark tells the
difference: it is written after each sync, so what it names had been durable. It is not synced
itself; after a power loss it may name less than there is, and never more.

etcd compares its consistent index with its log for the same reason, and refuses to start. netlab
starts with what there is, says so, and keeps the files as they were found.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from netlab.errors import StorageError

_WIDTH = 20


class HighWater:
    """The mark of the store at a path. revision: how far it had come when the mark was opened."""

    def __init__(self, path: Path) -> None:
        """Open the mark, making it if need be.

        Raises: StorageError when it cannot be made.
        """
        self.revision = _reached(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._file = os.open(mark_path(path), flags, 0o600)
        except OSError as error:
            raise StorageError(f"store {path}: open: {error.strerror}") from error

    def reach(self, revision: int) -> None:
        """Note that everything up to a revision is durable."""
        with contextlib.suppress(OSError):  # a full disk: then less is known, and nothing wrong
            os.pwrite(self._file, b"%0*d\n" % (_WIDTH, revision), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def mark_path(path: Path) -> Path:
    """Return where the mark of a store lies."""
    return path.with_name(path.name + ".mark")


def keep_what_was_found(path: Path) -> str:
    """Return, in one line, what the store lost while it was closed; "" when nothing.

    The files as they are found are then copied beside the store. Call it before the store is
    opened, which throws away what it cannot read of the write-ahead log.

    Raises: StorageError when they cannot be copied.
    """
    reached, found = _reached(path), _newest_revision(path)
    if found is None or found >= reached:
        return ""
    kept = path.with_name(f"{path.stem}-found-{reached}")
    try:
        kept.mkdir(mode=0o700, exist_ok=True)
        for each in path.parent.glob(f"{path.name}*"):
            shutil.copy2(each, kept / each.name)
    except OSError as error:
        raise StorageError(f"store {path}: copy to {kept}: {error.strerror}") from error
    state = f"is back at revision {found}" if found else "is empty"
    return (
        f"the newest writes of the lab are lost: its store had reached revision {reached} and "
        f"{state}; its files as they were found are kept in {kept}"
    )


def _reached(path: Path) -> int:
    try:
        text = mark_path(path).read_bytes()[: _WIDTH + 1]
    except OSError:
        return 0
    return int(text) if text.strip().isdigit() else 0


def _newest_revision(path: Path) -> int | None:
    """Return the newest revision that SQLite finds; None when it cannot read the file at all."""
    if not path.exists():
        return 0
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'log'").fetchone():
                return 0
            (newest,) = db.execute("SELECT max(revision) FROM log").fetchone()
            (compacted,) = db.execute(
                "SELECT max(value) FROM facts WHERE name = 'compacted'"
            ).fetchone()
            return max(newest or 0, compacted or 0)
    except sqlite3.Error:
        return None  # whoever opens it says why
