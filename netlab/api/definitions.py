"""The types of the Kubernetes API: which fields each has, their shapes and merge rules.

Reads the definitions that the ``kubernetes-validate`` package carries for Kubernetes v1.36 (or the
newest it has), one small file per type, when a type is first asked for: all definitions together
would take a quarter of the daemon's memory. Only what decides (shapes, merge keys) is kept;
descriptions are read again when somebody asks for OpenAPI, which happens once per client.

A definition's name is that of Kubernetes' OpenAPI: ``io.k8s.api.core.v1.PodSpec``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from netlab.api.kind import Kind, TypeName
from netlab.errors import HostError

PREFERRED_VERSION: Final = "v1.36."
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"


class ShapeKind(Enum):
    """What a JSON value looks like, as far as decoding cares."""

    STRING = "string"
    BYTES = "bytes"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT = "float64"
    BOOL = "bool"
    TIME = "time"
    MICRO_TIME = "micro-time"
    QUANTITY = "quantity"
    INT_OR_STRING = "int-or-string"
    STRUCT = "struct"
    LIST = "list"
    MAP = "map"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a value; ``definition`` is set for STRUCT, ``item`` for LIST and MAP."""

    kind: ShapeKind
    definition: str = ""
    item: Shape | None = None

    @property
    def go_type(self) -> str:
        """The type as Go's decoder names it in errors."""
        item = self.item.go_type if self.item else ""
        match self.kind:
            case ShapeKind.STRUCT:
                version, name = self.definition.split(".")[-2:]
                return f"{version}.{name}"
            case ShapeKind.LIST:
                return f"[]{item}"
            case ShapeKind.MAP:
                return f"map[string]{item}"
            case ShapeKind.BYTES:
                return "[]uint8"
            case _:
                return str(self.kind.value)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a type.

    strategies: of strategic merge patches: ``merge``, ``retainKeys``, ``replace``; empty means the
    default (structs and maps are merged, lists replaced);
    merge_key: the field that identifies the items of a merged list, None for plain values.
    """

    name: str
    shape: Shape
    required: bool = False
    strategies: tuple[str, ...] = ()
    merge_key: str | None = None


_SPECIAL: Final = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Shape(ShapeKind.QUANTITY),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Shape(ShapeKind.INT_OR_STRING),
    f"{META}.Time": Shape(ShapeKind.TIME),
    f"{META}.MicroTime": Shape(ShapeKind.MICRO_TIME),
    f"{META}.FieldsV1": Shape(ShapeKind.ANY),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": Shape(ShapeKind.ANY),
}
_SCALARS: Final = {
    ("string", "byte"): ShapeKind.BYTES,
    ("integer", "int32"): ShapeKind.INT32,
    ("number", "double"): ShapeKind.FLOAT,
    ("string", "date-time"): ShapeKind.TIME,
}
_BARE: Final = {
    "string": ShapeKind.STRING,
    "integer": ShapeKind.INT64,
    "number": ShapeKind.FLOAT,
    "boolean": ShapeKind.BOOL,
}
_COMMON_TYPES: Final = tuple(
    f"{META}.{name}"
    for name in ("DeleteOptions", "Status", "Patch", "WatchEvent", "APIResourceList", "APIGroup")
)


@lru_cache(maxsize=1)
def _folder() -> Path:
    """The folder with one file per type; found without importing the package (it is heavy)."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise HostError("the Python package kubernetes-validate is missing; reinstall netlab")
    root = Path(next(iter(spec.submodule_search_locations))) / "kubernetes-json-schema"
    folders = [path for path in root.iterdir() if path.name.endswith("-local")]
    for folder in folders:
        if folder.name.startswith(PREFERRED_VERSION):
            return folder
    return max(folders, key=lambda path: [int(n) for n in path.name[1:-6].split(".")])


def definition_name(group: str, version: str, kind: str) -> str:
    """Return the name of a kind's definition."""
    return f"io.k8s.api.{group.split('.')[0] or 'core'}.{version}.{kind}"


def definition_of(kind: Kind[Any] | TypeName) -> str:
    """Return the name of the definition of a kind, or of what a subresource takes."""
    return definition_name(kind.group, kind.version, kind.kind)


def _file_name(definition: str) -> str:
    parts = definition.split(".")
    name = parts[-1].lower()
    if definition.endswith("pkg.api.resource.Quantity"):
        return "quantity-resource.json"
    if definition.startswith("io.k8s.api.core."):
        return f"{name}-{parts[-2]}.json"
    return f"{name}-{parts[-3]}-{parts[-2]}.json"


