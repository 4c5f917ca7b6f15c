"""Reads protobuf request bodies into the JSON form of objects.

kubectl from 1.32 on sends typed ``create`` commands as ``application/vnd.kubernetes.protobuf``:
four magic bytes, then a ``runtime.Unknown`` that names the type and holds the message. The field
numbers of the types come from a table (``data/protobuf-v1.36.json``: type, then JSON name to
``[number, type]``), so there is no code per type. netlab answers in JSON only, which every client
of Kubernetes accepts, so nothing here encodes.

Go writes fields that it keeps by value even when they are zero. As JSON they are left out, so
zeros are dropped here, except where a zero says something: required fields and pointers.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import msgspec

from netlab.api.definitions import fields_of
from netlab.api.field_errors import bad_request
from netlab.api.view import Object
from netlab.timestamps import rfc3339, rfc3339_micro

MAGIC: Final = b"k8s\x00"

_META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1"
_META_KINDS: Final = frozenset({"DeleteOptions", "Status", "ListOptions"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DEPTH: Final = 100

# Scalars that Go keeps as pointers and whose zero differs from being absent.
_POINTERS: Final = frozenset(
    [
        "activeDeadlineSeconds",
        "allocateLoadBalancerNodePorts",
        "allowVolumeExpansion",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "averageUtilization",
        "backoffLimit",
        "blockOwnerDeletion",
        "completions",
        "controller",
        "defaultMode",
        "deletionGracePeriodSeconds",
        "enableServiceLinks",
        "expirationSeconds",
        "failedJobsHistoryLimit",
        "fsGroup",
        "gracePeriodSeconds",
        "hostUsers",
        "immutable",
        "minReplicas",
        "mode",
        "optional",
        "orphanDependents",
        "parallelism",
        "partition",
        "priority",
        "privileged",
        "progressDeadlineSeconds",
        "readOnlyRootFilesystem",
        "ready",
        "replicas",
        "revisionHistoryLimit",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "serving",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "started",
        "startingDeadlineSeconds",
        "storageClassName",
        "successfulJobsHistoryLimit",
        "suspend",
        "terminating",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "ttlSecondsAfterFinished",
    ]
)


class _MalformedError(ValueError):
    """The bytes are no message of the type."""


@dataclass(frozen=True, slots=True)
class _Field:
    """How to read one field: ``inline`` ones put their fields into the outer object."""

    name: str
    read: Callable[[Any, int], Any]
    repeated: bool = False
    mapping: bool = False
    packable: bool = False
    inline: bool = False
    keeps_zero: bool = False


def decode_protobuf(body: bytes) -> Object:
    """Return the object that ``body`` holds, with its ``apiVersion`` and ``kind``.

    Raises: ApiError 400 when it is no such body or the type is unknown.
    """
    if not body.startswith(MAGIC):
        raise bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = _message("k8s.io.apimachinery.pkg.runtime.Unknown", body[len(MAGIC) :], 0)
        meta = envelope.get("typeMeta") or {}
        api_version, kind = meta.get("apiVersion", ""), meta.get("kind", "")
        raw = base64.b64decode(envelope.get("raw") or "")
        obj = _message(_type_name(api_version, kind), raw, 0)
    except _MalformedError as error:
        raise bad_request(str(error)) from None
    return {"apiVersion": api_version, "kind": kind, **obj}


def _type_name(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    package = f"k8s.io.api.{group.split('.')[0] or 'core'}.{version}"
    name = f"{_META if kind in _META_KINDS else package}.{kind}"
    if name not in _tables():
        raise _MalformedError(f'no kind "{kind}" is registered for version "{api_version}"')
    return name


@lru_cache(maxsize=1)
def _tables() -> Mapping[str, msgspec.Raw]:
    """The table of every type, each still as text: few are ever needed."""
    body = resources.files("netlab.api").joinpath("data/protobuf-v1.36.json").read_bytes()
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


@cache
def _fields(type_name: str) -> Mapping[int, _Field]:
    """The fields of a type by number."""
    table = msgspec.json.decode(_tables()[type_name], type=dict[str, tuple[int, str]])
    return {number: _field(type_name, name, kind) for name, (number, kind) in table.items()}


def _field(owner: str, name: str, kind: str) -> _Field:
    if kind.startswith("map<string,"):
        value = _reader(kind.removeprefix("map<string,").removesuffix(">"))
        return _Field(name, value, mapping=True)
    item = kind.removeprefix("[]")
    repeated = item != kind
    is_message = item.startswith("k8s.io.")
    known = _json_fields(owner)
    return _Field(
        name,
        _reader(item),
        repeated=repeated,
        packable=repeated and item in ("int32", "int64", "bool"),
        # an embedded struct has a name in protobuf, but none in JSON
        inline=is_message and not repeated and bool(known) and name not in known,
        keeps_zero=is_message or known.get(name, False) or name in _POINTERS,
    )


def _json_fields(type_name: str) -> Mapping[str, bool]:
    """The JSON fields of a type and whether each is required; empty for unknown types."""
    try:
        fields = fields_of("io.k8s." + type_name.removeprefix("k8s.io."))
    except KeyError:
        return {}
    return {name: field.required for name, field in fields.items()}


def _reader(kind: str) -> Callable[[Any, int], Any]:
    """Return the function that turns a wire value (int or bytes) into JSON."""
    special = _READERS.get(kind)
    if special is not None:
        return special
    if kind.endswith(".ExtraValue"):
        return lambda value, depth: _message(kind, value, depth).get("items", [])
    return lambda value, depth: _message(kind, value, depth)


def _message(type_name: str, data: Any, depth: int) -> Object:
    if depth > _MAX_DEPTH or not isinstance(data, bytes):
        raise _MalformedError(f"proto: {type_name}: wrong wire type or too deeply nested")
    fields = _fields(type_name)
    result: Object = {}
    for number, value in _wire_fields(data):
        field = fields.get(number)
        if field is not None:
            _store(field, result, value, depth)
    return result


def _store(field: _Field, result: Object, value: Any, depth: int) -> None:
    if field.mapping:
        key, item = _map_entry(value)
        result.setdefault(field.name, {})[key] = field.read(item, depth + 1)
    elif field.packable and isinstance(value, bytes):
        numbers = [field.read(number, depth) for number in _packed(value)]
        result.setdefault(field.name, []).extend(numbers)
    elif field.repeated:
        result.setdefault(field.name, []).append(field.read(value, depth + 1))
    else:
        read = field.read(value, depth + 1)
        if field.inline:
            result.update(read)
        elif read is not None and (read or field.keeps_zero):
            result[field.name] = read


def _map_entry(data: Any) -> tuple[str, Any]:
    key = ""
    value: int | bytes = b""
    if not isinstance(data, bytes):
        raise _MalformedError("proto: wrong wireType for a map entry")
    for number, item in _wire_fields(data):
        if number == 1:
            key = _string(item, 0)
        elif number == 2:
            value = item
    return key, value


def _wire_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of each field: an int for varints, bytes for what has a length."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == 2:
            length, position = _varint(data, position)
        else:
            length = {1: 8, 5: 4}.get(wire_type, end + 1)
        if position + length > end:
            raise _MalformedError("unexpected EOF")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _MalformedError("unexpected EOF")


def _packed(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _integer(value: Any, _depth: int) -> int:
    if not isinstance(value, int):
        raise _MalformedError("proto: wrong wireType for a number")
    # negative numbers are written as 64 bits in two's complement
    number: int = value & (2**64 - 1)
    return number - 2**64 if number >= 2**63 else number


def _bool(value: Any, depth: int) -> bool:
    return bool(_integer(value, depth))


def _string(value: Any, _depth: int) -> str:
    try:
        text: str = value.decode()
    except (AttributeError, UnicodeDecodeError):
        raise _MalformedError("proto: a text is not UTF-8") from None
    return text


def _bytes(value: Any, _depth: int) -> str:
    if not isinstance(value, bytes):
        raise _MalformedError("proto: wrong wireType for bytes")
    return base64.b64encode(value).decode()


def _int_or_string(value: Any, depth: int) -> int | str:
    message = _message("k8s.io.apimachinery.pkg.util.intstr.IntOrString", value, depth)
    # type 0 is a number, 1 a text
    return str(message.get("strVal", "")) if message.get("type") else int(message.get("intVal", 0))


def _quantity(value: Any, depth: int) -> str:
    message = _message("k8s.io.apimachinery.pkg.api.resource.Quantity", value, depth)
    return str(message.get("string") or "0")


def _moment(value: Any, depth: int) -> datetime | None:
    message = _message(f"{_META}.Time", value, depth)
    seconds, nanos = message.get("seconds", 0), message.get("nanos", 0)
    if not seconds and not nanos:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise _MalformedError("proto: a time is out of range") from None


def _time(value: Any, depth: int) -> str | None:
    moment = _moment(value, depth)
    return rfc3339(moment) if moment else None


def _micro_time(value: Any, depth: int) -> str | None:
    moment = _moment(value, depth)
    return rfc3339_micro(moment) if moment else None


def _fields_v1(value: Any, depth: int) -> Any:
    raw = _message(f"{_META}.FieldsV1", value, depth).get("Raw", "")
    try:
        return json.loads(base64.b64decode(raw) or b"{}")
    except ValueError:
        raise _MalformedError("proto: managed fields are not JSON") from None


def _raw_extension(value: Any, depth: int) -> Any:
    """JSON of a type that the outer message does not know."""
    raw = _message("k8s.io.apimachinery.pkg.runtime.RawExtension", value, depth).get("raw", "")
    try:
        return json.loads(base64.b64decode(raw) or b"null")
    except ValueError:
        raise _MalformedError("proto: an embedded object is not JSON") from None


_READERS: Final[Mapping[str, Callable[[Any, int], Any]]] = {
    "string": _string,
    "bytes": _bytes,
    "bool": _bool,
    "int32": _integer,
    "int64": _integer,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    f"{_META}.Time": _time,
    f"{_META}.MicroTime": _micro_time,
    f"{_META}.FieldsV1": _fields_v1,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw_extension,
}
