"""ConfigMap and Secret: configuration and confidential data by key."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from netlab.api import names
from netlab.api.core import ConfigMap, Secret
from netlab.api.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    required,
    too_long,
)
from netlab.api.field_selectors import paths
from netlab.api.kind import Kind
from netlab.api.kinds.counted import counted_by_name
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of
from netlab.api.validation.metadata import IMMUTABLE
from netlab.api.view import Object

MAX_BYTES: Final = 1024 * 1024
IMMUTABLE_WHEN_SET: Final = "field is immutable when `immutable` is set"
_NEEDED_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
}


def validate_config_map(config_map: Object) -> list[FieldError]:
    """Return what is wrong with a ConfigMap, metadata aside."""
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    errors = []
    for key in data:
        errors += [invalid_value(f"data[{key}]", key, m) for m in names.config_key(key)]
        if key in binary:
            detail = "duplicate of key present in binaryData"
            errors.append(invalid_value(f"data[{key}]", key, detail))
    for key in binary:
        path = f"binaryData[{key}]"
        errors += [invalid_value(path, key, message) for message in names.config_key(key)]
    size = sum(len(v.encode()) for v in data.values()) + _decoded_bytes(binary)
    if size > MAX_BYTES:
        # Kubernetes names no field here, and writes a path without a name so
        errors.append(too_long("[]", MAX_BYTES))
    return errors


def _decoded_bytes(data: Mapping[str, str]) -> int:
    return sum(len(value) // 4 * 3 - value[-2:].count("=") for value in data.values())


def validate_config_map_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse changes of an immutable ConfigMap."""
    return _immutable_changes(old, new, ("data", "binaryData"))


def _immutable_changes(old: Object, new: Object, fields: tuple[str, ...]) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    errors = []
    if not new.get("immutable"):
        errors.append(forbidden_field("immutable", IMMUTABLE_WHEN_SET))
    errors += [
        forbidden_field(field, IMMUTABLE_WHEN_SET)
        for field in fields
        if (old.get(field) or {}) != (new.get(field) or {})
    ]
    return errors


def validate_secret(secret: Object) -> list[FieldError]:
    """Return what is wrong with a Secret, metadata aside."""
    data = secret.get("data") or {}
    errors = []
    for key in data:
        errors += [invalid_value(f"data[{key}]", key, m) for m in names.config_key(key)]
    if _decoded_bytes(data) > MAX_BYTES:
        errors.append(too_long("data", MAX_BYTES))
    return errors + _validate_secret_type(secret, data)


def _validate_secret_type(secret: Object, data: Mapping[str, str]) -> list[FieldError]:
    kind = secret.get("type") or ""
    errors = [required(f"data[{key}]") for key in _NEEDED_KEYS.get(kind, ()) if key not in data]
    if kind == "kubernetes.io/ssh-auth" and data.get("ssh-privatekey") == "":
        errors.append(required("data[ssh-privatekey]"))
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        errors += [required(f"data[{key}]") for key in ("username", "password")]
    if kind == "kubernetes.io/service-account-token":
        annotation = "kubernetes.io/service-account.name"
        if not ((secret.get("metadata") or {}).get("annotations") or {}).get(annotation):
            errors.append(required(f"metadata.annotations[{annotation}]"))
    for key in (".dockerconfigjson", ".dockercfg"):
        if key in _NEEDED_KEYS.get(kind, ()) and key in data:
            problem = _json_problem(base64.b64decode(data[key]))
            if problem:
                detail = "<secret contents redacted>"
                errors.append(invalid_value(f"data[{key}]", detail, problem))
    return errors


def _json_problem(text: bytes) -> str:
    """Say, as Go's decoder does, why ``text`` is no JSON object; "" when it is one."""
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc):
            return "unexpected end of JSON input"
        where = next((w for start, w in _JSON_PLACES if error.msg.startswith(start)), "in literal")
        return f"invalid character '{error.doc[error.pos]}' {where}"
    except ValueError:
        return "invalid character in string literal"
    if isinstance(value, dict):
        return ""
    name = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    return f"json: cannot unmarshal {name} into Go value of type map[string]interface {{}}"


_JSON_PLACES: Final = (
    ("Expecting value", "looking for beginning of value"),
    ("Expecting property name", "looking for beginning of object key string"),
    ("Expecting ':'", "after object key"),
    ("Expecting ','", "after object key:value pair"),
    ("Extra data", "after top-level value"),
)


def validate_secret_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse changes of the type, and of an immutable Secret."""
    errors = []
    if old.get("type") != new.get("type"):
        errors.append(invalid_value("type", new.get("type"), IMMUTABLE))
    return errors + _immutable_changes(old, new, ("data",))


_DATA = Column("Data", description="Number of keys.")


def _encode_string_data(new: Object) -> None:
    new.setdefault("type", "Opaque")
    text = new.pop("stringData", None)
    if text:
        encoded = {key: base64.b64encode(str(text[key]).encode()).decode() for key in text}
        new["data"] = {**(new.get("data") or {}), **encoded}


def _config_map_cells(config_map: Object, now: datetime) -> Cells:
    count = len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ())
    return [name_of(config_map), count, age_of(config_map, now)]


def _secret_cells(secret: Object, now: datetime) -> Cells:
    count = len(secret.get("data") or ())
    return [name_of(secret), secret.get("type", ""), count, age_of(secret, now)]


CONFIG_MAP = Kind(
    "",
    "v1",
    "ConfigMap",
    "configmaps",
    ConfigMap,
    short_names=("cm",),
    validate=validate_config_map,
    validate_update=validate_config_map_update,
    printer=Printer((NAME, _DATA, AGE), _config_map_cells),
    counting=counted_by_name("configmaps"),
)
SECRET = Kind(
    "",
    "v1",
    "Secret",
    "secrets",
    Secret,
    zeros=(("Secret", "type"),),
    defaults=_encode_string_data,
    validate=validate_secret,
    validate_update=validate_secret_update,
    printer=Printer(
        (NAME, Column("Type", description="What the secret is for."), _DATA, AGE), _secret_cells
    ),
    selectable=paths("type"),
    counting=counted_by_name("secrets"),
)
KINDS = (CONFIG_MAP, SECRET)
