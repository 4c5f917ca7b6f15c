"""What pods and containers are bounded to, by what their manifests ask for."""

import pytest

from netlab.api.pods import Pod
from netlab.kubelet.containers.resources import (
    container_resources,
    cpu_quota_us,
    cpu_shares,
    pod_resources,
)
from netlab.runtime.cri import LinuxResources

GIB = 1 << 30
MIB = 1 << 20


def resources(requests=None, limits=None):
    return {"requests": requests or {}, "limits": limits or {}}


def container(name="c", requests=None, limits=None, **more):
    return {"name": name, "resources": resources(requests, limits), **more}


def pod(*containers, init=(), whole=None):
    spec = {"containers": list(containers), "initContainers": list(init)}
    if whole is not None:
        spec["resources"] = whole
    return Pod.parse({"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": spec})


def of(made, name="c"):
    found = next(one for one in made.spec.all_containers if one.name == name)
    return container_resources(made, found, node_memory_bytes=10 * GIB)


@pytest.mark.parametrize(
    ("milli", "shares", "quota_us"),
    [
        pytest.param(0, 2, 0, id="nothing"),
        pytest.param(1, 2, 1000, id="the least"),
        pytest.param(100, 102, 10_000, id="a tenth"),
        pytest.param(1000, 1024, 100_000, id="one"),
        pytest.param(1_000_000, 262_144, 100_000_000, id="more than there are shares"),
    ],
)
def test_processors(milli, shares, quota_us):
    assert (cpu_shares(milli), cpu_quota_us(milli)) == (shares, quota_us)


SAME = {"cpu": "500m", "memory": "1Gi"}

CONTAINERS = {
    "nothing": (container(), LinuxResources(cpu_shares=2, oom_score_adj=1000)),
    "guaranteed": (
        container(requests=SAME, limits=SAME),
        LinuxResources(
            cpu_shares=512,
            cpu_quota_us=50_000,
            memory_limit_bytes=GIB,
            memory_request_bytes=GIB,
            oom_score_adj=-997,
        ),
    ),
    "burstable": (
        container(requests={"cpu": "100m", "memory": "1Gi"}, limits={"memory": "2Gi"}),
        LinuxResources(
            cpu_shares=102,
            memory_limit_bytes=2 * GIB,
            memory_request_bytes=GIB,
            oom_score_adj=900,
        ),
    ),
    "a limit alone weighs, too": (
        container(limits={"cpu": "1500m"}),
        LinuxResources(cpu_shares=1536, cpu_quota_us=150_000, oom_score_adj=999),
    ),
    "the whole node": (
        container(requests={"memory": "20Gi"}),
        LinuxResources(cpu_shares=2, memory_request_bytes=20 * GIB, oom_score_adj=3),
    ),
}


@pytest.mark.parametrize("case", CONTAINERS)
def test_containers(case):
    asked, expected = CONTAINERS[case]
    assert of(pod(asked)) == expected


def test_a_sidecar_is_not_killed_before_those_it_serves():
    sidecar = container("side", {"memory": "100Mi"}, restartPolicy="Always")
    made = pod(container("a", {"memory": "2Gi"}), container("b", {"memory": "1Gi"}), init=[sidecar])
    assert [of(made, name).oom_score_adj for name in ("a", "b", "side")] == [800, 900, 900]


def test_what_a_pod_reserves_beyond_its_containers_is_shared_among_them():
    whole = resources({"memory": "4Gi"}, {"memory": "6Gi"})
    made = pod(container("a", {"memory": "1Gi"}), container("b", {"memory": "1Gi"}), whole=whole)
    assert [of(made, name).oom_score_adj for name in ("a", "b")] == [800, 800]
    assert of(made, "a").memory_limit_bytes == 6 * GIB


BOTH = {"cpu": "1", "memory": "100Mi"}

PODS = {
    "best effort": (pod(container()), LinuxResources(cpu_shares=2)),
    "the sum": (
        pod(container("a", BOTH, BOTH), container("b", BOTH, BOTH)),
        LinuxResources(
            cpu_shares=2048,
            cpu_quota_us=200_000,
            memory_limit_bytes=200 * MIB,
            memory_request_bytes=200 * MIB,
        ),
    ),
    "no bound where one container has none": (
        pod(container("a", BOTH, BOTH), container("b", {"memory": "50Mi"}, {"cpu": "1"})),
        LinuxResources(cpu_shares=1024, cpu_quota_us=200_000, memory_request_bytes=150 * MIB),
    ),
    "the largest init container": (
        pod(container("a", BOTH, BOTH), init=[container("i", {"cpu": "3"}, {"cpu": "3"})]),
        LinuxResources(
            cpu_shares=3072,
            cpu_quota_us=300_000,
            memory_limit_bytes=100 * MIB,
            memory_request_bytes=100 * MIB,
        ),
    ),
    "sidecars add up": (
        pod(
            container("a", BOTH, BOTH),
            init=[container("s", BOTH, BOTH, restartPolicy="Always")],
        ),
        LinuxResources(
            cpu_shares=2048,
            cpu_quota_us=200_000,
            memory_limit_bytes=200 * MIB,
            memory_request_bytes=200 * MIB,
        ),
    ),
    "the pod's own amounts": (
        pod(container("a"), whole=resources({"cpu": "200m"}, {"cpu": "500m", "memory": "1Gi"})),
        LinuxResources(cpu_shares=204, cpu_quota_us=50_000, memory_limit_bytes=GIB),
    ),
}


@pytest.mark.parametrize("case", PODS)
def test_pods(case):
    made, expected = PODS[case]
    assert pod_resources(made) == expected
