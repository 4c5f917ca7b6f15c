"""Services in a running lab: how soon names and rules follow, how fast the names are answered."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from benchmarks.lab_live import LiveLab, PodWatch, pod
from benchmarks.lab_pods import memory_row
from benchmarks.lab_table import Row, both_ms
from netlab import command
from netlab.api.kinds import ENDPOINT_SLICE, POD, SERVICE
from netlab.lab.readiness import a_question
from netlab.net.netns import call_in_netns, open_socket

DNS_NAMES = 1000
ENDPOINTS = 3
NETLINK_NETFILTER = 12
NFTABLES_GROUP = 1 << 6  # NFNLGRP_NFTABLES is 7; bind takes a mask
DNSMASQ = "dnsmasq"


def service(name: str, selector: dict[str, str] | None = None, port: int = 80) -> dict[str, Any]:
    ports = [{"name": p.lower(), "port": port, "protocol": p} for p in ("TCP", "UDP")[port == 53 :]]
    spec: dict[str, Any] = {"ports": ports}
    if selector:
        spec["selector"] = selector
    return {"metadata": {"name": name}, "spec": spec}


def endpoint_slice(name: str, number: int) -> dict[str, Any]:
    """Return the endpoints of a Service without selector, on addresses nobody has."""
    addresses = [str(IPv4Address("10.245.0.0") + number * ENDPOINTS + n) for n in range(ENDPOINTS)]
    return {
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "tcp", "port": 80, "protocol": "TCP"}],
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
    }


async def make_services(lab: LiveLab, first: int, end: int) -> list[Row]:
    """Services svc-FIRST … svc-END with endpoints, made through eight connections."""
    numbers = range(first, end)
    took_s = await lab.create_all(SERVICE, [service(f"svc-{n}") for n in numbers])
    took_s += await lab.create_all(ENDPOINT_SLICE, [endpoint_slice(f"svc-{n}", n) for n in numbers])
    began_s = time.perf_counter()
    await _until_rules(lab, "\n:KUBE-SVC-", end)
    waited_s = time.perf_counter() - began_s
    return [
        Row(
            f"{len(numbers):,} more Services × {ENDPOINTS} endpoints, 8 connections",
            f"{2 * len(numbers) / took_s:,.0f} objects/s; rules complete {waited_s:.1f} s later",
            goal="kube-proxy: full sync of 5,000 in 26 s",
        )
    ]


async def _saved(lab: LiveLab) -> str:
    return (await command.run(["iptables-save", "-t", "nat"], timeout_s=60, netns=lab.node)).text()


async def _until_rules(lab: LiveLab, text: str, count: int = 1) -> None:
    """Return when the rules of table nat hold ``text`` so many times."""
    while True:
        if (await _saved(lab)).count(text) >= count:
            return
        await asyncio.sleep(0.1)


async def dns_freshness(lab: LiveLab, samples: int, *, when: str) -> list[Row]:
    """From the request that creates a Service to the first right answer, asked from the node."""
    delays, requests = [], []
    for number in range(samples):
        name = f"fresh-{secrets.token_hex(3)}-{number}"
        began_s = time.perf_counter()
        made = await lab.client.create(SERVICE, "default", service(name))
        requests.append(time.perf_counter() - began_s)
        address = socket.inet_aton(made["spec"]["clusterIP"])
        server = str(lab.config.dns_service_ip)
        await call_in_netns(lab.node, lambda n=name, a=address, s=server: _ask_until(n, a, s))
        delays.append(time.perf_counter() - began_s)
        await lab.client.delete(SERVICE, "default", name)
    return [
        Row(
            f"Service created → its name answered, {when}, {samples} samples",
            both_ms(delays),
            f"the request alone {both_ms(requests)}",
            "100 ms",
        )
    ]


def _ask_until(name: str, address: bytes, server: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.5)
        asking.connect((server, 53))
        for identifier in range(20000):
            with suppress(TimeoutError):
                asking.send(a_question(identifier, f"{name}.default.svc.cluster.local"))
                if address in asking.recv(2048):
                    return
            time.sleep(0.0005)
    raise SystemExit(f"{name} is never answered")


async def endpoint_change(lab: LiveLab, samples: int, *, when: str) -> list[Row]:
    """From the request that deletes one of two pods to the rules without it, in the kernel.

    The kernel tells each commit to its rules on a netlink socket; the moment counts after which
    the saved rules hold the address no more.
    """
    delays, floor = [], []
    labels = {"app": "two"}
    await lab.client.create(SERVICE, "default", service("two", labels))
    async with PodWatch.open(lab) as watch:
        for number in range(samples):
            names = [f"two-{number}-{letter}" for letter in "ab"]
            for name in names:
                await lab.client.create(POD, "default", pod(name, labels=labels))
            await watch.until_ready(*names)
            for name in names:
                await _until_rules(lab, f"--to-destination {watch.address[name]}:80")
            await asyncio.sleep(0.3)  # a pass of the proxy may still be followed by another
            delays.append(await _deleted_to_kernel(lab, names[0], watch.address[names[0]]))
            floor.append(await _bare_restore(lab))
            await lab.client.delete(POD, "default", names[1])
            await watch.until(lambda n=names: watch.gone.keys() >= set(n))
    await lab.client.delete(SERVICE, "default", "two")
    return [
        Row(
            f"one of two pods deleted → rules in the kernel, {when}, {samples} samples",
            both_ms(delays),
            f"an iptables-restore of nothing {both_ms(floor)}",
        )
    ]


async def _deleted_to_kernel(lab: LiveLab, name: str, address: str) -> float:
    listening = await open_socket(
        lab.node,
        socket.AF_NETLINK,
        socket.SOCK_RAW,
        NETLINK_NETFILTER,
        bind=(0, NFTABLES_GROUP),
    )
    loop = asyncio.get_running_loop()
    with listening:
        began_s = time.perf_counter()
        await lab.client.delete(POD, "default", name)
        async with asyncio.timeout(60):
            while True:
                await loop.sock_recv(listening, 1 << 16)
                told_s = time.perf_counter()
                if f"--to-destination {address}:80" not in await _saved(lab):
                    return told_s - began_s
                _drain(listening)


def _drain(listening: socket.socket) -> None:
    """Forget what was told meanwhile; ENOBUFS, more than fits, is no harm either."""
    with suppress(BlockingIOError):
        while True:
            with suppress(InterruptedError):
                listening.recv(1 << 16)


async def _bare_restore(lab: LiveLab) -> float:
    began_s = time.perf_counter()
    argv = ["iptables-restore", "--noflush"]
    await command.run(argv, timeout_s=30, netns=lab.node, stdin=b"*nat\nCOMMIT\n")
    return time.perf_counter() - began_s


async def dns_rate(lab: LiveLab, folder: Path, *, rounds: int, seconds: int) -> list[Row]:
    """dnsperf from a pod: the lab's DNS server, and dnsmasq with the same names in a pod too."""
    await _dns_pods(lab)
    items = (await lab.client.list(SERVICE, "default")).items
    addresses = {item["metadata"]["name"]: item["spec"]["clusterIP"] for item in items}
    names = [name for name in addresses if name.startswith("svc-")]
    domain = f"default.svc.{lab.config.cluster_domain}"
    hosts = "".join(f"{addresses[name]} {name}.{domain}\n" for name in names)
    (folder / "hosts").write_text(hosts)
    questions = [f"{name}.{domain} A\n" for name in names]
    questions += [f"no-{n}.{domain} A\n" for n in range(len(names) // 10)]
    (folder / "questions").write_text("".join(questions))
    pods = (await lab.client.list(POD, None)).items
    ip = {p["metadata"]["name"]: p["status"]["podIP"] for p in pods}
    dns_ip = next(ip[name] for name in ip if name.startswith("coredns"))
    ways = {
        "through its Service": (str(lab.config.dns_service_ip), addresses[DNSMASQ]),
        "at its pod's address": (dns_ip, ip[DNSMASQ]),
    }
    rows = []
    with _dnsmasq(lab.pod_netns(DNSMASQ), folder):
        await asyncio.sleep(0.5)
        client = lab.pod_netns("asker")
        for way, servers in ways.items():
            found: list[list[tuple[float, float]]] = [[], []]
            for _ in range(rounds):
                for server, results in zip(servers, found, strict=True):
                    results.append(await asyncio.to_thread(_load, client, folder, server, seconds))
            rows.append(_dns_row(way, len(names), *found))
    for name in ("asker", DNSMASQ):
        await lab.client.delete(POD, "default", name)
    await lab.client.delete(SERVICE, "default", DNSMASQ)
    return rows


async def _dns_pods(lab: LiveLab) -> None:
    """A pod that asks, and a pod with a Service whose namespace dnsmasq will run in."""
    async with PodWatch.open(lab) as watch:
        await lab.client.create(SERVICE, "default", service(DNSMASQ, {"app": DNSMASQ}, 53))
        await lab.client.create(POD, "default", pod(DNSMASQ, labels={"app": DNSMASQ}))
        await lab.client.create(POD, "default", pod("asker"))
        await watch.until_ready(DNSMASQ, "asker")
        await _until_rules(lab, f"--to-destination {watch.address[DNSMASQ]}:53")


@contextmanager
def _dnsmasq(netns: Path, folder: Path) -> Iterator[None]:
    argv = [
        "nsenter", f"--net={netns}", "dnsmasq", "--keep-in-foreground", "--no-resolv",
        "--no-hosts", "--conf-file=/dev/null", f"--addn-hosts={folder / 'hosts'}", "--user=root",
        "--local=/cluster.local/", "--local-ttl=30", "--pid-file=", "--cache-size=10000",
    ]  # fmt: skip
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _load(client: Path, folder: Path, server: str, seconds: int) -> tuple[float, float]:
    """Return (answers/s under full load, p99 in s of 500 questions/s asked beside that load)."""
    questions = str(folder / "questions")
    argv = ["nsenter", f"--net={client}", "dnsperf", "-s", server, "-d", questions]
    argv += ["-l", str(seconds)]
    with subprocess.Popen(
        [*argv, "-v", "-Q", "500"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as beside:
        full = [*argv, "-c", "4", "-T", "1", "-q", "100"]
        printed = subprocess.run(full, capture_output=True, text=True, check=True).stdout
        told = beside.communicate()[0]
    rate = re.search(r"Queries per second:\s+([\d.]+)", printed)
    latencies = re.findall(r"^> \w+ \S+ A ([\d.]+)", told, re.MULTILINE)
    assert rate is not None
    return float(rate[1]), statistics.quantiles(map(float, latencies), n=100)[98]


def _dns_row(
    way: str, names: int, own: list[tuple[float, float]], other: list[tuple[float, float]]
) -> Row:
    def told(results: list[tuple[float, float]]) -> str:
        rate, late_s = (statistics.median(column) for column in zip(*results, strict=True))
        return f"{rate:,.0f} answers/s (p99 {late_s * 1000:.1f} ms)"

    ratio = statistics.median(a[0] / b[0] for a, b in zip(own, other, strict=True))
    return Row(
        f"DNS {way}, {names:,} Services, dnsperf in a pod",
        f"{told(own)}, {ratio:.2f}×",
        f"dnsmasq in a pod {told(other)}",
        "1×",
    )


async def memory_with_services(lab: LiveLab, count: int) -> list[Row]:
    """Memory of the daemon and of the DNS server, now that there are so many Services."""
    await asyncio.sleep(3)
    return [
        memory_row(f"daemon with {count:,} Services × {ENDPOINTS}", *lab.daemon.memory_mb()),
        memory_row(f"DNS server with {count:,} Services", *lab.dns_server().memory_mb()),
    ]
