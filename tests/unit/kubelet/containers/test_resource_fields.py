"""resourceFieldRef, in variables and files."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.containers import Container, ResourceFieldSelector
from netlab.api.pods import Pod
from netlab.kubelet.containers.environment import PodAddresses, Sources, container_environment
from netlab.kubelet.containers.resource_fields import UnknownResourceError, resource_field_value

NODE = {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi"}
CONTAINER = {
    "name": "main",
    "resources": {
        "limits": {"cpu": "1500m", "memory": "100Mi"},
        "requests": {"cpu": "250m", "memory": "64Mi"},
    },
}


def pod(**spec: Any) -> Pod:
    return Pod.parse({"metadata": {"name": "web"}, "spec": {"containers": [CONTAINER], **spec}})


ROWS: dict[str, tuple[dict[str, str], str]] = {
    "cpu is rounded up to whole cores": ({"resource": "limits.cpu"}, "2"),
    "cpu in thousandths": ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
    "memory in bytes": ({"resource": "limits.memory"}, "104857600"),
    "memory in Mi": ({"resource": "requests.memory", "divisor": "1Mi"}, "64"),
    "memory in Gi is rounded up": ({"resource": "limits.memory", "divisor": "1Gi"}, "1"),
    "a divisor of 0 is 1": ({"resource": "requests.cpu", "divisor": "0"}, "1"),
    "no limit: the node": ({"resource": "limits.ephemeral-storage", "divisor": "1Gi"}, "10"),
    "no request: nothing": ({"resource": "requests.ephemeral-storage"}, "0"),
    "by name": ({"resource": "limits.cpu", "containerName": "main", "divisor": "1m"}, "1500"),
}


@pytest.mark.parametrize("name", ROWS)
def test_values(name: str) -> None:
    selector, expected = ROWS[name]
    view = ResourceFieldSelector.parse(selector)
    container = Container.parse(CONTAINER)
    assert resource_field_value(pod(), view, NODE, container=container) == expected


def test_the_pods_own_limit_stands_before_the_nodes() -> None:
    whole = pod(containers=[{"name": "main"}], resources={"limits": {"memory": "1Gi"}})
    view = ResourceFieldSelector.parse(
        {"resource": "limits.memory", "containerName": "main", "divisor": "1Gi"}
    )
    assert resource_field_value(whole, view, NODE) == "1"


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ({"resource": "limits.gpu"}, "unsupported container resource : limits.gpu"),
        ({"resource": "cpu"}, "unsupported container resource : cpu"),
        ({"resource": "limits.cpu", "containerName": "other"}, "container other not found"),
    ],
)
def test_unknown(selector: dict[str, str], message: str) -> None:
    view = ResourceFieldSelector.parse(selector)
    with pytest.raises(UnknownResourceError) as caught:
        resource_field_value(pod(), view, NODE, container=Container.parse(CONTAINER))
    assert str(caught.value) == message


def test_in_a_variable() -> None:
    source = {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}
    container = {**CONTAINER, "env": [{"name": "MEMORY", "valueFrom": source}]}
    values = container_environment(
        pod(), Container.parse(container), Sources(PodAddresses("", "")), hostname="web"
    )
    assert values["MEMORY"] == "100"
