"""ConfigMap and Secret: configuration and confidential data by key."""

from __future__ import annotations

import base64
from datetime import datetime

from netlab.api.core import ConfigMap, Secret
from netlab.api.field_selectors import paths
from netlab.api.kind import Kind
from netlab.api.kinds.counted import counted_by_name
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of
from netlab.api.validation.config import (
    validate_config_map,
    validate_config_map_update,
    validate_secret,
    validate_secret_update,
)
from netlab.api.view import Object

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
