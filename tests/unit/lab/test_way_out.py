"""A sandbox's way out: its addresses, its rules, and how they are found again."""

import pytest

from netlab.config import LabConfig
from netlab.errors import UsageError
from netlab.lab.settings import up_flags, wanted_config
from netlab.nodes.way_out import RANGE, removals, rules, way_out_of


def lab(name="x", port=6443):
    return LabConfig(name=name, sandbox=True, internet=True, api_port=port)


def test_two_labs_have_two_networks_and_links():
    one, two = way_out_of(lab("a", 6443)), way_out_of(lab("b", 6444))
    assert one.host.network == one.node.network
    assert not one.host.network.overlaps(two.host.network)
    assert one.link != two.link


@pytest.mark.parametrize("port", [1, 6443, 32767, 32768, 65535])
def test_every_port_has_a_network_of_the_range(port):
    assert way_out_of(lab(port=port)).node.network.subnet_of(RANGE)


@pytest.mark.parametrize("name", ["a", "a" * 20])
def test_a_links_name_has_at_most_fifteen_characters(name):
    assert len(way_out_of(lab(name)).link) <= 15


def test_rules_are_found_by_their_comment_and_nobody_elses():
    way, longer = way_out_of(lab("shop")), way_out_of(lab("shop-2"))
    lines = []
    for each in (way, longer):
        for arguments in rules(each):
            words = [f'"{word}"' if " " in word else word for word in arguments[3:]]
            lines.append(" ".join(["-A", *words]))
    saved = "\n".join(["*filter", ":FORWARD DROP [0:0]", "-A FORWARD -j DOCKER-USER", *lines])
    found = removals(saved, way.mark)
    assert len(found) == 3
    assert all(way.mark in arguments and arguments[0] == "-D" for arguments in found)


def test_only_a_sandbox_needs_one():
    with pytest.raises(UsageError, match="--sandbox"):
        wanted_config(internet=True)
    config = wanted_config(name="x", sandbox=True, internet=True)
    assert (config.internet, config.registries) == (True, "any")
    assert "--internet" in up_flags(config)
