"""The node agent with the real API machinery, runtime and network, in a namespace of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from netlab.api.kinds import POD
from netlab.client.informers import SharedInformers
from netlab.clock import SystemClock
from netlab.command import run
from netlab.kubelet.agent import Kubelet
from netlab.net import netns
from netlab.runtime.engine import OciRuntime
from tests.system.kubelet_node import (
    DEADLINE_S,
    NAME,
    Node,
    is_ready,
    node_fixture,  # noqa: F401
)

pytestmark = pytest.mark.system


async def test_a_pod_from_creation_to_deletion(node: Node) -> None:
    script = "echo started on $HOSTNAME; trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"
    async with node.running():
        await node.create("web", script, terminationGracePeriodSeconds=5)
        status = await node.until_ready("web")
        assert status["podIP"].startswith("10.244.0.")
        assert (await node.output("web")) == "started on web\n"
        assert await node.run("web", "hostname") == "web\n"
        assert status["podIP"] in await node.run("web", "ip", "-4", "addr", "show", "eth0")
        hosts = await node.run("web", "cat", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
        assert f"{status['podIP']}\tweb" in hosts
        assert "nameserver 10.96.0.10\noptions ndots:5\n" in hosts
        secret = "/var/run/secrets/kubernetes.io/serviceaccount"
        assert await node.run("web", "cat", f"{secret}/namespace") == "default"
        assert await node.run("web", "cat", f"{secret}/ca.crt") == "CERTIFICATE"
        assert (await node.run("web", "cat", f"{secret}/token")).count(".") == 2
        environment = await node.run("web", "env")
        assert "KUBERNETES_SERVICE_HOST=10.96.0.1\n" in environment
        assert "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1\n" in environment
        began = time.monotonic()
        await node.client.delete(POD, "default", "web")
        await node.until_gone("web")
        assert time.monotonic() - began < 4
        assert node.runtime is not None
        assert await node.runtime.list_sandboxes() == []
        assert [n for n in netns.list_netns() if "_web_" in n and NAME in n] == []


async def test_pods_reach_each_other_and_the_node(node: Node) -> None:
    async with node.running():
        serve = "mkdir /w; echo hello > /w/index.html; exec httpd -f -p 80 -h /w"
        await node.create("server", serve)
        await node.create("client", "exec sleep 1000")
        server = await node.until_ready("server")
        await node.until_ready("client")
        url = f"http://{server['podIP']}/"
        assert await node.run("client", "wget", "-q", "-O", "-", url) == "hello\n"
        answer = await run(["curl", "-s", url], timeout_s=5, netns=node.config.netns)
        assert answer.text() == "hello\n"


async def test_a_crash_and_a_kill_by_hand(node: Node) -> None:
    async with node.running():
        await node.create("crash", "echo attempt; sleep 0.3; exit 3")
        status = await node.until(
            "crash",
            lambda s: (
                "waiting" in s["containerStatuses"][0]["state"]
                and s["containerStatuses"][0]["restartCount"] == 1
            ),
        )
        container = status["containerStatuses"][0]
        assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert container["lastState"]["terminated"]["exitCode"] == 3, container
        assert await node.output("crash", previous=True) == "attempt\n"
        await node.client.delete(POD, "default", "crash", grace_period_s=0)
        await node.create("victim", "exec sleep 1000")
        await node.until_ready("victim")
        os.kill(await node.container_pid(), signal.SIGKILL)
        status = await node.until(
            "victim", lambda s: s["containerStatuses"][0]["restartCount"] == 1 and is_ready(s)
        )
        ended = status["containerStatuses"][0]["lastState"]["terminated"]
        assert ended["exitCode"] == 137


async def test_a_killed_pause_and_a_deleted_link(node: Node) -> None:
    async with node.running():
        await node.create("web", "exec sleep 1000")
        first = await node.until_ready("web")
        os.kill(await node.pause_pid(), signal.SIGKILL)
        second = await node.until("web", lambda s: s["podIP"] != first["podIP"] and is_ready(s))
        assert ("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.") in (
            await node.events()
        )
        name = node.config.netns_name
        links = (await run(["ip", "-n", name, "-o", "link"], timeout_s=5)).text()
        (veth,) = [w.split("@")[0] for w in links.split() if w.startswith("veth") and "@" in w]
        await run(["ip", "-n", name, "link", "del", veth], timeout_s=5)
        deadline = time.monotonic() + DEADLINE_S
        while "NetworkRepaired" not in dict(await node.events()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert (await node.status("web"))["podIP"] == second["podIP"]
        address = await node.run("web", "ip", "-4", "addr", "show", "eth0")
        assert second["podIP"] in address


async def test_adoption_after_a_restart_of_the_agent(node: Node) -> None:
    async with node.running():
        await node.create("web", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
        before = await node.until_ready("web")
        pid = await node.container_pid()
    async with node.running():
        assert await node.container_pid() == pid
        await asyncio.sleep(0.3)
        after = await node.status("web")
        assert after["containerStatuses"] == before["containerStatuses"]
        assert after["podIP"] == before["podIP"]
        lines = (await node.output("web")).split()
        assert lines == [str(n) for n in range(1, len(lines) + 1)]


async def test_the_forgotten_are_removed(node: Node) -> None:
    async with node.running():
        await node.create("web", "exec sleep 1000")
        await node.until_ready("web")
    await node.client.delete(POD, "default", "web", grace_period_s=0)
    async with node.running():
        assert node.runtime is not None
        deadline = time.monotonic() + DEADLINE_S
        while await node.runtime.list_sandboxes():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert [n for n in netns.list_netns() if "_web_" in n and NAME in n] == []


async def test_an_unknown_image_and_a_bad_command(node: Node) -> None:
    async with node.running():
        await node.create("image", "true", container={"image": "nginxx:1"})
        await node.create("command", "", container={"command": ["/no/such/program"]})
        status = await node.until(
            "image", lambda s: "waiting" in s["containerStatuses"][0]["state"]
        )
        await node.until(
            "image",
            lambda s: s["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull",
        )
        status = await node.until(
            "command",
            lambda s: (
                s["containerStatuses"][0]["state"]["waiting"]["reason"]
                in ("RunContainerError", "CreateContainerError")
            ),
        )
        assert "no such file" in status["containerStatuses"][0]["state"]["waiting"]["message"]


async def test_stop_all_is_quick(node: Node) -> None:
    async with node.running() as kubelet:
        for number in range(4):
            await node.create(f"p{number}", "trap '' TERM; while :; do sleep 1; done")
        for number in range(4):
            await node.until_ready(f"p{number}")
    async with OciRuntime(
        run_dir=node.config.run_dir,
        state_dir=node.config.state_dir,
        lab_name=node.config.name,
        clock=SystemClock(),
    ) as runtime:
        began = time.monotonic()
        other = Kubelet(
            client=node.client,
            informers=SharedInformers(node.client, SystemClock()),
            runtime=runtime,
            network=kubelet._parts.network,
            netns=netns,
            clock=SystemClock(),
            config=node.config.node(),
        )
        await other.stop_all()
        assert await runtime.list_containers() == []
        assert await runtime.list_sandboxes() == []
        assert time.monotonic() - began < 3
    for number in range(4):
        await node.client.delete(POD, "default", f"p{number}", grace_period_s=0)
