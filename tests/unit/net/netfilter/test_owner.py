"""One memory, one writer: what sections want reaches the kernel, and whose is whose."""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv4Network, IPv6Network

import pytest

from netlab.errors import NetworkError
from netlab.net.netfilter import plan
from netlab.net.netfilter.fake import FakeIptables
from netlab.net.netfilter.owner import Netfilter
from netlab.net.netfilter.plan import Change, edit_chain
from netlab.net.netfilter.section import NOTHING, ChainId, Ownership, Part, Section
from netlab.net.ruleset import ACCEPT, RETURN, Jump, Net, Origin, Rule

A, B = ("nat", "A-COMMON"), ("filter", "B-COMMON")


def rule(number: int, *, target: str = "") -> Rule:
    """A rule with the number in its source address and its origin."""
    return Rule(
        source=Net(IPv4Network(f"10.0.{number // 250}.{number % 250}/32")),
        target=Jump(target) if target else RETURN,
        origin=Origin("Service", "shop", f"s{number}"),
    )


def section(letter: str, hook: str = "OUTPUT", *, at_end: bool = False) -> Section:
    """An owner of the chains that begin with its letter, whose rules a hook leads to."""
    chain: ChainId = ("nat", f"{letter}-COMMON")
    place: ChainId = ("nat", hook)
    jump = Rule(target=Jump(chain[1]), origin=Origin("", "", letter))
    ownership = Ownership(
        name=letter,
        owns=lambda name: name.startswith(f"{letter}-"),
        claims=lambda where, line: where == place and line.endswith(f"-j {chain[1]}"),
        at_end=frozenset({place}) if at_end else frozenset(),
    )
    return Section(ownership, common={chain: ()}, guests={place: (jump,)})


def part(letter: str, number: int) -> Part:
    """A chain of the number's own, and the jump to it."""
    own: ChainId = ("nat", f"{letter}-{number}")
    return Part(
        common={("nat", f"{letter}-COMMON"): (rule(number, target=own[1]),)},
        own={own: (rule(number),)},
    )


def owner(iptables: FakeIptables, *sections: Section) -> Netfilter:
    netfilter = Netfilter(None, open_backend=lambda _: iptables)
    for one in sections:
        netfilter.register(one)
    return netfilter


async def test_two_owners_write_without_reading_again() -> None:
    iptables, one, two = FakeIptables(), section("A"), section("B")
    netfilter = owner(iptables, one, two)
    await netfilter.sync(one)
    await netfilter.sync(two)
    for number in range(5):
        one.put((number,), part("A", number))
        await netfilter.sync(one)
        two.put((number,), part("B", number))
        await netfilter.sync(two)
    assert iptables.reads == 1
    assert len(iptables.tables["nat"]["A-COMMON"]) == len(iptables.tables["nat"]["B-COMMON"]) == 5


async def test_a_burst_is_one_restore() -> None:
    iptables, one, two = FakeIptables(), section("A"), section("B")
    netfilter = owner(iptables, one, two)
    await asyncio.gather(netfilter.sync(one), netfilter.sync(two))
    assert len(iptables.texts) == 1

    async def change(number: int) -> None:
        one.put((number,), part("A", number))
        await netfilter.sync(one)

    await asyncio.gather(*(change(number) for number in range(20)))
    assert len(iptables.texts) <= 3
    assert len(iptables.tables["nat"]["A-COMMON"]) == 20


async def test_who_is_refused_harms_nobody_else() -> None:
    iptables, good, bad = FakeIptables(), section("A"), section("B")
    netfilter = owner(iptables, good, bad)
    bad.put((1,), part("B", 1))
    good.put((1,), part("A", 1))
    iptables.refuse = "B-COMMON"
    refused, written = await asyncio.gather(
        netfilter.sync(bad), netfilter.sync(good), return_exceptions=True
    )
    assert isinstance(refused, NetworkError)
    assert not isinstance(written, BaseException)
    good.put((2,), part("A", 2))
    await netfilter.sync(good)
    assert len(iptables.tables["nat"]["A-COMMON"]) == 2
    assert "B-COMMON" not in iptables.tables["nat"]
    iptables.refuse = None
    await netfilter.sync(bad)
    assert len(iptables.tables["nat"]["B-COMMON"]) == 1


