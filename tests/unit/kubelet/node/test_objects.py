"""The Node object, its heartbeat, and the machine it tells of."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from netlab.api.core import Node
from netlab.api.kinds import LEASE, NODE
from netlab.api.release import go_architecture
from netlab.errors import ApiError
from netlab.kubelet.node.machine import (
    Machine,
    Pressure,
    parse_meminfo,
    parse_os_release,
    read_machine,
    read_pressure,
)
from netlab.kubelet.node.objects import NodeFacts, node_object, node_status
from netlab.runtime.cri import ImageInfo

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
MACHINE = Machine(4, 8_000_000, 50_000_000, "amd64", "6.1.0", "Debian", "m", "s", "b", 0)
FREE = Pressure(1 << 30, 0.5, 0.9)
FACTS = NodeFacts("node0", "10.100.199.200", MACHINE, FREE, IPv4Network("10.244.0.0/24"))


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_a_node_in_full() -> None:
    node = Node.parse(node_object(FACTS, NOW))
    assert node.metadata.labels["kubernetes.io/hostname"] == "node0"
    assert node.spec.pod_cidr == "10.244.0.0/24"
    assert node.status.capacity == {
        "cpu": "4",
        "memory": "8000000Ki",
        "ephemeral-storage": "50000000Ki",
        "pods": "110",
    }
    addresses = [(a.type, a.address) for a in node.status.addresses]
    assert addresses == [("InternalIP", "10.100.199.200"), ("Hostname", "node0")]


CONDITIONS = {
    "well": (FACTS, {"Ready": ("True", "KubeletReady")}),
    "problems": (replace(FACTS, problems=("x",)), {"Ready": ("False", "KubeletNotReady")}),
    "memory": (
        replace(FACTS, pressure=replace(FREE, memory_available_bytes=1)),
        {"MemoryPressure": ("True", "KubeletHasInsufficientMemory")},
    ),
    "disk": (
        replace(FACTS, pressure=replace(FREE, disk_available_share=0.05)),
        {"DiskPressure": ("True", "KubeletHasDiskPressure")},
    ),
    "pids": (
        replace(FACTS, pressure=replace(FREE, pids_available_share=0.0)),
        {"PIDPressure": ("True", "KubeletHasInsufficientPID")},
    ),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions(name: str) -> None:
    facts, expected = CONDITIONS[name]
    healthy = {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }
    assert conditions(node_status(facts, {}, NOW)) == healthy | expected


def test_transition_times_are_kept() -> None:
    old = node_object(FACTS, NOW)["status"]
    sick = replace(FACTS, problems=("x",))
    times = {
        c["type"]: c["lastTransitionTime"] for c in node_status(sick, old, LATER)["conditions"]
    }
    assert times["DiskPressure"] == "2026-01-01T00:00:00Z"
    assert times["Ready"] == "2026-01-02T00:00:00Z"


def test_at_most_fifty_images_the_largest_first() -> None:
    images = [ImageInfo(f"sha256:{n}", (f"i{n}",), n, True) for n in range(60)]
    found = node_status(replace(FACTS, images=images), {}, NOW)["images"]
    assert len(found) == 50
    assert found[0] == {"names": ["i59"], "sizeBytes": 59}


def test_the_machine_is_read(tmp_path: Path) -> None:
    machine = read_machine(tmp_path / "not" / "there")
    assert machine.processors >= 1
    assert machine.memory_kib > 0
    assert machine.kernel_version
    assert machine.boot_id
    pressure = read_pressure(tmp_path)
    assert 0 < pressure.pids_available_share <= 1


def test_parsers() -> None:
    assert parse_os_release('NAME=x\nPRETTY_NAME="Debian GNU/Linux 12"\n') == "Debian GNU/Linux 12"
    assert parse_os_release("") == "Linux"
    assert parse_meminfo("MemTotal:  12 kB\nbroken\n") == {"MemTotal": 12}
    assert go_architecture("x86_64") == "amd64"


async def test_the_node_is_registered_and_ready(world: Any) -> None:
    async with world.running():
        node = world.api.objects[("nodes", "", "node0")]
        assert conditions(node["status"])["Ready"] == ("True", "KubeletReady")
        assert node["spec"]["podCIDR"] == "10.244.0.0/24"
        assert world.kubelet.ready.is_set()


async def test_the_lease_is_renewed(world: Any) -> None:
    async with world.running():
        lease = world.api.objects[("leases", "kube-node-lease", "node0")]
        assert lease["spec"]["holderIdentity"] == "node0"
        assert lease["metadata"]["ownerReferences"][0]["kind"] == "Node"
        await world.pass_time(11)
        lease = world.api.objects[("leases", "kube-node-lease", "node0")]
        assert lease["spec"]["renewTime"] == "2026-01-01T00:00:10.000000Z"


async def test_the_status_is_written_every_five_minutes(world: Any) -> None:
    async with world.running():

        def count() -> int:
            return sum(w == ("patch status", "nodes", "node0") for w in world.api.writes)

        before = count()
        await world.pass_time(250)
        assert count() == before
        await world.pass_time(100)
        assert count() == before + 1


async def test_an_existing_node_is_taken_over(world: Any) -> None:
    async with world.running():
        pass
    labels = {"mine": "yes", "kubernetes.io/os": None}
    world.api.put(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "node0", "labels": labels},
            "spec": {"unschedulable": True, "podCIDR": "10.244.7.0/24", "podCIDRs": None},
        }
    )
    world.kubelet = world.new_kubelet()
    async with world.running():
        node = world.api.objects[("nodes", "", "node0")]
        assert node["metadata"]["labels"]["mine"] == "yes"
        assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
        assert node["spec"] == {"unschedulable": True, "podCIDR": "10.244.7.0/24"}


async def test_registration_is_tried_until_the_api_server_answers(world: Any) -> None:
    broken = [True]
    world.api.refuse = lambda verb, *_: (
        ApiError(503, "ServiceUnavailable", "later") if verb == "create" and broken[0] else None
    )
    async with world.running():
        assert not world.kubelet.ready.is_set()
        broken[0] = False
        await world.pass_time(1)
        assert world.kubelet.ready.is_set()


async def test_a_network_that_cannot_be_set_up_is_told(world: Any) -> None:
    from netlab.errors import NetworkError

    real = world.network.setup

    async def setup(pod_cidr: IPv4Network) -> None:
        raise NetworkError("no br_netfilter")

    world.network.setup = setup
    async with world.running():
        await world.pass_time(1)
        node = world.api.objects[("nodes", "", "node0")]
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        assert ready["status"] == "False"
        assert "no br_netfilter" in ready["message"]
        world.network.setup = real
        await world.pass_time(1)
        assert world.kubelet.ready.is_set()


async def meddle(world: Any, status: dict[str, Any]) -> dict[str, Any]:
    """Return the Node after somebody has changed its status."""
    await world.api.patch(NODE, None, "node0", {"status": status}, subresource="status")
    await world.settle()
    node: dict[str, Any] = world.api.objects[("nodes", "", "node0")]
    return node


MEDDLING: dict[str, dict[str, Any]] = {
    "addresses": {"addresses": [{"type": "InternalIP", "address": "9.9.9.9"}]},
    "no addresses": {"addresses": None},
    "capacity": {"capacity": {"cpu": "900"}},
    "allocatable": {"allocatable": {"pods": "1"}},
    "an amount that nobody has": {"allocatable": {"example.com/dongle": "4"}},
    "node info": {"nodeInfo": {"kubeletVersion": "v0.1"}},
    "not ready": {"conditions": [{"type": "Ready", "status": "False", "reason": "Mine"}]},
    "silent": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    "under pressure": {"conditions": [{"type": "DiskPressure", "status": "True"}]},
    "no conditions": {"conditions": []},
    "the port": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}},
    "images": {"images": []},
}


@pytest.mark.parametrize("name", MEDDLING)
async def test_a_status_that_somebody_changed_is_put_right(world: Any, name: str) -> None:
    async with world.running():
        before = copy.deepcopy(world.api.objects[("nodes", "", "node0")]["status"])
        after = (await meddle(world, MEDDLING[name]))["status"]
        for status in (before, after):
            for condition in status["conditions"]:
                del condition["lastTransitionTime"]
        assert after == before
        assert world.kubelet.ready.is_set()


async def test_what_others_tell_of_a_node_is_kept(world: Any) -> None:
    async with world.running():
        foreign = {"type": "NetworkUnavailable", "status": "False", "reason": "Mine"}
        conditions_now = world.api.objects[("nodes", "", "node0")]["status"]["conditions"]
        status = {
            "conditions": [*conditions_now, foreign],
            "capacity": {"example.com/dongle": "4"},
        }
        node = await meddle(world, status)
        await world.pass_time(400)
        node = world.api.objects[("nodes", "", "node0")]
        assert foreign in node["status"]["conditions"]
        assert node["status"]["capacity"]["example.com/dongle"] == "4"
        assert node["status"]["allocatable"]["example.com/dongle"] == "4"


async def test_labels_of_the_node_are_put_right(world: Any) -> None:
    async with world.running():
        changed = {"kubernetes.io/hostname": "x", "kubernetes.io/os": None, "mine": "yes"}
        await world.api.patch(NODE, None, "node0", {"metadata": {"labels": changed}})
        await world.settle()
        labels = world.api.objects[("nodes", "", "node0")]["metadata"]["labels"]
        assert labels["kubernetes.io/hostname"] == "node0"
        assert labels["kubernetes.io/os"] == "linux"
        assert labels["mine"] == "yes"


async def test_a_node_that_was_deleted_is_registered_again(world: Any) -> None:
    async with world.running():
        pod = await world.add_pod()
        before = world.api.objects[("nodes", "", "node0")]["metadata"]["uid"]
        seen: list[bool] = []
        world.api.refuse = lambda verb, kind, _: (
            seen.append(world.kubelet.ready.is_set()) if (verb, kind) == ("create", NODE) else None
        )
        await world.api.delete(NODE, None, "node0")
        await world.settle()
        node = world.api.objects[("nodes", "", "node0")]
        assert seen == [False]
        assert node["metadata"]["uid"] != before
        assert conditions(node["status"])["Ready"] == ("True", "KubeletReady")
        assert world.kubelet.ready.is_set()
        assert world.pod().metadata.uid == pod["metadata"]["uid"]
        assert world.status()["phase"] == "Running"
        await world.pass_time(11)
        lease = world.api.objects[("leases", "kube-node-lease", "node0")]
        assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


async def test_a_lease_that_was_changed_or_deleted_is_put_right(world: Any) -> None:
    async with world.running():
        wrong = {"spec": {"holderIdentity": "x", "leaseDurationSeconds": 1}}
        await world.api.patch(LEASE, "kube-node-lease", "node0", wrong)
        await world.pass_time(11)
        lease = world.api.objects[("leases", "kube-node-lease", "node0")]
        assert lease["spec"]["holderIdentity"] == "node0"
        assert lease["spec"]["leaseDurationSeconds"] == 40
        await world.api.delete(LEASE, "kube-node-lease", "node0")
        await world.pass_time(11)
        assert ("leases", "kube-node-lease", "node0") in world.api.objects


async def test_an_api_server_in_need_is_not_pressed(world: Any) -> None:
    async with world.running():
        tried: list[Any] = []

        def refuse(_verb: str, kind: Any, _name: str) -> ApiError:
            if kind in (NODE, LEASE):
                tried.append(kind)
            return ApiError(500, "InternalError", "broken")

        world.api.refuse = refuse
        for _ in range(60):
            await world.pass_time(1)
        assert 2 <= len(tried) <= 20
        world.api.refuse = lambda *_: None
        await world.pass_time(20)
        lease = world.api.objects[("leases", "kube-node-lease", "node0")]
        assert lease["spec"]["renewTime"] > "2026-01-01T00:01:00"


async def test_a_node_waits_for_its_range(world: Any) -> None:
    world.api.gives_ranges = False
    async with world.running():
        node = world.api.objects[("nodes", "", "node0")]
        assert conditions(node["status"])["Ready"] == ("False", "KubeletNotReady")
        assert "no range of pods yet" in str(node["status"]["conditions"])
        assert not world.network.set_up
        await world.api.patch(NODE, None, "node0", {"spec": {"podCIDR": "10.244.3.0/24"}})
        await world.settle()
        await world.pass_time(1)
        assert world.network.set_up
        assert world.kubelet.ready.is_set()
        # and keeps it when somebody deletes the Node
        await world.api.delete(NODE, None, "node0")
        await world.settle()
        node = world.api.objects[("nodes", "", "node0")]
        assert node["spec"]["podCIDR"] == "10.244.3.0/24"
