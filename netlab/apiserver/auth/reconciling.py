"""Brings the roles and bindings that every cluster has into being, and back to what they were.

Mirrors ``pkg/registry/rbac/reconciliation`` as kube-apiserver runs it at every start: rules and
subjects that are missing come back, what somebody added stays, and an object whose annotation
``rbac.authorization.kubernetes.io/autoupdate`` is ``false`` is left alone. A binding that names
another role is replaced, for a binding cannot change its role.
"""

from __future__ import annotations

import asyncio
from typing import Any

from netlab.api.kind import Kind
from netlab.api.kinds.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING
from netlab.api.rbac import ClusterRole
from netlab.api.view import Object
from netlab.apiserver.auth.bootstrap_policy import (
    AUTOUPDATE,
    cluster_role_bindings,
    cluster_roles,
)
from netlab.apiserver.auth.rules import uncovered
from netlab.client.interface import Client
from netlab.errors import ApiError, is_not_found


async def ensure_bootstrap_policy(client: Client) -> None:
    """Make and mend the roles and bindings; running it again changes nothing."""
    # side by side, for a hundred writes that share commits take a tenth of the time
    for kind, objects in (
        (CLUSTER_ROLE, cluster_roles()),
        (CLUSTER_ROLE_BINDING, cluster_role_bindings()),
    ):
        async with asyncio.TaskGroup() as group:
            for wanted in objects:
                group.create_task(_ensure(client, kind, wanted))


async def _ensure(client: Client, kind: Kind[Any], wanted: Object) -> None:
    name = wanted["metadata"]["name"]
    try:
        present = await client.get(kind, None, name)
    except ApiError as error:
        if not is_not_found(error):
            raise
        await client.create(kind, None, wanted)
        return
    mended = (
        mended_role(present, wanted) if kind is CLUSTER_ROLE else mended_binding(present, wanted)
    )
    if mended == present:
        return
    if mended.get("roleRef") != present.get("roleRef"):
        await client.delete(kind, None, name)
        await client.create(kind, None, wanted)
        return
    await client.update(kind, None, mended)


def mended_role(present: Object, wanted: Object) -> Object:
    """Return the role with what it must have; itself when it lacks nothing or wants no care."""
    if _left_alone(present):
        return present
    mended = _with_metadata(present, wanted)
    if "aggregationRule" in wanted:
        # its rules are the aggregation controller's
        return {**mended, "aggregationRule": wanted["aggregationRule"]}
    owned, needed = ClusterRole.parse(present).rules, ClusterRole.parse(wanted).rules
    missing = [
        rule for rule, view in zip(wanted["rules"], needed, strict=True) if uncovered(owned, [view])
    ]
    return {**mended, "rules": [*(present.get("rules") or ()), *missing]} if missing else mended


def mended_binding(present: Object, wanted: Object) -> Object:
    """Return the binding with the subjects it must have."""
    if _left_alone(present):
        return present
    mended = _with_metadata(present, wanted)
    if present.get("roleRef") != wanted["roleRef"]:
        return {**mended, "roleRef": wanted["roleRef"], "subjects": wanted.get("subjects") or []}
    have = present.get("subjects") or []
    missing = [subject for subject in wanted.get("subjects") or () if subject not in have]
    return {**mended, "subjects": [*have, *missing]} if missing else mended


def _left_alone(present: Object) -> bool:
    annotations = present["metadata"].get("annotations") or {}
    return bool(annotations.get(AUTOUPDATE) == "false")


def _with_metadata(present: Object, wanted: Object) -> Object:
    metadata = dict(present["metadata"])
    for field in ("labels", "annotations"):
        metadata[field] = {**(metadata.get(field) or {}), **wanted["metadata"][field]}
    return {**present, "metadata": metadata}
