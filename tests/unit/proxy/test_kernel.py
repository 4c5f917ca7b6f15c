"""What is written brings the kernel to what is wanted, from anywhere, in small steps."""

from __future__ import annotations

import random
from typing import Any

import pytest

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.errors import NetworkError
from netlab.net.host import NetworkHost
from netlab.net.netfilter import plan
from netlab.net.netfilter.fake import FakeIptables
from netlab.net.netfilter.owner import Netfilter
from netlab.proxy.desired import choose_endpoints
from netlab.proxy.iptables_mode import IptablesProvider
from netlab.proxy.names import SERVICE_PREFIXES
from tests.unit.proxy.objects import (
    NODE_IP,
    PLACE,
    POD_CIDR,
    golden_objects,
    render,
    service_object,
    slice_object,
)


def start(iptables: FakeIptables) -> IptablesProvider:
    """The iptables mode above rules in memory."""
    netfilter = Netfilter(None, open_backend=lambda _: iptables)
    host = NetworkHost(None, netfilter=netfilter)
    return IptablesProvider(host, node_ip=NODE_IP, cluster_cidr=POD_CIDR)


def put(mode: IptablesProvider, service: dict[str, Any], *slices: dict[str, Any]) -> None:
    parsed = Service.parse(service)
    key = (parsed.metadata.namespace, parsed.metadata.name)
    mode.put(key, choose_endpoints(parsed, [EndpointSlice.parse(one) for one in slices], PLACE))


def put_all(mode: IptablesProvider, objects: list[dict[str, Any]]) -> None:
    for service in (one for one in objects if one["kind"] == "Service"):
        meta = service["metadata"]
        own = [
            one
            for one in objects
            if one["kind"] == "EndpointSlice"
            and one["metadata"]["namespace"] == meta["namespace"]
            and one["metadata"]["labels"]["kubernetes.io/service-name"] == meta["name"]
        ]
        put(mode, service, *own)


def numbered(number: int, *backends: int) -> tuple[dict[str, Any], dict[str, Any]]:
    name = f"s{number:04d}"
    service = service_object(name, clusterIP=f"10.96.{number // 250}.{number % 250 + 1}")
    return service, slice_object(*(f"10.244.0.{one}" for one in backends), service=name)


async def test_book_and_whole_rule_set_agree() -> None:
    iptables = FakeIptables()
    mode = start(iptables)
    put_all(mode, golden_objects())
    await mode.sync()
    for table, chains in render(*golden_objects()).tables.items():
        for name, chain in chains.items():
            assert tuple(iptables.tables[table][name]) == chain.lines(), name


async def test_second_pass_writes_nothing() -> None:
    iptables = FakeIptables()
    mode = start(iptables)
    put_all(mode, golden_objects())
    first = await mode.sync()
    again = await mode.sync()
    put_all(mode, golden_objects())
    same = await mode.sync()
    assert first.restores == 1
    assert (again.restores, same.restores, same.written) == (0, 0, 0)


async def test_endpoint_change_writes_only_its_service() -> None:
    iptables = FakeIptables()
    mode = start(iptables)
    for number in range(50):
        put(mode, *numbered(number, 1, 2))
    await mode.sync()
    put(mode, *numbered(7, 1, 3))
    count = await mode.sync()
    # KUBE-SVC and the new endpoint's chain are written, the old endpoint's goes
    assert (count.written, count.removed, count.restores) == (2, 1, 1)
    assert "KUBE-SERVICES" not in iptables.texts[-1]
    assert "*filter" not in iptables.texts[-1]


async def test_service_among_many_is_edited_in_place() -> None:
    iptables = FakeIptables()
    mode = start(iptables)
    for number in range(0, 200, 2):
        put(mode, *numbered(number, 1))
    await mode.sync()
    put(mode, *numbered(101, 1))
    await mode.sync()
    edits = [line for line in iptables.texts[-1].splitlines() if " KUBE-SERVICES " in line]
    assert [line.split()[:3] for line in edits] == [["-I", "KUBE-SERVICES", "52"]]
    names = [line.split('"')[1] for line in iptables.tables["nat"]["KUBE-SERVICES"]]
    assert names[:-1] == sorted(names[:-1])


