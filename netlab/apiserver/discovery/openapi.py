"""OpenAPI documents: what kubectl validates against, and what ``kubectl explain`` prints.

Mirrors ``k8s.io/kube-openapi``. The types come from ``api.schemas``; the paths from the catalog.
OpenAPI v3 is an index plus one document per group version, v2 one document for everything, which
kubectl up to 1.28 wants as protobuf. A document is half a megabyte and each client asks for it
once, so documents are made when asked for and not kept. Slow (tens of milliseconds): call it on a
thread. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from netlab.api.kind import Kind
from netlab.api.schemas import definitions_for
from netlab.api.view import Object
from netlab.apiserver.discovery.openapi_v2 import encode_document

TITLE = "Kubernetes"
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_REF = "#/components/schemas/"
_REF_V2 = "#/definitions/"
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_LIST_PARAMETERS = (
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
)
_WRITE_PARAMETERS = (
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
)
_DELETE_PARAMETERS = (
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)


def group_versions(resources: Iterable[Kind[Any]]) -> list[tuple[str, str]]:
    """Return the (group, version) pairs served, the core group first."""
    return sorted({(item.group, item.version) for item in resources})


def _document_name(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def document_hash(fingerprint: str, group: str, version: str) -> str:
    """Return the hash clients put in the URL; it changes with the served kinds and the release.

    It is made from what the document depends on, not from the document, which would cost time at
    every start.
    """
    text = f"{fingerprint} {group}/{version}"
    return hashlib.sha512(text.encode()).hexdigest().upper()


def index(resources: Iterable[Kind[Any]], fingerprint: str) -> Object:
    """Return ``/openapi/v3``: where the document of each group version is."""
    return {
        "paths": {
            _document_name(group, version): {
                "serverRelativeURL": f"/openapi/v3/{_document_name(group, version)}"
                f"?hash={document_hash(fingerprint, group, version)}"
            }
            for group, version in group_versions(resources)
        }
    }


def document_v3(kinds: Sequence[Kind[Any]], release: str) -> bytes:
    """Return the OpenAPI v3 document of one group version. kinds: those of that version."""
    schemas = definitions_for(kinds)
    names = _definition_names(schemas)
    paths: Object = {}
    for kind in kinds:
        paths.update(_paths(kind, names))
    document = {
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": release},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    return msgspec.json.encode(document)


def _definition_names(schemas: Object) -> dict[tuple[str, str, str], str]:
    return {
        (gvk.get("group", ""), gvk["version"], gvk["kind"]): name
        for name, schema in schemas.items()
        for gvk in schema.get("x-kubernetes-group-version-kind", [])
    }


def _paths(kind: Kind[Any], names: dict[tuple[str, str, str], str]) -> Iterator[tuple[str, Object]]:
    schema = names.get((kind.group, kind.version, kind.kind), "")
    base = kind.path("{namespace}" if kind.namespaced else None)
    path_parameters = [_parameter("namespace", "path")] if kind.namespaced else []
    yield base, _collection(kind, schema, path_parameters)
    if kind.namespaced and "list" in kind.verbs:
        yield kind.path(None), {"get": _operation(kind, "list", schema, _LIST_PARAMETERS)}
    named = [_parameter("name", "path"), *path_parameters]
    if "get" in kind.verbs:
        yield f"{base}/{{name}}", _single(kind, schema, named, kind.verbs)
    for part in kind.subresources:
        if part.merge is not None:
            own = schema
            if part.type is not None:
                own = names.get((part.type.group, part.type.version, part.type.kind), "")
            yield f"{base}/{{name}}/{part.name}", _single(kind, own, named, part.verbs)


def _collection(kind: Kind[Any], schema: str, parameters: list[Object]) -> Object:
    item: Object = {}
    if "list" in kind.verbs:
        item["get"] = _operation(kind, "list", schema, _LIST_PARAMETERS)
    if "deletecollection" in kind.verbs:
        item["delete"] = _operation(
            kind, "deletecollection", "", (*_LIST_PARAMETERS, *_DELETE_PARAMETERS)
        )
    if "create" in kind.verbs:
        item["post"] = _operation(kind, "post", schema, _WRITE_PARAMETERS, body=("*/*",))
    return {**item, "parameters": parameters} if parameters else item


def _single(kind: Kind[Any], schema: str, parameters: list[Object], verbs: Sequence[str]) -> Object:
    patching = (*_WRITE_PARAMETERS, ("force", "boolean"))
    item: Object = {}
    if "get" in verbs:
        item["get"] = _operation(kind, "get", schema, ())
    if "update" in verbs:
        item["put"] = _operation(kind, "put", schema, _WRITE_PARAMETERS, body=("*/*",))
    if "patch" in verbs:
        item["patch"] = _operation(kind, "patch", schema, patching, body=_PATCH_TYPES)
    if "delete" in verbs:
        item["delete"] = _operation(kind, "delete", "", _DELETE_PARAMETERS)
    return {**item, "parameters": parameters}


def _operation(
    kind: Kind[Any],
    action: str,
    schema: str,
    parameters: Iterable[tuple[str, str]],
    *,
    body: tuple[str, ...] = (),
) -> Object:
    reference: Object = {"$ref": _REF + schema} if schema else {"type": "object"}
    answer: Object = {"application/json": {"schema": reference}}
    operation: Object = {
        "parameters": [_parameter(name, "query", type_) for name, type_ in parameters],
        "responses": {"200": {"description": "OK", "content": answer}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group,
            "version": kind.version,
            "kind": kind.kind,
        },
    }
    if body:
        shape: Object = reference if action != "patch" else {"type": "object"}
        operation["requestBody"] = {"content": {name: {"schema": shape} for name in body}}
    return operation


def _parameter(name: str, place: str, type_: str = "string") -> Object:
    parameter: Object = {"name": name, "in": place, "schema": {"type": type_}}
    if place == "path":
        parameter["required"] = True
    return parameter


def document_v2(kinds: Sequence[Kind[Any]], release: str) -> Object:
    """Return the OpenAPI v2 document: the types of all kinds, and the paths that patch them."""
    definitions: Object = _to_v2(definitions_for(kinds))
    paths = {
        f"{kind.path('{namespace}' if kind.namespaced else None)}/{{name}}": {
            "patch": {
                "parameters": [
                    {"name": name, "in": "query", "type": type_, "uniqueItems": True}
                    for name, type_ in _WRITE_PARAMETERS
                ],
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-group-version-kind": {
                    "group": kind.group,
                    "version": kind.version,
                    "kind": kind.kind,
                },
            }
        }
        for kind in kinds
        if "patch" in kind.verbs
    }
    return {
        "swagger": "2.0",
        "info": {"title": TITLE, "version": release},
        "paths": paths,
        "definitions": definitions,
    }


def document_v2_json(kinds: Sequence[Kind[Any]], release: str) -> bytes:
    """Return the OpenAPI v2 document as JSON."""
    return msgspec.json.encode(document_v2(kinds, release))


def document_v2_protobuf(kinds: Sequence[Kind[Any]], release: str) -> bytes:
    """Return the OpenAPI v2 document as kubectl up to 1.28 wants it."""
    return encode_document(document_v2(kinds, release))


def _to_v2(value: Any) -> Any:
    """Return a v3 schema as v2 writes it: other references, and no wrapping of them."""
    if isinstance(value, list):
        return [_to_v2(item) for item in value]
    if not isinstance(value, dict):
        return value
    wrapped = value.get("allOf")
    if isinstance(wrapped, list) and len(wrapped) == 1:
        rest = {key: item for key, item in value.items() if key not in ("allOf", "default")}
        return _to_v2({**rest, **wrapped[0]})
    reference = value.get("$ref")
    if isinstance(reference, str):
        value = {**value, "$ref": reference.replace(_REF, _REF_V2)}
    return {key: _to_v2(item) for key, item in value.items()}
