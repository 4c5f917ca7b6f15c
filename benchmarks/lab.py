"""The whole lab measured: up and down, pods, names, rules, memory, beside the machine's own floor.

Run as root:

    python -m benchmarks.lab [--quick] [--only up,pods,services] [--write FILE]

Labs are sandboxed, have names of their own and are taken down afterwards; the kubeconfig is a
temporary one. Everything is asked for as a user would: the command line, HTTPS, watches. Floors
are measured in the same run, in turns where a sample is short. About two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import uvloop

from benchmarks.lab_floor import ByHand, by_hand
from benchmarks.lab_live import LiveLab, Process, environment, lab_client, netlab, steps_of
from benchmarks.lab_pods import first_answer, many_pods, memory_row, one_pod, three_containers
from benchmarks.lab_services import (
    DNS_NAMES,
    dns_freshness,
    dns_rate,
    endpoint_change,
    make_services,
    memory_with_services,
)
from benchmarks.lab_table import Row, both_ms, ms, p50, table

PARTS = ("up", "pods", "services")
PUBLISHED_UP = "< 1.5 s (kube-apiserver + etcd + controllers 2 s, k3d 20 s, kind 33 s)"


def told(rows: Iterable[Row]) -> list[Row]:
    """Return the rows after telling them on standard error: a run takes minutes."""
    found = list(rows)
    for row in found:
        print(row.line(), file=sys.stderr, flush=True)
    return found


def _python_s(program: str) -> float:
    began_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True)
    return time.perf_counter() - began_s


async def up_and_down(hand: ByHand, kubeconfig: Path, samples: int) -> list[Row]:
    """``netlab up --sandbox`` and ``netlab down`` as commands, and the steps that up prints.

    The floor of up is what it cannot do without: starting two interpreters that import the
    command and the daemon, one after the other, and a pod by hand.
    """
    ups, downs, floors, interpreters, steps = [], [], [], [], []
    for number in range(samples + 1):
        name = f"bench-{secrets.token_hex(3)}"
        printed, up_s = netlab(name, "up", "--sandbox", kubeconfig=kubeconfig)
        _, down_s = netlab(name, "down", kubeconfig=kubeconfig)
        floor_s = _python_s("import netlab.cli.up") + _python_s("import netlab.daemon")
        floor_s += await hand.one_pod()
        if number:  # the first one warms files and bytecode
            steps.append(steps_of(printed))
            ups.append(up_s)
            downs.append(down_s)
            floors.append(floor_s)
            interpreters.append(_python_s("import netlab.cli.down"))
    rows = [
        Row(
            f"netlab up --sandbox, whole command, warm, {samples} samples",
            f"{both_ms(ups)}, {p50(ups) / p50(floors):.2f}×",
            f"two interpreters' imports + a pod by hand {both_ms(floors)}",
            PUBLISHED_UP,
        )
    ]
    for text in steps[0]:
        rows.append(Row(f"… {text}", ms(p50([each.get(text, 0.0) for each in steps]))))
    rows.append(
        Row(
            "netlab down, whole command",
            both_ms(downs),
            f"an interpreter's imports {both_ms(interpreters)}",
        )
    )
    return rows


def memory_at_rest(lab: LiveLab) -> list[Row]:
    """The daemon and the DNS server with nothing to do, beside the interpreter and its modules."""
    program = "import os, netlab.daemon; print(os.getpid(), flush=True); input()"
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        floor_mb, _ = Process(bare.pid).memory_mb()
        bare.communicate(b"\n")
    row = memory_row("daemon at rest", *lab.daemon.memory_mb())
    return [
        replace(row, floor=f"its modules imported, nothing run: {floor_mb:.0f} MB resident"),
        memory_row("DNS server at rest", *lab.dns_server().memory_mb()),
    ]


async def one_lab(hand: ByHand, folder: Path, parts: list[str], quick: bool) -> list[Row]:
    """What is measured inside one lab, from the emptiest state to the fullest."""
    name = f"bench-{secrets.token_hex(3)}"
    kubeconfig = folder / "kubeconfig"
    netlab(name, "up", "--sandbox", kubeconfig=kubeconfig)
    samples = 5 if quick else 20
    rows: list[Row] = []
    try:
        async with lab_client(name) as lab:
            await asyncio.sleep(1)
            rows += told(memory_at_rest(lab))
            if "pods" in parts:
                rows += told(await one_pod(lab, hand, samples))
                rows += told(await three_containers(lab, samples))
                rows += told(await many_pods(lab, hand))
                rows += told(await first_answer(lab, hand, samples // 2))
            if "services" in parts:
                rows += await services(lab, folder, samples, 1500 if quick else 5000)
    finally:
        netlab(name, "down", kubeconfig=kubeconfig)
    return rows


async def services(lab: LiveLab, folder: Path, samples: int, count: int) -> list[Row]:
    """Names and rules with few Services, then with many."""
    rows: list[Row] = []
    rows += told(await dns_freshness(lab, samples, when="few Services"))
    rows += told(await endpoint_change(lab, samples // 2, when="few Services"))
    rows += told(await make_services(lab, 0, DNS_NAMES))
    rows += told(await dns_rate(lab, folder, rounds=3, seconds=2))
    rows += told(await make_services(lab, DNS_NAMES, count))
    rows += told(await memory_with_services(lab, count))
    rows += told(await dns_freshness(lab, samples, when=f"{count:,} Services"))
    rows += told(await endpoint_change(lab, samples // 4, when=f"{count:,} Services"))
    return rows


async def measure(parts: list[str], quick: bool) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="netlab-bench-") as name:
        folder = Path(name)
        async with by_hand() as hand:
            if "up" in parts:
                rows += told(await up_and_down(hand, folder / "kubeconfig", 3 if quick else 7))
            if {"pods", "services"} & set(parts):
                rows += await one_lab(hand, folder, parts, quick)
    return rows


def machine_line() -> str:
    """Say on what and when this was measured, and what else the machine had to do before."""
    return (
        f"{datetime.date.today():%Y-%m-%d}, {os.cpu_count()} processors, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"load before the run {os.getloadavg()[0]:.1f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    where = machine_line()
    text = table(uvloop.run(measure(options.only.split(","), options.quick)))
    print(f"{where}\n\n{text}")
    if options.write is not None:
        command = " ".join(["python -m benchmarks.lab", *sys.argv[1:]])
        options.write.write_text(f"# The whole lab\n\n`{command}`, {where}\n\n{text}\n")


if __name__ == "__main__":
    main()