async def test_large_pass_is_split_and_every_step_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BATCH_CHAINS", 20)
    iptables = FakeIptables()
    mode = start(iptables)
    for number in range(60):
        put(mode, *numbered(number, 1, 2, 3))
    count = await mode.sync()
    assert count.restores == len(iptables.texts) > 10
    assert all(text.count("\n:") <= 21 for text in iptables.texts)
    for number in range(60):
        mode.put(("default", f"s{number:04d}"), ())
    await mode.sync()
    left = [name for name in iptables.tables["nat"] if name.startswith(SERVICE_PREFIXES)]
    assert left == []


@pytest.mark.parametrize("seed", range(20))
async def test_any_history_ends_as_wanted(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LONG_CHAIN_LINES", 5)
    chance = random.Random(seed)
    monkeypatch.setattr(plan, "BATCH_CHAINS", chance.choice([7, 1000]))
    iptables = FakeIptables()
    mode = start(iptables)
    state: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for _ in range(15):
        for _ in range(chance.randint(1, 4)):
            number = chance.randrange(15)
            if chance.random() < 0.3:
                state.pop(number, None)
                mode.put(("default", f"s{number:04d}"), ())
            else:
                state[number] = numbered(number, *chance.sample(range(1, 6), chance.randint(0, 4)))
                put(mode, *state[number])
        if chance.random() < 0.3:  # somebody flushes a chain
            table = chance.choice(["nat", "filter"])
            iptables.change(table, chance.choice(list(iptables.tables[table])), [])
        await mode.sync()
        wanted = render(*(one for pair in state.values() for one in pair))
        for table in ("nat", "filter", "mangle"):
            held = {n: tuple(lines) for n, lines in iptables.tables[table].items() if lines}
            assert held == {
                n: chain.lines() for n, chain in wanted.tables[table].items() if chain.rules
            }


async def test_what_was_refused_is_tried_again() -> None:
    iptables = FakeIptables()
    mode = start(iptables)
    put(mode, *numbered(1, 1))
    iptables.refuse = "KUBE-SEP-"
    for _ in range(2):
        with pytest.raises(NetworkError, match="refused: KUBE-SEP-"):
            await mode.sync()
    iptables.refuse = None
    await mode.sync()
    assert len(iptables.tables["nat"]["KUBE-SERVICES"]) == 2


async def test_removal_takes_ours_and_nothing_else() -> None:
    iptables = FakeIptables()
    mode = start(iptables)
    iptables.tables["nat"]["MINE"] = ["-j RETURN"]
    iptables.tables["nat"]["OUTPUT"] = ["-d 10.0.0.1/32 -j MINE"]
    put_all(mode, golden_objects())
    await mode.sync()
    for _ in range(2):
        await mode.remove()
    assert {name: lines for name, lines in iptables.tables["nat"].items() if lines} == {
        "MINE": ["-j RETURN"],
        "OUTPUT": ["-d 10.0.0.1/32 -j MINE"],
    }
    assert not any("KUBE" in name for chains in iptables.tables.values() for name in chains)


@pytest.mark.parametrize(
    ("chain", "line", "ours"),
    [
        pytest.param(
            "OUTPUT",
            '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
            True,
            id="our jump",
        ),
        pytest.param("OUTPUT", "-d 10.0.0.1/32 -j KUBE-MARK-MASQ", False, id="somebody's jump"),
        pytest.param(
            "MINE",
            '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
            False,
            id="from somebody's chain",
        ),
    ],
)
async def test_whose_jump_it_is(chain: str, line: str, ours: bool) -> None:
    iptables = FakeIptables()
    iptables.tables["nat"] |= {"KUBE-SERVICES": [], "KUBE-MARK-MASQ": [], chain: [line]}
    if ours:
        await start(iptables).remove()
        assert iptables.tables["nat"][chain] == []
    else:
        with pytest.raises(NetworkError, match="no chain to jump to"):
            await start(iptables).remove()
