"""Probes as real traffic: from the node's namespace into a pod's, and commands in containers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from netlab.api.containers import Container, Probe
from netlab.kubelet.probes.actions import ProbeTarget, run_probe
from netlab.kubelet.probes.results import Outcome
from tests.system.nodes import Node, Pod, node_with_pods
from tests.system.runtime_lab import lab_fixture, start  # noqa: F401

pytestmark = pytest.mark.system

WEB = Container.parse({"name": "web", "ports": [{"name": "http", "containerPort": 8080}]})
# answers with the client's address as the pod sees it
HTTP = """
from http.server import *
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == "/failing" else 200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())
    def log_message(self, *args): pass
HTTPServer(("", 8080), Handler).serve_forever()
"""


async def serve_http(node: Node, pod: Pod) -> asyncio.subprocess.Process:
    argv = ["nsenter", f"--net={pod.netns}", "/usr/bin/python3", "-S", "-E", "-c", HTTP]
    server = await asyncio.create_subprocess_exec(*argv)
    for _ in range(500):
        if ":8080 " in await node.run(pod.netns, "ss", "-lnt"):
            return server
        await asyncio.sleep(0.01)
    raise AssertionError("the server does not listen")


def probe_of(**fields: Any) -> Probe:
    return Probe.parse(fields)


async def test_traffic_comes_from_the_node(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "web") as node:
        web = node.pods[0]
        server = await serve_http(node, web)
        target = ProbeTarget(None, node.netns, WEB, "c1", web.ip)  # type: ignore[arg-type]
        try:
            found = await run_probe(target, probe_of(httpGet={"port": "http"}))
            assert (found.outcome, found.output) == (Outcome.SUCCESS, "10.244.0.1")
            found = await run_probe(target, probe_of(httpGet={"port": 8080, "path": "/failing"}))
            assert found.output == "HTTP probe failed with statuscode: 503"
            found = await run_probe(target, probe_of(tcpSocket={"port": "http"}))
            assert found.outcome is Outcome.SUCCESS
            # named otherwise, the host decides where the probe goes: the node's own port
            found = await run_probe(target, probe_of(tcpSocket={"port": 8080, "host": "127.0.0.1"}))
            assert found.output == "dial tcp 127.0.0.1:8080: connect: connection refused"
        finally:
            server.kill()
            await server.wait()


FAILURES: dict[str, tuple[str, dict[str, Any], str]] = {
    "nobody listens": (
        "",
        {"httpGet": {"port": 81, "path": "/readiness"}},
        'Get "http://{ip}:81/readiness": dial tcp {ip}:81: connect: connection refused',
    ),
    "dropped": (
        "iptables -I INPUT -j DROP",
        {"tcpSocket": {"port": 81}},
        "dial tcp {ip}:81: i/o timeout",
    ),
    "dropped http": (
        "iptables -I INPUT -j DROP",
        {"httpGet": {"port": 81}},
        'Get "http://{ip}:81/": context deadline exceeded '
        "(Client.Timeout exceeded while awaiting headers)",
    ),
    "refused grpc": (
        "",
        {"grpc": {"port": 81}},
        'timeout: failed to connect service "{ip}:81" within 1s: context deadline exceeded',
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failures_are_told_in_the_kubelets_words(tmp_path: Path, name: str) -> None:
    harm, fields, expected = FAILURES[name]
    async with node_with_pods(tmp_path, "web") as node:
        web = node.pods[0]
        if harm:
            await node.run(web.netns, *harm.split())
        target = ProbeTarget(None, node.netns, WEB, "c1", web.ip)  # type: ignore[arg-type]
        found = await run_probe(target, probe_of(**fields))
        assert found.outcome is Outcome.FAILURE
        assert found.output == expected.replace("{ip}", web.ip)


async def test_a_rule_of_the_node_stops_probes_too(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "web") as node:
        web = node.pods[0]
        await node.serve(web, 8080)
        target = ProbeTarget(None, node.netns, WEB, "c1", web.ip)  # type: ignore[arg-type]
        refuse = "iptables -A OUTPUT -p tcp --dport 8080 -j REJECT"
        await node.run(node.netns, *refuse.split())
        found = await run_probe(target, probe_of(tcpSocket={"port": 8080}))
        assert found.output == f"dial tcp {web.ip}:8080: connect: connection refused"


async def test_commands_in_a_container(lab: Any) -> None:
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "1000"))
        target = ProbeTarget(runtime, lab.netns, WEB, container, "127.0.0.1")

        async def run(*argv: str) -> tuple[Outcome, str]:
            found = await run_probe(target, probe_of(exec={"command": list(argv)}))
            return found.outcome, found.output

        assert await run("true") == (Outcome.SUCCESS, "")
        assert await run("sh", "-c", "echo out; exit 1") == (Outcome.FAILURE, "out\n")
        assert await run("cat", "/tmp/healthy") == (
            Outcome.FAILURE,
            "cat: can't open '/tmp/healthy': No such file or directory\n",
        )
        outcome, text = await run("sh", "-c", "yes | head -c 100000")
        assert (outcome, len(text)) == (Outcome.SUCCESS, 10240)
        assert await run("sleep", "99") == (
            Outcome.FAILURE,
            'command timed out: "sleep 99" timed out after 1s',
        )
        processes = await run("ps")
        assert "sleep 99" not in processes[1]
        await runtime.stop_container(container, grace_period_s=0)
        await runtime.remove_container(container)
        await runtime.remove_sandbox(sandbox)
