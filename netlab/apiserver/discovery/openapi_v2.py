"""OpenAPI v2 as protobuf, in the message types of gnostic, which kubectl up to 1.28 reads.

Only encodes, and only what ``kubectl`` looks at: definitions with their types, descriptions and
group-version-kinds, and the query parameters of the patch operations. Field numbers are those of
gnostic's ``openapiv2/OpenAPIv2.proto``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

_LENGTH_DELIMITED = 2
_VARINT = 0


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(data)) + data


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode()) if value else b""


def _true(number: int) -> bytes:
    return _varint(number << 3 | _VARINT) + b"\x01"


def _any(value: Any) -> bytes:
    # gnostic's Any carries YAML text, of which JSON is a part
    return _bytes(2, msgspec.json.encode(value) + b"\n")


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _bytes(2, value)


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Return an OpenAPI v2 document as a gnostic ``Document``."""
    info = document["info"]
    paths = b"".join(
        _bytes(2, _named(path, _path_item(item))) for path, item in document["paths"].items()
    )
    definitions = b"".join(
        _bytes(1, _named(name, _schema(schema))) for name, schema in document["definitions"].items()
    )
    return (
        _text(1, document["swagger"])
        + _bytes(2, _text(1, info["title"]) + _text(2, info["version"]))
        + _bytes(8, paths)
        + _bytes(9, definitions)
    )


def _path_item(item: Mapping[str, Any]) -> bytes:
    return _bytes(8, _operation(item["patch"]))


def _operation(operation: Mapping[str, Any]) -> bytes:
    parameters = b"".join(_bytes(8, _bytes(1, _query(p))) for p in operation["parameters"])
    responses = b"".join(
        _bytes(1, _named(code, _bytes(1, _text(1, response["description"]))))
        for code, response in operation["responses"].items()
    )
    return parameters + _bytes(9, responses) + b"".join(_extensions(operation, 13))


def _query(parameter: Mapping[str, Any]) -> bytes:
    """A Parameter that is a NonBodyParameter that is a QueryParameterSubSchema."""
    schema = _text(2, "query") + _text(4, parameter["name"]) + _text(6, parameter["type"])
    return _bytes(2, _bytes(3, schema))


def _schema(schema: Mapping[str, Any]) -> bytes:
    return b"".join(_schema_fields(schema))


def _schema_fields(schema: Mapping[str, Any]) -> Iterator[bytes]:
    yield _text(1, schema.get("$ref", ""))
    yield _text(2, schema.get("format", ""))
    yield _text(3, schema.get("title", ""))
    yield _text(4, schema.get("description", ""))
    for name in schema.get("required", ()):
        yield _text(19, name)
    for value in schema.get("enum", ()):
        yield _bytes(20, _any(value))
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        yield _bytes(21, _bytes(1, _schema(extra)))
    elif extra is True:
        yield _bytes(21, _true(2))
    if schema.get("type"):
        yield _bytes(22, _types(schema["type"]))
    if isinstance(schema.get("items"), Mapping):
        yield _bytes(23, _bytes(1, _schema(schema["items"])))
    properties: Mapping[str, Any] = schema.get("properties", {})
    if properties:
        yield _bytes(
            25, b"".join(_bytes(1, _named(name, _schema(p))) for name, p in properties.items())
        )
    yield from _extensions(schema, 31)


def _types(value: str | Iterable[str]) -> bytes:
    names = [value] if isinstance(value, str) else list(value)
    return b"".join(_text(1, name) for name in names)


def _extensions(item: Mapping[str, Any], number: int) -> Iterator[bytes]:
    for name, value in item.items():
        if name.startswith("x-"):
            yield _bytes(number, _named(name, _any(value)))
