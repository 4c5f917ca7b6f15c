"""MongoDB's messages: OP_MSG for everything, OP_QUERY for the greeting of older drivers.

Pure: bytes in, bytes out.

Source: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

import struct

import bson_codec as bson

HEADER = struct.Struct("<iiii")
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
CHECKSUM_PRESENT, MORE_TO_COME = 1, 2
MESSAGE_BYTES_MAX = 48_000_000


class WireError(ValueError):
    """A message that breaks the protocol; the connection is closed."""


class Request:
    """A command of a client. wants_reply is False for unacknowledged writes."""

    __slots__ = ("command", "database", "opcode", "request_id", "wants_reply")

    def __init__(self, request_id, opcode, database, command, wants_reply):
        self.request_id = request_id
        self.opcode = opcode
        self.database = database
        self.command = command
        self.wants_reply = wants_reply


def parse_request(header, body):
    """Return the request in a message: its 16 bytes of header, unpacked, and the rest."""
    _length, request_id, _response_to, opcode = header
    try:
        if opcode == OP_MSG:
            return _parse_msg(request_id, body)
        if opcode == OP_QUERY:
            return _parse_query(request_id, body)
    except (struct.error, IndexError, bson.BsonError, ValueError) as error:
        raise WireError(str(error)) from error
    raise WireError(f"unknown operation {opcode}")


def reply_to(request, document, reply_id):
    """Return the message that answers a request."""
    body = bson.encode(document)
    if request.opcode == OP_QUERY:
        # flags 8: the server can await; no cursor; one document
        body = struct.pack("<iqii", 8, 0, 0, 1) + body
        opcode = OP_REPLY
    else:
        body = struct.pack("<I", 0) + b"\0" + body
        opcode = OP_MSG
    return HEADER.pack(16 + len(body), reply_id, request.request_id, opcode) + body


def command_message(document, request_id):
    """Return a client's OP_MSG with one command."""
    body = struct.pack("<I", 0) + b"\0" + bson.encode(document)
    return HEADER.pack(16 + len(body), request_id, 0, OP_MSG) + body


def parse_reply(body):
    """Return the document in the body of a server's OP_MSG."""
    return bson.decode(body, 5)


def _parse_msg(request_id, body):
    (flags,) = struct.unpack_from("<I", body)
    end = len(body) - (4 if flags & CHECKSUM_PRESENT else 0)
    command, sequences, position = None, {}, 4
    while position < end:
        kind = body[position]
        position += 1
        if kind == 0:
            command = bson.decode(body, position)
            position += bson.length_at(body, position)
        elif kind == 1:
            name, documents, position = _sequence(body, position)
            sequences[name] = documents
        else:
            raise WireError(f"unknown section {kind}")
    if command is None:
        raise WireError("no command")
    command.update(sequences)
    database = command.get("$db", "admin")
    return Request(request_id, OP_MSG, database, command, not flags & MORE_TO_COME)


def _sequence(body, start):
    (size,) = struct.unpack_from("<i", body, start)
    end = start + size
    stop = body.index(0, start + 4)
    name = bytes(body[start + 4 : stop]).decode()
    documents, position = [], stop + 1
    while position < end:
        documents.append(bson.decode(body, position))
        position += bson.length_at(body, position)
    return name, documents, end


def _parse_query(request_id, body):
    stop = body.index(0, 4)
    collection = bytes(body[4:stop]).decode()
    database, _, name = collection.partition(".")
    if name != "$cmd":
        raise WireError("OP_QUERY is for commands only")
    command = bson.decode(body, stop + 1 + 8)
    return Request(request_id, OP_QUERY, database, command.get("$query", command), True)
