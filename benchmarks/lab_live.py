"""A running lab as the benchmarks see it: the command line, the API over TLS, the kernel.

Nothing here looks inside the daemon: labs start through ``netlab up`` in a process of its own,
objects are made over HTTPS, and memory and processor time are read from /proc.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from netlab.api.kinds import POD
from netlab.client.https import Endpoint, HttpsClient
from netlab.config import LabConfig
from netlab.lab.labs import load_config
from netlab.lab.process import running_daemon

STEP = re.compile(r"^ \u2713 (.*\S)\s+(\d+\.\d+) s$", re.MULTILINE)
WAIT_S = 90


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment, in which Python keeps its bytecode, as installed."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | more


def netlab(name: str, verb: str, *flags: str, kubeconfig: Path) -> tuple[str, float]:
    """Run ``netlab VERB --name NAME``; return what it printed and the seconds it took."""
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "netlab", verb, "--name", name, *flags],
        env=environment(KUBECONFIG=str(kubeconfig)),
        capture_output=True,
        text=True,
        timeout=90,
    )
    if done.returncode:
        raise SystemExit(f"netlab {verb}: {done.stderr or done.stdout}")
    return done.stdout, time.perf_counter() - began_s


def steps_of(printed: str) -> dict[str, float]:
    """Return the steps that ``netlab up`` printed, in seconds, in order."""
    return {text: float(seconds) for text, seconds in STEP.findall(printed)}


class Process:
    """Memory and processor time of one process, from /proc."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def memory_mb(self) -> tuple[float, float]:
        """Return (resident, its share of what several processes have in common)."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = {key: int(kb) for key, kb in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
        return found["Rss"] / 1024, found["Pss"] / 1024

    def cpu_s(self) -> tuple[float, float]:
        """Return the processor time of (the process, the children it waited for)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        own, children = (int(fields[n]) + int(fields[n + 1]) for n in (11, 13))
        ticks = os.sysconf("SC_CLK_TCK")
        return own / ticks, children / ticks


class LiveLab:
    """One lab that is up."""

    def __init__(self, config: LabConfig, client: HttpsClient) -> None:
        self.config = config
        self.client = client

    @property
    def node(self) -> Path:
        """The network namespace of the node."""
        assert self.config.netns is not None
        return self.config.netns

    @property
    def daemon(self) -> Process:
        running = running_daemon(self.config)
        assert running is not None
        return Process(running.pid)

    def dns_server(self) -> Process:
        """Return the DNS server: the process of this lab's cgroups with that command line."""
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    b"netlab.dns" in (folder / "cmdline").read_bytes()
                    and f"/netlab/{self.config.name}/" in (folder / "cgroup").read_text()
                ):
                    return Process(int(folder.name))
        raise SystemExit("the DNS server does not run")

    def supervisors_mb(self) -> float:
        """Return the memory of the lab's conmons, each one's share of what they have in common."""
        mark, total_kb = f"/netlab/{self.config.name}/conmon", 0
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and mark in (folder / "cgroup").read_text():
                    text = (folder / "smaps_rollup").read_text()
                    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
                    total_kb += int(found[1]) if found else 0
        return total_kb / 1024

    def pod_netns(self, pod: str) -> Path:
        """Return the network namespace of a pod of namespace default."""
        (found,) = Path("/run/netns").glob(f"{self.config.netns_name}_default_{pod}_*")
        return found

    async def create_all(self, kind: Any, objects: Iterable[dict[str, Any]]) -> float:
        """Create objects through eight connections; return the seconds it took."""
        waiting = iter(list(objects))

        async def work() -> None:
            for obj in waiting:
                await self.client.create(kind, "default", obj)

        began_s = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(8)))
        return time.perf_counter() - began_s


@asynccontextmanager
async def lab_client(name: str) -> AsyncIterator[LiveLab]:
    """Speak to the lab as its administrator."""
    config = load_config(name)
    keys = config.state_dir / "pki"
    endpoint = Endpoint(
        url=f"https://127.0.0.1:{config.api_port}",
        ca_pem=(keys / "ca.crt").read_bytes(),
        cert_pem=(keys / "admin.crt").read_bytes(),
        key_pem=(keys / "admin.key").read_bytes(),
    )
    async with HttpsClient(endpoint) as client:
        yield LiveLab(config, client)


def pod(name: str, *, image: str = "busybox", containers: int = 1, **more: Any) -> dict[str, Any]:
    """Return a pod that sleeps (busybox) or does what its image does, and ends at once.

    It wants no variables of Services: those of 5,000 are more than a program's environment holds.
    """
    command = {"command": ["sleep", "3600"]} if image == "busybox" else {}
    return {
        "metadata": {"name": name, **more},
        "spec": {
            "containers": [
                {"name": f"c{number}", "image": image, **command} for number in range(containers)
            ],
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
        },
    }


class PodWatch:
    """When each pod of namespace default was seen Ready, and gone, by a watch over HTTPS.

    Times are ``time.perf_counter`` seconds; ``address`` is filled as soon as it is known.
    """

    def __init__(self) -> None:
        self.ready: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        self.address: dict[str, str] = {}
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, lab: LiveLab) -> AsyncIterator[PodWatch]:
        watch = cls()
        version = (await lab.client.list(POD, "default")).resource_version
        task = asyncio.create_task(watch._follow(lab, version))
        try:
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, lab: LiveLab, version: str) -> None:
        async for event in lab.client.watch(POD, "default", resource_version=version):
            if event.type != "BOOKMARK":
                self._note(event.type, event.object)
                self._changed.set()

    def _note(self, event: str, obj: dict[str, Any]) -> None:
        now_s, name, status = time.perf_counter(), obj["metadata"]["name"], obj.get("status", {})
        if event == "DELETED":
            self.gone.setdefault(name, now_s)
        if status.get("podIP"):
            self.address.setdefault(name, status["podIP"])
        conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
        if conditions.get("Ready") == "True":
            self.ready.setdefault(name, now_s)

    async def until(self, reached: Callable[[], bool]) -> float:
        """Return the moment at which the watch had told enough."""
        async with asyncio.timeout(WAIT_S):
            while not reached():
                self._changed.clear()
                await self._changed.wait()
        return time.perf_counter()

    async def until_ready(self, *names: str) -> float:
        return await self.until(lambda: self.ready.keys() >= set(names))


def until_hello(address: str) -> None:
    """Return when go-demo-2 answers at that address. Blocking; for ``call_in_netns``."""
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        with suppress(OSError), socket.create_connection((address, 8080), 2) as connection:
            connection.sendall(b"GET /demo/hello HTTP/1.0\r\n\r\n")
            if b" 200 " in connection.recv(4096).partition(b"\r\n")[0]:
                return
        time.sleep(0.002)
    raise SystemExit(f"go-demo-2 at {address} does not answer")
