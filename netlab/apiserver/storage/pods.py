"""What the API server does for Pods beyond storing them: binding, eviction, waiting for accounts.

Mirrors ``pkg/registry/core/pod/storage`` (``BindingREST``, ``EvictionREST``). Eviction deletes,
with the options it carries; disruption budgets are not among the kinds netlab serves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from netlab.api.field_errors import conflict, invalid, not_supported, required
from netlab.api.kinds import NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from netlab.api.meta import AnyObject
from netlab.api.view import Object
from netlab.apiserver.admission.service_account import DEFAULT_SERVICE_ACCOUNT
from netlab.apiserver.requests import DeleteOptions, WriteOptions
from netlab.apiserver.storage import metadata as meta
from netlab.apiserver.storage.hooks import Hooks
from netlab.apiserver.storage.writing import Writes
from netlab.clock import Clock
from netlab.errors import ApiError
from netlab.store.records import Item
from netlab.timestamps import rfc3339

# a namespace's default account is made by a controller a moment after the namespace
SERVICE_ACCOUNT_TRIES = 10
SERVICE_ACCOUNT_WAIT_S = 0.1

# errors name the kind when the Binding is wrong, and the subresource when the pod refuses it
_BINDING: Kind[AnyObject] = Kind("", "v1", "Binding", "pods/binding", AnyObject)


def pod_hooks(
    writes: Writes, clock: Clock, delete: Callable[[str, str, DeleteOptions], Awaitable[Any]]
) -> Hooks:
    """Return the hooks of Pods; delete(namespace, name, options) is the registry's own verb."""

    async def await_account(pod: Object) -> None:
        """Give the controller a moment to make the default account of a new namespace."""
        name = pod["spec"].get("serviceAccountName") or DEFAULT_SERVICE_ACCOUNT
        namespace = pod["metadata"]["namespace"]
        if name != DEFAULT_SERVICE_ACCOUNT:
            return
        for _ in range(SERVICE_ACCOUNT_TRIES):
            if writes.exists(SERVICE_ACCOUNT, namespace, name):
                return
            if not writes.exists(NAMESPACE, None, namespace):
                return
            await clock.sleep(SERVICE_ACCOUNT_WAIT_S)

    async def bind_pod(item: Item, body: Object, options: WriteOptions) -> Object:
        metadata = item.object["metadata"]
        present = writes.present(POD, metadata["namespace"], metadata["name"])
        given = body.get("metadata") or {}
        meta.check_preconditions(
            POD,
            present.key.name,
            present.object,
            uid=given.get("uid") or "",
            resource_version=given.get("resourceVersion") or "",
        )
        new = bind(present.object, body, rfc3339(clock.now()))
        await writes.replace(present, new, dry_run=options.dry_run).durable()
        return _success()

    async def evict(item: Item, body: Object, options: WriteOptions) -> Object:
        metadata = item.object["metadata"]
        await delete(metadata["namespace"], metadata["name"], _eviction_options(body, options))
        return _success()

    return Hooks(await_account, creators={"binding": bind_pod, "eviction": evict})


def _success() -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }


def _eviction_options(body: Object, options: WriteOptions) -> DeleteOptions:
    wanted = body.get("deleteOptions") or {}
    preconditions = wanted.get("preconditions") or {}
    return DeleteOptions(
        grace_period_s=wanted.get("gracePeriodSeconds"),
        propagation=wanted.get("propagationPolicy"),
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        dry_run=options.dry_run or bool(wanted.get("dryRun")),
        user=options.user,
    )


def bind(pod: Object, binding: Object, now: str) -> Object:
    """Return the pod assigned to the node that the Binding names.

    Raises: ApiError Invalid for a Binding without a node, Conflict when the pod is bound or going.
    """
    name = pod["metadata"]["name"]
    target = binding.get("target") or {}
    node = target.get("name") or ""
    errors = []
    if (target.get("kind") or "Node") not in ("Node", "Minion"):
        errors.append(not_supported("target.kind", target.get("kind"), ["Node", "<empty>"]))
    if not node:
        errors.append(required("target.name"))
    if errors:
        raise invalid(_BINDING, name, errors)
    if pod["metadata"].get("deletionTimestamp"):
        raise _binding_conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise _binding_conflict(
            name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        )
    if pod["spec"].get("schedulingGates"):
        raise _binding_conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    annotations = (binding.get("metadata") or {}).get("annotations") or {}
    bound = {**pod, "metadata": dict(pod["metadata"]), "spec": {**pod["spec"], "nodeName": node}}
    if annotations:
        bound["metadata"]["annotations"] = {
            **(pod["metadata"].get("annotations") or {}),
            **annotations,
        }
    status = pod.get("status") or {}
    bound["status"] = {
        **status,
        "conditions": _with_scheduled(status.get("conditions") or (), now),
    }
    return bound


def _binding_conflict(name: str, reason: str) -> ApiError:
    return conflict(_BINDING, name, reason)


def _with_scheduled(conditions: Iterable[dict[str, Any]], now: str) -> list[dict[str, Any]]:
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }
    return [*(each for each in conditions if each.get("type") != "PodScheduled"), scheduled]
