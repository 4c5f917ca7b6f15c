from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from netlab.config import LabConfig
from netlab.lab.preflight import TOOLS, HostFacts, HostRoute, check_host

GOOD = HostFacts(
    is_root=True,
    tools={tool: f"/usr/bin/{tool}" for tool in (*TOOLS, "runc", "tcpdump", "nft", "kubectl")},
    routes=[HostRoute(IPv4Network("192.168.1.0/24"), "eth0")],
    addresses={IPv4Address("192.168.1.5"): "eth0"},
    versions={},
    kernel={"overlay": ""},
    netlab_on_path=["/usr/local/bin/netlab"],
    own_program="/usr/local/bin/netlab",
)


def _bad_lines(config: LabConfig, facts: HostFacts) -> list[str]:
    return [finding.line() for finding in check_host(config, facts) if finding.level != "ok"]


def test_a_good_machine_has_nothing_to_mend() -> None:
    assert _bad_lines(LabConfig(), GOOD) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        pytest.param(replace(GOOD, is_root=False), ["root", "sudo"], id="no root"),
        pytest.param(
            replace(GOOD, tools={k: v for k, v in GOOD.tools.items() if k != "conmon"}),
            ["conmon: not installed", "apt-get install conmon"],
            id="a tool is missing",
        ),
        pytest.param(
            replace(GOOD, tools={k: v for k, v in GOOD.tools.items() if k != "runc"}),
            ["OCI runtime", "crun"],
            id="no runtime",
        ),
        pytest.param(
            replace(
                GOOD,
                oci_failure="no OCI runtime works here: crun: cgroups in hybrid mode not supported;"
                " try: sudo apt-get install runc",
            ),
            ["OCI runtime: no OCI runtime works here: crun: cgroups in hybrid", "install runc"],
            id="a runtime that does not work here",
        ),
        pytest.param(
            replace(GOOD, kernel={"overlay": "grep failed"}),
            ["kernel overlay: grep failed", "modprobe overlay"],
            id="no overlay",
        ),
        pytest.param(
            replace(GOOD, routes=[HostRoute(IPv4Network("10.244.3.0/24"), "docker0")]),
            ["10.244.3.0/24 dev docker0", "--pod-cidr"],
            id="pod range in use",
        ),
        pytest.param(
            replace(GOOD, routes=[HostRoute(IPv4Network("10.100.199.0/24"), "vpn0")]),
            ["10.100.199.0/24 dev vpn0", "--node-ip"],
            id="node range in use",
        ),
        pytest.param(
            replace(GOOD, routes=[HostRoute(IPv4Network("10.97.0.0/16"), "vpn0")]),
            ["10.97.0.0/16 dev vpn0", "--service-cidr"],
            id="service range in use",
        ),
        pytest.param(
            replace(GOOD, netlab_on_path=["/opt/other/netlab", "/usr/local/bin/netlab"]),
            ["/opt/other/netlab", "kubectl netlab"],
            id="another netlab",
        ),
    ],
)
def test_each_fault_is_one_line_that_says_what_to_do(facts: HostFacts, words: list[str]) -> None:
    lines = _bad_lines(LabConfig(), facts)
    assert len(lines) == 1
    assert "\n" not in lines[0]
    for word in words:
        assert word in lines[0]


def test_a_sandbox_may_use_the_hosts_ranges() -> None:
    facts = replace(GOOD, routes=[HostRoute(IPv4Network("10.0.0.0/8"), "eth0")])
    assert _bad_lines(LabConfig(sandbox=True), facts) == []


def test_an_address_that_the_host_has_is_no_clash() -> None:
    facts = replace(
        GOOD,
        routes=[HostRoute(IPv4Network("10.100.199.0/24"), "eth1")],
        addresses={IPv4Address("10.100.199.200"): "eth1"},
    )
    assert _bad_lines(LabConfig(), facts) == []


@pytest.mark.parametrize(
    ("config", "word"),
    [
        pytest.param(
            LabConfig(pod_cidr=IPv4Network("10.96.0.0/16")), "overlaps", id="pods in services"
        ),
        pytest.param(
            LabConfig(node_address=IPv4Interface("10.244.0.5/24")), "overlaps", id="node in pods"
        ),
        pytest.param(
            LabConfig(service_cidr=IPv4Network("10.96.0.0/30")), "too few", id="tiny services"
        ),
        pytest.param(
            LabConfig(service_cidr=IPv4Network("10.100.199.0/24")),
            "begins inside",
            id="services in the nodes' network",
        ),
        pytest.param(LabConfig(pod_cidr=IPv4Network("10.244.0.0/30")), "too few", id="tiny pods"),
    ],
)
def test_ranges_are_checked_against_each_other(config: LabConfig, word: str) -> None:
    lines = _bad_lines(config, GOOD)
    assert len(lines) == 1
    assert word in lines[0]
