"""Reads request bodies: JSON and YAML into objects, telling fields that were written twice.

Mirrors ``sigs.k8s.io/json`` and ``sigs.k8s.io/yaml``. As there, the last of two equal fields wins,
and the caller decides whether that is an error, a warning or nothing (``fieldValidation``).
YAML 1.1 is read as Kubernetes does: ``yes`` is true, dates stay text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from netlab.api.field_errors import bad_request
from netlab.api.view import Object

_DUPLICATES = "\0duplicates"


def decode_json(body: bytes) -> tuple[Object, list[str]]:
    """Return the object and the paths of duplicate fields, such as ``spec.ports[0].port``.

    Raises: ApiError 400 for malformed JSON and for anything but an object.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    obj = _require_object(value)
    if _written_fields(body) == _count_fields(obj):
        return obj, []
    marked = json.loads(body, object_pairs_hook=_mark_duplicates)
    return obj, list(_duplicate_paths(marked, ""))


def decode_yaml(body: bytes) -> tuple[Object, list[str]]:
    """Return the object that one YAML document holds, and the paths of duplicate fields.

    Raises: ApiError 400 for malformed YAML and for anything but a mapping.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows no dates and marks duplicate keys."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(loader: Any, node: Any) -> Any:
        loader.flatten_mapping(node)
        pairs = [
            (_key_text(loader.construct_object(key, deep=True)), value) for key, value in node.value
        ]
        built = [(key, loader.construct_object(value, deep=True)) for key, value in pairs]
        return _mark_duplicates(built)

    Loader.add_constructor("tag:yaml.org,2002:map", construct_mapping)
    try:
        marked = yaml.load(body, Loader)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"error converting YAML to JSON: yaml: {_one_line(error)}") from None
    obj = _require_object(marked)
    duplicates = list(_duplicate_paths(obj, ""))
    _remove_marks(obj)
    return obj, duplicates


def _require_object(value: Any) -> Object:
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

    Text with spaces before the colon counts wrongly, which only means the slow way below.
    """
    return body.count(b'":') - body.count(b'\\":')


def _count_fields(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(
            _count_fields(item) for item in value.values() if isinstance(item, dict | list)
        )
    return sum(_count_fields(item) for item in value if isinstance(item, dict | list))


def _mark_duplicates(pairs: list[tuple[str, Any]]) -> Object:
    obj = dict(pairs)
    if len(obj) != len(pairs):
        seen: set[str] = set()
        repeated = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        obj[_DUPLICATES] = repeated
    return obj


def _duplicate_paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        for key in value.get(_DUPLICATES, ()):
            yield f"{prefix}{key}"
        for key, item in value.items():
            if key != _DUPLICATES:
                yield from _duplicate_paths(item, f"{prefix}{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicate_paths(item, f"{path}[{index}]")


def _remove_marks(value: Any) -> None:
    if isinstance(value, dict):
        value.pop(_DUPLICATES, None)
        for item in value.values():
            _remove_marks(item)
    elif isinstance(value, list):
        for item in value:
            _remove_marks(item)


def _key_text(key: Any) -> str:
    """JSON has only text as keys; YAML's other scalars are written as JSON writes them."""
    return key if isinstance(key, str) else json.dumps(key)


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return str(problem)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
