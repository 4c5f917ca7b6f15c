"""Makes the objects that every new cluster has before anybody asked for them.

Mirrors kube-apiserver's ``pkg/controlplane`` (system namespaces, the ``kubernetes`` Service and its
endpoint reconciler). Running it again changes nothing, or follows a changed address. As there, the
Service comes back when somebody deletes it (``kubectl delete svc --all``), within ten seconds.

The default service accounts and ``kube-root-ca.crt`` are controllers' work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from netlab.api.discovery import SERVICE_NAME_LABEL
from netlab.api.kinds import (
    ENDPOINT_SLICE,
    ENDPOINTS,
    NAMESPACE,
    SERVICE,
    STORAGE_CLASS,
    Kind,
)
from netlab.api.kinds.priorityclass import PRIORITY_CLASS, SYSTEM_CLASSES, system_class
from netlab.api.storage_marks import DEFAULT_CLASS, LOCAL_PATH, WAIT_FOR_CONSUMER
from netlab.api.view import Object
from netlab.apiserver.auth.reconciling import ensure_bootstrap_policy
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.config import LabConfig
from netlab.errors import ApiError, NetlabError, is_already_exists, is_not_found

log = logging.getLogger(__name__)

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
KUBERNETES = "kubernetes"
HTTPS_PORT = 443
KEEP_INTERVAL_S = 10.0
"""Between two looks at the Service; upstream's reconciler looks as often."""


async def ensure_system_objects(client: Client, config: LabConfig) -> None:
    """Make the roles and bindings, the system namespaces and priority classes, the default
    StorageClass, and Service default/kubernetes with the API server behind it.

    Raises: ApiError when something else has taken the Service's address.
    """
    await ensure_bootstrap_policy(client)
    for name in SYSTEM_NAMESPACES:
        await _ensure(client, NAMESPACE, None, {"metadata": {"name": name}})
    for name in SYSTEM_CLASSES:
        await _ensure(client, PRIORITY_CLASS, None, system_class(name))
    await _ensure(client, STORAGE_CLASS, None, _storage_class())
    await ensure_kubernetes_service(client, config)


async def ensure_kubernetes_service(client: Client, config: LabConfig) -> None:
    """Make Service default/kubernetes with the API server behind it.

    Raises: ApiError when something else has taken the Service's address.
    """
    await _ensure_service(client, config)
    await _ensure(client, ENDPOINTS, "default", _endpoints(config), _differs_in("subsets"))
    await _ensure(
        client,
        ENDPOINT_SLICE,
        "default",
        _endpoint_slice(config),
        _differs_in("endpoints", "ports"),
    )


async def keep_kubernetes_service(client: Client, config: LabConfig, clock: Clock) -> None:
    """Bring Service default/kubernetes back when it is deleted or changed, until cancelled."""
    while True:
        await clock.sleep(KEEP_INTERVAL_S)
        try:
            await ensure_kubernetes_service(client, config)
        except NetlabError as error:
            log.warning("keep Service default/%s: %s", KUBERNETES, error)


async def _ensure(
    client: Client,
    kind: Kind[Any],
    namespace: str | None,
    wanted: Object,
    differs: Callable[[Object, Object], bool] = lambda present, wanted: False,
) -> None:
    """Create the object; bring one that exists and differs up to date."""
    try:
        await client.create(kind, namespace, wanted)
        return
    except ApiError as error:
        if not is_already_exists(error):
            raise
    present = await client.get(kind, namespace, wanted["metadata"]["name"])
    if differs(present, wanted):
        await client.update(kind, namespace, {**present, **_without_metadata(wanted)})


def _without_metadata(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key != "metadata"}


def _differs_in(*fields: str) -> Callable[[Object, Object], bool]:
    """Compare addresses and ports; defaults that the server added do not count."""

    def differs(present: Object, wanted: Object) -> bool:
        return any(not _contains(present.get(field), wanted.get(field)) for field in fields)

    return differs


def _contains(present: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(present, dict) and all(
            _contains(present.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(present, list)
            and len(present) == len(wanted)
            and all(map(_contains, present, wanted))
        )
    return bool(present == wanted)


async def _ensure_service(client: Client, config: LabConfig) -> None:
    """The Service's address cannot be changed: with another service range, make it anew."""
    wanted = _service(config)
    try:
        present = await client.get(SERVICE, "default", KUBERNETES)
    except ApiError as error:
        if not is_not_found(error):
            raise
    else:
        if present["spec"].get("clusterIP") == wanted["spec"]["clusterIP"]:
            if not _contains(present["spec"].get("ports"), wanted["spec"]["ports"]):
                spec = {**present["spec"], "ports": wanted["spec"]["ports"]}
                await client.update(SERVICE, "default", {**present, "spec": spec})
            return
        await client.delete(SERVICE, "default", KUBERNETES)
    await client.create(SERVICE, "default", wanted)


def _service(config: LabConfig) -> Object:
    port = {
        "name": "https",
        "protocol": "TCP",
        "port": HTTPS_PORT,
        "targetPort": config.api_port,
    }
    return {
        "metadata": {
            "name": KUBERNETES,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": str(config.kubernetes_service_ip),
            "ports": [port],
        },
    }


def _storage_class() -> Object:
    """The class that claims get which name none; as kind and k3s have it."""
    return {
        "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": LOCAL_PATH,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": WAIT_FOR_CONSUMER,
    }


def _endpoints(config: LabConfig) -> Object:
    return {
        "metadata": {
            "name": KUBERNETES,
            # the slice below is written here, not mirrored from these endpoints
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": str(config.node_ip)}],
                "ports": [{"name": "https", "port": config.api_port, "protocol": "TCP"}],
            }
        ],
    }


def _endpoint_slice(config: LabConfig) -> Object:
    return {
        "metadata": {"name": KUBERNETES, "labels": {SERVICE_NAME_LABEL: KUBERNETES}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [str(config.node_ip)], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": config.api_port, "protocol": "TCP"}],
    }
