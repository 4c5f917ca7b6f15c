"""BSON: MongoDB's binary documents, to Python values and back, without loss.

Types that nothing here computes with (regular expressions, timestamps, decimals, …) stay as
``Raw`` bytes, so that a document that comes in goes out as it came. Imports little: this code is
part of images whose start-up time counts.

Source: https://bsonspec.org/spec.html
"""

import os
import struct
import time

_counter = int.from_bytes(os.urandom(3), "big")
_process = os.urandom(5)


class BsonError(ValueError):
    """Bytes that are not BSON, or a value that BSON cannot hold."""


class ObjectId:
    """MongoDB's own kind of identifier: 12 bytes of time, process and counter."""

    __slots__ = ("data",)

    def __init__(self, data=None):
        self.data = _new_object_id() if data is None else data

    def __eq__(self, other):
        return isinstance(other, ObjectId) and self.data == other.data

    def __hash__(self):
        return hash(self.data)

    def __repr__(self):
        return f"ObjectId({self.data.hex()})"


class Int64(int):
    """A number that is stored in 64 bits even when 32 would do."""

    __slots__ = ()


class DateTime(int):
    """Milliseconds since 1970, UTC."""

    __slots__ = ()


class Raw:
    """A value of a type that is kept as bytes. kind: BSON's type byte."""

    __slots__ = ("data", "kind")

    def __init__(self, kind, data):
        self.kind = kind
        self.data = data

    def __eq__(self, other):
        return isinstance(other, Raw) and (self.kind, self.data) == (other.kind, other.data)

    def __hash__(self):
        return hash((self.kind, self.data))


def encode(document):
    """Return a dict as BSON."""
    body = b"".join(_element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(data, start=0):
    """Return the document that starts at a position of some bytes, as a dict in its order."""
    try:
        document, _end = _document(data, start)
    except BsonError:
        raise
    except (struct.error, IndexError, ValueError) as error:
        raise BsonError(f"not BSON: {error}") from error
    return document


def length_at(data, start):
    """Return the length of the document that starts at a position."""
    try:
        (size,) = struct.unpack_from("<i", data, start)
    except struct.error as error:
        raise BsonError("not BSON: too short") from error
    if size < 5 or start + size > len(data):
        raise BsonError("not BSON: wrong length")
    return size


def _new_object_id():
    global _counter
    _counter = (_counter + 1) & 0xFFFFFF
    return struct.pack(">I", int(time.time())) + _process + _counter.to_bytes(3, "big")


def _element(name, value):
    kind, body = _encode_value(value)
    key = name.encode()
    if b"\0" in key:
        raise BsonError("a field name holds a zero byte")
    return bytes((kind,)) + key + b"\0" + body


def _encode_value(value):
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise BsonError(f"BSON has no type for {type(value).__name__}")
    return encoder(value)


def _encode_int(value):
    if -(1 << 31) <= value < 1 << 31:
        return 0x10, struct.pack("<i", value)
    if -(1 << 63) <= value < 1 << 63:
        return 0x12, struct.pack("<q", value)
    raise BsonError("a number is larger than 64 bits")


def _encode_text(value):
    data = value.encode()
    return 0x02, struct.pack("<i", len(data) + 1) + data + b"\0"


def _encode_list(values):
    return 0x04, encode({str(index): value for index, value in enumerate(values)})


_ENCODERS = {
    float: lambda value: (0x01, struct.pack("<d", value)),
    str: _encode_text,
    dict: lambda value: (0x03, encode(value)),
    list: _encode_list,
    bytes: lambda value: (0x05, struct.pack("<iB", len(value), 0) + value),
    ObjectId: lambda value: (0x07, value.data),
    bool: lambda value: (0x08, b"\1" if value else b"\0"),
    DateTime: lambda value: (0x09, struct.pack("<q", value)),
    type(None): lambda _value: (0x0A, b""),
    int: _encode_int,
    Int64: lambda value: (0x12, struct.pack("<q", value)),
    Raw: lambda value: (value.kind, value.data),
}


def _document(data, start):
    end = start + length_at(data, start)
    if data[end - 1] != 0:
        raise BsonError("not BSON: no end mark")
    document = {}
    position = start + 4
    while data[position] != 0:
        kind = data[position]
        stop = data.index(0, position + 1, end)
        name = bytes(data[position + 1 : stop]).decode()
        document[name], position = _decode_value(kind, data, stop + 1, end)
        if position >= end:
            raise BsonError("not BSON: a value is longer than its document")
    return document, end


def _decode_value(kind, data, at, end):
    if kind == 0x01:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind == 0x02:
        return _text(data, at)
    if kind == 0x03:
        return _document(data, at)
    if kind == 0x04:
        document, after = _document(data, at)
        return list(document.values()), after
    if kind == 0x05:
        return _binary(data, at, end)
    if kind == 0x07:
        return ObjectId(bytes(data[at : at + 12])), at + 12
    if kind == 0x08:
        return data[at] == 1, at + 1
    if kind == 0x09:
        return DateTime(struct.unpack_from("<q", data, at)[0]), at + 8
    if kind == 0x0A:
        return None, at
    if kind == 0x10:
        return struct.unpack_from("<i", data, at)[0], at + 4
    if kind == 0x12:
        return Int64(struct.unpack_from("<q", data, at)[0]), at + 8
    after = at + _raw_length(kind, data, at)
    return Raw(kind, bytes(data[at:after])), after


def _text(data, at):
    (size,) = struct.unpack_from("<i", data, at)
    after = at + 4 + size
    if size < 1 or after > len(data):
        raise BsonError("not BSON: wrong length of a text")
    return bytes(data[at + 4 : after - 1]).decode(), after


def _binary(data, at, end):
    size, subtype = struct.unpack_from("<iB", data, at)
    after = at + 5 + size
    if size < 0 or after > end:
        raise BsonError("not BSON: wrong length of binary data")
    if subtype == 0:
        return bytes(data[at + 5 : after]), after
    return Raw(0x05, bytes(data[at:after])), after


def _raw_length(kind, data, at):
    """Return the length of a value of a type that is kept as bytes."""
    if kind in (0x06, 0xFF, 0x7F):  # undefined, MinKey, MaxKey
        return 0
    if kind == 0x0B:  # regular expression: pattern and options
        return data.index(0, data.index(0, at) + 1) + 1 - at
    if kind in (0x0D, 0x0E):  # code, symbol
        return 4 + struct.unpack_from("<i", data, at)[0]
    if kind == 0x0C:  # pointer to another document
        return 4 + struct.unpack_from("<i", data, at)[0] + 12
    if kind == 0x0F:  # code with its variables
        return struct.unpack_from("<i", data, at)[0]
    if kind == 0x11:  # timestamp
        return 8
    if kind == 0x13:  # decimal
        return 16
    raise BsonError(f"not BSON: unknown type 0x{kind:02x}")
