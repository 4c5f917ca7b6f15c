"""The commands a driver sends, answered from storage.

No network here: a command document comes in, a reply document goes out. Left out and refused by
name: transactions, sessions (none are announced), indexes other than _id, text search.

Source: https://www.mongodb.com/docs/manual/reference/command/
"""

import time

import bson_codec as bson
import query
from storage import DuplicateKeyError
from wire import MESSAGE_BYTES_MAX

VERSION = "4.4.0"
# The protocol of MongoDB 4.4: the oldest that current drivers still accept.
WIRE_VERSION_MAX = 9
_FIRST_BATCH = 101
_CURSORS_MAX = 1000
_REPLY_DOCUMENT_BYTES_MAX = 16 << 20


class CommandError(Exception):
    """A command that fails; code and name as MongoDB's."""

    def __init__(self, code, name, message):
        super().__init__(message)
        self.code = code
        self.name = name


class Commands:
    """Answers commands. options: the arguments that mongod was started with."""

    def __init__(self, storage, *, options=(), hostname="localhost"):
        self._storage = storage
        self._options = list(options)
        self._hostname = hostname
        self._cursors = {}
        self._next_cursor = 1
        self._started = time.monotonic()

    def run(self, database, command):
        """Return the reply to a command; failures are replies too."""
        name = next(iter(command), "")
        handler = _HANDLERS.get(name.lower())
        try:
            if handler is None:
                raise CommandError(59, "CommandNotFound", f"no such command: '{name}'")
            return {**handler(self, database, command[name], command), "ok": 1.0}
        except CommandError as error:
            return _failure(error.code, error.name, str(error))
        except query.QueryError as error:
            return _failure(error.code, "BadValue", str(error))
        except bson.BsonError as error:
            return _failure(22, "InvalidBSON", str(error))
        except (KeyError, TypeError, AttributeError) as error:
            return _failure(9, "FailedToParse", f"{name}: malformed: {error!r}")

    def hello(self, _database, _value, command):
        reply = {
            "ismaster": True,
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": MESSAGE_BYTES_MAX,
            "maxWriteBatchSize": 100000,
            "localTime": bson.DateTime(time.time() * 1000),
            "connectionId": 1,
            "minWireVersion": 0,
            "maxWireVersion": WIRE_VERSION_MAX,
            "readOnly": False,
        }
        if "hello" in command:
            reply["isWritablePrimary"] = True
        if command.get("helloOk"):
            reply["helloOk"] = True
        return reply

    def nothing(self, _database, _value, _command):
        return {}

    def build_info(self, _database, _value, _command):
        version = [int(part) for part in VERSION.split(".")]
        return {
            "version": VERSION,
            "gitVersion": "netlab",
            "modules": [],
            "versionArray": [*version, 0],
            "bits": 64,
            "debug": False,
            "maxBsonObjectSize": 16 << 20,
            "storageEngines": ["sqlite"],
        }

    def server_status(self, _database, _value, _command):
        return {
            "host": self._hostname,
            "version": VERSION,
            "process": "mongod",
            "uptime": time.monotonic() - self._started,
            "localTime": bson.DateTime(time.time() * 1000),
        }

    def command_line(self, _database, _value, _command):
        return {"argv": ["mongod", *self._options], "parsed": {}}

    def whats_my_uri(self, _database, _value, _command):
        return {"you": f"{self._hostname}:0"}

    def list_databases(self, _database, _value, _command):
        sizes = {name: self._storage.size_bytes(name) for name in self._storage.databases()}
        found = [
            {"name": name, "sizeOnDisk": float(size), "empty": size == 0}
            for name, size in sizes.items()
        ]
        return {"databases": found, "totalSize": float(sum(sizes.values()))}

    def list_collections(self, database, _value, command):
        found = [
            {"name": name, "type": "collection", "options": {}, "info": {"readOnly": False}}
            for name in self._storage.collections(database)
        ]
        wanted = command.get("filter") or {}
        found = [entry for entry in found if query.matches(entry, wanted)]
        return self._first_batch(f"{database}.$cmd.listCollections", found, command)

    def list_indexes(self, database, collection, command):
        if collection not in self._storage.collections(database):
            raise CommandError(
                26, "NamespaceNotFound", f"ns does not exist: {database}.{collection}"
            )
        index = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
        return self._first_batch(f"{database}.{collection}", [index], command)

    def create(self, database, collection, _command):
        if not self._storage.create(database, collection):
            raise CommandError(
                48, "NamespaceExists", f"Collection already exists. NS: {database}.{collection}"
            )
        return {}

    def drop(self, database, collection, _command):
        with self._storage:
            found = self._storage.drop(database, collection)
        if not found:
            raise CommandError(26, "NamespaceNotFound", "ns not found")
        return {"nIndexesWas": 1, "ns": f"{database}.{collection}"}

    def drop_database(self, database, _value, _command):
        with self._storage:
            for collection in self._storage.collections(database):
                self._storage.drop(database, collection)
        return {"dropped": database}

    def insert(self, database, collection, command):
        def insert_one(document):
            document = document if "_id" in document else {"_id": bson.ObjectId(), **document}
            self._storage.insert(database, collection, document)
            return 1

        self._storage_create(database, collection)
        return self._write_each(command["documents"], command, insert_one)

    def update(self, database, collection, command):
        modified, upserts = 0, []

        def update_one(operation):
            nonlocal modified
            matched, changed, new = self._update(database, collection, operation)
            modified += changed
            if new is not None:
                upserts.append({"index": command["updates"].index(operation), "_id": new})
                return 1
            return matched

        self._storage_create(database, collection)
        reply = self._write_each(command["updates"], command, update_one)
        reply["nModified"] = modified
        if upserts:
            reply["upserted"] = upserts
        return reply

    def delete(self, database, collection, command):
        def delete_some(operation):
            found = self._find(database, collection, operation["q"])
            if operation.get("limit", 0):
                found = found[:1]
            for position, _document in found:
                self._storage.delete(position)
            return len(found)

        return self._write_each(command["deletes"], command, delete_some)

    def find_and_modify(self, database, collection, command):
        with self._storage:
            self._storage.create(database, collection)
            found = self._find(database, collection, command.get("query") or {})
            found = _ordered(found, command.get("sort") or {})[:1]
            position, old = found[0] if found else (None, None)
            if command.get("remove"):
                if position is not None:
                    self._storage.delete(position)
                return {"lastErrorObject": {"n": len(found)}, "value": old}
            operation = {
                "q": command.get("query") or {},
                "u": command["update"],
                "upsert": command.get("upsert", False),
            }
            new = self._change(database, collection, position, old, operation)
        error = {"n": int(new is not None), "updatedExisting": old is not None}
        return {"lastErrorObject": error, "value": new if command.get("new") else old}

    def find(self, database, collection, command):
        found = self._find(database, collection, command.get("filter") or {})
        documents = [document for _position, document in found]
        documents = query.sort_documents(documents, command.get("sort") or {})
        documents = _window(documents, command.get("skip", 0), command.get("limit", 0))
        if fields := command.get("projection"):
            documents = [query.project(document, fields) for document in documents]
        return self._first_batch(f"{database}.{collection}", documents, command)

    def aggregate(self, database, collection, command):
        found = self._storage.scan(database, collection) if isinstance(collection, str) else []
        documents = [document for _position, document in found]
        for stage in command["pipeline"]:
            documents = _run_stage(documents, stage)
        return self._first_batch(f"{database}.{collection}", documents, command)

    def count(self, database, collection, command):
        found = self._find(database, collection, command.get("query") or {})
        return {"n": len(_window(found, command.get("skip", 0), command.get("limit", 0)))}

    def distinct(self, database, collection, command):
        path = command["key"].split(".")
        values = []
        for _position, document in self._find(database, collection, command.get("query") or {}):
            for value in query.values_at(document, path):
                values += [
                    part
                    for part in (value if isinstance(value, list) else [value])
                    if part not in values
                ]
        return {"values": values}

    def get_more(self, _database, cursor_id, command):
        if cursor_id not in self._cursors:
            raise CommandError(43, "CursorNotFound", f"cursor id {cursor_id} not found")
        namespace, documents = self._cursors.pop(cursor_id)
        batch, rest = _split_batch(documents, command.get("batchSize") or len(documents))
        if rest:
            self._cursors[cursor_id] = (namespace, rest)
        cursor = {"id": bson.Int64(cursor_id if rest else 0), "ns": namespace, "nextBatch": batch}
        return {"cursor": cursor}

    def kill_cursors(self, _database, _value, command):
        killed = [one for one in command["cursors"] if self._cursors.pop(one, None) is not None]
        return {"cursorsKilled": killed, "cursorsNotFound": [], "cursorsAlive": []}

    def _storage_create(self, database, collection):
        if not isinstance(collection, str) or not collection:
            raise CommandError(73, "InvalidNamespace", f"Invalid namespace: {database}.")
        self._storage.create(database, collection)

    def _find(self, database, collection, condition):
        identity = condition.get("_id", query.MISSING)
        if identity is not query.MISSING and not isinstance(identity, dict | list | type(None)):
            found = self._storage.lookup(database, collection, identity)
        else:
            found = self._storage.scan(database, collection)
        return [entry for entry in found if query.matches(entry[1], condition)]

    def _update(self, database, collection, operation):
        """Return (matched, modified, _id of an upserted document or None)."""
        found = self._find(database, collection, operation["q"])
        if not found:
            new = self._change(database, collection, None, None, operation)
            return 0, 0, None if new is None else new["_id"]
        if not operation.get("multi", False):
            found = found[:1]
        modified = 0
        for position, old in found:
            modified += self._change(database, collection, position, old, operation) != old
        return len(found), modified, None

    def _change(self, database, collection, position, old, operation):
        if position is not None:
            new = query.apply_update(old, operation["u"])
            if new != old:
                self._storage.replace(position, new)
            return new
        if not operation.get("upsert", False):
            return None
        new = query.upserted(operation["q"], operation["u"])
        self._storage.insert(database, collection, new)
        return new

    def _write_each(self, operations, command, write_one):
        """Write one after the other; an ordered batch stops at its first error."""
        total, errors = 0, []
        with self._storage:
            for index, operation in enumerate(operations):
                try:
                    total += write_one(operation)
                except (DuplicateKeyError, query.QueryError) as error:
                    code = getattr(error, "code", 11000)
                    errors.append({"index": index, "code": code, "errmsg": str(error)})
                    if command.get("ordered", True):
                        break
        reply = {"n": total}
        if errors:
            reply["writeErrors"] = errors
        return reply

    def _first_batch(self, namespace, documents, command):
        options = command.get("cursor") or {}
        size = command.get("batchSize", options.get("batchSize", _FIRST_BATCH))
        batch, rest = _split_batch(documents, size)
        cursor_id = 0
        if rest and not command.get("singleBatch"):
            cursor_id = self._next_cursor
            self._next_cursor += 1
            # A client that went away leaves its cursors; the oldest makes room.
            if len(self._cursors) >= _CURSORS_MAX:
                self._cursors.pop(next(iter(self._cursors)))
            self._cursors[cursor_id] = (namespace, rest)
        return {"cursor": {"id": bson.Int64(cursor_id), "ns": namespace, "firstBatch": batch}}


