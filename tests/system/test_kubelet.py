"""The node agent with the real API machinery, runtime and network, in a namespace of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import CONFIG_MAP, EVENT, POD, SERVICE_ACCOUNT
from netlab.api.streams import LogOptions
from netlab.api.view import Object
from netlab.apiserver.assembly import assemble
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.pki import ensure_pki
from netlab.apiserver.requests import UserInfo
from netlab.clock import SystemClock
from netlab.cni.plugin import PodNetwork
from netlab.command import run
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.kubelet.agent import Kubelet
from netlab.net import netns
from netlab.runtime.engine import OciRuntime
from netlab.store.store import open_store

pytestmark = pytest.mark.system

NAME = f"kubelet-test-{secrets.token_hex(3)}"
DEADLINE_S = 15.0


class Node:
    """One lab with an API server and one node, and nothing else."""

    def __init__(self, client: LocalClient, config: LabConfig) -> None:
        self.client = client
        self.config = config
        self.runtime: OciRuntime | None = None
        self.kubelet: Kubelet | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Kubelet]:
        """Run the agent; leaving lets the pods run on, as when the daemon ends."""
        config, clock = self.config, SystemClock()
        network = PodNetwork(
            netns=config.netns,
            pod_cidr=config.node_pod_cidr,
            cluster_cidr=config.pod_cidr,
            service_cidr=config.service_cidr,
            state_dir=config.state_dir / "cni",
        )
        async with OciRuntime(
            run_dir=config.run_dir, state_dir=config.state_dir, lab_name=config.name, clock=clock
        ) as runtime:
            self.runtime = runtime
            self.kubelet = Kubelet(
                client=self.client,
                runtime=runtime,
                network=network,
                netns=netns,
                clock=clock,
                config=config,
                node_name=config.node_name,
            )
            task = asyncio.create_task(self.kubelet.run())
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self.kubelet.ready.wait()
                yield self.kubelet
                if task.done():
                    task.result()
            finally:
                task.cancel()
                await asyncio.wait({task})
                network.close()

    async def create(self, name: str, script: str, **spec: Any) -> None:
        container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}
        container |= spec.pop("container", {})
        spec = {"nodeName": self.config.node_name, "containers": [container], **spec}
        spec.setdefault("terminationGracePeriodSeconds", 1)
        pod = {"metadata": {"name": name}, "spec": spec}
        await self.client.create(POD, "default", pod)

    async def status(self, name: str) -> Object:
        status: Object = (await self.client.get(POD, "default", name)).get("status", {})
        return status

    async def until(self, name: str, test: Callable[[Object], Any]) -> Object:
        status: Object = {}
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            status = await self.status(name)
            with contextlib.suppress(KeyError, IndexError):
                if test(status):
                    return status
            await asyncio.sleep(0.01)
        raise AssertionError(f"pod {name} stayed {status}\n{await self.events()}")

    async def until_ready(self, name: str) -> Object:
        return await self.until(name, is_ready)

    async def until_gone(self, name: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                await self.client.get(POD, "default", name)
            except ApiError:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"pod {name} did not go away: {await self.status(name)}")

    async def events(self) -> list[tuple[str, str]]:
        found = (await self.client.list(EVENT, "default")).items
        return [(event["reason"], event["message"]) for event in found]

    async def output(self, name: str, **options: Any) -> str:
        assert self.kubelet is not None
        pieces = self.kubelet.connection.logs("default", name, "main", LogOptions(**options))
        return b"".join([piece async for piece in pieces]).decode()

    async def run(self, name: str, *argv: str) -> str:
        assert self.kubelet is not None
        process = await self.kubelet.connection.exec(
            "default", name, "main", argv, stdin=False, tty=False
        )
        output = b""
        while (piece := await process.read()) is not None:
            output += piece[1]
        await process.wait()
        await process.close()
        return output.decode()

    async def pause_pid(self) -> int:
        assert self.runtime is not None
        (sandbox,) = await self.runtime.list_sandboxes()
        return sandbox.pid

    async def container_pid(self) -> int:
        assert self.runtime is not None
        return max(c.pid for c in await self.runtime.list_containers())


def is_ready(status: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])


def leftovers() -> list[str]:
    """What of this test's lab can still be seen on the machine."""
    found = [name for name in netns.list_netns() if NAME in name]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if NAME in line]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if NAME in words and "pytest" not in words:
                found.append(words)
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/netlab/{NAME}*")]
    return found


@pytest.fixture
async def node(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    # on the machine's own file system, for overlays do not lie on every /tmp
    state_root, run_root = Path("/var/lib/netlab-tests"), Path("/run/netlab-tests")
    monkeypatch.setattr("netlab.config.STATE_ROOT", state_root)
    monkeypatch.setattr("netlab.config.RUN_ROOT", run_root)
    config = LabConfig(name=NAME, sandbox=True, pod_cidr=IPv4Network("10.244.0.0/16"))
    config.state_dir.mkdir(parents=True)
    await netns.create_netns(config.netns_name)
    pki = ensure_pki(config.state_dir / "pki", config, datetime.now(UTC))
    try:
        async with open_store(config.state_dir / "store.db") as store:
            plane = assemble(store, config, pki, SystemClock(), connections=lambda _: None)
            client = LocalClient(plane.registry, UserInfo("admin", groups=("system:masters",)))
            await ensure_system_objects(client, config)
            await client.create(SERVICE_ACCOUNT, "default", {"metadata": {"name": "default"}})
            ca = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CERTIFICATE"}}
            await client.create(CONFIG_MAP, "default", ca)
            node = Node(client, config)
            try:
                yield node
            finally:
                async with OciRuntime(
                    run_dir=config.run_dir,
                    state_dir=config.state_dir,
                    lab_name=config.name,
                    clock=SystemClock(),
                ) as runtime:
                    await runtime.destroy_all()
    finally:
        for name in [n for n in netns.list_netns() if NAME in n]:
            await netns.remove_netns(name)
        shutil.rmtree(config.state_dir, ignore_errors=True)
        shutil.rmtree(config.run_dir, ignore_errors=True)
        for folder in (state_root / "labs", state_root, run_root):
            with contextlib.suppress(OSError):
                folder.rmdir()
    assert leftovers() == []


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
            runtime=runtime,
            network=kubelet._parts.network,
            netns=netns,
            clock=SystemClock(),
            config=node.config,
            node_name=node.config.node_name,
        )
        await other.stop_all()
        assert await runtime.list_containers() == []
        assert await runtime.list_sandboxes() == []
        assert time.monotonic() - began < 3
    for number in range(4):
        await node.client.delete(POD, "default", f"p{number}", grace_period_s=0)
