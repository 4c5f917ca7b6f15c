"""Defaults of pods and pod templates: containers, probes, volumes, security.

Mirrors ``SetDefaults_PodSpec``, ``SetDefaults_Container``, ``SetDefaults_Probe``,
``SetDefaults_Volume`` and their company in ``pkg/apis/core/v1/defaults.go``. Two things differ
between a pod and a template, as in Kubernetes: only a pod gets ``enableServiceLinks``, requests
taken from limits, and host ports of the host network.

Functions change the dict they are given, which must be the caller's own copy, and copy below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlab.api.pod_resources import container_requests
from netlab.api.pods import PodSpec
from netlab.api.view import Object
from netlab.errors import UnreadableError

FILE_MODE = 0o644
TOKEN_LIFETIME_S = 3600

_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


def default_template(template: Mapping[str, Any]) -> Object:
    """Return a pod template with all defaults."""
    spec = dict(template.get("spec") or {})
    default_pod_spec(spec, whole_pod=False)
    return {**template, "metadata": template.get("metadata") or {}, "spec": spec}


def default_pod_spec(spec: Object, *, whole_pod: bool) -> None:
    """Fill in a pod's spec; whole_pod is False for a template."""
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    if whole_pod:
        spec.setdefault("enableServiceLinks", True)
    _alias_service_account(spec)
    host_network = whole_pod and bool(spec.get("hostNetwork"))
    for name in _CONTAINER_LISTS:
        containers = spec.get(name)
        if containers:
            spec[name] = [_container(c, host_network, whole_pod) for c in containers]
    if spec.get("volumes"):
        spec["volumes"] = [_volume(volume) for volume in spec["volumes"]]
    sysctls = spec["securityContext"].get("sysctls")
    if sysctls:
        filled = [{"name": "", "value": "", **sysctl} for sysctl in sysctls]
        spec["securityContext"] = {**spec["securityContext"], "sysctls": filled}
    if whole_pod and (spec.get("resources") or {}).get("limits"):
        spec["resources"] = _pod_resources(spec)


def _pod_resources(spec: Mapping[str, Any]) -> Object:
    """Complete the requests of the pod as a whole: by its containers', then by its limits."""
    resources = dict(spec["resources"])
    requests = {**resources["limits"], **_container_requests(spec)}
    resources["requests"] = {**requests, **(resources.get("requests") or {})}
    return resources


def _container_requests(spec: Mapping[str, Any]) -> Mapping[str, str]:
    try:
        found = container_requests(PodSpec.parse(dict(spec)))
    except (ValueError, UnreadableError):
        return {}  # validation will say what is wrong with it
    return {name: str(amount) for name, amount in found.items() if name in ("cpu", "memory")}


def _alias_service_account(spec: Object) -> None:
    """Keep the field's old name equal to the new one; the new one wins."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _container(written: Mapping[str, Any], host_network: bool, whole_pod: bool) -> Object:
    container = dict(written)
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container["resources"] = _resources(container.get("resources") or {}, whole_pod)
    if container.get("ports"):
        container["ports"] = [_port(port, host_network) for port in container["ports"]]
    if container.get("env"):
        container["env"] = [_env(env) for env in container["env"]]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            container[probe] = _probe(container[probe])
    if "lifecycle" in container:
        container["lifecycle"] = {
            name: _handler(handler) if isinstance(handler, dict) else handler
            for name, handler in container["lifecycle"].items()
        }
    return container


def pull_policy(image: str) -> str:
    """Return Always for ``:latest`` or no tag, else IfNotPresent; a digest counts as a tag."""
    if "@" in image:
        return "IfNotPresent"
    # a colon before the last slash belongs to the registry's port
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if colon and tag != "latest" else "Always"


def _resources(resources: Mapping[str, Any], whole_pod: bool) -> Object:
    limits = resources.get("limits")
    if not whole_pod or not limits:
        return dict(resources)
    return {**resources, "requests": {**limits, **(resources.get("requests") or {})}}


def _port(written: Mapping[str, Any], host_network: bool) -> Object:
    port = {"protocol": "TCP", **written}
    if host_network:
        port.setdefault("hostPort", written.get("containerPort", 0))
    return port


def _env(env: Mapping[str, Any]) -> Object:
    source = env.get("valueFrom")
    if not source or "fieldRef" not in source:
        return dict(env)
    return {**env, "valueFrom": {**source, "fieldRef": _field_ref(source["fieldRef"])}}


def _field_ref(reference: Mapping[str, Any]) -> Object:
    return {"apiVersion": "v1", **reference}


def _probe(written: Mapping[str, Any]) -> Object:
    timing = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1}
    return {**timing, "failureThreshold": 3, **_handler(written)}


def _handler(written: Mapping[str, Any]) -> Object:
    handler = dict(written)
    if "httpGet" in handler:
        handler["httpGet"] = {"path": "/", "scheme": "HTTP", **handler["httpGet"]}
    if "grpc" in handler:
        handler["grpc"] = {"service": "", **handler["grpc"]}
    if "sleep" in handler:
        # Go always writes the number
        handler["sleep"] = {"seconds": 0, **handler["sleep"]}
    return handler


def _volume(written: Mapping[str, Any]) -> Object:
    volume = dict(written)
    if len(volume) <= 1:
        # a volume that names no source is an empty folder
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            volume[source] = _with_field_refs({"defaultMode": FILE_MODE, **volume[source]})
    if "projected" in volume:
        projected = volume["projected"]
        projected["sources"] = [_projection(entry) for entry in projected.get("sources") or ()]
    if "hostPath" in volume:
        volume["hostPath"] = {"type": "", **volume["hostPath"]}
    return volume


def _projection(written: Mapping[str, Any]) -> Object:
    projection = dict(written)
    if "serviceAccountToken" in projection:
        token = projection["serviceAccountToken"]
        projection["serviceAccountToken"] = {"expirationSeconds": TOKEN_LIFETIME_S, **token}
    if "downwardAPI" in projection:
        projection["downwardAPI"] = _with_field_refs(projection["downwardAPI"])
    return projection


def _with_field_refs(source: Mapping[str, Any]) -> Object:
    """Fill in the ``fieldRef`` of downward API items; other sources have none."""
    items = source.get("items")
    if not items:
        return dict(source)
    filled = [
        {**item, "fieldRef": _field_ref(item["fieldRef"])} if "fieldRef" in item else item
        for item in items
    ]
    return {**source, "items": filled}


def default_pod_status(status: Mapping[str, Any]) -> Object:
    """Return the status with its phase and the fields that Go always writes."""
    filled = {"phase": "Pending", **status}
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        if filled.get(name):
            filled[name] = [_container_status(entry) for entry in filled[name]]
    return filled


def _container_status(status: Mapping[str, Any]) -> Object:
    always = {"image": "", "imageID": "", "lastState": {}, "ready": False, "restartCount": 0}
    return {**always, "state": {}, **status}
