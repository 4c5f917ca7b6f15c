"""Traffic to Services reaches the right pods through the kernel's own rules."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from netlab.client.informers import SharedInformers
from netlab.clock import SystemClock
from netlab.net.host import NetworkHost
from netlab.net.iptables import Iptables
from netlab.net.netfilter.section import ChainId
from netlab.net.savefile import Snapshot
from netlab.net.sysctl import read_sysctl
from netlab.proxy.agent import ProxyAgent
from netlab.proxy.iptables_mode import OWNERSHIP, IptablesProvider, remove_rules
from tests.support.registry_api import RegistryApi, registry_api
from tests.system.nodes import CLUSTER_CIDR, NODE_ADDRESS, Node, eventually, node_with_pods
from tests.unit.proxy.objects import golden_objects, service_object, slice_object

pytestmark = pytest.mark.system

NODE_IP = str(NODE_ADDRESS.ip)
VIP = "10.96.1.1"


def proxy(host: NetworkHost, informers: SharedInformers) -> ProxyAgent:
    return ProxyAgent(
        informers,
        provider=IptablesProvider(host, node_ip=IPv4Address(NODE_IP), cluster_cidr=CLUSTER_CIDR),
        node_name="node0",
        cluster_cidr=CLUSTER_CIDR,
        host=host,
        clock=SystemClock(),
    )


def ours(snapshot: Snapshot) -> dict[ChainId, tuple[str, ...]]:
    """What the kernel holds of kube-proxy's: its chains, and its jumps in others'."""
    found = {}
    for table, chains in snapshot.tables.items():
        for name, chain in chains.items():
            if chain.policy is None and OWNERSHIP.owns(name):
                found[table, name] = chain.lines
            elif lines := [one for one in chain.lines if OWNERSHIP.claims((table, name), one)]:
                found[table, name] = tuple(lines)
    return found


@contextlib.asynccontextmanager
async def proxied(
    node: Node, *objects: dict[str, Any], host: NetworkHost | None = None
) -> AsyncIterator[tuple[RegistryApi, ProxyAgent]]:
    """A running kube-proxy on the node that has written the rules of the objects.

    host: None is the node's own; another one is that of a process that was started anew.
    """
    host = host or node.host
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        async with registry_api(Path(folder), clock) as client:
            for obj in objects:
                client.put(obj)
            informers = SharedInformers(client, clock)
            agent = proxy(host, informers)
            tasks = [asyncio.create_task(part.run()) for part in (informers, agent)]
            tasks.append(asyncio.create_task(host.run(clock)))
            try:
                async with asyncio.timeout(10):
                    await agent.synced.wait()
                yield client, agent
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                host.close()


def web(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]
    return service_object(type="NodePort", ports=ports, **spec)


async def test_cluster_ip_node_port_and_loopback(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a", "b") as node:
        a, b = node.pods
        await node.serve(b, 8080)
        async with proxied(node, web(), slice_object(b.ip)):
            assert await node.ask(a.netns, VIP, 80) == f"b {a.ip}"
            # hairpin: the pod meets itself from the gateway's address
            assert await node.ask(b.netns, VIP, 80) == "b 10.244.0.1"
            assert await node.ask(node.netns, VIP, 80) == "b 10.244.0.1"
            assert await node.ask(node.netns, NODE_IP, 30080) == "b 10.244.0.1"
            assert await node.ask(node.netns, "127.0.0.1", 30080) == "b 10.244.0.1"
            assert await node.ask(a.netns, NODE_IP, 30080) == "b 10.244.0.1"
            assert await node.ask(a.netns, VIP, 8080, timeout_s=0.3) != f"b {a.ip}"


async def test_no_endpoints_refuses_at_once(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a") as node, proxied(node, web()):
        for netns, to, port in (
            (node.pods[0].netns, VIP, 80),
            (node.netns, VIP, 80),
            (node.pods[0].netns, NODE_IP, 30080),
        ):
            assert await node.ask(netns, to, port) == "ConnectionRefusedError"


async def test_endpoints_share_the_work(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a", "b", "c") as node:
        a, b, c = node.pods
        for pod in (b, c):
            await node.serve(pod, 8080)
        async with proxied(node, web(), slice_object(b.ip, c.ip)):
            answers = (await node.ask(a.netns, VIP, 80, times=60)).split("\n")
            assert 10 <= answers.count(f"b {a.ip}") <= 50
            assert len(answers) == 60


async def test_affinity_keeps_a_client_at_its_endpoint(tmp_path: Path) -> None:
    sticky = web(sessionAffinity="ClientIP")
    async with node_with_pods(tmp_path, "a", "b", "c") as node:
        a, b, c = node.pods
        for pod in (b, c):
            await node.serve(pod, 8080)
        async with proxied(node, sticky, slice_object(b.ip, c.ip)):
            answers = (await node.ask(a.netns, VIP, 80, times=20)).split("\n")
            assert len(answers) == 20
            assert len(set(answers)) == 1


async def test_udp_client_follows_its_service(tmp_path: Path) -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}]
    service = service_object(type="NodePort", ports=ports)
    named = (("dns", 5353, "UDP"),)
    async with node_with_pods(tmp_path, "a", "b", "c") as node:
        a, b, c = node.pods
        for pod in (b, c):
            await node.serve(pod, 5353, udp=True)

        async def ask() -> str:
            return await node.ask_udp(a.netns, VIP, 53, source_port=7777)

        async with proxied(node) as (client, _):
            # the packet before there is a Service leaves an entry that translates nothing
            assert await node.ask_udp(a.netns, VIP, 53, source_port=7777, timeout_s=0.2) != "b"
            client.put(service)
            client.put(slice_object(b.ip, ports=named))
            await eventually(ask, lambda answer: answer == f"b {a.ip}")
            client.put(slice_object(c.ip, ports=named))
            await eventually(ask, lambda answer: answer == f"c {a.ip}")
            assert (await node.ask_udp(a.netns, NODE_IP, 30053)).startswith("c ")


async def test_change_reaches_the_kernel_in_time(tmp_path: Path) -> None:
    async with (
        node_with_pods(tmp_path, "a") as node,
        proxied(node, web(), slice_object("10.244.0.9")) as (client, agent),
    ):
        await asyncio.sleep(0.1)
        first = agent.last_sync
        started = time.monotonic()
        client.put(slice_object("10.244.0.10"))
        while agent.last_sync is first:
            await asyncio.sleep(0.001)
        assert time.monotonic() - started < 0.1
        text = await node.run(node.netns, "iptables-save", "-t", "nat")
        assert "10.244.0.10:8080" in text
        assert "10.244.0.9:8080" not in text


async def test_burst_is_written_in_few_passes(tmp_path: Path) -> None:
    async with (
        node_with_pods(tmp_path) as node,
        proxied(node, web(), slice_object("10.244.0.2")) as (client, _),
    ):
        reader = Iptables(node.netns, tool="iptables-nft")
        before, started = await reader.generation() or 0, time.monotonic()
        for number in range(3, 103):
            client.put(slice_object(f"10.244.0.{number}"))
            await asyncio.sleep(0.002)
        save = ["iptables-save", "-t", "nat"]
        await eventually(lambda: node.run(node.netns, *save), lambda out: "10.244.0.102:" in out)
        # passes start 50 ms apart, and each writes one table
        most = (time.monotonic() - started) / 0.05 + 2
        assert (await reader.generation() or 0) - before <= most < 100
        reader.close()


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
async def test_kernel_holds_exactly_what_was_written(tmp_path: Path, tool: str) -> None:
    objects = golden_objects()
    async with (
        node_with_pods(tmp_path, tool=tool) as node,
        proxied(node, *objects) as (_, agent),
    ):
        written = ours(await Iptables(node.netns, tool=tool).save())
        wanted = {
            (table, name): chain.lines()
            for table, chains in agent.rule_set().tables.items()
            for name, chain in chains.items()
        }
        assert written == wanted


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(["-t", "nat", "-F"], id="flush-nat"),
        pytest.param(["-t", "filter", "-F"], id="flush-filter"),
        pytest.param(["-t", "nat", "-F", "KUBE-SERVICES"], id="flush-chain"),
        pytest.param(["-t", "nat", "-D", "OUTPUT", "1"], id="delete-jump"),
        pytest.param(["-t", "mangle", "-X", "KUBE-PROXY-CANARY"], id="delete-canary"),
    ],
)
async def test_harm_is_repaired(tmp_path: Path, harm: list[str]) -> None:
    async with (
        node_with_pods(tmp_path) as node,
        proxied(node, web(), slice_object("10.244.0.9")),
    ):
        tables = ("mangle", "filter", "nat")
        reader = Iptables(node.netns)

        async def held_now() -> object:
            return ours(await reader.save())

        whole = await held_now()
        await node.run(node.netns, "iptables", *harm)
        await eventually(held_now, lambda held: held == whole)
        assert all(table in tables for table in (await reader.save()).tables)


async def test_foreign_rules_survive_everything(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        reader = Iptables(node.netns)
        await reader.restore(
            "*nat\n:MINE - [0:0]\n-A OUTPUT -d 10.1.1.1/32 -j MINE\n-A MINE -j RETURN\nCOMMIT\n"
            "*filter\n:KUBE-ROUTER-OTHER - [0:0]\n-A INPUT -s 10.1.1.1/32 -j DROP\n"
            "-A INPUT -j KUBE-ROUTER-OTHER\nCOMMIT\n"
        )
        before = await node.run(node.netns, "sh", "-c", "iptables-save | grep -v '^#'")
        async with proxied(node, *golden_objects()):
            held = await reader.save()
            output = held.chain("nat", "OUTPUT")
            assert output is not None
            assert output.lines[0].endswith("-j KUBE-SERVICES")
            assert output.lines[1] == "-d 10.1.1.1/32 -j MINE"
        for _ in range(2):
            await remove_rules(node.netns)
        await reader.remove_empty_tables(frozenset({"nat", "filter"}))
        after = await node.run(node.netns, "sh", "-c", "iptables-save | grep -v '^#'")
        assert after == before


async def test_restart_writes_only_what_differs(tmp_path: Path) -> None:
    objects = golden_objects()
    async with node_with_pods(tmp_path) as node:
        async with proxied(node, *objects) as (_, agent):
            assert agent.last_sync is not None
            assert agent.last_sync.count.restores == 1
        async with proxied(node, *objects, host=NetworkHost(node.netns)) as (_, agent):
            assert agent.last_sync is not None
            assert agent.last_sync.count.written == 0
        rest = [o for o in objects if o["metadata"]["name"] not in ("sticky", "sticky-a")]
        async with proxied(node, *rest, host=NetworkHost(node.netns)) as (_, agent):
            assert agent.last_sync is not None
            # KUBE-SERVICES is written; the Service's own four chains go
            assert (agent.last_sync.count.written, agent.last_sync.count.removed) == (1, 4)


async def test_sysctl_is_recorded(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    async with node_with_pods(
        tmp_path, record=lambda name, before: told.append((name, before))
    ) as node:
        told.clear()
        (tmp_path / "api").mkdir()
        async with registry_api(tmp_path / "api", SystemClock()) as client:
            informers = SharedInformers(client, SystemClock())
            agent = proxy(node.host, informers)
            tasks = [asyncio.create_task(part.run()) for part in (informers, agent)]
            await agent.synced.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert told == [("net.ipv4.conf.all.route_localnet", "0")]
        assert await read_sysctl(node.netns, "net.ipv4.conf.all.route_localnet") == "1"


async def test_health_check_port_counts_local_endpoints(tmp_path: Path) -> None:
    balanced = service_object(
        type="LoadBalancer",
        externalTrafficPolicy="Local",
        healthCheckNodePort=32100,
        ports=[{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}],
    )
    async with node_with_pods(tmp_path) as node:
        curl = ["curl", "-s", "-m2", "-w", " %{http_code}", f"http://{NODE_IP}:32100/"]
        async with proxied(node, balanced, slice_object("10.244.0.9", "10.244.1.9@n1")) as parts:
            answer = await node.run(node.netns, *curl)
            assert '"localEndpoints": 1' in answer
            assert answer.endswith(" 200")
            parts[0].put(slice_object("10.244.1.9@n1"))
            await eventually(lambda: node.run(node.netns, *curl), lambda a: a.endswith(" 503"))


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
async def test_whose_rule_counted_the_packet(tmp_path: Path, tool: str) -> None:
    async with node_with_pods(tmp_path, "a", "b", tool=tool) as node:
        a, b = node.pods
        await node.serve(b, 8080)
        async with proxied(node, web(), slice_object(b.ip)):
            netfilter = node.host.netfilter
            await node.run(node.netns, tool, "-t", "nat", "-I", "OUTPUT", "-d", "10.9.9.9")
            assert await node.ask(a.netns, VIP, 80, times=3) == "\n".join([f"b {a.ip}"] * 3)
            live = await netfilter.live_rules("nat")
            names = [one.chain for one in live]
            [entry] = [one for one in live if one.chain == "KUBE-SERVICES" and VIP in one.line]
            assert entry.rule is not None
            assert (entry.packets, entry.rule.origin.name, entry.owner) == (3, "web", "kube-proxy")
            assert entry.octets > 3 * 40
            assert netfilter.rule(("nat", "KUBE-SERVICES"), entry.position) == entry.rule
            [dnat] = [one for one in live if "DNAT --to-destination" in one.line]
            assert dnat.rule is not None
            assert (dnat.packets, dnat.rule.origin.kind) == (3, "EndpointSlice")
            assert {one.owner for one in live if one.chain == "NETLAB-POSTROUTING"} == {"cni"}
            foreign = [one for one in live if "10.9.9.9" in one.line]
            assert [(one.rule, one.owner) for one in foreign] == [(None, "")]
            assert names == sorted(names, key=names.index)


async def test_udp_client_is_heard_again_after_a_flush(tmp_path: Path) -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    async with node_with_pods(tmp_path, "a", "b") as node:
        a, b = node.pods
        await node.serve(b, 5353, udp=True)
        slices = slice_object(b.ip, ports=(("dns", 5353, "UDP"),))
        async with proxied(node, service_object(ports=ports), slices):

            async def ask() -> str:
                return await node.ask_udp(a.netns, VIP, 53, source_port=7777, timeout_s=0.3)

            await eventually(ask, lambda answer: answer == f"b {a.ip}")
            # while the rules are gone, the client's packets make an entry that translates nothing
            send = (
                "iptables -t nat -F; conntrack -F 2>/dev/null;"
                f"nsenter --net=/run/netns/{a.netns.name} bash -c '"
                f"exec 3<>/dev/udp/{VIP}/53; echo x >&3; echo x >&3'"
            )
            await node.run(node.netns, "bash", "-c", send)
            await eventually(ask, lambda answer: answer == f"b {a.ip}")


async def test_a_quiet_owner_reads_once(tmp_path: Path) -> None:
    async with (
        node_with_pods(tmp_path) as node,
        proxied(node, web(), slice_object("10.244.0.2")) as (client, _),
    ):
        reads = 0
        backend = node.host.netfilter.backend()
        save = backend.save

        async def counted(*arguments: Any, **named: Any) -> Snapshot:
            nonlocal reads
            reads += 1
            return await save(*arguments, **named)

        backend.save = counted  # type: ignore[method-assign]
        for number in range(3, 13):
            client.put(slice_object(f"10.244.0.{number}"))
            await asyncio.sleep(0.1)
        text = await node.run(node.netns, "iptables-save", "-t", "nat")
        assert "10.244.0.12:8080" in text
        assert reads == 0
        await node.run(node.netns, "iptables", "-t", "nat", "-F", "KUBE-SERVICES")
        chain = ["iptables", "-t", "nat", "-S", "KUBE-SERVICES"]
        await eventually(lambda: node.run(node.netns, *chain), lambda out: VIP in out)
        assert 1 <= reads <= 2
