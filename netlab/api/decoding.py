"""What is left of an object after Kubernetes has read it into Go types and written it again.

Mirrors the typed round trip of ``k8s.io/apimachinery/pkg/runtime/serializer/json``: unknown fields
and nulls vanish, empty optional lists and maps too, and so do zero values of fields that Go keeps
by value (``hostNetwork: false`` is not written, ``enableServiceLinks: false`` is: a pointer).
Quantities get their canonical form, times their RFC 3339 form in UTC.

Values of a wrong type raise ``DecodingError``, worded like Go's JSON decoder.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any, Final

from netlab.api.definitions import Field, Shape, ShapeKind, fields_of
from netlab.api.kind import Zeros
from netlab.api.quantities import canonical
from netlab.api.view import Object
from netlab.timestamps import rfc3339, rfc3339_micro

INT_LIMITS: Final = {
    ShapeKind.INT32: (-(2**31), 2**31 - 1),
    ShapeKind.INT64: (-(2**63), 2**63 - 1),
}

# Of the types that several kinds share; a kind's descriptor has those of its own (``Kind.zeros``).
_ZERO_DROPPED: Final = {
    "ObjectMeta": "name generateName namespace selfLink uid resourceVersion generation",
    "PodSpec": "hostNetwork hostPID hostIPC nodeName serviceAccountName serviceAccount hostname"
    " subdomain priorityClassName schedulerName restartPolicy dnsPolicy",
    "Container": "image workingDir imagePullPolicy terminationMessagePath terminationMessagePolicy"
    " stdin stdinOnce tty",
    "ContainerPort": "name hostPort protocol hostIP",
    "EnvVar": "value",
    "EnvFromSource": "prefix",
    "ObjectFieldSelector": "apiVersion",
    "SecretKeySelector": "name",
    "ConfigMapKeySelector": "name",
    "SecretEnvSource": "name",
    "ConfigMapEnvSource": "name",
    "LocalObjectReference": "name",
    "VolumeMount": "readOnly subPath subPathExpr",
    "EmptyDirVolumeSource": "medium",
    "Probe": "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold",
    "HTTPGetAction": "path host scheme",
    "Toleration": "key operator value effect",
    "ObjectReference": "kind namespace name uid apiVersion resourceVersion fieldPath",
}
_SHARED_ZEROS: Final = {name: frozenset(f.split()) for name, f in _ZERO_DROPPED.items()}
_NONE: Final[frozenset[str]] = frozenset()


def zero_dropped(definition: str, own: Zeros = ()) -> frozenset[str]:
    """Return the fields of a type whose zero value (``""``, 0, false) is not written.

    own: of the kind that is read, for types of its own.
    """
    name = definition.rsplit(".", 1)[1]
    for type_name, fields in own:
        if type_name == name:
            return frozenset(fields.split())
    return _SHARED_ZEROS.get(name, _NONE)


class DecodingError(ValueError):
    """A value has a type that the field cannot hold; str() is Go's message."""


class Decoder:
    """Reads one object by its definition; ``unknown`` collects the fields that no type has.

    own: see ``zero_dropped``.
    """

    def __init__(self, own: Zeros = ()) -> None:
        self.unknown: list[str] = []
        self._own = own

    def decode(self, definition: str, value: Any) -> Object:
        """Return ``value`` as it is after the round trip.

        Raises: DecodingError.
        """
        result: Object = self._struct(definition, value, "", "", definition.rsplit(".", 1)[1])
        return result

    # ``where`` is the path with indices, for strict errors; ``field`` is the path as Go's decoder
    # tells it (no indices, no map keys); ``owner`` is the struct that has the field.
    def _struct(self, definition: str, value: Any, where: str, field: str, owner: str) -> Object:
        if not isinstance(value, dict):
            shape = Shape(ShapeKind.STRUCT, definition)
            raise self._mismatch(value, shape, field, owner)
        fields = fields_of(definition)
        owner = definition.rsplit(".", 1)[1]
        zeros = zero_dropped(definition, self._own)
        result: Object = {}
        for name, item in value.items():
            known = fields.get(name)
            here = f"{where}.{name}" if where else name
            if known is None:
                self.unknown.append(here)
            elif item is not None:
                go_path = f"{field}.{name}" if field else name
                read = self._value(known.shape, item, here, go_path, owner)
                if read is not None and not _vanishes(known, read, zeros):
                    result[name] = read
        return result

    def _value(self, shape: Shape, value: Any, where: str, field: str, owner: str) -> Any:
        kind = shape.kind
        if kind is ShapeKind.STRUCT:
            return self._struct(shape.definition, value, where, field, owner)
        if kind is ShapeKind.LIST:
            return self._list(shape, value, where, field, owner)
        if kind is ShapeKind.MAP:
            return self._map(shape, value, where, field, owner)
        if kind is ShapeKind.ANY:
            return value
        if _is_of_kind(kind, value):
            return _SPECIAL_READERS[kind](value) if kind in _SPECIAL_READERS else value
        raise self._mismatch(value, shape, field, owner)

    def _list(self, shape: Shape, value: Any, where: str, field: str, owner: str) -> list[Any]:
        if not isinstance(value, list) or shape.item is None:
            raise self._mismatch(value, shape, field, owner)
        return [
            self._value(shape.item, _zero_for_null(shape.item, v), f"{where}[{i}]", field, owner)
            for i, v in enumerate(value)
        ]

    def _map(self, shape: Shape, value: Any, where: str, field: str, owner: str) -> Object:
        if not isinstance(value, dict) or shape.item is None:
            raise self._mismatch(value, shape, field, owner)
        return {
            key: self._value(
                shape.item, _zero_for_null(shape.item, v), f"{where}.{key}", field, owner
            )
            for key, v in value.items()
        }

    @staticmethod
    def _mismatch(value: Any, shape: Shape, field: str, owner: str) -> DecodingError:
        written = _go_json_kind(value)
        if shape.kind in (ShapeKind.TIME, ShapeKind.MICRO_TIME):
            return DecodingError(f"json: cannot unmarshal {written} into Go value of type string")
        if shape.kind is ShapeKind.INT_OR_STRING:
            if isinstance(value, int | float) and not isinstance(value, bool):
                written = f"number {value}"
            return DecodingError(f"json: cannot unmarshal {written} into Go value of type int32")
        if isinstance(value, float) or (
            isinstance(value, int) and not isinstance(value, bool) and shape.kind in INT_LIMITS
        ):
            written = f"number {value}" if shape.kind in INT_LIMITS else written
        return DecodingError(
            f"json: cannot unmarshal {written} into Go struct field {owner}.{field}"
            f" of type {shape.go_type}"
        )


