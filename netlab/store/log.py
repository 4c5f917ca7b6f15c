"""The file of the store: one append-only SQLite table whose row id is the resourceVersion.

Mirrors etcd's multi-version key space: a write never changes a row, it adds one; deleting adds a
row that says so. The current state is each key's newest row; the state at an older revision is
each key's newest row up to there; a watch's past is a range of rows. Compaction removes the rows
that only revisions before a horizon could ask for, and remembers the horizon.

Rules: ``append`` and ``compact`` belong to one thread (the writer), ``history`` and ``snapshot``
to another with a ``Log`` of its own; WAL mode lets them run side by side. ``append`` is a single
statement outside any other transaction, so that a batch is whole or absent, and so that Python
gives up its lock once per batch and not once per row (taking it back can cost 5 ms each time
while the event loop computes). With ``synchronous=FULL`` it returns after fsync.

netlab leaves out leases (Events are removed by the registry) and snapshots for backup: copy the
file with ``sqlite3 store.db .backup``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from netlab.errors import StorageError
from netlab.store.records import Key, Record

FORMAT = 1
"""Raised when a later netlab could not read what this one writes."""

MAX_ROWS = 256
"""Rows in one ``append``: well below SQLite's limit of 32,766 variables in a statement."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
  revision INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  uid TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  previous INTEGER,
  json BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS log_by_key ON log (kind, namespace, name, revision);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

_COLUMNS = 8
_INSERT = "INSERT INTO log (revision, kind, namespace, name, uid, deleted, previous, json) VALUES "
_ROW = "(?,?,?,?,?,?,?,?)"

# A row goes when no revision from the horizon on can see it: a newer row of the same object stands
# at or before the horizon, or it is a deletion there. The newest version of each object up to the
# horizon stays: later rows need it as their "previous".
_COMPACT = """
DELETE FROM log WHERE revision <= :horizon AND (
  deleted OR EXISTS (
    SELECT 1 FROM log AS newer
    WHERE newer.kind = log.kind AND newer.namespace = log.namespace AND newer.name = log.name
      AND newer.revision > log.revision AND newer.revision <= :horizon))
"""


class Row(NamedTuple):
    """One row to append. previous: revision of the version it replaces, None for a new object."""

    revision: int
    kind: str
    namespace: str
    name: str
    uid: str
    deleted: bool
    previous: int | None
    json: bytes


class Change(NamedTuple):
    """One row as a watch sees it; before is the replaced version's JSON, None when there is none."""

    key: Key
    revision: int
    deleted: bool
    json: bytes
    before: bytes | None


class Log:
    """One connection to the file. read_only: for ``history`` and ``snapshot``."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        with self._translated("open"):
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, cached_statements=300
            )
            try:
                self._db.execute("PRAGMA busy_timeout=5000")
                if read_only:
                    self._db.execute("PRAGMA query_only=ON")
                else:
                    self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        db = self._db
        damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise StorageError(f"store {self._path}: the file is damaged: {damage}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
        db.execute("INSERT OR IGNORE INTO facts VALUES ('format', ?), ('compacted', 0)", (FORMAT,))
        found = self._fact("format")
        if found != FORMAT:
            raise StorageError(
                f"store {self._path}: written by another netlab (format {found}, not {FORMAT})"
            )

    def _fact(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    @property
    def compacted(self) -> int:
        """The horizon: the state before this revision is not known any more; 0 if all is."""
        with self._translated("read"):
            return self._fact("compacted")

    def newest_revision(self) -> int:
        """The highest revision ever acknowledged; 0 in a new file."""
        with self._translated("read"):
            row = self._db.execute("SELECT max(revision) FROM log").fetchone()
            return max(int(row[0] or 0), self._fact("compacted"))

    def append(self, rows: Sequence[Row]) -> None:
        """Make all rows durable, or none.

        Raises: StorageError when the disk is full or fails.
        """
        for start in range(0, len(rows), MAX_ROWS):
            part = rows[start : start + MAX_ROWS]
            values: list[object] = []
            for row in part:
                values += row
            with self._translated("write"):
                self._db.execute(_INSERT + ",".join([_ROW] * len(part)), values)

    def current(self) -> Iterator[tuple[Key, Record]]:
        """Yield the newest version of each object that is not deleted, in order of its key."""
        with self._translated("read"):
            rows = self._db.execute(
                "SELECT kind, namespace, name, max(revision), deleted, json FROM log"
                " GROUP BY kind, namespace, name"
            )
            for kind, namespace, name, revision, deleted, json in rows:
                if not deleted:
                    yield Key(kind, namespace, name), Record(revision, json)

    def history(
        self, kind: str, namespace: str | None, after: int, upto: int
    ) -> tuple[int, list[Change]]:
        """Return the horizon, and the changes of a kind after one revision up to another, in order.

        namespace None means all. The changes are complete only when ``after`` is not below the
        horizon.
        """
        text = (
            "SELECT new.kind, new.namespace, new.name, new.revision, new.deleted, new.json, old.json"
            " FROM log AS new LEFT JOIN log AS old ON old.revision = new.previous"
            # the plus keeps SQLite from walking the index of the whole kind instead of the range
            " WHERE new.revision > ? AND new.revision <= ? AND +new.kind = ?"
        )
        values: list[object] = [after, upto, kind]
        if namespace is not None:
            text += " AND +new.namespace = ?"
            values.append(namespace)
        with self._reading():
            horizon = self._fact("compacted")
            rows = self._db.execute(text + " ORDER BY new.revision", values).fetchall()
        return horizon, [
            Change(Key(kind_, namespace_, name), revision, bool(deleted), json, before)
            for kind_, namespace_, name, revision, deleted, json, before in rows
        ]

    def snapshot(
        self, kind: str, namespace: str | None, revision: int
    ) -> tuple[int, list[tuple[Key, Record]]]:
        """Return the horizon, and the objects of a kind as they were, in order of their keys."""
        text = (
            "SELECT kind, namespace, name, max(revision), deleted, json FROM log"
            " WHERE kind = ? AND revision <= ?"
        )
        values: list[object] = [kind, revision]
        if namespace is not None:
            text += " AND namespace = ?"
            values.append(namespace)
        with self._reading():
            horizon = self._fact("compacted")
            rows = self._db.execute(text + " GROUP BY kind, namespace, name", values).fetchall()
        return horizon, [
            (Key(kind_, namespace_, name), Record(newest, json))
            for kind_, namespace_, name, newest, deleted, json in rows
            if not deleted
        ]

    def compact(self, horizon: int) -> int:
        """Forget what only revisions before ``horizon`` need; return how many rows that were."""
        with self._translated("compact"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                removed = self._db.execute(_COMPACT, {"horizon": horizon}).rowcount
                self._db.execute("UPDATE facts SET value = ? WHERE name = 'compacted'", (horizon,))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        return removed

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One consistent view for several queries."""
        with self._translated("read"):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"store {self._path}: {action}: {_cause(error)}") from error


def _cause(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return "no space left on the disk; nothing was saved"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"the file is damaged: {error}"
    return str(error)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes away from the store at ``path`` for as long as the context lasts.

    Raises: StorageError when another process has it.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"store {path}: open: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise StorageError(f"store {path}: lock: {error.strerror}") from error
            raise StorageError(f"store {path}: another netlab daemon uses it") from error
        yield
    finally:
        os.close(descriptor)
