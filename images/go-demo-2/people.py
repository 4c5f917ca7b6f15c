"""The people in the database: a client for the one collection this app has.

Opens its connection when it is first needed and again after it broke, so that the app starts and
serves without a database.
"""

import asyncio
import contextlib

import bson_codec as bson
import wire

_TIMEOUT_S = 5.0
_DATABASE, _COLLECTION = "demo", "people"


class DatabaseError(Exception):
    """The database cannot be reached, or refused."""


class People:
    """Names, kept in a MongoDB at host:port. One command at a time."""

    def __init__(self, host, port=27017):
        self._host = host
        self._port = port
        self._stream = None
        self._turn = asyncio.Lock()
        self._request_id = 0

    async def add(self, name):
        """Remember a name; once is enough."""
        change = {"q": {"_id": name}, "u": {"$set": {"name": name}}, "upsert": True}
        reply = await self._call({"update": _COLLECTION, "updates": [change]})
        for error in reply.get("writeErrors", []):
            raise DatabaseError(error.get("errmsg", "the write failed"))

    async def names(self):
        """Return all names, in the order they came."""
        reply = await self._call({"find": _COLLECTION, "filter": {}})
        cursor = reply["cursor"]
        found = cursor["firstBatch"]
        while cursor["id"]:
            more = {"getMore": cursor["id"], "collection": _COLLECTION}
            cursor = (await self._call(more))["cursor"]
            found += cursor["nextBatch"]
        return [str(person.get("name", "")) for person in found]

    async def close(self):
        """Give the connection back."""
        self._drop()

    async def _call(self, command):
        async with self._turn:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    reply = await self._exchange({**command, "$db": _DATABASE})
            except (OSError, TimeoutError, asyncio.IncompleteReadError, bson.BsonError) as error:
                self._drop()
                cause = str(error) or "no answer in time"
                raise DatabaseError(f"database {self._host}:{self._port}: {cause}") from error
            except BaseException:
                # Cancelled half-way: the rest of the answer must not meet the next command.
                self._drop()
                raise
        if not reply.get("ok"):
            raise DatabaseError(f"database {self._host}: {reply.get('errmsg', 'refused')}")
        return reply

    async def _exchange(self, command):
        if self._stream is not None and self._stream[0].at_eof():
            self._drop()
        if self._stream is None:
            self._stream = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._stream
        self._request_id += 1
        writer.write(wire.command_message(command, self._request_id))
        await writer.drain()
        header = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
        return wire.parse_reply(await reader.readexactly(header[0] - wire.HEADER.size))

    def _drop(self):
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream[1].close()
            self._stream = None
