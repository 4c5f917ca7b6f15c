"""Keeps objects out of namespaces that are not there or going, and the system's own in place.

Mirrors the admission plugin NamespaceLifecycle.
"""

from __future__ import annotations

from typing import Any

from netlab.api.field_errors import forbidden, not_found
from netlab.api.kinds import NAMESPACE, Kind
from netlab.apiserver.admission.attributes import Attributes
from netlab.errors import ApiError

PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})


def namespace_lifecycle(attributes: Attributes) -> None:
    """Refuse new objects in a namespace that is not there or going; keep the system's own."""
    kind = attributes.kind
    if attributes.operation == "DELETE":
        if kind is NAMESPACE and attributes.name in PROTECTED_NAMESPACES:
            raise forbidden(kind, attributes.name, "this namespace may not be deleted")
        return
    if attributes.operation != "CREATE" or not kind.namespaced:
        return
    namespace = attributes.lookup(NAMESPACE, "", attributes.namespace)
    if namespace is None:
        raise not_found(NAMESPACE, attributes.namespace)
    if namespace["metadata"].get("deletionTimestamp"):
        raise _terminating(kind, attributes.name, attributes.namespace)


def _terminating(kind: Kind[Any], name: str, namespace: str) -> ApiError:
    error = forbidden(
        kind,
        name,
        f"unable to create new content in namespace {namespace} because it is being terminated",
    )
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error
