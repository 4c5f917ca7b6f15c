"""Rules for numbers, modes and paths that many fields share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netlab.api import names
from netlab.api.field_errors import FieldError, invalid_value, not_supported, required

NOT_NEGATIVE = "must be greater than or equal to 0"


def not_negative(owner: Mapping[str, Any], field: str, path: str) -> list[FieldError]:
    """Refuse a number below zero in ``owner[field]``; path is that of ``owner``."""
    value = owner.get(field)
    if isinstance(value, int) and value < 0:
        return [invalid_value(f"{path}.{field}", value, NOT_NEGATIVE)]
    return []


def port_or_name(value: Any, path: str) -> list[FieldError]:
    """Refuse what is neither the number nor the name of a port."""
    rule = names.iana_svc_name if isinstance(value, str) else names.port_number
    return [invalid_value(path, value, message) for message in rule(value)]


def one_of(value: Any, path: str, supported: Iterable[str]) -> list[FieldError]:
    """Refuse a text that is empty or not in ``supported``."""
    if not value:
        return [required(path)]
    options = tuple(supported)
    return [] if value in options else [not_supported(path, value, options)]


def file_mode(owner: Mapping[str, Any], field: str, path: str) -> list[FieldError]:
    """Refuse permission bits outside 0 to 0777."""
    mode = owner.get(field)
    if mode is None or 0 <= mode <= 0o777:
        return []
    detail = "must be a number between 0 and 0777 (octal), both inclusive"
    return [invalid_value(f"{path}.{field}", mode, detail)]


def relative_path(value: str, path: str) -> list[FieldError]:
    """Refuse a path that leaves the folder it is relative to; "" is fine."""
    errors = []
    if value.startswith("/"):
        errors.append(invalid_value(path, value, "must be a relative path"))
    return errors + no_backsteps(value, path)


def no_backsteps(value: str, path: str) -> list[FieldError]:
    """Refuse a path with a ``..`` among its parts."""
    if ".." in value.split("/"):
        return [invalid_value(path, value, "must not contain '..'")]
    return []


def file_path(value: str, path: str) -> list[FieldError]:
    """Refuse a path that leaves the volume, or a name such as ``..data``: the kubelet's own."""
    errors = relative_path(value, path)
    if value.startswith("..") and not value.startswith("../") and value != "..":
        errors.append(invalid_value(path, value, "must not start with '..'"))
    return errors
