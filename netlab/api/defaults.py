"""Fills in what the user left out, so that every reader finds complete objects.

Mirrors ``pkg/apis/*/v1/defaults.go`` of Kubernetes v1.36 and the parts that Go's types always write
(``resources: {}``, ``status: {}``). Runs after ``schemas.check_fields`` and before validation.

What depends on other objects or on the cluster (service accounts, cluster addresses, node ports,
tolerations, priorities) is admission's and the registry's work, not done here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from netlab.api.defaults_pod import default_pod_spec, default_pod_status, default_template
from netlab.api.kinds import Kind
from netlab.api.view import Object


def apply_defaults(kind: Kind[Any], obj: Object) -> Object:
    """Return a new object with all defaults of its kind; ``obj`` is not changed.

    obj: as ``check_fields`` returns it (right types, no nulls). Applying twice changes nothing.
    """
    new = dict(obj)
    new["kind"], new["apiVersion"] = kind.kind, kind.api_version
    new.setdefault("metadata", {})
    fill = _BY_KIND.get((kind.group, kind.kind))
    if fill is not None:
        fill(new)
    return new


def _spec(new: Object) -> Object:
    """Put a copy of the spec in place, which may then be changed."""
    spec: Object = dict(new.get("spec") or {})
    new["spec"] = spec
    return spec


def _pod(new: Object) -> None:
    spec = _spec(new)
    default_pod_spec(spec, whole_pod=True)
    new["status"] = default_pod_status(new.get("status") or {})


def _replica_set(new: Object) -> None:
    spec = _spec(new)
    spec.setdefault("replicas", 1)
    spec["template"] = default_template(spec.get("template") or {})
    status = dict(new.get("status") or {})
    status.setdefault("replicas", 0)
    new["status"] = status


def _deployment(new: Object) -> None:
    spec = _spec(new)
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = dict(spec.get("strategy") or {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        bounds = {"maxUnavailable": "25%", "maxSurge": "25%"}
        strategy["rollingUpdate"] = {**bounds, **(strategy.get("rollingUpdate") or {})}
    spec["strategy"] = strategy
    spec["template"] = default_template(spec.get("template") or {})
    new.setdefault("status", {})


def _service(new: Object) -> None:
    spec = _spec(new)
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("type", "ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = dict(spec.get("sessionAffinityConfig") or {})
        config["clientIP"] = {"timeoutSeconds": 10800, **(config.get("clientIP") or {})}
        spec["sessionAffinityConfig"] = config
    if spec.get("ports"):
        spec["ports"] = [_service_port(port) for port in spec["ports"]]
    _service_traffic(spec)
    status = dict(new.get("status") or {})
    status.setdefault("loadBalancer", {})
    new["status"] = status


def _service_port(port: Mapping[str, Any]) -> Object:
    filled = {"protocol": "TCP", **port}
    if filled.get("targetPort") in (None, 0, ""):
        filled["targetPort"] = port.get("port", 0)
    return filled


def _service_traffic(spec: Object) -> None:
    kind = spec["type"]
    reachable_from_outside = kind in ("NodePort", "LoadBalancer") or (
        kind == "ClusterIP" and spec.get("externalIPs")
    )
    if reachable_from_outside:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _endpoints(new: Object) -> None:
    if new.get("subsets"):
        new["subsets"] = [
            {**subset, "ports": [{"protocol": "TCP", **port} for port in subset["ports"]]}
            if subset.get("ports")
            else subset
            for subset in new["subsets"]
        ]


def _endpoint_slice(new: Object) -> None:
    new.setdefault("endpoints", [])
    new["ports"] = [{"name": "", "protocol": "TCP", **port} for port in new.get("ports") or ()]
    new["endpoints"] = [{"conditions": {}, **endpoint} for endpoint in new["endpoints"] or ()]


def _namespace(new: Object) -> None:
    metadata = dict(new["metadata"])
    name = metadata.get("name")
    if name:
        # lets NetworkPolicies select a namespace by its name
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": name}
        new["metadata"] = metadata
    new.setdefault("spec", {})
    new["status"] = {"phase": "Active", **(new.get("status") or {})}


def _secret(new: Object) -> None:
    new.setdefault("type", "Opaque")
    text = new.pop("stringData", None)
    if text:
        encoded = {key: base64.b64encode(str(text[key]).encode()).decode() for key in text}
        new["data"] = {**(new.get("data") or {}), **encoded}


def _node(new: Object) -> None:
    new.setdefault("spec", {})
    status = dict(new.get("status") or {})
    if status.get("capacity"):
        status["allocatable"] = {**status["capacity"], **(status.get("allocatable") or {})}
    # Go writes these structs even when they are empty
    daemon = status.get("daemonEndpoints") or {}
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 0}, **daemon}
    facts = dict.fromkeys(_NODE_FACTS, "")
    status["nodeInfo"] = {**facts, **(status.get("nodeInfo") or {})}
    new["status"] = status


_NODE_FACTS: Final = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def _event(new: Object) -> None:
    for struct in ("involvedObject", "source"):
        new.setdefault(struct, {})
    for text in ("reportingComponent", "reportingInstance"):
        new.setdefault(text, "")


def _lease(new: Object) -> None:
    new.setdefault("spec", {})


def _limit_range(new: Object) -> None:
    spec = _spec(new)
    spec["limits"] = [_limit_item(item) for item in spec.get("limits") or ()]


def _limit_item(written: Mapping[str, Any]) -> Object:
    """A container without a limit gets the largest; one without a request gets its limit."""
    if written.get("type") != "Container":
        return dict(written)
    default = {**(written.get("max") or {}), **(written.get("default") or {})}
    request = {**(written.get("min") or {}), **default, **(written.get("defaultRequest") or {})}
    filled = {"default": default, "defaultRequest": request}
    return {**written, **{field: amounts for field, amounts in filled.items() if amounts}}


def _persistent_volume(new: Object) -> None:
    spec = _spec(new)
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if "hostPath" in spec:
        spec["hostPath"] = {"type": "", **spec["hostPath"]}
    new["status"] = {"phase": "Pending", **(new.get("status") or {})}


def _persistent_volume_claim(new: Object) -> None:
    spec = _spec(new)
    spec.setdefault("resources", {})
    spec.setdefault("volumeMode", "Filesystem")
    new["status"] = {"phase": "Pending", **(new.get("status") or {})}


def _storage_class(new: Object) -> None:
    new.setdefault("reclaimPolicy", "Delete")
    new.setdefault("volumeBindingMode", "Immediate")


def _resource_quota(new: Object) -> None:
    new.setdefault("spec", {})
    new.setdefault("status", {})


_BY_KIND: Final[Mapping[tuple[str, str], Callable[[Object], None]]] = {
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("", "Namespace"): _namespace,
    ("", "Secret"): _secret,
    ("", "Node"): _node,
    ("", "Event"): _event,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "Deployment"): _deployment,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("coordination.k8s.io", "Lease"): _lease,
    ("", "LimitRange"): _limit_range,
    ("", "ResourceQuota"): _resource_quota,
    ("", "PersistentVolume"): _persistent_volume,
    ("", "PersistentVolumeClaim"): _persistent_volume_claim,
    ("storage.k8s.io", "StorageClass"): _storage_class,
}
