"""What the machine must offer, and what to do where it does not.

Pure: facts about the host go in, findings come out. ``netlab up`` stops at the first that fails,
``netlab doctor`` prints all of them. ``facts`` collects the facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, TypeAlias

from netlab.config import LabConfig

Level: TypeAlias = Literal["ok", "warning", "failure"]

TOOLS: Mapping[str, str] = {
    "ip": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "conmon": "conmon",
    "catatonit": "catatonit",
    "busybox": "busybox-static",
}
"""Programs netlab calls, and the Debian package of each."""

OPTIONAL_TOOLS: Mapping[str, str] = {"tcpdump": "tcpdump", "nft": "nftables", "kubectl": ""}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; mend says what to do and is empty when all is well."""

    level: Level
    subject: str
    text: str
    mend: str = ""

    def line(self) -> str:
        """The finding as one line of text."""
        return f"{self.subject}: {self.text}" + (f"; {self.mend}" if self.mend else "")


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route of the host that is not a default route; link is its interface."""

    network: IPv4Network
    link: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What was found on the machine.

    tools: path of each program found. versions: first line of ``--version`` by tool.
    kernel: whether each probed feature works; missing ones map to the kernel's reason.
    oci_runtime: the OCI runtime that ran a container; oci_failure: why none did, and what to do.
    netlab_on_path: every ``netlab`` on the PATH in order, resolved.
    """

    is_root: bool
    tools: Mapping[str, str]
    routes: Sequence[HostRoute]
    addresses: Mapping[IPv4Address, str]
    versions: Mapping[str, str]
    kernel: Mapping[str, str]
    netlab_on_path: Sequence[str]
    own_program: str
    oci_runtime: str = ""
    oci_failure: str = ""


def check_root(facts: HostFacts) -> Finding:
    """Root is needed for namespaces, links and rules."""
    if facts.is_root:
        return Finding("ok", "root", "running as root")
    return Finding("failure", "root", "not running as root", "run the same command with sudo")


def check_tools(facts: HostFacts) -> Iterator[Finding]:
    """Every program netlab calls, and one OCI runtime."""
    for tool, package in TOOLS.items():
        if tool in facts.tools:
            text = facts.versions.get(tool) or facts.tools[tool]
            yield Finding("ok", tool, text)
        else:
            yield Finding("failure", tool, "not installed", f"run: sudo apt-get install {package}")
    runtimes = [tool for tool in ("crun", "runc") if tool in facts.tools]
    if facts.oci_failure:
        failure, _, mend = facts.oci_failure.rpartition("; ")
        yield Finding("failure", "OCI runtime", failure, mend)
    elif runtimes:
        works = f"{facts.oci_runtime} works" if facts.oci_runtime else ", ".join(runtimes)
        yield Finding("ok", "OCI runtime", works)
    else:
        yield Finding(
            "failure", "OCI runtime", "neither crun nor runc", "run: sudo apt-get install crun runc"
        )
    for tool, package in OPTIONAL_TOOLS.items():
        if tool not in facts.tools:
            mend = f"run: sudo apt-get install {package}" if package else "netlab speaks its verbs"
            yield Finding("warning", tool, "not installed (optional)", mend)


def check_kernel(facts: HostFacts) -> Iterator[Finding]:
    """Kernel features, each tried in a namespace of its own."""
    for feature, reason in facts.kernel.items():
        if not reason:
            yield Finding("ok", f"kernel {feature}", "works")
        else:
            yield Finding("failure", f"kernel {feature}", reason, _KERNEL_MEND.get(feature, ""))


_KERNEL_MEND: Mapping[str, str] = {
    "overlay": "run: sudo modprobe overlay",
    "br_netfilter": "run: sudo modprobe br_netfilter",
    "network namespaces": "the kernel needs CONFIG_NET_NS, and a container needs --privileged",
    "bridge": "run: sudo modprobe bridge",
    "veth": "run: sudo modprobe veth",
    "iptables": "load the nf_tables and xt_ modules, or choose iptables-legacy with "
    "update-alternatives --config iptables",
}


def check_ranges(config: LabConfig) -> Iterator[Finding]:
    """The lab's ranges must be large enough and must not overlap each other.

    One overlap is right: the courses' node 10.100.199.200 lies inside 10.96.0.0/12. ClusterIPs of
    the node's network are never handed out, so only the well-known ones must lie outside it.
    """
    nodes = config.node_address.network
    for flag, one, other_flag, other in (
        ("--pod-cidr", config.pod_cidr, "--service-cidr", config.service_cidr),
        ("--pod-cidr", config.pod_cidr, "--node-ip's network", nodes),
    ):
        if one.overlaps(other):
            yield Finding(
                "failure",
                "addresses",
                f"{flag} {one} overlaps {other_flag} {other}",
                "choose ranges apart from each other",
            )
    first = config.service_cidr.network_address
    if any(first + offset in nodes for offset in (1, 10)):
        yield Finding(
            "failure",
            "addresses",
            f"--service-cidr {config.service_cidr} begins inside --node-ip's network {nodes}",
            "choose another range for one of them",
        )
    if config.service_cidr.prefixlen > 27:
        yield Finding(
            "failure",
            "addresses",
            f"--service-cidr {config.service_cidr} has too few addresses",
            "choose a /27 or larger",
        )
    if config.pod_cidr.prefixlen > 28:
        yield Finding(
            "failure",
            "addresses",
            f"--pod-cidr {config.pod_cidr} has too few addresses",
            "choose a /28 or larger",
        )


def check_routes(config: LabConfig, facts: HostFacts) -> Iterator[Finding]:
    """In the host's own namespace the lab's ranges must not shadow the host's routes."""
    if config.sandbox:
        return
    for flag, network in (
        ("--pod-cidr", config.pod_cidr),
        ("--service-cidr", config.service_cidr),
    ):
        for route in facts.routes:
            if route.network == config.node_address.network:
                continue
            if route.network.overlaps(network):
                yield Finding(
                    "failure",
                    "addresses",
                    f"{flag} {network} overlaps the host's route {route.network} dev {route.link}",
                    f"choose another range with {flag}, or use --sandbox",
                )
    if config.node_ip in facts.addresses:
        return
    for route in facts.routes:
        if route.network.overlaps(config.node_address.network):
            yield Finding(
                "failure",
                "addresses",
                f"the node's network {config.node_address.network} overlaps the host's route "
                f"{route.network} dev {route.link}, and no link has {config.node_ip}",
                "give the host's own address with --node-ip, or use --sandbox",
            )


def check_path(facts: HostFacts) -> Iterator[Finding]:
    """Another program named netlab (there is one of the networklab project) may come first."""
    if facts.netlab_on_path and facts.netlab_on_path[0] != facts.own_program:
        yield Finding(
            "warning",
            "netlab on PATH",
            f"'netlab' runs {facts.netlab_on_path[0]}, not this program ({facts.own_program})",
            "call 'kubectl netlab', or put /usr/local/bin first in PATH",
        )
    elif facts.netlab_on_path:
        yield Finding("ok", "netlab on PATH", facts.netlab_on_path[0])
    else:
        yield Finding("warning", "netlab on PATH", "not found", "run: sudo ./lab install")


def check_host(config: LabConfig, facts: HostFacts) -> list[Finding]:
    """Return all findings, in the order a reader mends them."""
    return [
        check_root(facts),
        *check_tools(facts),
        *check_kernel(facts),
        *check_ranges(config),
        *check_routes(config, facts),
        *check_path(facts),
    ]
