"""Collect facts about the host for ``preflight``.

``quick_facts`` costs a few milliseconds and serves ``netlab up``; ``all_facts`` also asks tools
for their versions and tries kernel features in a throw-away namespace, for ``netlab doctor``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from netlab.config import RUN_ROOT
from netlab.errors import NetlabError
from netlab.lab.preflight import OPTIONAL_TOOLS, TOOLS, HostFacts, HostRoute
from netlab.runtime.trial import try_oci_runtimes

TOOL_TIMEOUT_S = 10


def is_or_loads(test: str, module: str) -> str:
    """Return a shell line: whether ``test`` holds, or will once the kernel, or ``up``, loads it."""
    # grouped: in a shell && binds no tighter than ||
    return f"{test} || {{ command -v modprobe >/dev/null && modprobe --dry-run --quiet {module}; }}"


_PROBES: Mapping[str, str] = {
    "network namespaces": "true",
    "bridge": "ip link add br0 type bridge",
    "veth": "ip link add a0 type veth peer name b0",
    "br_netfilter": is_or_loads("test -e /proc/sys/net/bridge", "br_netfilter"),
    "overlay": is_or_loads("grep -q overlay /proc/filesystems", "overlay"),
    "iptables": "iptables -w -t nat -A POSTROUTING -m comment --comment x -m statistic"
    " --mode random --probability 0.5 -j MASQUERADE --random-fully"
    " && iptables -w -t nat -A OUTPUT -m addrtype --dst-type LOCAL -p tcp -m tcp --dport 1"
    " -m recent --name x --rcheck -j DNAT --to-destination 10.0.0.1:1"
    " && iptables -w -A FORWARD -m conntrack --ctstate NEW -j REJECT",
}
"""Feature -> shell line tried inside a fresh network namespace."""


def quick_facts() -> HostFacts:
    """Return root, tools, routes and addresses; no versions and no kernel probes."""
    tools = {}
    for tool in (*TOOLS, *OPTIONAL_TOOLS, "crun", "runc"):
        path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin")
        if path:
            tools[tool] = path
    return HostFacts(
        is_root=os.geteuid() == 0,
        tools=tools,
        routes=_routes() if "ip" in tools else [],
        addresses=_addresses() if "ip" in tools else {},
        versions={},
        kernel={},
        netlab_on_path=_on_path("netlab"),
        own_program=str(Path(sys.argv[0]).resolve()),
    )


def all_facts() -> HostFacts:
    """Return everything."""
    facts = quick_facts()
    versions = {}
    for tool, path in facts.tools.items():
        flag = "-V" if tool in ("ip", "conntrack", "nsenter") else "--version"
        argv = [path] if tool == "busybox" else [path, flag]
        if tool == "kubectl":
            argv = [path, "version", "--client"]
        done = _run(argv)
        lines = (done.stdout or done.stderr).strip().splitlines() if done else []
        versions[tool] = lines[0] if lines else path
    kernel = _probe_kernel() if facts.is_root and "ip" in facts.tools else {}
    runtime, failure = _try_runtimes(facts)
    return replace(
        facts, versions=versions, kernel=kernel, oci_runtime=runtime, oci_failure=failure
    )


def _try_runtimes(facts: HostFacts) -> tuple[str, str]:
    """Return the OCI runtime that works and why none does; both empty when it was not tried."""
    if not facts.is_root or not facts.tools.keys() & {"crun", "runc"}:
        return "", ""
    try:
        return try_oci_runtimes(RUN_ROOT).name, ""
    except NetlabError as error:
        return "", str(error)


def _probe_kernel() -> dict[str, str]:
    results = {}
    for feature, line in _PROBES.items():
        done = _run(["unshare", "--net", "sh", "-c", line])
        if done is None:
            results[feature] = "could not be tried"
        elif done.returncode == 0:
            results[feature] = ""
        else:
            words = done.stderr.strip().splitlines()
            results[feature] = words[-1] if words else "not there"
    return results


def _run(argv: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _routes() -> list[HostRoute]:
    routes = []
    for route in _ip_json("-4", "route", "show", "table", "main"):
        if route["dst"] == "default" or route.get("type") == "blackhole":
            continue
        routes.append(HostRoute(IPv4Network(route["dst"], strict=False), route.get("dev", "?")))
    return routes


def _addresses() -> dict[IPv4Address, str]:
    return {
        IPv4Address(address["local"]): link["ifname"]
        for link in _ip_json("-4", "address", "show")
        for address in link.get("addr_info", [])
        if "local" in address
    }


def _ip_json(*arguments: str) -> list[dict[str, Any]]:
    done = _run(["ip", "-json", *arguments])
    if done is None or done.returncode != 0 or not done.stdout:
        return []
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _on_path(name: str) -> list[str]:
    found = []
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder) / name
        if folder and os.access(path, os.X_OK):
            found.append(str(path.resolve()))
    return list(dict.fromkeys(found))
