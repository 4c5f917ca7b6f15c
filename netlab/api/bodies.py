"""Reads JSON request bodies into objects, telling fields that were written twice.

Mirrors ``sigs.k8s.io/json``. As there, the last of two equal fields wins, and the caller decides
whether that is an error, a warning or nothing (``fieldValidation``). YAML is in ``yaml_bodies``.

A body is read in time that grows with its bytes: nothing in it may stand for more than itself.
Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from netlab.api.field_errors import bad_request
from netlab.api.view import Object
from netlab.errors import ApiError

MAX_DEPTH: Final = 200
"""How deep objects and lists may nest. Go stops at 10,000; no kind of Kubernetes reaches 30."""


MAX_NODES: Final = 30_000
"""Fields and items in one body. Each costs the server some microseconds, while others wait; the
largest objects of real clusters, CustomResourceDefinitions of half a megabyte, have 20,000."""


_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class _Repeating(dict[str, Any]):
    """An object in which fields stand twice: a type of its own, so that no key can look like it."""

    repeated: tuple[str, ...] = ()


def parse_json(body: bytes) -> tuple[Any, int]:
    """Return the value, and how many fields its objects have in all.

    Raises: ApiError 400 for malformed JSON and for what nests deeper than ``MAX_DEPTH``, 413 for
    more than ``MAX_NODES`` fields and items.
    """
    if body.count(b",") > MAX_NODES and _STRING.sub(b"", body).count(b",") > MAX_NODES:
        raise too_many_nodes()  # told before half a million objects are built
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise bad_request(f"json parse error: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    return value, count_fields(value)


def decode_json(body: bytes) -> tuple[Object, list[str]]:
    """Return the object and the paths of duplicate fields, such as ``spec.ports[0].port``.

    Raises: ApiError 400 for malformed JSON and for anything but an object.
    """
    try:
        value, fields = parse_json(body)
    except ApiError as error:
        if error.code != 400:
            raise
        raise bad_request(f"couldn't get version/kind; {error.message}") from None
    obj = require_object(value)
    if _written_fields(body) == fields:
        return obj, []
    marked = json.loads(body, object_pairs_hook=_mark_duplicates)
    return obj, list(_duplicate_paths(marked, ""))


def require_object(value: Any) -> Object:
    """Return ``value`` when it is an object.

    Raises: ApiError 400, worded as Go's decoder.
    """
    if isinstance(value, dict):
        return value
    kind = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    if value is None:
        kind = "null"
    raise bad_request(
        f"couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go value"
        " of type runtime.TypeMeta"
    )


def _written_fields(body: bytes) -> int:
    """Count the fields in the text: inside strings a quote is escaped, so ``":`` ends a key.

    Text with spaces before the colon counts wrongly, which only means the slow way above.
    """
    return body.count(b'":') - body.count(b'\\":')


def count_fields(value: Any) -> int:
    """Count the fields of all objects, level by level: the Python stack stays flat.

    Raises: ApiError 400 when there are more than ``MAX_DEPTH`` levels, 413 when there are more than
    ``MAX_NODES`` fields and items.
    """
    level, fields, items, depth = [value], 0, 0, 0
    while level:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise _too_deep()
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                fields += len(item)
                below += [part for part in item.values() if isinstance(part, dict | list)]
            elif isinstance(item, list):
                items += len(item)
                below += [part for part in item if isinstance(part, dict | list)]
            if fields + items > MAX_NODES:
                raise too_many_nodes()
        level = below
    return fields


def too_many_nodes() -> ApiError:
    """Return the 413 answer to a body with more than ``MAX_NODES`` fields and items."""
    return ApiError(
        413,
        "RequestEntityTooLarge",
        f"Request entity too large: a body may have at most {MAX_NODES} fields and items",
    )


def _too_deep() -> ApiError:
    return bad_request(
        f"json parse error: exceeded max depth: objects and lists may nest {MAX_DEPTH} deep"
    )


def _mark_duplicates(pairs: list[tuple[str, Any]]) -> Object:
    obj = dict(pairs)
    if len(obj) == len(pairs):
        return obj
    marked = _Repeating(obj)
    seen: set[str] = set()
    repeated = []
    for key, _ in pairs:
        if key in seen:
            repeated.append(key)
        seen.add(key)
    marked.repeated = tuple(repeated)
    return marked


def _duplicate_paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        if isinstance(value, _Repeating):
            for key in value.repeated:
                yield f"{prefix}{key}"
        for key, item in value.items():
            if isinstance(item, dict | list):
                yield from _duplicate_paths(item, f"{prefix}{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _duplicate_paths(item, f"{path}[{index}]")
