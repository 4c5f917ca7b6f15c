"""The file of the store: one append-only SQLite table whose row id is the resourceVersion.

Mirrors etcd's multi-version key space: a write never changes a row, it adds one; deleting adds a
row that says so. The current state is each object's newest row; the state at an older revision is
each object's newest row up to there; a watch's past is a range of rows. Compaction removes the rows
that only revisions before a horizon could ask for, and remembers the horizon.

**Durability in two steps.** ``append`` puts rows into the write-ahead log (one statement, so that
a batch is whole or absent) and leaves them in the kernel's page cache: 30 µs for a batch. They are
durable when ``sync`` has returned, which may run in another thread while more is appended. That is
SQLite's ``synchronous=NORMAL`` with the sync it leaves out done by us: every frame of the log
carries a checksum, so after a power loss SQLite finds a prefix of the appended batches, and that
prefix includes all that were synced. Two steps, because a thread that did all the writing would
have to take back Python's lock some twenty times per commit, 5 ms each while the event loop is
busy (measured: 130 ms per commit); this way it is twice.

Rules: ``append`` and ``compact`` belong to one thread; ``sync``, ``checkpoint``, ``history`` and
``snapshot`` to another with a ``Log`` of its own (WAL mode lets them run side by side).

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

MAX_ROWS = 32
"""Rows in one ``append``, a power of two. Each length is a statement of its own, which SQLite keeps
compiled, 2 kB a row: were any length up to 100 allowed, they would come to take 10 MB."""

KEPT_STATEMENTS = 32
"""Compiled statements kept by each connection: one for each length of a batch, and all queries."""

CHECKPOINT_BYTES = 4 << 20
"""Size of the write-ahead log from which its pages are moved to the table: SQLite's own default."""

CACHE_KB = 128
"""Pages kept by each connection, of which there are three. Rows are appended and read back within
moments; more would only hold what the kernel's page cache holds too. (Measured: appending,
compacting and reading take as long as with 512.)"""

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
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

_INSERT = "INSERT INTO log (revision, kind, namespace, name, uid, deleted, previous, json) VALUES "
_ROW = "(?,?,?,?,?,?,?,?)"

# What a row between the old and the new horizon replaced is seen by no revision from the new
# horizon on; neither is the row of a deletion itself. The newest version of each object up to the
# horizon stays: later rows need it as their "previous".
_COMPACT = (
    "DELETE FROM log WHERE revision IN ("
    " SELECT previous FROM log WHERE revision > :old AND revision <= :new)",
    "DELETE FROM log WHERE revision > :old AND revision <= :new AND deleted",
    "UPDATE facts SET value = :new WHERE name = 'compacted'",
)


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
    """One row as a watch sees it; before is the replaced version's JSON, None for a new object."""

    key: Key
    revision: int
    deleted: bool
    json: bytes
    before: bytes | None


def batch_length(waiting: int) -> int:
    """Return how many of so many rows (at least one) to append at once: few lengths, none long."""
    return min(MAX_ROWS, 1 << (waiting.bit_length() - 1))


class Log:
    """One connection to the file. second: one that only reads and syncs, beside the first."""

    def __init__(self, path: Path, *, second: bool = False) -> None:
        self._path = path
        self._wal: int | None = None
        with self._translated("open"):
            self._db = sqlite3.connect(
                path,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=KEPT_STATEMENTS,
            )
            try:
                self._db.execute("PRAGMA busy_timeout=5000")
                self._db.execute(f"PRAGMA cache_size=-{CACHE_KB}")
                if not second:
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
        db.execute("PRAGMA synchronous=NORMAL")
        # checkpoints are the other thread's work: they wait for the disk
        db.execute("PRAGMA wal_autocheckpoint=0")
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
        """Write all rows, or none; ``sync`` makes them durable. ``batch_length`` tells how many.

        Raises: StorageError when the disk is full or fails.
        """
        values: list[object] = []
        for row in rows:
            values += row
        with self._translated("write"):
            self._db.execute(_INSERT + ",".join([_ROW] * len(rows)), values)

    def sync(self) -> None:
        """Return when all that was appended before the call is durable.

        Raises: StorageError when the disk fails; then nobody knows what is durable.
        """
        try:
            if self._wal is None:
                # the file stays the same for as long as any connection is open
                self._wal = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._wal)
        except OSError as error:
            raise StorageError(f"store {self._path}: sync: {error.strerror}") from error

    def checkpoint(self, *, beyond_bytes: int = CHECKPOINT_BYTES) -> None:
        """Move the write-ahead log into the table when it is longer than that; writers go on.

        Raises: StorageError when the disk fails.
        """
        with self._translated("checkpoint"):
            if self._wal is not None and os.fstat(self._wal).st_size > beyond_bytes:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

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

    def json_of(self, revision: int) -> bytes:
        """Return the JSON of a row: of an object's newest version, or of one not yet compacted.

        Raises: StorageError when there is no such row, or the disk fails.
        """
        with self._translated("read"):
            row = self._db.execute(
                "SELECT json FROM log WHERE revision = ?", (revision,)
            ).fetchone()
        if row is None:
            raise StorageError(f"store {self._path}: revision {revision} is not there any more")
        return bytes(row[0])

    def history(
        self, kind: str, namespace: str | None, after: int, upto: int
    ) -> tuple[int, list[Change]]:
        """Return the horizon, and the changes of a kind after one revision up to another, in order.

        namespace None means all. The changes are complete only when ``after`` is not below the
        horizon.
        """
        text = (
            "SELECT new.kind, new.namespace, new.name, new.revision, new.deleted, new.json,"
            " old.json FROM log AS new LEFT JOIN log AS old ON old.revision = new.previous"
            " WHERE new.revision > ? AND new.revision <= ? AND new.kind = ?"
        )
        values: list[object] = [after, upto, kind]
        if namespace is not None:
            text += " AND new.namespace = ?"
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

    def compact(self, horizon: int) -> None:
        """Forget what only revisions before ``horizon`` need.

        Raises: StorageError when the disk is full or fails; then nothing was forgotten.
        """
        with self._translated("compact"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                bounds = {"old": self._fact("compacted"), "new": horizon}
                for statement in _COMPACT:
                    self._db.execute(statement, bounds)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()
        if self._wal is not None:
            os.close(self._wal)
            self._wal = None

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
