"""What is written brings the kernel to what is wanted, from anywhere, in small steps."""

from __future__ import annotations

import random
from typing import Any

import pytest

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.errors import NetworkError
from netlab.proxy import plan
from netlab.proxy.desired import Desired
from netlab.proxy.kernel import KernelRules, plan_removal
from netlab.proxy.names import SERVICE_PREFIXES
from netlab.proxy.plan import Change, edit_chain, read_written
from tests.unit.proxy.fake_kernel import FakeIptables
from tests.unit.proxy.objects import NODE, golden_objects, render, service_object, slice_object


def put(desired: Desired, service: dict[str, Any], *slices: dict[str, Any]) -> None:
    parsed = Service.parse(service)
    key = (parsed.metadata.namespace, parsed.metadata.name)
    desired.refresh(key, parsed, [EndpointSlice.parse(one) for one in slices])


def put_all(desired: Desired, objects: list[dict[str, Any]]) -> None:
    for service in (one for one in objects if one["kind"] == "Service"):
        meta = service["metadata"]
        own = [
            one
            for one in objects
            if one["kind"] == "EndpointSlice"
            and one["metadata"]["namespace"] == meta["namespace"]
            and one["metadata"]["labels"]["kubernetes.io/service-name"] == meta["name"]
        ]
        put(desired, service, *own)


def numbered(number: int, *backends: int) -> tuple[dict[str, Any], dict[str, Any]]:
    name = f"s{number:04d}"
    service = service_object(name, clusterIP=f"10.96.{number // 250}.{number % 250 + 1}")
    return service, slice_object(*(f"10.244.0.{one}" for one in backends), service=name)


async def sync(kernel: KernelRules, desired: Desired) -> Any:
    chains = desired.book.take_changed()
    if not kernel.known:
        await kernel.read()
        chains |= {*desired.book.chains(), *kernel.chains()}
    return await kernel.write(desired.book, chains)


async def test_book_and_whole_rule_set_agree() -> None:
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    put_all(desired, golden_objects())
    await sync(KernelRules(iptables), desired)  # type: ignore[arg-type]
    for table, chains in render(*golden_objects()).tables.items():
        for name, chain in chains.items():
            assert tuple(iptables.tables[table][name]) == chain.lines(), name


async def test_second_pass_writes_nothing() -> None:
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    put_all(desired, golden_objects())
    kernel = KernelRules(iptables)  # type: ignore[arg-type]
    first = await sync(kernel, desired)
    again = await sync(kernel, desired)
    put_all(desired, golden_objects())
    same = await sync(kernel, desired)
    assert first.restores == 1
    assert (again.restores, same.restores, same.written) == (0, 0, 0)


async def test_endpoint_change_writes_only_its_service() -> None:
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    kernel = KernelRules(iptables)  # type: ignore[arg-type]
    for number in range(50):
        put(desired, *numbered(number, 1, 2))
    await sync(kernel, desired)
    put(desired, *numbered(7, 1, 3))
    count = await sync(kernel, desired)
    # KUBE-SVC and the new endpoint's chain are written, the old endpoint's goes
    assert (count.written, count.removed, count.restores) == (2, 1, 1)
    assert "KUBE-SERVICES" not in iptables.texts[-1]
    assert "*filter" not in iptables.texts[-1]


async def test_service_among_many_is_edited_in_place() -> None:
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    kernel = KernelRules(iptables)  # type: ignore[arg-type]
    for number in range(0, 200, 2):
        put(desired, *numbered(number, 1))
    await sync(kernel, desired)
    put(desired, *numbered(101, 1))
    await sync(kernel, desired)
    edits = [line for line in iptables.texts[-1].splitlines() if " KUBE-SERVICES " in line]
    assert [line.split()[:3] for line in edits] == [["-I", "KUBE-SERVICES", "52"]]
    names = [line.split('"')[1] for line in iptables.tables["nat"]["KUBE-SERVICES"]]
    assert names[:-1] == sorted(names[:-1])


async def test_large_pass_is_split_and_every_step_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BATCH_CHAINS", 20)
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    kernel = KernelRules(iptables)  # type: ignore[arg-type]
    for number in range(60):
        put(desired, *numbered(number, 1, 2, 3))
    count = await sync(kernel, desired)
    assert count.restores == len(iptables.texts) > 10
    assert all(text.count("\n:") <= 21 for text in iptables.texts)
    for number in range(60):
        desired.refresh(("default", f"s{number:04d}"), None, [])
    await sync(kernel, desired)
    left = [name for name in iptables.tables["nat"] if name.startswith(SERVICE_PREFIXES)]
    assert left == []