@pytest.mark.parametrize("variant", ["nf_tables", "legacy"])
async def test_what_somebody_undoes_comes_back(variant: str) -> None:
    iptables = FakeIptables(variant=variant)  # type: ignore[arg-type]
    one = section("A")
    netfilter = owner(iptables, one)
    one.put((1,), part("A", 1))
    await netfilter.sync(one)
    whole = {name: list(lines) for name, lines in iptables.tables["nat"].items()}
    for chain in ("A-COMMON", "A-1", "OUTPUT"):
        iptables.change("nat", chain, [])
        assert await netfilter.check() is True
        assert iptables.tables["nat"] == whole
    assert await netfilter.check() is False


async def test_a_write_of_somebody_amid_ours_is_noticed() -> None:
    class Raced(FakeIptables):
        async def restore(self, text: str) -> None:
            await super().restore(text)
            if "A-2" in text and "A-1" in self.tables["nat"]:
                self.change("nat", "A-1", [])

    iptables, one = Raced(), section("A")
    netfilter = owner(iptables, one)
    one.put((1,), part("A", 1))
    await netfilter.sync(one)
    one.put((2,), part("A", 2))
    await netfilter.sync(one)
    assert iptables.tables["nat"]["A-1"] == []
    assert await netfilter.check() is True
    assert iptables.tables["nat"]["A-1"] == [rule(1).spell()]


async def test_what_others_have_in_the_hooks_stays_in_its_order() -> None:
    iptables, head, tail = FakeIptables(), section("A"), section("B", at_end=True)
    iptables.tables["nat"]["OUTPUT"] = ["-s 1.0.0.0/8 -j RETURN", "-s 2.0.0.0/8 -j RETURN"]
    netfilter = owner(iptables, head, tail)
    await netfilter.sync(tail)
    await netfilter.sync(head)
    foreign = ["-s 1.0.0.0/8 -j RETURN", "-s 2.0.0.0/8 -j RETURN"]
    assert iptables.tables["nat"]["OUTPUT"] == ["-j A-COMMON", *foreign, "-j B-COMMON"]
    # spelt otherwise, or twice: put anew; moved by somebody: left where it is
    iptables.change("nat", "OUTPUT", ["-p all -j A-COMMON", *foreign, "-j B-COMMON", "-j B-COMMON"])
    await netfilter.check()
    assert iptables.tables["nat"]["OUTPUT"] == ["-j A-COMMON", *foreign, "-j B-COMMON"]
    moved = [foreign[0], "-j A-COMMON", foreign[1], "-j B-COMMON"]
    iptables.change("nat", "OUTPUT", list(moved))
    await netfilter.check()
    assert iptables.tables["nat"]["OUTPUT"] == moved
    await netfilter.remove(head)
    await netfilter.remove(tail)
    assert iptables.tables["nat"]["OUTPUT"] == foreign
    assert not [name for name in iptables.tables["nat"] if "-COMMON" in name]


async def test_sections_stand_in_the_order_of_their_registration() -> None:
    for first, second in (("A", "B"), ("B", "A")):
        iptables, one, two = FakeIptables(), section("A"), section("B")
        netfilter = owner(iptables, one, two)
        for name in (first, second):
            await netfilter.sync(one if name == "A" else two)
        assert iptables.tables["nat"]["OUTPUT"] == ["-j A-COMMON", "-j B-COMMON"]


async def test_chains_nobody_wants_go_and_others_stay() -> None:
    iptables, one = FakeIptables(), section("A")
    iptables.tables["nat"] |= {"A-9": [rule(9).spell()], "MINE": ["-j RETURN"]}
    netfilter = owner(iptables, one)
    await netfilter.sync(one)
    assert "A-9" not in iptables.tables["nat"]
    assert iptables.tables["nat"]["MINE"] == ["-j RETURN"]