_HANDLERS = {
    "hello": Commands.hello,
    "ismaster": Commands.hello,
    "ping": Commands.nothing,
    "endsessions": Commands.nothing,
    "logout": Commands.nothing,
    "getlasterror": Commands.nothing,
    "buildinfo": Commands.build_info,
    "serverstatus": Commands.server_status,
    "getcmdlineopts": Commands.command_line,
    "whatsmyuri": Commands.whats_my_uri,
    "listdatabases": Commands.list_databases,
    "listcollections": Commands.list_collections,
    "listindexes": Commands.list_indexes,
    "create": Commands.create,
    "drop": Commands.drop,
    "dropdatabase": Commands.drop_database,
    "insert": Commands.insert,
    "update": Commands.update,
    "delete": Commands.delete,
    "findandmodify": Commands.find_and_modify,
    "find": Commands.find,
    "aggregate": Commands.aggregate,
    "count": Commands.count,
    "distinct": Commands.distinct,
    "getmore": Commands.get_more,
    "killcursors": Commands.kill_cursors,
}


def _failure(code, name, message):
    return {"ok": 0.0, "errmsg": message, "code": code, "codeName": name}


def _ordered(found, order):
    by_document = query.sort_documents([document for _position, document in found], order)
    positions = {id(document): position for position, document in found}
    return [(positions[id(document)], document) for document in by_document]


