"""Decides how a terminating namespace is emptied and let go.

Mirrors kube-controller-manager's ``pkg/controller/namespace/deletion``: delete everything in the
namespace, pods with their grace period, and remove the ``kubernetes`` finalizer when nothing is
left; until then the namespace's conditions say what remains. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from netlab.api.kinds import NAMESPACE, Kind
from netlab.api.view import Object
from netlab.controllers.actions import NOTHING, Burst, Decision, Delete, Patch, Update
from netlab.timestamps import rfc3339

FINALIZER = "kubernetes"
RETRY_S = 1.0
"""Objects that end later wake the controller by their deletion; this is for those that no cache
follows."""


def decide_namespace(
    namespace: Object, content: Mapping[Kind[Any], Sequence[Object]], now: datetime
) -> Decision:
    """Return the deletions of what is in the namespace, or its release when it is empty.

    namespace: the object as the API server has it; content: everything in it, by kind.
    """
    metadata = namespace["metadata"]
    finalizers = namespace.get("spec", {}).get("finalizers") or []
    if not metadata.get("deletionTimestamp") or FINALIZER not in finalizers:
        return NOTHING
    remaining = {kind: items for kind, items in content.items() if items}
    if not remaining:
        kept = [name for name in finalizers if name != FINALIZER]
        spec = {**namespace.get("spec", {}), "finalizers": kept}
        released = {**namespace, "spec": spec}
        return Decision((Update(NAMESPACE, released, subresource="finalize"),))
    deletions = [
        Delete(kind, metadata["name"], item["metadata"]["name"], item["metadata"]["uid"])
        for kind, items in remaining.items()
        for item in items
        if not item["metadata"].get("deletionTimestamp")
    ]
    actions = [] if not deletions else [Burst(deletions)]
    status = _status(namespace, remaining, now) if not deletions else None
    return Decision(
        (*actions, *(() if status is None else (status,))),
        requeue_after_s=RETRY_S if not deletions else 0.01,
    )


def _status(
    namespace: Object, remaining: Mapping[Kind[Any], Sequence[Object]], now: datetime
) -> Patch | None:
    """Return the write of what still holds the namespace."""
    counts = {kind: len(items) for kind, items in remaining.items()}
    listed = ", ".join(
        f"{kind.plural}.{kind.group} has {count} resource instances"
        for kind, count in sorted(counts.items(), key=lambda entry: entry[0].plural)
    )
    holders = Counter(
        name
        for items in remaining.values()
        for item in items
        for name in item["metadata"].get("finalizers") or ()
    )
    named = ", ".join(f"{name} in {n} resource instances" for name, n in sorted(holders.items()))
    facts = (
        ("NamespaceContentRemaining", "SomeResourcesRemain", "Some resources are remaining: ",
         listed, "ContentRemoved", "All content successfully removed"),
        ("NamespaceFinalizersRemaining", "SomeFinalizersRemain",
         "Some content in the namespace has finalizers remaining: ", named,
         "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    )  # fmt: skip
    old = {c["type"]: c for c in namespace.get("status", {}).get("conditions") or ()}
    conditions = dict(old)
    for kind, reason, prefix, found, clear_reason, clear in facts:
        condition = {
            "type": kind,
            "status": "True" if found else "False",
            "reason": reason if found else clear_reason,
            "message": prefix + found if found else clear,
        }
        before = old.get(kind, {})
        if any(before.get(key) != value for key, value in condition.items()):
            condition["lastTransitionTime"] = rfc3339(now)
            conditions[kind] = condition
    if conditions == old:
        return None
    patch = {"status": {"conditions": list(conditions.values())}}
    name = namespace["metadata"]["name"]
    return Patch(NAMESPACE, None, name, patch, subresource="status", gone_ok=True)