async def test_whose_rule_it_is() -> None:
    iptables, one = FakeIptables(), section("A")
    netfilter = owner(iptables, one)
    one.put((7,), part("A", 7))
    await netfilter.sync(one)
    iptables.change("nat", "OUTPUT", ["-s 1.0.0.0/8 -j RETURN", "-j A-COMMON"])
    found = netfilter.rule(("nat", "A-7"), 1)
    assert found is not None
    assert found.origin.name == "s7"
    assert netfilter.rule(("nat", "A-7"), 2) is netfilter.rule(("nat", "NONE"), 1) is None
    live = await netfilter.live_rules("nat", ["OUTPUT", "A-COMMON", "A-7"])
    told = [(one.chain, one.position, one.owner, one.rule and one.rule.origin.name) for one in live]
    assert told == [
        ("OUTPUT", 1, "", None),
        ("OUTPUT", 2, "A", "A"),
        ("A-COMMON", 1, "A", "s7"),
        ("A-7", 1, "A", "s7"),
    ]


async def test_a_family_has_rules_of_its_own() -> None:
    sides = {4: FakeIptables(), 6: FakeIptables()}
    netfilter = Netfilter(None, open_backend=lambda family: sides[family])
    four = section("A")
    six = Section(four.ownership, common={A: ()}, family=6)
    netfilter.register(four)
    netfilter.register(six)
    address = Net(IPv6Network("fd00::1/128"))
    six.put(
        (1,), Part(common={A: (Rule(source=address, target=ACCEPT, origin=Origin("", "", "x")),)})
    )
    await netfilter.sync(four)
    await netfilter.sync(six)
    assert sides[6].tables["nat"]["A-COMMON"] == ["-s fd00::1/128 -j ACCEPT"]
    assert sides[4].tables["nat"]["A-COMMON"] == []


@pytest.mark.parametrize("seed", range(10))
async def test_any_history_ends_as_wanted(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LONG_CHAIN_LINES", 4)
    chance = random.Random(seed)
    monkeypatch.setattr(plan, "BATCH_CHAINS", chance.choice([3, 1000]))
    iptables = FakeIptables(variant=chance.choice(["nf_tables", "legacy"]))
    sections = {"A": section("A"), "B": section("B", at_end=True)}
    netfilter = owner(iptables, *sections.values())
    wanted: dict[str, set[int]] = {"A": set(), "B": set()}
    for _ in range(25):
        letter = chance.choice("AB")
        number = chance.randrange(12)
        if number in wanted[letter]:
            wanted[letter].discard(number)
            sections[letter].put((number,), NOTHING)
        else:
            wanted[letter].add(number)
            sections[letter].put((number,), part(letter, number))
        if chance.random() < 0.3:
            await netfilter.sync(sections[letter])
            iptables.change("nat", chance.choice(list(iptables.tables["nat"])), [])
    for letter in "AB":
        await netfilter.sync(sections[letter])
    await netfilter.check()
    for letter, numbers in wanted.items():
        held = iptables.tables["nat"]
        assert held[f"{letter}-COMMON"] == [
            rule(n, target=f"{letter}-{n}").spell() for n in sorted(numbers)
        ]
        own = {name for name in held if name.startswith(f"{letter}-")} - {f"{letter}-COMMON"}
        assert own == {f"{letter}-{n}" for n in numbers}
    assert iptables.tables["nat"]["OUTPUT"] == ["-j A-COMMON", "-j B-COMMON"]


LONG = tuple(rule(number) for number in range(100))


def line(number: int) -> str:
    return rule(number).spell()


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        pytest.param(LONG, LONG[1:], [f"-D C {line(0)}"], id="delete"),
        pytest.param(LONG[:-1], LONG, [f"-I C 100 {line(99)}"], id="insert at the end"),
        pytest.param(
            LONG[:50] + LONG[51:],
            LONG[1:],
            [f"-D C {line(0)}", f"-I C 50 {line(50)}"],
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
    old: tuple[Rule, ...] | None, new: tuple[Rule, ...], edits: list[str] | None
) -> None:
    assert edit_chain(Change(("nat", "C"), old, new)) == edits
