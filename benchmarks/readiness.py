"""How long after a pod stops being ready the kernel sends it no more connections, and the reverse.

Run as root:

    python -m benchmarks.readiness [--samples N] [--services N] [--write FILE]

A sandboxed lab with a name of its own is taken up and down. The pod's application is this program:
it answers the readiness probe in the pod's network namespace, and so knows to the millisecond when
it changed its mind, and when it told so. The kernel tells each commit to its rules on a netlink
socket; the moment counts after which the saved rules show the change.

Two times are told for each change. The first begins when the application writes the answer that
ends the wait: what follows is netlab's work alone (probe, status, EndpointSlice, rules). The second
begins when the application changes its mind: the wait for the next probe, up to periodSeconds (1 s
here, the least Kubernetes knows), is most of it, in any Kubernetes.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import random
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.lab_live import LiveLab, PodWatch, lab_client, netlab, pod
from benchmarks.lab_services import make_services, service
from benchmarks.lab_table import Row, both_ms, table
from netlab import command
from netlab.api.kinds import POD, SERVICE
from netlab.net.netlink import NETLINK_NETFILTER
from netlab.net.netns import open_socket

NFTABLES_GROUP = 1 << 6  # NFNLGRP_NFTABLES is 7
PORT = 8080
GOAL = "< 100 ms p99"
WAIT_S = 30.0


@dataclass
class Application:
    """Answers readiness probes with 200 or 503; told_s: when it first gave the present answer."""

    ready: bool = True
    told_s: float = 0.0
    _told: bool = False
    _server: asyncio.Server | None = field(default=None, repr=False)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if not self._told:
                self._told, self.told_s = True, time.perf_counter()
            status = b"200 OK" if self.ready else b"503 Service Unavailable"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    def change(self) -> float:
        """Change its mind; return when."""
        self.ready, self._told = not self.ready, False
        return time.perf_counter()


@asynccontextmanager
async def serving(netns: Path) -> AsyncIterator[Application]:
    """Have an application in a pod's network namespace."""
    application = Application()
    listening = await open_socket(
        netns, socket.AF_INET, socket.SOCK_STREAM, bind=("", PORT), backlog=16
    )
    async with await asyncio.start_server(application.answer, sock=listening):
        yield application


