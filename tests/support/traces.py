"""What a lab could leave behind on the machine, as comparable text."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

SYSCTLS = ("net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet")


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def host_state() -> dict[str, list[str]]:
    """Links, routes, rules, namespaces and sysctls of the host's own network namespace."""
    rules = re.sub(r"\[\d+:\d+\]", "", _output("iptables-save"))
    # all tables mean both families, and IPv6 routes run out
    routes = re.sub(r" expires \d+sec", "", _output("ip", "route", "show", "table", "all"))
    return {
        "links": sorted(re.findall(r"^\d+: ([^:@]+)", _output("ip", "-o", "link"), re.M)),
        "routes": sorted(routes.splitlines()),
        "rules": [line for line in rules.splitlines() if not line.startswith("#")],
        "sysctls": [Path("/proc/sys", *name.split(".")).read_text() for name in SYSCTLS],
    }


def traces_of(lab_name: str) -> dict[str, list[str]]:
    """Everything on the machine that carries the lab's name; all empty after ``down``."""
    word = re.compile(rf"(netlab[-/.]|labs/|netlab/){re.escape(lab_name)}(?![a-z0-9-])")
    mounts = [
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if word.search(line)
    ]
    # os.walk goes on where a folder vanishes under it, as those of other labs do meanwhile
    cgroups = [
        f"{folder}/{lab_name}"
        for folder, inner, _ in os.walk("/sys/fs/cgroup")
        if folder.endswith("/netlab") and lab_name in inner
    ]
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            cgroup = (folder / "cgroup").read_text()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state == "Z":  # dead already; the machine's init collects it when it comes to it
            continue
        ours = "netlab.daemon" in words or "conmon" in words or "/run/netlab" in words
        if (ours and word.search(words)) or word.search(cgroup):
            processes.append(f"{folder.name} {words}")
    netns = [n for n in _output("ip", "netns", "list").split() if word.search(n)]
    folders = [
        str(path)
        for path in (
            Path("/run/netlab") / lab_name,
            Path("/run/netlab") / f"{lab_name}.lock",
            Path("/run/netlab") / f"{lab_name}.turn",
            Path("/var/lib/netlab/labs") / lab_name,
        )
        if path.exists()
    ]
    return {
        "mounts": mounts,
        "cgroups": cgroups,
        "processes": processes,
        "netns": netns,
        "folders": folders,
    }


NOTHING: dict[str, list[str]] = {
    "mounts": [],
    "cgroups": [],
    "processes": [],
    "netns": [],
    "folders": [],
}
