"""Namespace: a scope of names, which holds what is in it until it is emptied.

Mirrors ``pkg/registry/core/namespace``: ``spec.finalizers`` keeps a deleted Namespace until the
namespace controller has emptied it; it changes through the subresource ``finalize`` only.
"""

from __future__ import annotations

from datetime import datetime

from netlab.api import names
from netlab.api.core import Namespace
from netlab.api.field_selectors import paths
from netlab.api.kind import Kind, Subresource
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of, part
from netlab.api.subresources import STATUS
from netlab.api.view import Object

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


def _label(obj: Object) -> None:
    """Lets NetworkPolicies select a namespace by its name."""
    metadata = dict(obj["metadata"])
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), NAME_LABEL: metadata["name"]}
        obj["metadata"] = metadata


def _defaults(new: Object) -> None:
    _label(new)
    new.setdefault("spec", {})
    new["status"] = {"phase": "Active", **(new.get("status") or {})}


def _prepare_create(obj: Object) -> None:
    obj["status"] = {"phase": "Active"}
    spec = obj.setdefault("spec", {})
    finalizers = list(spec.get("finalizers") or ())
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    spec["finalizers"] = finalizers
    _label(obj)


def _prepare_update(new: Object, old: Object) -> None:
    new["spec"] = old.get("spec") or {}
    _label(new)


def _held(obj: Object) -> bool:
    return bool((obj.get("spec") or {}).get("finalizers"))


def _terminate(obj: Object) -> None:
    obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}


def _finalized(old: Object, wanted: Object) -> Object:
    finalizers = (wanted.get("spec") or {}).get("finalizers")
    spec = {"finalizers": finalizers} if finalizers else {}
    return {**old, "metadata": dict(old["metadata"]), "spec": spec}


def _cells(namespace: Object, now: datetime) -> Cells:
    phase = part(namespace, "status").get("phase", "")
    return [name_of(namespace), phase, age_of(namespace, now)]


NAMESPACE = Kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    Namespace,
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource("finalize", ("update",), merge=_finalized), STATUS),
    zeros=(("NamespaceStatus", "phase"),),
    defaults=_defaults,
    name_rule=names.dns1123_label,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    held=_held,
    terminate=_terminate,
    printer=Printer((NAME, Column("Status", description="Active or Terminating."), AGE), _cells),
    selectable=paths("status.phase"),
)
KINDS = (NAMESPACE,)