def raw_definition(definition: str) -> dict[str, Any]:
    """Return the definition as the package has it (JSON schema, with descriptions).

    Raises: KeyError when there is no such type.
    """
    try:
        body = (_folder() / _file_name(definition)).read_bytes()
    except FileNotFoundError:
        raise KeyError(definition) from None
    raw: dict[str, Any] = msgspec.json.decode(body)
    return raw


def load_fields(definition: str) -> Mapping[str, Field]:
    """Return the fields of a type by name, read anew. Prefer ``fields_of``.

    Raises: KeyError when there is no such type.
    """
    raw = raw_definition(definition)
    required = frozenset(raw.get("required", ()))
    return {
        name: Field(
            name,
            _shape(prop),
            name in required,
            tuple(filter(None, prop.get("x-kubernetes-patch-strategy", "").split(","))),
            prop.get("x-kubernetes-patch-merge-key"),
        )
        for name, prop in raw.get("properties", {}).items()
    }


@cache
def fields_of(definition: str) -> Mapping[str, Field]:
    """Return the fields of a type by name, kept once read. Do not change it.

    Raises: KeyError when there is no such type.
    """
    return load_fields(definition)


def _schema_type(prop: Mapping[str, Any]) -> str:
    """The type without ``null``, which the package adds to every optional field."""
    kind: object = prop.get("type", "")
    if isinstance(kind, list):
        return next((str(name) for name in kind if name != "null"), "")
    return str(kind)


def _shape(prop: Mapping[str, Any]) -> Shape:
    reference = prop.get("$ref")
    if reference:
        definition = reference.rsplit("/", 1)[1]
        special = _SPECIAL.get(definition)
        return special or Shape(ShapeKind.STRUCT, definition)
    kind = _schema_type(prop)
    if kind == "array":
        return Shape(ShapeKind.LIST, item=_shape(prop["items"]))
    values = prop.get("additionalProperties")
    if kind == "object" and isinstance(values, dict):
        return Shape(ShapeKind.MAP, item=_shape(values))
    scalar = _SCALARS.get((kind, prop.get("format", ""))) or _BARE.get(kind, ShapeKind.ANY)
    return Shape(scalar)


def referenced(shape: Shape) -> str:
    """Return the definition that a value of this shape holds (itself or its items), or ""."""
    while shape.item is not None:
        shape = shape.item
    return shape.definition


def definition(kind: Kind[Any]) -> dict[str, Any]:
    """Return the OpenAPI v3 schema of a kind, with descriptions; read anew each time."""
    return openapi_schema(definition_of(kind))


def openapi_schema(name: str) -> dict[str, Any]:
    """Return one type as an OpenAPI v3 component schema.

    Raises: KeyError when there is no such type.
    """
    raw = raw_definition(name)
    if "oneOf" in raw:  # the package adds a misleading ``type: object``
        return {key: raw[key] for key in ("description", "oneOf") if key in raw}
    schema = {key: value for key, value in raw.items() if not key.startswith("$")}
    if "properties" in schema:
        schema["properties"] = {
            field: _openapi_property(prop) for field, prop in schema["properties"].items()
        }
    return schema


def _openapi_property(prop: Mapping[str, Any]) -> dict[str, Any]:
    """One property, without the package's own ``null`` and ``enum``."""
    out = {key: value for key, value in prop.items() if key not in ("$ref", "enum")}
    if "type" in out:
        out["type"] = _schema_type(prop)
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _openapi_property(out[key])
    if "$ref" in prop:
        reference = {"$ref": f"#/components/schemas/{prop['$ref'].rsplit('/', 1)[1]}"}
        # OpenAPI ignores what stands beside a $ref, so a description needs allOf
        return {**out, "allOf": [reference]} if out else reference
    return out


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rsplit("/", 1)[1]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def schemas_reachable_from(roots: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the OpenAPI schemas of ``roots`` and of every type they mention, by name.

    Names that the package does not have are left out. Computed anew and large: do not keep it.
    """
    found: dict[str, dict[str, Any]] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = openapi_schema(name)
        except KeyError:
            continue
        waiting.extend(_references(found[name]))
    return dict(sorted(found.items()))


def definitions_for(kinds: Iterable[Kind[Any]]) -> dict[str, dict[str, Any]]:
    """Return ``components.schemas`` for an OpenAPI v3 document about ``kinds``.

    Holds the kinds, their lists, the bodies of their subresources and what all requests share.
    Computed on demand; do not keep it.
    """
    roots = list(_COMMON_TYPES)
    for kind in kinds:
        roots += [definition_of(kind), f"{definition_of(kind)}List"]
        roots += [definition_of(sub.type) for sub in kind.subresources if sub.type is not None]
    return schemas_reachable_from(roots)
