"""Documents on disk: one SQLite file in the data folder, safe against power loss.

A write that returned is on disk (synchronous=FULL), which is stronger than MongoDB's default.
Documents are kept as the bytes they came in, in the order they came.
"""

import sqlite3

import bson_codec as bson


class DuplicateKeyError(ValueError):
    """A document with that _id exists."""


class Storage:
    """The databases below one data folder. Used from one thread."""

    def __init__(self, folder):
        self._db = sqlite3.connect(f"{folder}/netlab-mongo.sqlite3", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS collections"
            " (database TEXT, name TEXT, PRIMARY KEY (database, name)) WITHOUT ROWID"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS documents (position INTEGER PRIMARY KEY,"
            " database TEXT, collection TEXT, id BLOB, body BLOB)"
        )
        self._db.execute(
            "CREATE UNIQUE INDEX IF NOT EXISTS by_id ON documents (database, collection, id)"
        )

    def close(self):
        """Write everything to the one file."""
        self._db.close()

    def __enter__(self):
        """Begin a group of writes that take effect together, at the end."""
        self._db.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind, error, traceback):
        self._db.execute("ROLLBACK" if kind else "COMMIT")

    def databases(self):
        """Return the names of all databases."""
        rows = self._db.execute("SELECT DISTINCT database FROM collections ORDER BY 1")
        return [name for (name,) in rows]

    def size_bytes(self, database):
        """Return how much the documents of a database take."""
        rows = self._db.execute(
            "SELECT coalesce(sum(length(body)), 0) FROM documents WHERE database = ?", (database,)
        )
        return int(rows.fetchone()[0])

    def collections(self, database):
        """Return the names of a database's collections."""
        rows = self._db.execute(
            "SELECT name FROM collections WHERE database = ? ORDER BY 1", (database,)
        )
        return [name for (name,) in rows]

    def create(self, database, collection):
        """Make a collection; False when it was there."""
        done = self._db.execute(
            "INSERT OR IGNORE INTO collections VALUES (?, ?)", (database, collection)
        )
        return done.rowcount > 0

    def drop(self, database, collection):
        """Remove a collection with its documents; False when there was none."""
        self._db.execute(
            "DELETE FROM documents WHERE database = ? AND collection = ?", (database, collection)
        )
        done = self._db.execute(
            "DELETE FROM collections WHERE database = ? AND name = ?", (database, collection)
        )
        return done.rowcount > 0

    def scan(self, database, collection):
        """Return (position, document) of all documents, in the order they came."""
        rows = self._db.execute(
            "SELECT position, body FROM documents"
            " WHERE database = ? AND collection = ? ORDER BY position",
            (database, collection),
        )
        return [(position, bson.decode(body)) for position, body in rows]

    def lookup(self, database, collection, identity):
        """Return (position, document) of the document with an _id, as a list of one or none."""
        rows = self._db.execute(
            "SELECT position, body FROM documents WHERE database = ? AND collection = ? AND id = ?",
            (database, collection, _key(identity)),
        )
        return [(position, bson.decode(body)) for position, body in rows]

    def insert(self, database, collection, document):
        """Add a document, which has an _id."""
        try:
            self._db.execute(
                "INSERT INTO documents (database, collection, id, body) VALUES (?, ?, ?, ?)",
                (database, collection, _key(document["_id"]), bson.encode(document)),
            )
        except sqlite3.IntegrityError as error:
            raise DuplicateKeyError(
                f"E11000 duplicate key error collection: {database}.{collection}"
                f" index: _id_ dup key: {{ _id: {document['_id']!r} }}"
            ) from error

    def replace(self, position, document):
        """Put a document in the place of an older state of it."""
        self._db.execute(
            "UPDATE documents SET body = ? WHERE position = ?", (bson.encode(document), position)
        )

    def delete(self, position):
        """Remove a document."""
        self._db.execute("DELETE FROM documents WHERE position = ?", (position,))


def _key(identity):
    # 1, 1.0 and NumberLong(1) are the same _id.
    if isinstance(identity, int | float) and not isinstance(identity, bool | bson.DateTime):
        identity = float(identity) if float(identity) == identity else identity
    return bson.encode({"": identity})
