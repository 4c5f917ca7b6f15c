"""Services: addresses and ports, given once, kept, freed, refused."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

import pytest

from netlab.api.kinds import SERVICE
from netlab.apiserver.storage.allocations import NODE_PORTS, Allocations
from netlab.errors import ApiError, StorageError
from netlab.store.log import Log

CIDR = IPv4Network("10.96.0.0/12")


def held(ip: str, *ports: int) -> Any:
    return {"spec": {"clusterIP": ip, "ports": [{"nodePort": port} for port in ports]}}


def test_the_upper_part_of_the_range_is_given_first():
    allocations = Allocations(IPv4Network("10.0.0.0/24"), Random(1))
    given = []
    while (ip := allocations.free_ip()) is not None:
        allocations.replace(("ns", ip), None, held(ip))
        given.append(int(IPv4Address(ip)) & 255)
    assert sorted(given[:238]) == list(range(17, 255))
    assert sorted(given[238:]) == list(range(1, 17))


def test_node_ports_too():
    allocations = Allocations(CIDR, Random(1))
    given = []
    while (port := allocations.free_port()) is not None:
        allocations.replace(("ns", str(port)), None, held("None", port))
        given.append(port)
    assert len(given) == len(set(given)) == len(NODE_PORTS)
    assert min(given[: len(NODE_PORTS) - 86]) == 30086


@pytest.mark.parametrize(
    ("ip", "refusal"),
    [
        ("10.96.0.9", ""),
        ("10.96.0.10", "provided IP is already allocated"),
        (
            "10.95.0.1",
            "the provided IP (10.95.0.1) is not in the valid range."
            " The range of valid IPs is 10.96.0.0/12",
        ),
        (
            "10.96.0.0",
            "the provided IP (10.96.0.0) is not in the valid range."
            " The range of valid IPs is 10.96.0.0/12",
        ),
    ],
)
def test_chosen_addresses(ip: str, refusal: str):
    allocations = Allocations(CIDR, Random(1))
    allocations.rebuild([(("kube-system", "kube-dns"), held("10.96.0.10"))])
    assert allocations.refuse_ip(ip, ("shop", "web")) == refusal
    assert allocations.refuse_ip("10.96.0.10", ("kube-system", "kube-dns")) == ""


# through the registry -----------------------------------------------------------------------------


async def test_a_service_is_completed(lab: Any):
    spec = (await lab.create(SERVICE, lab.service("s")))["spec"]
    assert IPv4Address(spec["clusterIP"]) in CIDR
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ipFamilies"] == ["IPv4"]
    assert spec["ipFamilyPolicy"] == "SingleStack"
    assert spec["internalTrafficPolicy"] == "Cluster"
    assert spec["sessionAffinity"] == "None"
    assert "nodePort" not in spec["ports"][0]


async def test_headless(lab: Any):
    spec = (await lab.create(SERVICE, lab.service("s", clusterIP="None")))["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


async def test_headless_without_selector_is_of_any_family(lab: Any):
    body = lab.service("s", clusterIP="None")
    del body["spec"]["selector"]
    spec = (await lab.create(SERVICE, body))["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")


async def test_external_names_have_no_address(lab: Any):
    body = {
        "metadata": {"name": "s"},
        "spec": {"type": "ExternalName", "externalName": "example.com"},
    }
    spec = (await lab.create(SERVICE, body))["spec"]
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & set(spec)


async def test_a_chosen_address_is_given_once(lab: Any):
    await lab.create(SERVICE, lab.service("a", clusterIP="10.96.0.10"))
    with pytest.raises(ApiError) as raised:
        await lab.create(SERVICE, lab.service("b", clusterIP="10.96.0.10"))
    assert raised.value.code == 422
    assert raised.value.message == (
        'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]:'
        " failed to allocate IP 10.96.0.10: provided IP is already allocated"
    )


async def test_a_chosen_port_is_given_once(lab: Any):
    port = {"port": 80, "nodePort": 30080}
    await lab.create(SERVICE, lab.service("a", port, type="NodePort"))
    with pytest.raises(ApiError) as raised:
        await lab.create(SERVICE, lab.service("b", dict(port), type="NodePort"))
    assert raised.value.message == (
        'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30080:'
        " provided port is already allocated"
    )
    with pytest.raises(ApiError, match="The range of valid ports is 30000-32767"):
        await lab.create(SERVICE, lab.service("b", {"port": 80, "nodePort": 80}, type="NodePort"))


async def test_tcp_and_udp_share_a_node_port(lab: Any):
    ports = [
        {"name": "a", "port": 53, "protocol": "UDP"},
        {"name": "b", "port": 53, "protocol": "TCP"},
        {"name": "c", "port": 80, "protocol": "TCP"},
    ]
    made = await lab.create(SERVICE, lab.service("s", *ports, type="NodePort"))
    udp, tcp, other = (port["nodePort"] for port in made["spec"]["ports"])
    assert udp == tcp != other
    chosen = [dict(port, nodePort=30053) for port in ports[:2]]
    made = await lab.create(SERVICE, lab.service("t", *chosen, type="NodePort"))
    assert [port["nodePort"] for port in made["spec"]["ports"]] == [30053, 30053]


async def test_load_balancers(lab: Any):
    body = lab.service("s", type="LoadBalancer", externalTrafficPolicy="Local")
    spec = (await lab.create(SERVICE, body))["spec"]
    assert spec["healthCheckNodePort"] in NODE_PORTS
    assert spec["healthCheckNodePort"] != spec["ports"][0]["nodePort"]
    assert spec["allocateLoadBalancerNodePorts"] is True
    body = lab.service("t", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in (await lab.create(SERVICE, body))["spec"]["ports"][0]


async def test_nothing_is_given_twice_to_many_at_once(lab: Any):
    made = await asyncio.gather(
        *(lab.create(SERVICE, lab.service(f"s{n}", type="NodePort")) for n in range(100))
    )
    assert len({service["spec"]["clusterIP"] for service in made}) == 100
    assert len({service["spec"]["ports"][0]["nodePort"] for service in made}) == 100


async def test_what_is_deleted_is_free_again(lab: Any):
    body = lab.service("a", {"port": 80, "nodePort": 30080}, type="NodePort", clusterIP="10.96.0.9")
    await lab.create(SERVICE, dict(body))
    await lab.delete(SERVICE, "a")
    again = lab.service(
        "b", {"port": 80, "nodePort": 30080}, type="NodePort", clusterIP="10.96.0.9"
    )
    assert (await lab.create(SERVICE, again))["spec"]["clusterIP"] == "10.96.0.9"


async def test_what_was_not_saved_is_free_again(lab: Any, monkeypatch: pytest.MonkeyPatch):
    await lab.create(SERVICE, lab.service("x"))  # so that the index is built
    append = Log.append

    def full(self: Log, rows: Any) -> None:
        raise StorageError("full")

    monkeypatch.setattr(Log, "append", full)
    with pytest.raises(StorageError):
        await lab.create(SERVICE, lab.service("a", clusterIP="10.96.0.9"))
    monkeypatch.setattr(Log, "append", append)
    made = await lab.create(SERVICE, lab.service("b", clusterIP="10.96.0.9"))
    assert made["spec"]["clusterIP"] == "10.96.0.9"


async def test_dry_runs_and_refused_services_hold_nothing(lab: Any):
    await lab.create(SERVICE, lab.service("a", clusterIP="10.96.0.9"), dry_run=True)
    bad = lab.service("b", {"port": 80, "nodePort": 1}, type="NodePort", clusterIP="10.96.0.9")
    with pytest.raises(ApiError):
        await lab.create(SERVICE, bad)
    await lab.create(SERVICE, lab.service("c", clusterIP="10.96.0.9"))


async def test_creating_twice_tells_of_the_port(lab: Any):
    """As a real server: it allocates before it finds that the name is taken."""
    body = lab.service("a", {"port": 80, "nodePort": 30080}, type="NodePort")
    await lab.create(SERVICE, body)
    with pytest.raises(ApiError, match="provided port is already allocated"):
        await lab.create(
            SERVICE, lab.service("a", {"port": 80, "nodePort": 30080}, type="NodePort")
        )
    with pytest.raises(ApiError, match='services "a" already exists'):
        await lab.create(SERVICE, lab.service("a"))


# updates ------------------------------------------------------------------------------------------


async def test_an_update_keeps_what_was_allocated(lab: Any):
    made = await lab.create(SERVICE, lab.service("s", type="NodePort"))
    body = lab.service("s", 8080, type="NodePort")
    body["metadata"]["namespace"] = "default"
    new = (await lab.update(SERVICE, body))["spec"]
    old = made["spec"]
    assert new["clusterIPs"] == old["clusterIPs"]
    assert new["ports"][0] | {"port": 80, "targetPort": 80} == old["ports"][0]
    assert new["ipFamilies"] == old["ipFamilies"]


async def test_type_changes_allocate_and_free(lab: Any):
    made = await lab.create(SERVICE, lab.service("s"))
    ip = made["spec"]["clusterIP"]
    opened = await lab.patch(SERVICE, "s", {"spec": {"type": "NodePort"}})
    port = opened["spec"]["ports"][0]["nodePort"]
    assert opened["spec"]["clusterIP"] == ip
    assert opened["spec"]["externalTrafficPolicy"] == "Cluster"
    closed = await lab.patch(SERVICE, "s", {"spec": {"type": "ClusterIP"}})
    assert "nodePort" not in closed["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in closed["spec"]
    taken = lab.service("t", {"port": 80, "nodePort": port}, type="NodePort")
    await lab.create(SERVICE, taken)
    named = await lab.patch(
        SERVICE, "s", {"spec": {"type": "ExternalName", "externalName": "example.com"}}
    )
    fields = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"}
    assert not fields & set(named["spec"])
    await lab.create(SERVICE, lab.service("u", clusterIP=ip))
    back = await lab.patch(SERVICE, "s", {"spec": {"type": "ClusterIP", "externalName": None}})
    assert back["spec"]["clusterIP"] not in ("", ip)


@pytest.mark.parametrize("address", ["", None], ids=["emptied", "removed"])
async def test_the_address_may_be_dropped_with_the_type(lab: Any, address: Any):
    await lab.create(SERVICE, lab.service("s"))
    spec = {"type": "ExternalName", "externalName": "example.com", "clusterIP": address}
    named = (await lab.patch(SERVICE, "s", {"spec": spec}))["spec"]
    assert not {"clusterIPs", "ipFamilies", "ipFamilyPolicy"} & set(named)
    assert not named.get("clusterIP")


async def test_a_changed_port_frees_the_old(lab: Any):
    await lab.create(SERVICE, lab.service("s", {"port": 80, "nodePort": 30080}, type="NodePort"))
    patch = [{"op": "replace", "path": "/spec/ports/0/nodePort", "value": 30081}]
    await lab.patch(SERVICE, "s", patch, patch_type="json")
    await lab.create(SERVICE, lab.service("t", {"port": 80, "nodePort": 30080}, type="NodePort"))
    with pytest.raises(ApiError, match="provided port is already allocated"):
        await lab.patch(
            SERVICE,
            "t",
            [{"op": "replace", "path": "/spec/ports/0/nodePort", "value": 30081}],
            patch_type="json",
        )


async def test_an_address_cannot_be_changed(lab: Any):
    await lab.create(SERVICE, lab.service("s"))
    with pytest.raises(ApiError, match=r"field is immutable|may not change once set"):
        await lab.patch(SERVICE, "s", {"spec": {"clusterIP": "10.96.0.77"}})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack"),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured'),
        ({"ipFamilyPolicy": "PreferDualStack"}, ""),
    ],
    ids=["require", "ipv6", "prefer"],
)
async def test_families(lab: Any, spec: Any, message: str):
    if not message:
        made = (await lab.create(SERVICE, lab.service("s", **spec)))["spec"]
        assert (made["ipFamilies"], made["ipFamilyPolicy"]) == (["IPv4"], "PreferDualStack")
        return
    with pytest.raises(ApiError) as raised:
        await lab.create(SERVICE, lab.service("s", **spec))
    assert message in raised.value.message


def test_no_address_of_the_nodes_network_is_given() -> None:
    """The courses' nodes, 10.100.199.0/24, lie inside their Services' 10.96.0.0/12."""
    nodes = IPv4Network("10.0.0.0/25")
    allocations = Allocations(IPv4Network("10.0.0.0/24"), Random(1), nodes=nodes)
    key = ("default", "web")
    assert allocations.refuse_ip("10.0.0.5", key) == "provided IP is already allocated"
    assert allocations.refuse_ip("10.0.0.200", key) == ""
    given = set()
    while (address := allocations.free_ip()) is not None:
        given.add(address)
        service = {"spec": {"clusterIPs": [address]}}
        allocations.replace(("default", address), None, service)
    assert len(given) == 127
    assert all(IPv4Address(address) not in nodes for address in given)