def probed_pod(name: str) -> dict[str, Any]:
    """Return a pod of Service ``shop`` whose readiness is asked for every second."""
    made = pod(name, labels={"app": "shop"})
    made["spec"]["containers"][0]["readinessProbe"] = {
        "httpGet": {"port": PORT, "path": "/ready"},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    return made


class Kernel:
    """The rules of a lab's node, and when they changed."""

    def __init__(self, lab: LiveLab, commits: socket.socket) -> None:
        self._lab = lab
        self._commits = commits

    @classmethod
    @asynccontextmanager
    async def open(cls, lab: LiveLab) -> AsyncIterator[Kernel]:
        commits = await open_socket(
            lab.node,
            socket.AF_NETLINK,
            socket.SOCK_RAW,
            NETLINK_NETFILTER,
            bind=(0, NFTABLES_GROUP),
        )
        with commits:
            yield cls(lab, commits)

    async def leads_to(self, address: str) -> bool:
        saved = await command.run(
            ["iptables-save", "-t", "nat"], timeout_s=60, netns=self._lab.node
        )
        return f"--to-destination {address}:80" in saved.text()

    async def hold(self, address: str) -> None:
        """Wait until the rules lead to the address."""
        for _ in range(300):
            if await self.leads_to(address):
                return
            await asyncio.sleep(0.1)
        raise SystemExit(f"the rules never lead to {address}")

    async def until(self, address: str, *, present: bool) -> float:
        """Return when the commit was told after which the rules lead to the address, or not."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_S):
            while True:
                with suppress(OSError):  # ENOBUFS: more was told than fits
                    await loop.sock_recv(self._commits, 1 << 16)
                told_s = time.perf_counter()
                self.forget()
                if await self.leads_to(address) is present:
                    return told_s

    def forget(self) -> None:
        """Forget what was told meanwhile."""
        with suppress(BlockingIOError):
            while True:
                with suppress(InterruptedError):
                    self._commits.recv(1 << 16)

    async def bare_restore(self) -> float:
        """Return the seconds an iptables-restore of nothing takes."""
        began_s = time.perf_counter()
        argv = ["iptables-restore", "--noflush"]
        await command.run(argv, timeout_s=30, netns=self._lab.node, stdin=b"*nat\nCOMMIT\n")
        return time.perf_counter() - began_s


@dataclass
class Delays:
    """Seconds by direction: from the answer, and from the change of mind, to the kernel."""

    from_answer: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    from_change: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    floor: list[float] = field(default_factory=list)

    def rows(self, when: str) -> list[Row]:
        count = len(self.from_answer[True])
        rows = [
            Row(
                f"probe answered {words} → rules in the kernel, {when}, {count} samples",
                both_ms(self.from_answer[ready]),
                f"an iptables-restore of nothing {both_ms(self.floor)}",
                GOAL,
            )
            for ready, words in ((False, "503"), (True, "200"))
        ]
        rows += [
            Row(
                f"… application {words} → rules in the kernel (asked every second)",
                both_ms(self.from_change[ready]),
            )
            for ready, words in ((False, "fails"), (True, "recovers"))
        ]
        return rows


async def measure(lab: LiveLab, samples: int, when: str) -> list[Row]:
    """Let one of two pods of a Service fail and recover, so many times."""
    delays = Delays()
    await lab.client.create(SERVICE, "default", service("shop", {"app": "shop"}))
    async with PodWatch.open(lab) as watch:
        for name in ("shop-a", "shop-b"):
            await lab.client.create(POD, "default", probed_pod(name))
        await watch.until(lambda: len(watch.address) == 2)
        address = watch.address["shop-a"]
        async with (
            serving(lab.pod_netns("shop-a")) as application,
            serving(lab.pod_netns("shop-b")),
            Kernel.open(lab) as kernel,
        ):
            await watch.until_ready("shop-a", "shop-b")
            await kernel.hold(address)
            for _ in range(2 * samples):
                # anywhere in the period, and after the proxy's pause between two passes
                await asyncio.sleep(0.2 + random.random())
                await one_change(application, kernel, address, delays)
            # not in turns: a foreign restore has the guards of the rules read them all
            delays.floor += [await kernel.bare_restore() for _ in range(samples)]
        for name in ("shop-a", "shop-b"):
            await lab.client.delete(POD, "default", name)
    await lab.client.delete(SERVICE, "default", "shop")
    return delays.rows(when)


async def one_change(
    application: Application, kernel: Kernel, address: str, delays: Delays
) -> None:
    """Let the application change its mind once."""
    kernel.forget()
    changed_s = application.change()
    there_s = await kernel.until(address, present=application.ready)
    delays.from_answer[application.ready].append(there_s - application.told_s)
    delays.from_change[application.ready].append(there_s - changed_s)


async def run(options: argparse.Namespace) -> list[Row]:
    """Take a lab up, measure, take it down."""
    name = f"bench-{secrets.token_hex(3)}"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "config"
        try:
            netlab(name, "up", "--sandbox", "-q", kubeconfig=kubeconfig)
            async with lab_client(name) as lab:
                rows += await measure(lab, options.samples, "few Services")
                if options.services:
                    await make_services(lab, 0, options.services)
                    rows += await measure(
                        lab, options.samples, f"{options.services:,} Services × 3 endpoints"
                    )
        finally:
            netlab(name, "down", kubeconfig=kubeconfig)
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=100, help="of each direction")
    parser.add_argument("--services", type=int, default=1000, help="more, for a second round")
    parser.add_argument("--write", type=Path, help="write the result there too")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows = uvloop.run(run(options))
    text = "\n\n".join(
        [
            "# Readiness to rules",
            f"`python -m benchmarks.readiness --samples {options.samples} --services "
            f"{options.services}`, {datetime.datetime.now(datetime.UTC).date()}, {os.cpu_count()} "
            f"processors, Linux {platform.release()}, Python {platform.python_version()}, load "
            f"before the run {load:.1f}.",
            "The first rows begin when the application has written the answer that changes the "
            "pod's readiness, the others when it changed its mind; see the program.",
            table(rows),
        ]
    )
    sys.stdout.write(text + "\n")
    if options.write:
        options.write.write_text(text + "\n")


if __name__ == "__main__":
    main()
