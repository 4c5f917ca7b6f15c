"""The objects that make the DNS server part of a cluster.

The ServiceAccount, Deployment and Service as kubeadm installs CoreDNS: the same names and labels,
so that ``kubectl -n kube-system get pods -l k8s-app=kube-dns`` finds it. The Service keeps the
name ``kube-dns`` that the DNS specification's clients know. Pure.
"""

from __future__ import annotations

from netlab import __version__
from netlab.api.view import Object
from netlab.config import LabConfig

NAMESPACE = "kube-system"
NAME = "coredns"
SERVICE_NAME = "kube-dns"
LABELS = {"k8s-app": "kube-dns"}
DNS_PORT = 53
METRICS_PORT = 9153
IMAGE = f"netlab/dns:{__version__}"


def dns_objects(config: LabConfig) -> list[Object]:
    """Return the objects in the order in which they are to be created."""
    return [_service_account(), _service(config), _deployment(config)]


def _service_account() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
    }


def _service(config: LabConfig) -> Object:
    address = str(config.dns_service_ip)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": SERVICE_NAME,
            "namespace": NAMESPACE,
            "labels": {
                **LABELS,
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
            "annotations": {
                "prometheus.io/port": str(METRICS_PORT),
                "prometheus.io/scrape": "true",
            },
        },
        "spec": {
            "clusterIP": address,
            "selector": LABELS,
            "ports": [
                {"name": "dns", "port": DNS_PORT, "protocol": "UDP", "targetPort": DNS_PORT},
                {"name": "dns-tcp", "port": DNS_PORT, "protocol": "TCP", "targetPort": DNS_PORT},
                {
                    "name": "metrics",
                    "port": METRICS_PORT,
                    "protocol": "TCP",
                    "targetPort": METRICS_PORT,
                },
            ],
        },
    }


def _deployment(config: LabConfig) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": LABELS}, "spec": _pod_spec(config)},
        },
    }


def _pod_spec(config: LabConfig) -> Object:
    return {
        "serviceAccountName": NAME,
        # its own resolver is the node's: names outside the cluster are forwarded there
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        ],
        "containers": [
            {
                "name": "coredns",
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "args": ["--zone", config.cluster_domain],
                "ports": [
                    {"name": "dns", "containerPort": DNS_PORT, "protocol": "UDP"},
                    {"name": "dns-tcp", "containerPort": DNS_PORT, "protocol": "TCP"},
                    {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
                ],
            }
        ],
    }
