"""The rules are those that kube-proxy v1.36 writes for the same objects."""

from __future__ import annotations

import re

import pytest

from netlab.net.ruleset import render_rule_set
from netlab.net.savefile import Snapshot, parse_saved
from tests.unit.proxy.objects import GOLDEN, golden_objects, render

# the order of the rules in these chains follows the iteration over a Go map
UNORDERED = {
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-NODEPORTS"),
    ("filter", "KUBE-SERVICES"),
    ("filter", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "KUBE-NODEPORTS"),
    ("filter", "KUBE-PROXY-FIREWALL"),
}


def without_counters(text: str) -> str:
    """Take nfacct out, as on a machine whose kernel lacks it.

    The rule for node ports on 127.0.0.0/8 only counts: without the module it is not written.
    """
    lines = [line for line in text.splitlines() if "localhost_nps_accepted_pkts" not in line]
    return re.sub(r" -m nfacct --nfacct-name +\S+", "", "\n".join(lines) + "\n")


def load_golden() -> Snapshot:
    return parse_saved(without_counters((GOLDEN / "iptables-save.txt").read_text()))


@pytest.fixture(scope="module")
def ours() -> Snapshot:
    return parse_saved(render_rule_set(render(*golden_objects())))


GOLDEN_RULES = load_golden()
CHAINS = [(table, name) for table, chains in GOLDEN_RULES.tables.items() for name in chains]


def test_the_same_chains(ours: Snapshot) -> None:
    for table, chains in GOLDEN_RULES.tables.items():
        mine = ours.tables[table]
        # built-in chains without rules need no mention in a rule set
        expected = {name for name, chain in chains.items() if chain.policy is None or chain.lines}
        assert {n for n, c in mine.items() if c.policy is None or c.lines} == expected


@pytest.mark.parametrize(("table", "name"), CHAINS, ids=[f"{t}-{n}" for t, n in CHAINS])
def test_the_same_rules(ours: Snapshot, table: str, name: str) -> None:
    golden = GOLDEN_RULES.chain(table, name)
    mine = ours.chain(table, name)
    assert golden is not None
    wanted, got = golden.lines, mine.lines if mine else ()
    if (table, name) in UNORDERED:
        assert sorted(got) == sorted(wanted)
        catch_all = [line for line in got if "must be the last rule" in line]
        assert catch_all in ([], [got[-1]])
    else:
        assert got == wanted


def test_text_is_what_iptables_save_prints(ours: Snapshot) -> None:
    text = render_rule_set(render(*golden_objects()))
    golden = without_counters((GOLDEN / "iptables-save.txt").read_text())
    assert [line for line in text.splitlines() if line.startswith((":KUBE", "*", "COMMIT"))] == [
        line for line in golden.splitlines() if line.startswith((":KUBE", "*", "COMMIT"))
    ]