def _zero_for_null(shape: Shape, value: Any) -> Any:
    """In lists and maps Go turns null into the zero value of the item."""
    if value is not None:
        return value
    empty = {ShapeKind.STRING: "", ShapeKind.STRUCT: {}, ShapeKind.LIST: [], ShapeKind.MAP: {}}
    return empty.get(shape.kind)


def _vanishes(field: Field, value: Any, zeros: frozenset[str]) -> bool:
    if value or field.required:
        return False
    return field.name in zeros or field.shape.kind in (ShapeKind.LIST, ShapeKind.MAP)


def _is_of_kind(kind: ShapeKind, value: Any) -> bool:
    match value:
        case bool():
            return kind is ShapeKind.BOOL
        case str():
            return kind not in (ShapeKind.BOOL, ShapeKind.FLOAT, *INT_LIMITS)
        case int():
            if kind in INT_LIMITS:
                low, high = INT_LIMITS[kind]
                return low <= value <= high
            if kind is ShapeKind.INT_OR_STRING:
                low, high = INT_LIMITS[ShapeKind.INT32]
                return low <= value <= high
            return kind in (ShapeKind.FLOAT, ShapeKind.QUANTITY)
        case float():
            return kind in (ShapeKind.FLOAT, ShapeKind.QUANTITY)
        case _:
            # Quantity's own reader words this error
            return kind is ShapeKind.QUANTITY


def _go_json_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def _read_quantity(value: Any) -> str:
    try:
        return canonical(value)
    except ValueError as error:
        raise DecodingError(str(error)) from None


def _read_bytes(value: str) -> str:
    # Go passes over line breaks and forgets bits that pad the last character
    compact = value.replace("\n", "").replace("\r", "")
    try:
        data = base64.b64decode(compact, validate=True)
    except ValueError:
        raise DecodingError(f"illegal base64 data at input byte {_bad_byte(value)}") from None
    return base64.b64encode(data).decode()


def _bad_byte(value: str) -> int:
    """Return where Go's decoder stops: the first foreign character, or the incomplete group."""
    for index, char in enumerate(value):
        if not (char.isascii() and (char.isalnum() or char in "+/")):
            return index
    return len(value) - len(value) % 4


_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.](\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_FRACTION_DIGITS: Final = 6
_ZERO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)


def _moment(value: str, layout: str) -> datetime | None:
    """Return the moment in UTC; None for Go's zero time, which is written as null.

    Raises: DecodingError also for what lies before the year 1 or after 9999 in UTC: Go could
    write it, but nobody read it again.
    """
    found = _RFC3339.fullmatch(value)
    if found is None:
        quoted = f'"{value}" as "{layout}": cannot parse "{value}" as "2006"'
        raise DecodingError(f"parsing time {quoted}")
    fraction = (found[7] or "")[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0")
    zone = "+00:00" if found[8] == "Z" else found[8]
    try:
        moment = datetime.fromisoformat(f"{value[:19]}.{fraction}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DecodingError(f'parsing time "{value}": {error}') from None
    return None if moment == _ZERO_TIME else moment


def _read_time(value: str) -> str | None:
    moment = _moment(value, "2006-01-02T15:04:05Z07:00")
    return None if moment is None else rfc3339(moment)


def _read_micro_time(value: str) -> str | None:
    layout = "2006-01-02T15:04:05.000000Z07:00"
    moment = _moment(value, layout)
    zone = value[19:].lstrip(".0123456789")
    if len(value) - len(zone) != len("2006-01-02T15:04:05.000000"):
        rest = value[19:]
        raise DecodingError(
            f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as ".000000"'
        )
    return None if moment is None else rfc3339_micro(moment)


_SPECIAL_READERS: Final = {
    ShapeKind.QUANTITY: _read_quantity,
    ShapeKind.BYTES: _read_bytes,
    ShapeKind.TIME: _read_time,
    ShapeKind.MICRO_TIME: _read_micro_time,
}
