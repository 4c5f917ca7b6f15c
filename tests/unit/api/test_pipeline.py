"""What passes all checks can be read by every component.

Objects are damaged at random places; whatever the checks let through must parse as its view,
look the same after a second pass, and stay as it was when nothing changes.
"""

import copy
import random

import pytest

from netlab.api.defaults import apply_defaults
from netlab.api.kinds import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    EVENT,
    LEASE,
    NAMESPACE,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
)
from netlab.api.schemas import check_fields
from netlab.api.unsupported import inert_field_warnings
from netlab.api.validation import validate_create, validate_update
from netlab.errors import ApiError

META = {"name": "x", "namespace": "default", "labels": {"app": "web"}, "annotations": {"a": "b"}}
OWNED = {
    **META,
    "finalizers": ["a/b"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}],
}
POD_SPEC = {
    "containers": [
        {
            "name": "c",
            "image": "i:1",
            "command": ["a"],
            "ports": [{"containerPort": 80, "name": "http", "hostPort": 8080}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "m"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "readinessProbe": {"httpGet": {"port": "http"}},
            "resources": {"limits": {"cpu": "1"}},
        }
    ],
    "initContainers": [{"name": "d", "image": "i"}],
    "serviceAccountName": "default",
    "volumes": [
        {"name": "v", "emptyDir": {}},
        {"name": "w", "configMap": {"name": "m", "items": [{"key": "a", "path": "b"}]}},
        {"name": "x", "secret": {"secretName": "s"}},
        {
            "name": "y",
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"path": "t"}},
                    {
                        "downwardAPI": {
                            "items": [
                                {"path": "n", "fieldRef": {"fieldPath": "metadata.namespace"}}
                            ]
                        }
                    },
                ]
            },
        },
    ],
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    "nodeSelector": {"a": "b"},
    "dnsConfig": {"nameservers": ["10.0.0.1"], "options": [{"name": "ndots", "value": "2"}]},
}
WORKLOAD = {
    "replicas": 2,
    "selector": {
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}],
    },
    "template": {"metadata": {"labels": {"app": "web"}}, "spec": POD_SPEC},
}
OBJECTS = {
    POD: {"metadata": OWNED, "spec": POD_SPEC},
    REPLICA_SET: {"metadata": META, "spec": WORKLOAD},
    DEPLOYMENT: {"metadata": META, "spec": {**WORKLOAD, "strategy": {"type": "Recreate"}}},
    SERVICE: {
        "metadata": META,
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.96.0.7",
            "clusterIPs": ["10.96.0.7"],
            "ports": [
                {"name": "a", "port": 80, "targetPort": "http", "nodePort": 30080},
                {"name": "b", "port": 53, "protocol": "UDP"},
            ],
            "selector": {"app": "web"},
            "sessionAffinity": "ClientIP",
            "externalIPs": ["10.1.2.3"],
        },
    },
    ENDPOINTS: {
        "metadata": META,
        "subsets": [
            {
                "addresses": [{"ip": "10.1.1.1", "targetRef": {"kind": "Pod", "name": "p"}}],
                "notReadyAddresses": [{"ip": "10.1.1.2"}],
                "ports": [{"name": "a", "port": 80}],
            }
        ],
    },
    ENDPOINT_SLICE: {
        "metadata": META,
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.1.1"], "conditions": {"ready": True}, "nodeName": "n"}],
        "ports": [{"name": "a", "port": 80}],
    },
    SECRET: {"metadata": META, "data": {"a": "YQ=="}, "type": "x/y"},
    NAMESPACE: {"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes"]}},
    LEASE: {
        "metadata": META,
        "spec": {"renewTime": "2026-01-01T00:00:00.000000Z", "leaseDurationSeconds": 40},
    },
    EVENT: {
        "metadata": META,
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    },
}
DAMAGE = (None, "", 0, -1, 1, "x", "2026-02-30T00:00:00Z", [], {}, [{}], {"x": "y"}, True, 1.5)


def places(value):
    """Every (container, key) inside an object."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from places(item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from places(item)


def damaged(obj, source):
    obj = copy.deepcopy(obj)
    for _ in range(source.randint(0, 2)):
        owner, key = source.choice(list(places(obj)))
        if source.random() < 0.3:
            del owner[key]
        else:
            owner[key] = copy.deepcopy(source.choice(DAMAGE))
    return obj


def accepted(kind, obj):
    """The stored object, or None when it is refused."""
    try:
        checked, _ = check_fields(kind, obj, "Ignore")
    except ApiError:
        return None
    filled = apply_defaults(kind, checked)
    return None if validate_create(kind, filled) else filled


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.plural)
def test_accepted_objects_are_sound(kind):
    assert accepted(kind, OBJECTS[kind]) is not None
    source = random.Random(11)
    passed = 0
    for _ in range(400):
        obj = damaged(OBJECTS[kind], source)
        before = copy.deepcopy(obj)
        stored = accepted(kind, obj)
        assert obj == before
        if stored is None:
            continue
        passed += 1
        kind.view.parse(stored)
        inert_field_warnings(kind, stored)
        again, _ = check_fields(kind, stored, "Strict")
        assert apply_defaults(kind, again) == apply_defaults(kind, stored)
        assert validate_update(kind, stored, copy.deepcopy(stored)) == []
    assert passed > 20
