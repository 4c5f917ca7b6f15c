"""Pods with init containers, sidecars, hooks and last words, with the real runtime."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from netlab.api.kinds import POD
from netlab.api.view import Object
from tests.system.kubelet_node import (
    Node,
    is_ready,
    node_fixture,  # noqa: F401
)

pytestmark = pytest.mark.system

WORK = [{"name": "work", "mountPath": "/work"}]
WORK_VOLUME = [{"name": "work", "emptyDir": {}}]


def shell(name: str, script: str, **more: object) -> Object:
    command = ["sh", "-c", script]
    return {"name": name, "image": "busybox", "command": command, "volumeMounts": WORK, **more}


def one(status: Object, key: str, name: str) -> Object:
    found: Object = next(s for s in status[key] if s["name"] == name)
    return found


async def test_init_containers_a_sidecar_and_last_words(node: Node) -> None:
    side = "echo side >> /work/order; trap 'echo stopped >> /work/order; exit 0' TERM; "
    init = [
        shell("first", "echo first >> /work/order; echo 'first is done' > /dev/termination-log"),
        shell("side", side + "while :; do sleep 0.05; done", restartPolicy="Always"),
        shell("second", "cat /work/order; echo second >> /work/order"),
    ]
    main = shell(
        "main",
        "echo main >> /work/order; cat /work/order; exit 3",
        terminationMessagePolicy="FallbackToLogsOnError",
    )
    async with node.running():
        await node.create(
            "web",
            "",
            container=main,
            initContainers=init,
            restartPolicy="Never",
            volumes=WORK_VOLUME,
            terminationGracePeriodSeconds=5,
        )
        status = await node.until("web", lambda s: s["phase"] == "Failed")
        first = one(status, "initContainerStatuses", "first")
        assert first["ready"] is True
        assert first["state"]["terminated"]["message"] == "first is done\n"
        ended = one(status, "containerStatuses", "main")["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (3, "Error")
        assert ended["message"] == "first\nside\nsecond\nmain\n"
        assert one(status, "initContainerStatuses", "side")["state"]["terminated"]["exitCode"] == 0
        assert await node.output("web", "second") == "first\nside\n"
        await node.client.delete(POD, "default", "web")
        await node.until_gone("web")


async def test_hooks_share_the_grace_period(node: Node) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "sleep 0.3; echo post > /proc/1/fd/1"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo pre > /proc/1/fd/1; sleep 0.3"]}},
    }
    main = shell(
        "main", "trap 'echo term; exit 0' TERM; while :; do sleep 0.05; done", lifecycle=hooks
    )
    async with node.running():
        began = time.monotonic()
        await node.create(
            "web", "", container=main, volumes=WORK_VOLUME, terminationGracePeriodSeconds=10
        )
        await node.until_ready("web")
        assert time.monotonic() - began > 0.3
        assert await node.output("web") == "post\n"
        kept = node.config.state_dir / "copy.log"
        (log,) = node.config.state_dir.glob("pods/*/main/0.log")
        kept.hardlink_to(log)
        await node.client.delete(POD, "default", "web")
        await node.until_gone("web")
        assert [line.split()[-1] for line in kept.read_text().splitlines()] == [
            "post",
            "pre",
            "term",
        ]


async def test_liveness_restarts_and_readiness_follows(node: Node) -> None:
    main = shell(
        "main",
        "touch /work/alive; exec sleep 1000",
        livenessProbe={
            "exec": {"command": ["test", "-e", "/work/alive"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
            "initialDelaySeconds": 1,
        },
        readinessProbe={"exec": {"command": ["test", "-e", "/work/ready"]}, "periodSeconds": 1},
    )
    async with node.running():
        await node.create("web", "", container=main, volumes=WORK_VOLUME)
        status = await node.until("web", lambda s: s["containerStatuses"][0]["started"])
        assert not is_ready(status)
        await node.run("web", "touch", "/work/ready")
        await node.until_ready("web")
        await node.run("web", "rm", "/work/alive")
        await node.until("web", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        text = "Container main failed liveness probe, will be restarted"
        assert ("Killing", text) in await node.events()


async def test_a_pod_in_the_network_of_the_node(node: Node) -> None:
    async with node.running():
        await node.create("agent", "exec sleep 1000", hostNetwork=True, hostPID=True)
        status = await node.until_ready("agent")
        assert status["podIP"] == status["hostIP"]
        assert "cni0" in await node.run("agent", "ip", "-o", "link")
        assert (await node.run("agent", "cat", "/etc/hostname")).strip() == node.config.node_name
        await node.client.delete(POD, "default", "agent")
        await node.until_gone("agent")


async def test_an_ephemeral_container_sees_its_target(node: Node) -> None:
    async with node.running():
        await node.create("web", "exec sleep 1000")
        await node.until_ready("web")
        debug = shell("debug", "ps; sleep 0.2; exit 4", targetContainerName="main")
        del debug["volumeMounts"]
        await node.client.patch(
            POD,
            "default",
            "web",
            {"spec": {"ephemeralContainers": [debug]}},
            subresource="ephemeralcontainers",
        )
        status = await node.until(
            "web", lambda s: s["ephemeralContainerStatuses"][0]["state"]["terminated"]
        )
        assert status["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
        assert "sleep 1000" in await node.output("web", "debug")
        assert is_ready(status)


async def test_new_bounds_reach_the_kernel_in_place(node: Node) -> None:
    def bounded(memory: str) -> Object:
        amounts = {"memory": memory, "cpu": "100m"}
        return {"limits": amounts, "requests": amounts}

    async with node.running():
        main = {"resources": bounded("32Mi")}
        await node.create("web", "exec sleep 1000", container=main)
        await node.until_ready("web")
        pid = await node.container_pid()
        assert (memory_limit(pid), memory_limit(pid, parents=1)) == (32 << 20, 32 << 20)
        patch = {"spec": {"containers": [{"name": "main", "resources": bounded("64Mi")}]}}
        await node.client.patch(
            POD, "default", "web", patch, patch_type="strategic", subresource="resize"
        )
        await node.until(
            "web",
            lambda s: s["containerStatuses"][0]["resources"]["limits"]["memory"] == "64Mi",
        )
        assert await node.container_pid() == pid
        assert (memory_limit(pid), memory_limit(pid, parents=1)) == (64 << 20, 64 << 20)
        assert "ResizeCompleted" in dict(await node.events())


def memory_limit(pid: int, parents: int = 0) -> int:
    """Return the bound of a process's memory group, or of one above it, on v1 and v2."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    paths = {controller: path for _, names, path in lines for controller in names.split(",")}
    v1 = "memory" in paths
    folder = Path("/sys/fs/cgroup", *(["memory"] if v1 else []))
    folder /= paths["memory" if v1 else ""].lstrip("/")
    for _ in range(parents):
        folder = folder.parent
    return int((folder / ("memory.limit_in_bytes" if v1 else "memory.max")).read_text())
