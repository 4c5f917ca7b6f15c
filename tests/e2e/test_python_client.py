"""The official Python client: list, watch, create, stream exec."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from tests.support.lab import Lab

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore"),  # the client's own
]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from kubernetes import client, config, watch
    from kubernetes.stream import stream


@pytest.fixture(scope="module")
def core(lab: Lab) -> Iterator[client.CoreV1Api]:
    api_client = config.new_client_from_config(str(lab.kubeconfig))
    try:
        yield client.CoreV1Api(api_client)
    finally:
        api_client.close()


def _pod(name: str) -> client.V1Pod:
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name=name, labels={"app": name}),
        spec=client.V1PodSpec(
            containers=[client.V1Container(name="main", image="busybox", command=["sleep", "600"])],
            termination_grace_period_seconds=0,
        ),
    )


def test_list_watch_create_exec(core: client.CoreV1Api) -> None:
    assert {n.metadata.name for n in core.list_namespace().items} >= {"default", "kube-system"}
    version = core.list_namespaced_pod("default").metadata.resource_version
    core.create_namespaced_pod("default", _pod("py"))
    phases = []
    for event in watch.Watch().stream(
        core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=30
    ):
        phases.append((event["type"], event["object"].status.phase))
        if event["object"].status.phase == "Running":
            break
    assert phases[0] == ("ADDED", "Pending")
    assert phases[-1] == ("MODIFIED", "Running")
    answer = stream(
        core.connect_get_namespaced_pod_exec,
        "py", "default", command=["echo", "hello"],
        stdin=False, stdout=True, stderr=True, tty=False,
    )  # fmt: skip
    assert answer == "hello\n"
    core.delete_namespaced_pod("py", "default")


def test_a_missing_pod_is_404(core: client.CoreV1Api) -> None:
    with pytest.raises(client.exceptions.ApiException) as raised:
        core.read_namespaced_pod("nobody", "default")
    assert raised.value.status == 404
    assert 'pods \\"nobody\\" not found' in raised.value.body
