"""Pod: containers that share a network namespace.

Mirrors ``pkg/registry/core/pod``: the strategies of the pod and of its subresources. What its spec
must look like is in ``validation.pod`` and ``validation.pod_update``, what it means when it is left
out in ``defaults_pod``. Binding and eviction need the registry (``apiserver.storage.pods``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from netlab.api.defaults_pod import default_pod_spec, default_pod_status
from netlab.api.field_selectors import flag_at, paths
from netlab.api.kind import GET_PATCH_UPDATE, Counting, Kind, Subresource, TypeName, spec_changed
from netlab.api.pod_resources import qos_class
from netlab.api.pod_usage import missing_amounts, pod_amounts, pod_in_scope
from netlab.api.pod_warnings import pod_warnings
from netlab.api.pods import Pod
from netlab.api.subresources import STATUS, proxied
from netlab.api.tables.pods import POD_PRINTER
from netlab.api.validation.pod import validate_pod
from netlab.api.validation.pod_update import (
    validate_ephemeral_update,
    validate_pod_update,
    validate_resize,
)
from netlab.api.view import Object

DEFAULT_GRACE_S: Final = 30
# A moment must have a year of four digits; nobody waits so long.
LONGEST_GRACE_S = 100 * 365 * 86400
_STREAM_VERBS: Final = ("create", "get")
_GATED: Final = {
    "type": "PodScheduled",
    "status": "False",
    "lastProbeTime": None,
    "lastTransitionTime": None,
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def _defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    default_pod_spec(spec, whole_pod=True)
    new["spec"] = spec
    new["status"] = default_pod_status(new.get("status") or {})


def _prepare_create(pod: Object) -> None:
    """Replace whatever status the client sent by that of a pod nobody has seen yet."""
    spec = pod.get("spec") or {}
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        pod["status"]["conditions"] = [dict(_GATED)]


def _grace_s(pod: Object, asked: int | None) -> int:
    """How long the pod may live on: 0 when no kubelet looks after it or nothing runs any more."""
    spec = pod.get("spec") or {}
    grace_s = spec.get("terminationGracePeriodSeconds") if asked is None else asked
    if grace_s is None:
        grace_s = DEFAULT_GRACE_S
    if not spec.get("nodeName"):
        return 0
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return min(grace_s, LONGEST_GRACE_S) if grace_s >= 0 else 1


def _with_ephemeral_containers(old: Object, wanted: Object) -> Object:
    spec = dict(old.get("spec") or {})
    containers = (wanted.get("spec") or {}).get("ephemeralContainers")
    spec.pop("ephemeralContainers", None)
    if containers:
        spec["ephemeralContainers"] = containers
    return {**old, "metadata": dict(old["metadata"]), "spec": spec}


def _with_resources(old: Object, wanted: Object) -> Object:
    spec = dict(old.get("spec") or {})
    asked = wanted.get("spec") or {}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = _resized(spec[field], asked.get(field) or ())
    return {**old, "metadata": dict(old["metadata"]), "spec": spec}


def _resized(
    containers: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]]
) -> list[Object]:
    by_name = {container.get("name"): container for container in wanted}
    return [
        {
            **container,
            **{
                field: by_name[container["name"]][field]
                for field in ("resources", "resizePolicy")
                if field in by_name.get(container["name"], {})
            },
        }
        for container in containers
    ]


def _pod_ips(pod: Object) -> str:
    return ",".join(str(entry.get("ip", "")) for entry in pod.get("status", {}).get("podIPs", ()))


def _stream(name: str, options: str) -> Subresource:
    return Subresource(name, _STREAM_VERBS, TypeName("", "v1", options), streamed=True)


POD = Kind(
    "",
    "v1",
    "Pod",
    "pods",
    Pod,
    short_names=("po",),
    categories=("all",),
    subresources=(
        _stream("attach", "PodAttachOptions"),
        Subresource("binding", ("create",), TypeName("", "v1", "Binding")),
        Subresource(
            "ephemeralcontainers",
            GET_PATCH_UPDATE,
            merge=_with_ephemeral_containers,
            validate=validate_ephemeral_update,
        ),
        Subresource("eviction", ("create",), TypeName("policy", "v1", "Eviction")),
        _stream("exec", "PodExecOptions"),
        Subresource("log", ("get",), streamed=True),
        _stream("portforward", "PodPortForwardOptions"),
        proxied("PodProxyOptions"),
        Subresource("resize", GET_PATCH_UPDATE, merge=_with_resources, validate=validate_resize),
        STATUS,
    ),
    zeros=(
        (
            "PodStatus",
            "phase message reason hostIP podIP nominatedNodeName qosClass observedGeneration",
        ),
        ("PodCondition", "reason message observedGeneration"),
        ("ContainerStatus", "containerID"),
        ("ContainerStateTerminated", "signal reason message containerID"),
        ("ContainerStateWaiting", "reason message"),
    ),
    defaults=_defaults,
    validate=validate_pod,
    validate_update=validate_pod_update,
    update_replaces_rules=True,
    prepare_create=_prepare_create,
    generation_changes=spec_changed,
    returns_deleted=True,
    grace_s=_grace_s,
    printer=POD_PRINTER,
    selectable={
        **paths(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        "spec.hostNetwork": flag_at("spec", "hostNetwork"),
        "status.podIPs": _pod_ips,
    },
    counting=Counting(pod_amounts, pod_in_scope, missing_amounts),
    advice=pod_warnings,
)
KINDS = (POD,)