def _window(values, skip, limit):
    values = values[int(skip or 0) :]
    return values[: abs(int(limit))] if limit else values


def _split_batch(documents, size):
    """Return (batch, rest): at most size documents, and no more bytes than a reply may have."""
    total = 0
    for index, document in enumerate(documents):
        total += len(bson.encode(document))
        if index >= size or (index and total > _REPLY_DOCUMENT_BYTES_MAX):
            return documents[:index], documents[index:]
    return documents, []


def _run_stage(documents, stage):
    ((name, value),) = stage.items()
    if name == "$match":
        return [document for document in documents if query.matches(document, value)]
    if name == "$sort":
        return query.sort_documents(documents, value)
    if name == "$skip":
        return _window(documents, value, 0)
    if name == "$limit":
        return _window(documents, 0, value)
    if name == "$project":
        return [query.project(document, value) for document in documents]
    if name == "$count":
        return [{value: len(documents)}] if documents else []
    if name == "$group":
        return _group(documents, value)
    raise CommandError(40324, "Location40324", f"Unrecognized pipeline stage name: '{name}'")


def _group(documents, value):
    groups = {}
    for document in documents:
        key = _expression(document, value["_id"])
        entry = groups.setdefault(bson.encode({"": key}), {"_id": key})
        for name, accumulator in value.items():
            if name == "_id":
                continue
            if set(accumulator) != {"$sum"}:
                raise CommandError(15952, "Location15952", f"unknown group operator in {name}")
            amount = _expression(document, accumulator["$sum"])
            number = isinstance(amount, int | float) and not isinstance(amount, bool)
            entry[name] = entry.get(name, 0) + (amount if number else 0)
    return list(groups.values())


def _expression(document, expression):
    if isinstance(expression, str) and expression.startswith("$"):
        found = query.values_at(document, expression[1:].split("."))
        return found[0] if found else None
    return expression
