"""What the agent tells its HTTPS server of itself and its pods; see ``serving.NodeDesk``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from netlab.api.kinds import POD
from netlab.api.pods import Pod
from netlab.api.streams import NodeConnection
from netlab.api.view import Object
from netlab.client.informer import Informer
from netlab.kubelet.node.heartbeat import LEASE_S, STATUS_AGE_S
from netlab.kubelet.node.objects import LEASE_DURATION_S, MAX_PODS
from netlab.kubelet.node.usage import NodeUsageMeter, Reading
from netlab.kubelet.node_parts import NodeParts
from netlab.runtime.cri import ContainerState

OLDEST_RELIST_S = 120.0
"""Loops that have not gone round for so long are taken for stuck, as the kubelet does."""


@dataclass(frozen=True, slots=True)
class AgentDesk:
    """The desk of one agent. relisted_s: when its loop went round last, by the steady clock."""

    parts: NodeParts
    connection: NodeConnection
    pods_informer: Informer[Pod]
    meter: NodeUsageMeter
    relisted_s: Callable[[], float]

    @property
    def logs_root(self) -> Path:
        """The node's folder, of which ``pods`` may be seen."""
        return self.parts.config.state_dir

    def configuration(self) -> Object:
        """Return the KubeletConfiguration in effect."""
        config = self.parts.config
        return {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "port": config.kubelet_port,
            "authentication": {
                "x509": {"clientCAFile": ""},
                "webhook": {"enabled": True, "cacheTTL": "2m0s"},
                "anonymous": {"enabled": False},
            },
            "authorization": {
                "mode": "Webhook",
                "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"},
            },
            "clusterDomain": config.cluster_domain,
            "clusterDNS": [str(config.dns_ip)],
            "nodeStatusReportFrequency": f"{STATUS_AGE_S / 60:.0f}m0s",
            "nodeLeaseDurationSeconds": LEASE_DURATION_S,
            "nodeStatusUpdateFrequency": f"{LEASE_S:.0f}s",
            "maxPods": MAX_PODS,
            "resolvConf": str(config.resolv_conf),
            "containerLogMaxSize": "10Mi",
            "containerLogMaxFiles": 5,
        }

    async def pods(self) -> Object:
        """Return the pods that the API server has bound here."""
        selector = f"spec.nodeName={self.parts.node_name}"
        listed = await self.parts.client.list(POD, None, field_selector=selector)
        return _pod_list(list(listed.items))

    async def running_pods(self) -> Object:
        """Return what runs here, with as much as the runtime knows of it."""
        found = []
        for pod in self.parts.inventory.snapshot.pods.values():
            sandbox = pod.sandbox
            if sandbox is None:
                continue
            identity = sandbox.config.pod
            containers = [{"name": c.name, "image": c.image} for c in pod.active]
            found.append(
                {
                    "metadata": {
                        "name": identity.name,
                        "namespace": identity.namespace,
                        "uid": identity.uid,
                    },
                    "spec": {"containers": containers},
                    "status": {},
                }
            )
        return _pod_list(found)

    def uids(self) -> Mapping[tuple[str, str], str]:
        """Return the uids of the node's pods, by namespace and name."""
        pods = self.pods_informer.list()
        return {(p.metadata.namespace, p.metadata.name): p.metadata.uid for p in pods}

    def reading(self) -> tuple[Reading | None, Mapping[str, ContainerState]]:
        """Return the last counters, and the containers by id."""
        return self.meter.latest, self._states()

    def _states(self) -> dict[str, ContainerState]:
        pods = self.parts.inventory.snapshot.pods.values()
        return {state.id: state for pod in pods for state in pod.containers}

    def sandboxes(self) -> int:
        """Return how many pods have a running sandbox."""
        pods = self.parts.inventory.snapshot.pods.values()
        return sum(pod.sandbox is not None for pod in pods)

    def probe_counts(self) -> Mapping[tuple[str, str, str, str, str], int]:
        """Return how often each probe had which result."""
        return self.parts.probe_counts

    def healthy(self) -> bool:
        """Return whether the agent's loop has gone round lately."""
        return self.parts.clock.monotonic_s() - self.relisted_s() < OLDEST_RELIST_S


def _pod_list(items: list[Object]) -> Object:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
