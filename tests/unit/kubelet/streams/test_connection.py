"""Logs and exec through the node's connection, and what is said when there is none."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from netlab.api.pods import PodStatus
from netlab.api.streams import LogOptions
from netlab.errors import ApiError
from netlab.kubelet.planning.steps import Observed
from netlab.kubelet.streams.connection import LoggedContainer, log_container, running_container
from netlab.runtime.cri import ContainerPhase, ContainerState, PodIdentity

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
ENDED = {"terminated": {"exitCode": 1, "containerID": "netlab://old"}}
ENDED_LAST = {"terminated": {"exitCode": 1, "containerID": "netlab://new"}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


FOUND = {
    "running": (RUNNING, {}, False, LoggedContainer("new", 3)),
    "ended": (ENDED, {}, False, LoggedContainer("old", 2)),
    "in back-off": (waiting("CrashLoopBackOff"), ENDED_LAST, False, LoggedContainer("new", 3)),
    "next one is being made": (waiting("Pulling"), ENDED, False, LoggedContainer("old", 2)),
    "previous": (RUNNING, ENDED, True, LoggedContainer("old", 2)),
}
REFUSED = {
    "creating": (
        waiting("ContainerCreating"),
        False,
        'container "main" in pod "web" is waiting to start: ContainerCreating',
    ),
    "pulling": (
        waiting("ErrImagePull"),
        False,
        'container "main" in pod "web" is waiting to start: image can\'t be pulled',
    ),
    "pull back-off": (
        waiting("ImagePullBackOff"),
        False,
        'container "main" in pod "web" is waiting to start: trying and failing to pull image',
    ),
    "no previous": (
        RUNNING,
        True,
        'previous terminated container "main" in pod "web" not found',
    ),
}


def make_status(state: dict[str, Any], last: dict[str, Any]) -> PodStatus:
    status = {"name": "main", "containerID": "netlab://new", "restartCount": 3}
    return PodStatus.parse({"containerStatuses": [{**status, "state": state, "lastState": last}]})


@pytest.mark.parametrize("name", FOUND)
def test_which_container_has_the_log(name: str) -> None:
    state, last, previous, expected = FOUND[name]
    assert log_container(make_status(state, last), "web", "main", previous=previous) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    state, previous, message = REFUSED[name]
    with pytest.raises(ApiError) as caught:
        log_container(make_status(state, {}), "web", "main", previous=previous)
    assert (caught.value.code, caught.value.message) == (400, message)


async def read(world: Any, pod: str = "web", container: str = "main", **options: Any) -> bytes:
    pieces = world.kubelet.connection.logs("default", pod, container, LogOptions(**options))
    return b"".join([piece async for piece in pieces])


async def test_logs_of_this_and_the_previous_container(world: Any) -> None:
    async with world.running():
        await world.add_pod()
        first = world.runtime.container("main")
        first.log_path.write_bytes(b"2026-01-01T00:00:00Z stdout F first\n")
        world.runtime.end(first.id, 1)
        await world.settle()
        second = world.runtime.container("main")
        second.log_path.write_bytes(b"2026-01-01T00:00:00Z stdout F second\n")
        assert await read(world) == b"second\n"
        assert await read(world, previous=True) == b"first\n"


@pytest.mark.parametrize("previous", [False, True])
async def test_logs_outlive_the_containers_of_a_pod_that_has_ended(
    world: Any, previous: bool
) -> None:
    async with world.running():
        await world.add_pod(restartPolicy="OnFailure")
        for code, text in ((1, "first"), (0, "second")):
            state = world.runtime.container("main")
            state.log_path.write_text(f"2026-01-01T00:00:00Z stdout F {text}\n")
            world.runtime.end(state.id, code)
            await world.settle()
        assert world.status()["phase"] == "Succeeded"
        assert not world.runtime.containers
        expected = b"first\n" if previous else b"second\n"
        assert await read(world, previous=previous) == expected


async def test_following_begins_at_once_and_ends_with_the_container(world: Any) -> None:
    async with world.running():
        await world.add_pod()
        pieces = world.kubelet.connection.logs("default", "web", "main", LogOptions(follow=True))
        assert await anext(pieces) == b""
        state = world.runtime.container("main")
        state.log_path.write_bytes(b"2026-01-01T00:00:00Z stdout F bye\n")
        world.runtime.end(state.id, 0)
        await world.settle()
        rest = asyncio.create_task(collect(pieces))
        await world.pass_time(0.2)
        assert await rest == b"bye\n"


async def collect(pieces: Any) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_logs_of_an_unknown_pod(world: Any) -> None:
    async with world.running():
        with pytest.raises(ApiError) as caught:
            await read(world, pod="none")
        assert (caught.value.code, caught.value.message) == (404, 'pods "none" not found')


async def test_logs_of_a_container_that_waits(world: Any) -> None:
    async with world.running():
        await world.add_pod(containers=[{"name": "main", "image": "nginxx"}])
        with pytest.raises(ApiError, match="image can't be pulled"):
            await read(world)


async def test_exec(world: Any) -> None:
    async with world.running():
        await world.add_pod()
        process = await world.kubelet.connection.exec(
            "default", "web", "main", ["ls", "-l"], stdin=False, tty=False
        )
        assert process.argv == ("ls", "-l")
        assert process.container_id == world.runtime.container("main").id


EXEC_ERRORS = {
    "unknown pod": ("none", "main", 404, 'pods "none" not found'),
    "unknown container": ("web", "side", 404, 'container not found ("side")'),
    "ended": ("web", "main", 400, "cannot exec in a stopped container"),
}


@pytest.mark.parametrize("name", EXEC_ERRORS)
async def test_exec_refusals(name: str, world: Any) -> None:
    pod, container, code, message = EXEC_ERRORS[name]
    async with world.running():
        containers = [{"name": name, "image": "busybox"} for name in ("main", "other")]
        await world.add_pod(restartPolicy="Never", containers=containers)
        world.runtime.end(world.runtime.container("main").id, 0)
        await world.settle()
        with pytest.raises(ApiError) as caught:
            await world.kubelet.connection.exec(
                "default", pod, container, ["ls"], stdin=False, tty=False
            )
        assert (caught.value.code, caught.value.message) == (code, message)


async def test_a_forward_does_not_follow_a_name_to_another_pod(world: Any) -> None:
    async with world.running():
        await world.add_pod()
        with pytest.raises(ApiError) as caught:
            await world.kubelet.connection.dial_pod("default", "web", 80, uid="of-one-before")
        assert (caught.value.code, caught.value.message) == (404, 'pods "web" not found')


STOPPED = {
    "exec": "cannot exec in a stopped container",
    "attach": "container is in CONTAINER_EXITED state",
}


def state(phase, attempt=0):
    return ContainerState(
        id=f"c{attempt}", sandbox_id="s", pod=PodIdentity("default", "p", "u"), name="c",
        attempt=attempt, image="i", image_id="i", phase=phase, pid=0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize("stopped", STOPPED.values(), ids=STOPPED)
def test_a_container_that_has_ended_takes_no_callers(stopped):
    observed = Observed(containers=(state(ContainerPhase.EXITED),))
    with pytest.raises(ApiError) as raised:
        running_container(observed, "c", stopped)
    assert (raised.value.code, raised.value.message) == (400, stopped)


def test_the_newest_container_takes_callers():
    observed = Observed(
        containers=(state(ContainerPhase.EXITED), state(ContainerPhase.RUNNING, attempt=1))
    )
    assert running_container(observed, "c").id == "c1"
    with pytest.raises(ApiError, match=r'container not found \("d"\)'):
        running_container(observed, "d")


@pytest.mark.parametrize("kind", ["initContainerStatuses", "ephemeralContainerStatuses"])
def test_logs_of_other_containers(kind):
    running = {"name": "i", "containerID": "netlab://abc", "state": {"running": {}}}
    status = PodStatus.parse({kind: [running]})
    assert log_container(status, "p", "i", previous=False).id.endswith("abc")
