"""Whatever is missing or odd in a manifest, the answer is a Status and never a fault."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from netlab.api.kinds import LIMIT_RANGE, POD, RESOURCE_QUOTA
from netlab.errors import ApiError

AMOUNTS = {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "1Mi"}}
CONTAINER = {
    "name": "c",
    "image": "i",
    "ports": [{"name": "web", "containerPort": 80, "hostPort": 80}],
    "env": [
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "m"}}],
    "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}],
    "resources": AMOUNTS,
    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
    "livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "b"}]}},
    "readinessProbe": {"grpc": {"port": 80}},
    "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"exec": {"command": ["a"]}}},
    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    "restartPolicy": "Never",
    "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
}
POD_SPEC = {
    "containers": [CONTAINER],
    "initContainers": [{"name": "d", "image": "i", "restartPolicy": "Always"}],
    "resources": AMOUNTS,
    "volumes": [
        {"name": "v", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "w", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "x", "configMap": {"name": "m", "items": [{"key": "a", "path": "b"}]}},
    ],
    "securityContext": {"sysctls": [{"name": "net.a", "value": "1"}], "fsGroup": 1},
    "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}],
    "dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "a"}]},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "readinessGates": [{"conditionType": "a.b/c"}],
    "imagePullSecrets": [{"name": "s"}],
    "nodeSelector": {"a": "b"},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every field and item."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


def changed(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    spec: Any = copy.deepcopy(POD_SPEC)
    target = spec
    for step in place[:-1]:
        target = target[step]
    if value is None:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return {"metadata": {"generateName": "p-"}, "spec": spec}


@pytest.mark.parametrize("value", [None, "", "..", {}, [], -1, "\u0000", "9e99"], ids=repr)
async def test_every_place_may_be_wrong(lab: Any, value: Any) -> None:
    limits = [{"type": "Container", "default": {"cpu": "1"}, "min": {"memory": "1"}}]
    await lab.create(LIMIT_RANGE, {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    hard = {"pods": "500", "limits.cpu": "500"}
    await lab.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    for place in places(POD_SPEC):
        try:
            made = await lab.create(POD, changed(place, value))
        except ApiError as error:
            assert error.code in (400, 403, 422), (place, error)  # noqa: PT017  most are refused
        else:
            assert POD.view.parse(made)  # what is stored, every component can read
