"""Objects, lists and watch events to the bytes of an answer, in the form that was negotiated.

Mirrors ``k8s.io/apiserver/pkg/endpoints/handlers/response.go``. The plain JSON form joins the
stored bytes and parses nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import yaml

from netlab.api.kinds import Kind
from netlab.api.tables import table_for
from netlab.api.view import Object
from netlab.apiserver.http.negotiation import JSON, YAML, Output
from netlab.apiserver.requests import Item, ListResult, WatchItem

_encode = msgspec.json.encode

_SURROGATE = re.compile("[\ud800-\udfff]")
_INCLUDES = ("None", "Metadata", "Object")


@dataclass(frozen=True, slots=True)
class Form:
    """How one answer shall look. now: for ages in tables; pretty: JSON with line breaks."""

    output: Output
    now: datetime
    include_object: str = "Metadata"
    pretty: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer."""
        return YAML if self.output.media_type == YAML else JSON


def encode_object(obj: Object, form: Form) -> bytes:
    """Return an object that was built for this answer: a Status, a Scale, a document.

    Bytes of the request that are not UTF-8, which aiohttp hands on as surrogates, become U+FFFD,
    as Go's encoder writes them.
    """
    try:
        json = _encode(obj)
    except UnicodeEncodeError:
        json = _encode(_readable(obj))
    return finish(json, form)


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_readable(key): _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value


def finish(json: bytes, form: Form) -> bytes:
    """Return JSON as the form wants it: as YAML, with line breaks, or as it is."""
    if form.output.media_type == YAML:
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        text = yaml.dump(msgspec.json.decode(json), Dumper=dumper, default_flow_style=False)
        return str(text).encode()
    if form.pretty:
        return msgspec.json.format(json, indent=2) + b"\n"
    return json + b"\n"


def render_item(kind: Kind[Any], item: Item, form: Form) -> bytes:
    """Return one object."""
    if not form.output.shape:
        return finish(item.json, form)
    if form.output.shape == "Table":
        meta = {"resourceVersion": item.object["metadata"].get("resourceVersion", "")}
        return encode_object(_table(kind, [item], meta, form), form)
    return encode_object(_partial(item.object, form), form)


def render_list(kind: Kind[Any], result: ListResult, form: Form) -> bytes:
    """Return a list with its resourceVersion and, for a page, what is left."""
    meta: Object = {"resourceVersion": result.resource_version}
    if result.continue_token:
        meta["continue"] = result.continue_token
    if result.remaining is not None:
        meta["remainingItemCount"] = result.remaining
    if form.output.shape == "Table":
        return encode_object(_table(kind, result.items, meta, form), form)
    if form.output.shape:
        items: Object = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{form.output.version}",
            "metadata": meta,
            "items": [_partial(item.object, form) for item in result.items],
        }
        return encode_object(items, form)
    head = _encode({"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta})
    joined = b",".join([item.json for item in result.items])
    return finish(head[:-1] + b',"items":[' + joined + b"]}", form)


def _partial(obj: Object, form: Form) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{form.output.version}",
        "metadata": obj.get("metadata", {}),
    }


def _table(kind: Kind[Any], items: Sequence[Item], meta: Object, form: Form) -> Object:
    include = form.include_object if form.include_object in _INCLUDES else "Metadata"
    objects = [item.object for item in items]
    table = table_for(kind, objects, form.now, include_object=include)
    # the table convertor speaks v1; v1beta1 has the same fields
    return {**table, "apiVersion": f"meta.k8s.io/{form.output.version}", "metadata": meta}


class EventRenderer:
    """Turns the events of one watch into lines of JSON.

    A table's columns are told with the first event only, as Kubernetes does.
    """

    def __init__(self, kind: Kind[Any], form: Form) -> None:
        self._kind = kind
        self._form = form
        self._columns_told = False

    def line(self, event: WatchItem, now: datetime) -> bytes:
        """Return one event."""
        shape = self._form.output.shape
        if not shape:
            return b'{"type":"' + event.type.encode() + b'","object":' + event.item.json + b"}\n"
        if shape == "Table":
            shown = self._table(event, now)
        else:
            shown = _partial(event.item.object, self._form)
        return _encode({"type": event.type, "object": shown}) + b"\n"

    def _table(self, event: WatchItem, now: datetime) -> Object:
        meta = {"resourceVersion": event.item.object["metadata"].get("resourceVersion", "")}
        form = Form(self._form.output, now, self._form.include_object)
        rows = [] if event.type == "BOOKMARK" else [event.item]
        table = _table(self._kind, rows, meta, form)
        if self._columns_told:
            table = {**table, "columnDefinitions": None}
        self._columns_told = True
        return table


def error_line(status: Object) -> bytes:
    """Return the event that ends a watch with an error."""
    return _encode({"type": "ERROR", "object": status}) + b"\n"
