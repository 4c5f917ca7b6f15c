"""Which pods that are bound to a node it does not take."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.core import Node
from netlab.api.pods import Pod
from netlab.kubelet.admission import SAFE_SYSCTLS, dotted, refuse

NODE: dict[str, Any] = {
    "metadata": {"name": "node0", "labels": {"disk": "ssd", "kubernetes.io/os": "linux"}},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3", "example.com/d": "1"}},
}
FITS = "Node didn't have enough resource: "


def pod(name: str = "p", labels: dict[str, str] | None = None, **spec: Any) -> Pod:
    meta = {"name": name, "namespace": "default", "uid": name, "labels": labels or {}}
    spec.setdefault("containers", [{"name": "main", "image": "x"}])
    return Pod.parse({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def asking(**requests: str) -> Pod:
    amounts = {name.replace("_", "-"): amount for name, amount in requests.items()}
    return pod(containers=[{"name": "m", "image": "x", "resources": {"requests": amounts}}])


def with_sysctl(name: str, **spec: Any) -> Pod:
    return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)


def with_port(port: int, protocol: str = "TCP", address: str = "") -> Pod:
    wanted = {"containerPort": 80, "hostPort": port, "protocol": protocol, "hostIP": address}
    return pod(containers=[{"name": "m", "image": "x", "ports": [wanted]}])


REFUSED: dict[str, tuple[Pod, list[Pod], str, str]] = {
    "unsafe sysctl": (
        with_sysctl("net.core.somaxconn"), [], "SysctlForbidden",
        'forbidden sysctl: "net.core.somaxconn" not allowlisted',
    ),
    "unsafe sysctl with slashes": (
        with_sysctl("kernel/msgmax"), [], "SysctlForbidden",
        'forbidden sysctl: "kernel.msgmax" not allowlisted',
    ),
    "a sysctl of the node's network": (
        with_sysctl("net.ipv4.tcp_syncookies", hostNetwork=True), [], "SysctlForbidden",
        'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
    ),
    "a sysctl of the node's memory": (
        with_sysctl("kernel.shm_rmid_forced", hostIPC=True), [], "SysctlForbidden",
        'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
    ),
    "the label of another system": (
        pod(labels={"kubernetes.io/os": "windows"}), [], "PodOSSelectorNodeLabelDoesNotMatch",
        "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    ),
    "another system": (
        pod(os={"name": "windows"}), [], "PodOSNotSupported",
        "Failed to admit pod as the OS field doesn't match node OS",
    ),
    "too many pods": (
        pod(), [pod("a"), pod("b"), pod("c")], "OutOfpods",
        FITS + "pods, requested: 1, used: 3, capacity: 3",
    ),
    "too much cpu": (
        asking(cpu="3"), [], "OutOfcpu", FITS + "cpu, requested: 3000, used: 0, capacity: 2000",
    ),
    "too much cpu beside another": (
        asking(cpu="500m"), [asking(cpu="1900m")], "OutOfcpu",
        FITS + "cpu, requested: 500, used: 1900, capacity: 2000",
    ),
    "too much memory": (
        asking(memory="2Gi"), [], "OutOfmemory",
        FITS + "memory, requested: 2147483648, used: 0, capacity: 1073741824",
    ),
    "a disk the node does not tell of": (
        asking(ephemeral_storage="1"), [], "OutOfephemeral-storage",
        FITS + "ephemeral-storage, requested: 1, used: 0, capacity: 0",
    ),
    "too many devices": (
        pod(containers=[{"name": "m", "image": "x",
                         "resources": {"requests": {"example.com/d": "2"}}}]),
        [], "OutOfexample.com/d",
        FITS + "example.com/d, requested: 2, used: 0, capacity: 1",
    ),
    "labels the node has not": (
        pod(nodeSelector={"disk": "hdd"}), [], "NodeAffinity",
        "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    ),
    "a port that is taken": (
        with_port(8080), [with_port(8080)], "NodePorts",
        "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    ),
    "a port that is taken at one address": (
        with_port(8080), [with_port(8080, address="10.0.0.1")], "NodePorts",
        "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    wanted, others, reason, message = REFUSED[name]
    found = refuse(wanted, Node.parse(NODE), others)
    assert found is not None
    assert (found.reason, found.message) == (reason, message)


TAKEN: dict[str, tuple[Pod, list[Pod]]] = {
    "a plain one": (pod(), []),
    "the last place": (pod(), [pod("a"), pod("b")]),
    "all there is": (asking(cpu="2", memory="1Gi"), []),
    "nothing where there is nothing": (pod(), [asking(cpu="2")]),
    "a resource that no node tells of": (
        pod(containers=[{"name": "m", "image": "x", "resources": {"requests": {"a.b/c": "9"}}}]),
        [],
    ),
    "its labels": (pod(nodeSelector={"disk": "ssd"}), []),
    "its own system": (pod(labels={"kubernetes.io/os": "linux"}, os={"name": "linux"}), []),
    "the port of another protocol": (with_port(53, "UDP"), [with_port(53, "TCP")]),
    "the port at another address": (
        with_port(53, address="10.0.0.1"), [with_port(53, address="10.0.0.2")],
    ),
    "a safe sysctl with slashes": (with_sysctl("net/ipv4/ping_group_range"), []),
    **{name: (with_sysctl(name), []) for name in SAFE_SYSCTLS},
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name: str) -> None:
    wanted, others = TAKEN[name]
    assert refuse(wanted, Node.parse(NODE), others) is None


def test_only_noexecute_counts_here() -> None:
    taints = [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}]
    node = Node.parse({**NODE, "spec": {"taints": taints[:1]}})
    assert refuse(pod(), node, []) is None
    node = Node.parse({**NODE, "spec": {"taints": taints}})
    found = refuse(pod(), node, [])
    assert found is not None
    assert found.reason == "TaintToleration"
    assert refuse(pod(tolerations=[{"key": "b", "operator": "Exists"}]), node, []) is None


def test_names_of_sysctls() -> None:
    assert dotted("net.ipv4.conf.eth0/1.x") == "net.ipv4.conf.eth0/1.x"
    assert dotted("net/ipv4/conf/eth0.1/x") == "net.ipv4.conf.eth0/1.x"
    assert dotted("kernel") == "kernel"


async def test_a_pod_that_is_refused_fails_at_once_and_nothing_of_it_is_made(world: Any) -> None:
    async with world.running():
        await world.add_pod(
            securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "9"}]}
        )
        status = world.status()
        text = 'forbidden sysctl: "net.core.somaxconn" not allowlisted'
        assert (status["phase"], status["reason"]) == ("Failed", "SysctlForbidden")
        assert status["message"] == f"Pod was rejected: {text}"
        assert "containerStatuses" not in status
        assert "podIP" not in status
        assert ("SysctlForbidden", text) in world.api.events()
        assert not world.runtime.calls
        before = status
    world.kubelet = world.new_kubelet()
    async with world.running():
        await world.pass_time(30)
        assert world.status() == before
        await world.delete()
        assert not world.exists()
        assert world.nothing_left()


async def test_of_two_pods_bound_at_once_the_second_is_refused(world: Any) -> None:
    async with world.running():
        cores = int(world.api.objects[("nodes", "", "node0")]["status"]["capacity"]["cpu"])
        amount = {"requests": {"cpu": f"{cores * 600}m"}}
        container = {"name": "main", "image": "busybox", "resources": amount}
        await world.add_pod("first", containers=[container])
        await world.add_pod("second", containers=[container])
        assert world.status("first")["phase"] == "Running"
        assert world.status("second")["reason"] == "OutOfcpu"
        # what was refused takes no room, and neither does what has ended
        await world.delete("first", grace=0)
        await world.add_pod("third", containers=[container])
        assert world.status("third")["phase"] == "Running"


async def test_pods_that_run_are_not_admitted_again(world: Any) -> None:
    async with world.running():
        await world.add_pod(nodeSelector={"kubernetes.io/os": "linux"})
        assert world.status()["phase"] == "Running"
    taints = {"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}}
    from netlab.api.kinds import NODE as NODE_KIND

    await world.api.patch(NODE_KIND, None, "node0", taints)
    world.kubelet = world.new_kubelet()
    async with world.running():
        assert world.status()["phase"] == "Running"
