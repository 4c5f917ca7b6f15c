"""Defaults make objects look as in a real cluster."""

import copy

import pytest

from netlab.api.defaults import apply_defaults
from netlab.api.defaults_pod import pull_policy
from netlab.api.kinds import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
)

CONTAINER = {
    "name": "web",
    "image": "nginx",
    "ports": [{"containerPort": 80}],
    "livenessProbe": {"httpGet": {"port": 80}},
    "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
}
FULL_CONTAINER = {
    "name": "web",
    "image": "nginx",
    "imagePullPolicy": "Always",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
    "ports": [{"containerPort": 80, "protocol": "TCP"}],
    "livenessProbe": {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    },
    "env": [
        {
            "name": "IP",
            "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}},
        }
    ],
}
TEMPLATE_SPEC = {
    "containers": [FULL_CONTAINER],
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}

ROWS = [
    pytest.param(
        POD,
        {"spec": {"containers": [CONTAINER]}},
        {
            "spec": {**TEMPLATE_SPEC, "enableServiceLinks": True},
            "status": {"phase": "Pending"},
        },
        id="pod",
    ),
    pytest.param(
        POD,
        {
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": "a",
                        "image": "b:1",
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}},
                    }
                ],
                "volumes": [{"name": "x"}, {"name": "y", "configMap": {"name": "z"}}],
                "serviceAccountName": "me",
            }
        },
        {
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": "a",
                        "image": "b:1",
                        "imagePullPolicy": "IfNotPresent",
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                        "ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}],
                        "resources": {
                            "limits": {"cpu": "1"},
                            "requests": {"cpu": "1", "memory": "1Gi"},
                        },
                    }
                ],
                "volumes": [
                    {"name": "x", "emptyDir": {}},
                    {"name": "y", "configMap": {"name": "z", "defaultMode": 420}},
                ],
                "serviceAccountName": "me",
                "serviceAccount": "me",
                "dnsPolicy": "ClusterFirst",
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "terminationGracePeriodSeconds": 30,
                "enableServiceLinks": True,
            },
            "status": {"phase": "Pending"},
        },
        id="pod with host network, volumes and resources",
    ),
    pytest.param(
        DEPLOYMENT,
        {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}},
        {
            "spec": {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
                },
                "template": {"metadata": {}, "spec": TEMPLATE_SPEC},
            },
            "status": {},
        },
        id="deployment",
    ),
    pytest.param(
        REPLICA_SET,
        {"spec": {"replicas": 0, "template": {"spec": {"containers": [CONTAINER]}}}},
        {
            "spec": {"replicas": 0, "template": {"metadata": {}, "spec": TEMPLATE_SPEC}},
            "status": {"replicas": 0},
        },
        id="replica set keeps zero",
    ),
    pytest.param(
        SERVICE,
        {"spec": {"ports": [{"port": 80}]}},
        {
            "spec": {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            },
            "status": {"loadBalancer": {}},
        },
        id="service",
    ),
    pytest.param(
        SERVICE,
        {
            "spec": {
                "type": "LoadBalancer",
                "sessionAffinity": "ClientIP",
                "ports": [{"port": 80, "targetPort": "http"}],
            }
        },
        {
            "spec": {
                "type": "LoadBalancer",
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": True,
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}],
            },
            "status": {"loadBalancer": {}},
        },
        id="load balancer with affinity",
    ),
    pytest.param(
        SERVICE,
        {"spec": {"type": "ExternalName", "externalName": "example.com"}},
        {
            "spec": {
                "type": "ExternalName",
                "externalName": "example.com",
                "sessionAffinity": "None",
            },
            "status": {"loadBalancer": {}},
        },
        id="external name",
    ),
    pytest.param(
        NAMESPACE,
        {"metadata": {"name": "n"}},
        {
            "metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}},
            "spec": {},
            "status": {"phase": "Active"},
        },
        id="namespace",
    ),
    pytest.param(
        SECRET,
        {"stringData": {"a": "x"}, "data": {"b": "eQ=="}},
        {"type": "Opaque", "data": {"a": "eA==", "b": "eQ=="}},
        id="secret",
    ),
    pytest.param(
        ENDPOINTS,
        {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}]},
        {
            "subsets": [
                {"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80, "protocol": "TCP"}]}
            ]
        },
        id="endpoints",
    ),
    pytest.param(
        ENDPOINT_SLICE,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}], "ports": [{"port": 1}]},
        {
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["1.2.3.4"], "conditions": {}}],
            "ports": [{"name": "", "port": 1, "protocol": "TCP"}],
        },
        id="endpoint slice",
    ),
]


@pytest.mark.parametrize(("kind", "obj", "expected"), ROWS)
def test_defaults(kind, obj, expected):
    before = copy.deepcopy(obj)
    filled = apply_defaults(kind, obj)
    head = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}
    assert filled == {**head, **expected}
    assert obj == before
    assert apply_defaults(kind, filled) == filled


def test_node_capacity_is_allocatable():
    node = apply_defaults(NODE, {"status": {"capacity": {"cpu": "2"}}})
    assert node["status"]["allocatable"] == {"cpu": "2"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy(image, policy):
    assert pull_policy(image) == policy
