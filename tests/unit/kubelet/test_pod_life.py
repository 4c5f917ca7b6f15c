"""Pods with more than one ordinary container: what they live through."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from netlab.api.kinds import POD, SECRET
from netlab.kubelet.images.pulling import format_duration
from netlab.kubelet.status.termination_message import message_file

MAIN = {"name": "main", "image": "busybox"}


def condition(world: Any, kind: str) -> dict[str, Any]:
    return next(c for c in world.status()["conditions"] if c["type"] == kind)


def creations(world: Any) -> list[str]:
    return [c.removeprefix("create ") for c in world.runtime.calls if c.startswith("create ")]


def stops(world: Any) -> list[str]:
    return [c for c in world.runtime.calls if c.startswith(("stop ", "exec "))]


def init_status(world: Any, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = world.status()["initContainerStatuses"][index]
    return found


async def finish(world: Any, name: str, code: int = 0) -> None:
    world.runtime.end(world.runtime.container(name).id, code)
    await world.settle()


def hooked(**hooks: list[str]) -> dict[str, Any]:
    names = {"post_start": "postStart", "pre_stop": "preStop"}
    lifecycle = {names[k]: {"exec": {"command": argv}} for k, argv in hooks.items()}
    return {**MAIN, "lifecycle": lifecycle}


async def test_init_containers_run_one_after_the_other(world):
    init = [{"name": n, "image": "busybox"} for n in ("one", "two")]
    async with world.running():
        await world.add_pod(initContainers=init)
        assert creations(world) == ["one/0"]
        assert world.status()["phase"] == "Pending"
        assert condition(world, "Initialized")["message"] == (
            "containers with incomplete status: [one two]"
        )
        assert world.container_status()["state"]["waiting"]["reason"] == "PodInitializing"
        await finish(world, "one")
        await finish(world, "two")
        assert creations(world) == ["one/0", "two/0", "main/0"]
        assert world.status()["phase"] == "Running"
        assert [s["ready"] for s in world.status()["initContainerStatuses"]] == [True, True]
        paths = {
            o["involvedObject"].get("fieldPath")
            for o in world.api.objects.values()
            if o.get("reason") == "Started"
        }
        assert paths == {
            "spec.initContainers{one}",
            "spec.initContainers{two}",
            "spec.containers{main}",
        }


async def test_a_failing_init_container_is_tried_again_with_back_off(world):
    async with world.running():
        await world.add_pod(initContainers=[{"name": "one", "image": "busybox"}])
        await finish(world, "one", 1)
        assert init_status(world)["restartCount"] == 1
        await finish(world, "one", 1)
        await world.pass_time(6)
        assert init_status(world)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert world.status()["phase"] == "Pending"
        await world.pass_time(5)
        await finish(world, "one", 0)
        assert world.status()["phase"] == "Running"


async def test_a_failed_init_container_fails_a_pod_with_policy_never(world):
    async with world.running():
        await world.add_pod(
            restartPolicy="Never", initContainers=[{"name": "one", "image": "busybox"}]
        )
        await finish(world, "one", 3)
        assert world.status()["phase"] == "Failed"
        assert creations(world) == ["one/0"]
        assert not world.runtime.sandboxes
        assert init_status(world)["state"]["terminated"]["exitCode"] == 3
        assert world.container_status()["state"]["waiting"]["reason"] == "PodInitializing"


async def test_a_sidecar_outlives_crashes_but_not_the_pod(world):
    side = {"name": "side", "image": "busybox", "restartPolicy": "Always"}
    async with world.running():
        await world.add_pod(restartPolicy="Never", initContainers=[side])
        assert creations(world) == ["side/0", "main/0"]
        await finish(world, "side", 0)
        assert creations(world)[-1] == "side/1"
        assert world.status()["phase"] == "Running"
        await finish(world, "main", 0)
        assert "stop side 30" in world.runtime.calls
        assert world.status()["phase"] == "Succeeded"
        assert not world.runtime.sandboxes


async def test_sidecars_end_after_the_others_in_reverse_order(world):
    sides = [{"name": n, "image": "busybox", "restartPolicy": "Always"} for n in ("s1", "s2")]
    world.runtime.stubborn.update({"main", "s2"})
    async with world.running():
        await world.add_pod(initContainers=sides, terminationGracePeriodSeconds=20)
        await world.delete()
        assert stops(world) == ["stop main 20"]
        await world.pass_time(20.5)
        # the grace period is used up: two seconds are left for each of the others
        assert stops(world) == ["stop main 20", "stop s2 2", "stop s1 2"]
        await world.pass_time(2.5)
        assert not world.exists()
        assert world.nothing_left()


async def test_a_pre_stop_hook_runs_within_the_grace_period(world):
    world.runtime.exec_seconds["drain"] = 4
    async with world.running():
        await world.add_pod(containers=[hooked(pre_stop=["drain"])])
        await world.delete(grace=10)
        assert stops(world) == ["exec main drain"]
        await world.pass_time(4.5)
        assert stops(world) == ["exec main drain", "stop main 6"]
        assert not world.exists()


async def test_a_pre_stop_hook_that_hangs_leaves_two_seconds(world):
    world.runtime.exec_seconds["drain"] = 1000
    async with world.running():
        await world.add_pod(containers=[hooked(pre_stop=["drain"])])
        await world.delete(grace=10)
        await world.pass_time(10.5)
        assert stops(world) == ["exec main drain", "stop main 2"]
        assert not world.exists()


async def test_a_pre_stop_hook_that_fails_is_told(world):
    world.runtime.exec_codes["drain"] = 1
    async with world.running():
        await world.add_pod(containers=[hooked(pre_stop=["drain"])])
        await world.delete()
        assert ("FailedPreStopHook", "PreStopHook failed") in world.api.events()
        assert not world.exists()


async def test_less_grace_interrupts_a_hook(world):
    world.runtime.exec_seconds["drain"] = 1000
    async with world.running():
        await world.add_pod(containers=[hooked(pre_stop=["drain"])])
        await world.delete(grace=100)
        await world.pass_time(5)
        await world.delete(grace=3)
        await world.pass_time(3.5)
        assert stops(world) == ["exec main drain", "exec main drain", "stop main 2"]
        assert not world.exists()


async def test_a_hook_that_was_run_is_not_run_again(world):
    world.runtime.stubborn.add("main")
    async with world.running():
        await world.add_pod(containers=[hooked(pre_stop=["drain"])])
        await world.delete(grace=100)
        await world.pass_time(5)
        await world.delete(grace=3)
        await world.pass_time(3.5)
        assert stops(world) == ["exec main drain", "stop main 100", "stop main 3"]
        assert not world.exists()


async def test_a_post_start_hook_holds_the_status_back(world):
    world.runtime.exec_seconds["warm"] = 5
    async with world.running():
        await world.add_pod(containers=[hooked(post_start=["warm"])])
        assert world.container_status()["state"]["waiting"]["reason"] == "ContainerCreating"
        await world.pass_time(5.5)
        assert "running" in world.container_status()["state"]


async def test_a_post_start_hook_that_fails_kills_and_backs_off(world):
    world.runtime.exec_codes["warm"] = 1
    async with world.running():
        await world.add_pod(containers=[hooked(post_start=["warm"])])
        events = world.api.events()
        assert ("FailedPostStartHook", "PostStartHook failed") in events
        assert ("Killing", "FailedPostStartHook") in events
        status = world.container_status()
        assert status["restartCount"] == 1
        assert status["state"]["waiting"]["reason"] == "PostStartHookError"
        assert "Exec lifecycle hook ([warm])" in status["state"]["waiting"]["message"]
        await world.pass_time(6)
        assert world.container_status()["state"]["waiting"]["reason"] == "CrashLoopBackOff"


async def test_a_deletion_does_not_wait_for_a_post_start_hook(world):
    world.runtime.exec_seconds["warm"] = 1000
    async with world.running():
        await world.add_pod(containers=[hooked(post_start=["warm"])])
        await world.delete(grace=5)
        assert not world.exists()
        assert world.nothing_left()


async def test_a_deletion_does_not_wait_for_a_pull(world):
    world.runtime.slow_pull_s = 1000
    world.runtime.registry.add("large")
    async with world.running():
        await world.add_pod(containers=[{"name": "main", "image": "large"}])
        await world.delete(grace=5)
        assert not world.exists()
        assert world.nothing_left()


async def test_a_probe_is_reported_while_another_container_is_started(world):
    world.runtime.registry.add("large")
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
    slow = {"name": "slow", "image": "large", "imagePullPolicy": "Always"}
    async with world.running():
        await world.add_pod(containers=[{**MAIN, "readinessProbe": probe}, slow])
        assert [c["ready"] for c in world.status()["containerStatuses"]] == [True, True]
        world.runtime.slow_pull_s = 1000
        await finish(world, "slow", 1)
        world.runtime.exec_codes["check"] = 1
        await world.pass_time(1)
        assert [c["ready"] for c in world.status()["containerStatuses"]] == [False, False]
        message = "containers with unready status: [main slow]"
        assert condition(world, "Ready")["message"] == message
        await world.delete(grace=5)
        assert world.nothing_left()


async def test_a_container_that_fails_its_liveness_probe_is_restarted(world):
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 2}
    async with world.running():
        await world.add_pod(containers=[{**MAIN, "livenessProbe": probe}])
        world.runtime.exec_codes["check"] = 1
        await world.pass_time(1)
        await world.pass_time(1)
        text = "Container main failed liveness probe, will be restarted"
        assert ("Killing", text) in world.api.events()
        assert world.container_status()["restartCount"] == 1
        assert "stop main 30" in world.runtime.calls


async def test_the_deadline_ends_a_pod(world):
    async with world.running():
        await world.add_pod(activeDeadlineSeconds=60)
        await world.pass_time(59)
        assert world.status()["phase"] == "Running"
        await world.pass_time(2)
        status = world.status()
        text = "Pod was active on the node longer than the specified deadline"
        assert (status["phase"], status["reason"], status["message"]) == (
            "Failed",
            "DeadlineExceeded",
            text,
        )
        assert world.api.events().count(("DeadlineExceeded", text)) == 1
        assert not world.runtime.sandboxes


async def test_a_last_word_is_told(world):
    async with world.running():
        await world.add_pod(restartPolicy="Never")
        state = world.runtime.container("main")
        mounts = world.runtime.configs[state.id].mounts
        (file,) = [m.source for m in mounts if m.target == "/dev/termination-log"]
        assert file == message_file(state.log_path)
        file.write_text("out of cheese")
        await finish(world, "main", 1)
        ended = world.container_status()["state"]["terminated"]
        assert (ended["message"], ended["reason"]) == ("out of cheese", "Error")


async def test_a_last_word_keeps_nobody_awake(world):
    async with world.running():
        await world.add_pod()
        file = message_file(world.runtime.container("main").log_path)
        file.write_text("out of cheese")
        await finish(world, "main", 1)
        last = world.container_status()["lastState"]["terminated"]
        assert last["message"] == "out of cheese"
        before = world.runtime.listings
        await world.pass_time(20)
        assert world.runtime.listings - before <= 4


async def test_an_ephemeral_container_is_started_once(world):
    async with world.running():
        await world.add_pod()
        debug = {"name": "debug", "image": "busybox", "targetContainerName": "main"}
        patch = {"spec": {"ephemeralContainers": [debug]}}
        await world.api.patch(
            POD,
            "default",
            "web",
            patch,
            patch_type="strategic",
            subresource="ephemeralcontainers",
        )
        await world.settle()
        main, state = world.runtime.container("main"), world.runtime.container("debug")
        assert world.runtime.configs[state.id].target_container == main.id
        await finish(world, "debug", 1)
        await world.pass_time(30)
        assert creations(world) == ["main/0", "debug/0"]
        (status,) = world.status()["ephemeralContainerStatuses"]
        assert status["state"]["terminated"]["exitCode"] == 1
        assert world.status()["phase"] == "Running"


async def test_a_pod_in_the_network_of_the_node(world):
    async with world.running():
        await world.add_pod(hostNetwork=True, hostPID=True)
        (sandbox,) = world.runtime.sandboxes.values()
        assert sandbox.config.host_network
        assert sandbox.config.host_pid
        assert sandbox.config.netns == world.config.netns
        assert sandbox.config.hostname == "node0"
        assert world.status()["podIP"] == world.status()["hostIP"] == "10.100.199.200"
        assert not world.network.addresses_by_id
        await world.pass_time(10)
        assert not world.network.repaired
        world.runtime.kill_pause()
        await world.settle()
        assert world.status()["phase"] == "Running"
        await world.delete()
        assert world.nothing_left()


async def test_host_ports_and_sysctls_reach_those_who_make_them(world):
    port = {"containerPort": 80, "hostPort": 8080}
    sysctl = {"name": "net.ipv4.ip_local_port_range", "value": "1024 65535"}
    async with world.running():
        await world.add_pod(
            containers=[{**MAIN, "ports": [port]}], securityContext={"sysctls": [sysctl]}
        )
        (ports,) = world.network.host_ports.values()
        assert [(p.host_port, p.container_port) for p in ports] == [(8080, 80)]
        (sandbox,) = world.runtime.sandboxes.values()
        assert sandbox.config.sysctls == {sysctl["name"]: sysctl["value"]}


async def test_rights_and_bounds_of_a_container(world):
    container = {
        **MAIN,
        "stdin": True,
        "stdinOnce": True,
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
        "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True},
        "lifecycle": {"stopSignal": "SIGUSR1"},
    }
    async with world.running():
        await world.add_pod(containers=[container])
        config = world.runtime.configs[world.runtime.container("main").id]
        assert config.security.uid == 1000
        assert config.security.read_only_root
        assert config.resources.memory_limit_bytes == 64 << 20
        assert config.resources.cpu_quota_us == 50_000
        assert config.stop_signal == "SIGUSR1"
        assert config.stdin_once


async def test_an_image_that_runs_as_root_is_refused(world):
    container = {**MAIN, "securityContext": {"runAsNonRoot": True}}
    async with world.running():
        await world.add_pod(containers=[container])
        waiting = world.container_status()["state"]["waiting"]
        assert waiting["reason"] == "CreateContainerConfigError"
        assert "image will run as root" in waiting["message"]
        world.runtime.users["busybox"] = "1000"
        await world.pass_time(11)
        assert world.status()["phase"] == "Running"


async def test_new_bounds_reach_a_running_container(world):
    before = {"limits": {"memory": "16Mi"}, "requests": {"memory": "16Mi"}}
    async with world.running():
        await world.add_pod(containers=[{**MAIN, "resources": before}])
        resources = {"limits": {"memory": "32Mi"}, "requests": {"memory": "32Mi"}}
        patch = {"spec": {"containers": [{**MAIN, "resources": resources}]}}
        await world.api.patch(
            POD, "default", "web", patch, patch_type="strategic", subresource="resize"
        )
        await world.settle()
        # the pod's own group makes place before, and is bounded again afterwards
        given = world.runtime.resized[world.runtime.container("main").id]
        assert given.memory_limit_bytes == 32 << 20
        calls = [c for c in world.runtime.calls if c.startswith("resize")]
        assert calls == ["resize pod", "resize main", "resize pod"]
        assert world.container_status()["resources"] == resources
        assert world.container_status()["restartCount"] == 0
        assert world.runtime.calls.count("resize main") == 1
        assert "ResizeCompleted" in dict(world.api.events())
    world.kubelet = world.new_kubelet()
    async with world.running():
        await world.pass_time(6)
        assert world.runtime.calls.count("resize main") == 1


async def test_a_pull_secret_is_used_and_a_missing_one_told(world):
    seen: list[Any] = []
    real = world.runtime.pull_image

    async def pull_image(reference, *, policy, credentials=()):
        seen.append([c.username for c in credentials])
        return await real(reference, policy=policy, credentials=credentials)

    world.runtime.pull_image = pull_image
    world.runtime.registry.add("registry.example/app")
    config = b'{"auths":{"registry.example":{"username":"ann","password":"x"}}}'
    await world.api.create(
        SECRET,
        "default",
        {
            "metadata": {"name": "login"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(config).decode()},
        },
    )
    async with world.running():
        await world.add_pod(
            containers=[{"name": "main", "image": "registry.example/app"}],
            imagePullSecrets=[{"name": "login"}, {"name": "gone"}],
        )
        assert seen[-1] == ["ann"]
        assert "FailedToRetrieveImagePullSecret" in dict(world.api.events())


async def test_a_readiness_gate_that_somebody_opens(world):
    async with world.running():
        await world.add_pod(readinessGates=[{"conditionType": "example.org/gate"}])
        assert condition(world, "Ready")["reason"] == "ReadinessGatesNotReady"
        opened = {"type": "example.org/gate", "status": "True"}
        conditions = [*world.status()["conditions"], opened]
        status = {"conditions": conditions}
        await world.api.patch(POD, "default", "web", {"status": status}, subresource="status")
        await world.settle()
        assert condition(world, "Ready")["status"] == "True"


async def test_a_volume_that_holds_too_much_ends_the_pod(world):
    volume = {"name": "scratch", "emptyDir": {"sizeLimit": "1Ki"}}
    async with world.running():
        await world.add_pod(volumes=[volume])
        uid = world.pod().metadata.uid
        folder = world.config.state_dir / "volumes" / uid / "scratch"
        (folder / "big").write_bytes(b"x" * 100_000)
        await world.pass_time(11)
        assert world.status()["phase"] == "Failed"
        assert world.status()["reason"] == "Evicted"
        assert "scratch" in dict(world.api.events())["Evicted"]


async def test_a_pod_deleted_during_its_initialization(world):
    last: list[Any] = []
    real_delete = world.api.delete

    async def delete(kind, *args, **options):
        if options.get("grace_period_s") == 0:
            last.append(world.status())
        return await real_delete(kind, *args, **options)

    async with world.running():
        await world.add_pod(initContainers=[{"name": "one", "image": "busybox"}])
        world.api.delete = delete
        await world.delete()
        assert not world.exists()
        assert last[0]["phase"] == "Failed"
        assert "waiting" in last[0]["containerStatuses"][0]["state"]
        assert creations(world) == ["one/0"]
        assert world.nothing_left()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0874, "87ms"), (1.5, "1.5s"), (2, "2s"), (123.25, "2m3.25s"), (3601, "1h0m1s")],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