@pytest.mark.parametrize("seed", range(20))
async def test_any_history_ends_as_wanted(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LONG_CHAIN_LINES", 5)
    chance = random.Random(seed)
    monkeypatch.setattr(plan, "BATCH_CHAINS", chance.choice([7, 1000]))
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    kernel = KernelRules(iptables)  # type: ignore[arg-type]
    state: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for _ in range(15):
        for _ in range(chance.randint(1, 4)):
            number = chance.randrange(15)
            if chance.random() < 0.3:
                state.pop(number, None)
                desired.refresh(("default", f"s{number:04d}"), None, [])
            else:
                state[number] = numbered(number, *chance.sample(range(1, 6), chance.randint(0, 4)))
                put(desired, *state[number])
        if chance.random() < 0.3:  # somebody flushes a chain
            table = chance.choice(["nat", "filter"])
            iptables.tables[table][chance.choice(list(iptables.tables[table]))].clear()
            kernel.known = False
        await sync(kernel, desired)
        wanted = render(*(one for pair in state.values() for one in pair))
        for table in ("nat", "filter", "mangle"):
            held = {n: tuple(lines) for n, lines in iptables.tables[table].items() if lines}
            assert held == {
                n: chain.lines() for n, chain in wanted.tables[table].items() if chain.rules
            }


async def test_refused_restore_makes_the_state_unknown() -> None:
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    kernel = KernelRules(iptables)  # type: ignore[arg-type]
    put(desired, *numbered(1, 1))
    iptables.refuse = "line 3: no such target"
    with pytest.raises(NetworkError, match="no such target"):
        await sync(kernel, desired)
    assert not kernel.known
    iptables.refuse = None
    await sync(kernel, desired)
    assert len(iptables.tables["nat"]["KUBE-SERVICES"]) == 2


async def test_removal_takes_ours_and_nothing_else() -> None:
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    iptables.tables["nat"]["MINE"] = ["-j RETURN"]
    iptables.tables["nat"]["OUTPUT"] = ["-d 10.0.0.1/32 -j MINE"]
    put_all(desired, golden_objects())
    await sync(KernelRules(iptables), desired)  # type: ignore[arg-type]
    for text in plan_removal(read_written(await iptables.save())):
        await iptables.restore(text)
    assert {name: lines for name, lines in iptables.tables["nat"].items() if lines} == {
        "MINE": ["-j RETURN"],
        "OUTPUT": ["-d 10.0.0.1/32 -j MINE"],
    }
    assert not any("KUBE" in name for chains in iptables.tables.values() for name in chains)


async def test_foreign_change_is_noticed() -> None:
    iptables, desired = FakeIptables(), Desired("node0", NODE)
    kernel = KernelRules(iptables)  # type: ignore[arg-type]
    await sync(kernel, desired)
    assert await kernel.changed_by_others() is False
    iptables.number += 1
    assert await kernel.changed_by_others() is True


LONG = tuple(f"-d 10.0.0.{number}/32 -j X" for number in range(100))


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        pytest.param(LONG, LONG[1:], ["-D C -d 10.0.0.0/32 -j X"], id="delete"),
        pytest.param(LONG[:-1], LONG, ["-I C 100 -d 10.0.0.99/32 -j X"], id="insert at the end"),
        pytest.param(
            LONG[:50] + LONG[51:],
            LONG[1:],
            ["-D C -d 10.0.0.0/32 -j X", "-I C 50 -d 10.0.0.50/32 -j X"],
            id="positions count after the deletions",
        ),
        pytest.param(None, LONG, None, id="new chain"),
        pytest.param(LONG[:3], LONG[:4], None, id="short chain"),
        pytest.param(LONG, LONG[20:], None, id="many edits"),
        pytest.param(LONG, LONG[::-1], None, id="another order"),
        pytest.param((*LONG, LONG[0]), LONG, None, id="equal lines"),
    ],
)
def test_long_chains_are_edited(
    old: tuple[str, ...] | None, new: tuple[str, ...], edits: list[str] | None
) -> None:
    assert edit_chain(Change(("nat", "C"), old, new)) == edits


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
    iptables.tables["nat"]["KUBE-SERVICES"] = []
    iptables.tables["nat"]["KUBE-MARK-MASQ"] = []
    iptables.tables["nat"][chain] = [line]
    assert bool(read_written(await iptables.save()).jumps) == ours
