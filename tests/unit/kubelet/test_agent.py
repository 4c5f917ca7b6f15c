"""The whole agent on the real registry: what a pod lives through, and what is left of it."""

from __future__ import annotations

import copy
import gc
import importlib
from collections.abc import Iterator
from itertools import pairwise
from logging import Logger
from types import CoroutineType, FunctionType, ModuleType
from typing import Any

import pytest

from netlab.api.core import Node
from netlab.api.kinds import CONFIG_MAP, POD, SERVICE_ACCOUNT
from netlab.errors import ApiError
from netlab.kubelet.volumes.mounts import PodMounts
from netlab.kubelet.worker import PodWorker


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(c for c in status["conditions"] if c["type"] == kind)


async def test_a_pod_is_made_real_and_reported(world):
    async with world.running():
        await world.add_pod()
        status = world.status()
        assert status["phase"] == "Running"
        assert status["podIP"] == "10.244.0.2"
        assert status["hostIP"] == "10.100.199.200"
        assert status["startTime"] == "2026-01-01T00:00:00Z"
        assert condition(status, "Ready")["status"] == "True"
        container = world.container_status()
        assert container["state"] == {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        assert container["containerID"] == "netlab://container2"
        assert container["ready"] is True
        assert container["restartCount"] == 0
        assert world.api.events() == [
            ("Starting", "Starting kubelet."),
            ("NodeReady", "Node node0 status is now: NodeReady"),
            (
                "Pulled",
                'Container image "busybox" already present on machine '
                "and can be accessed by the pod",
            ),
            ("Created", "Container created"),
            ("Started", "Container started"),
        ]


async def test_a_quiet_pod_costs_no_writes(world):
    async with world.running():
        await world.add_pod()
        before = [w for w in world.api.writes if w[1] == "pods"]
        await world.pass_time(200)
        assert [w for w in world.api.writes if w[1] == "pods"] == before


async def test_deletion_stops_reports_and_leaves_nothing(world):
    async with world.running():
        await world.add_pod()
        seen: list[Any] = []
        real_delete = world.api.delete

        async def delete(kind, *args, **options):
            if kind is POD and options.get("grace_period_s") == 0:
                seen.append(world.status())
                assert options["uid"] == world.pod().metadata.uid
            return await real_delete(kind, *args, **options)

        world.api.delete = delete
        await world.delete()
        assert not world.exists()
        assert world.nothing_left()
        (last,) = seen
        assert last["phase"] == "Succeeded"
        assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        assert ("Killing", "Stopping container main") in world.api.events()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What goes must go because nobody holds it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def workers() -> int:
    return sum(isinstance(each, PodWorker) for each in gc.get_objects())


@pytest.mark.usefixtures("no_collector")
async def test_a_pod_that_is_gone_is_held_by_nobody(world):
    probe = {"tcpSocket": {"port": 80}}
    async with world.running():
        for _ in range(3):
            await world.add_pod(
                containers=[{"name": "main", "image": "busybox", "livenessProbe": probe}]
            )
            uid = world.pod().metadata.uid
            assert workers() == 1
            assert holders_of(uid, world.kubelet)
            await world.delete()
            await world.pass_time(120)
            assert world.nothing_left()
            assert workers() == 0
            assert [type(each) for each in holders_of(uid, world.kubelet)] == []


# what is bounded in number, and what the fakes remember
OTHERS = ("netlab.client.correlation", "netlab.apiserver", "netlab.store", "tests.", "conftest")


def holders_of(text: str, root: object) -> list[object]:
    """Return the tables and objects below ``root`` that hold a string with that text."""
    found: list[object] = []
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        each = waiting.pop()
        module = type(each).__module__
        code = isinstance(each, (type, ModuleType, FunctionType, CoroutineType, Logger))
        if (
            id(each) in seen
            or code
            or module.startswith((*OTHERS, "asyncio", "_asyncio", "uvloop"))
        ):
            continue
        seen.add(id(each))
        for part in gc.get_referents(each):
            if isinstance(part, str) and text in part:
                found.append(each)
            waiting.append(part)
    return found


async def test_deletion_gives_the_grace_that_was_asked_for(world):
    world.runtime.stubborn.add("main")
    async with world.running():
        await world.add_pod(terminationGracePeriodSeconds=20)
        await world.delete()
        await world.pass_time(19)
        assert world.exists()
        await world.pass_time(2)
        assert not world.exists()
        assert "stop main 20" in world.runtime.calls


async def test_a_shorter_grace_hurries_a_deletion(world):
    world.runtime.stubborn.add("main")
    async with world.running():
        await world.add_pod()
        await world.delete(grace=30)
        await world.pass_time(1)
        await world.delete(grace=2)
        await world.pass_time(2.5)
        assert not world.exists()
        assert [c for c in world.runtime.calls if c.startswith("stop main")] == [
            "stop main 30",
            "stop main 2",
        ]
        assert world.nothing_left()


async def test_forced_deletion_removes_what_the_api_server_forgot(world):
    world.runtime.stubborn.add("main")
    async with world.running():
        await world.add_pod()
        await world.delete(grace=0)
        assert not world.exists()
        await world.pass_time(2.5)
        assert world.nothing_left()


async def test_a_pod_of_the_same_name_is_another_pod(world):
    world.runtime.stubborn.add("main")
    async with world.running():
        await world.add_pod()
        await world.delete(grace=0)
        await world.add_pod()
        assert world.status()["phase"] == "Running"
        assert world.status()["podIP"] == "10.244.0.3"
        await world.pass_time(3)
        assert len(world.runtime.sandboxes) == 1
        assert world.status()["podIP"] == "10.244.0.3"


async def test_a_crash_is_restarted_at_once_then_with_back_off(world):
    async with world.running():
        await world.add_pod()
        world.runtime.end(world.runtime.container("main").id, 1)
        await world.settle()
        container = world.container_status()
        assert container["restartCount"] == 1
        assert container["lastState"]["terminated"]["exitCode"] == 1
        assert "running" in container["state"]
        world.runtime.end(world.runtime.container("main").id, 1)
        await world.settle()
        assert world.container_status()["state"]["terminated"]["reason"] == "Error"
        await world.pass_time(5)
        container = world.container_status()
        uid = world.pod().metadata.uid
        assert container["state"]["waiting"] == {
            "reason": "CrashLoopBackOff",
            "message": f"back-off 10s restarting failed container=main pod=web_default({uid})",
        }
        assert condition(world.status(), "Ready")["reason"] == "ContainersNotReady"
        text = f"Back-off restarting failed container main in pod web_default({uid})"
        assert ("BackOff", text) in world.api.events()
        await world.pass_time(4)
        assert world.container_status()["restartCount"] == 1
        await world.pass_time(2)
        assert world.container_status()["restartCount"] == 2
        world.runtime.end(world.runtime.container("main").id, 1)
        await world.settle()
        await world.pass_time(19)
        assert world.container_status()["restartCount"] == 2
        await world.pass_time(2)
        assert world.container_status()["restartCount"] == 3


async def test_only_the_last_dead_container_is_kept(world):
    async with world.running():
        await world.add_pod()
        for _ in range(3):
            world.runtime.end(world.runtime.container("main").id, 1)
            await world.pass_time(400)
        attempts = sorted(c.attempt for c in world.runtime.containers.values())
        assert attempts == [2, 3]
        logs = sorted(p.name for p in world.config.state_dir.rglob("*.log"))
        assert logs == ["2.log", "3.log"]


async def test_a_job_like_pod_ends_and_frees_its_address(world):
    async with world.running():
        await world.add_pod(restartPolicy="Never")
        world.runtime.end(world.runtime.container("main").id, 0)
        await world.settle()
        status = world.status()
        assert status["phase"] == "Succeeded"
        assert status["podIP"] == "10.244.0.2"
        assert condition(status, "Ready")["reason"] == "PodCompleted"
        assert condition(status, "PodReadyToStartContainers")["status"] == "False"
        assert not world.runtime.sandboxes
        assert not world.network.addresses_by_id
        assert "terminated" in world.container_status()["state"]


async def test_on_failure_restarts_only_failures(world):
    async with world.running():
        await world.add_pod(restartPolicy="OnFailure")
        world.runtime.end(world.runtime.container("main").id, 3)
        await world.settle()
        assert world.container_status()["restartCount"] == 1
        world.runtime.end(world.runtime.container("main").id, 0)
        await world.settle()
        assert world.status()["phase"] == "Succeeded"


async def test_a_killed_pause_makes_a_new_sandbox(world):
    async with world.running():
        await world.add_pod()
        world.runtime.kill_pause()
        await world.settle()
        (sandbox,) = world.runtime.sandboxes.values()
        assert sandbox.config.attempt == 1
        assert world.status()["podIP"] == "10.244.0.3"
        assert world.container_status()["restartCount"] == 1
        assert world.status()["phase"] == "Running"
        text = "Pod sandbox changed, it will be killed and re-created."
        assert ("SandboxChanged", text) in world.api.events()
        assert len(world.network.addresses_by_id) == 1


async def test_a_broken_link_is_repaired_with_the_same_address(world):
    async with world.running():
        await world.add_pod()
        (name,) = world.network.addresses_by_id
        world.network.faults[name] = ["link eth0 is missing"]
        await world.pass_time(6)
        assert world.network.repaired == [name]
        assert world.status()["podIP"] == "10.244.0.2"
        assert world.container_status()["restartCount"] == 0


async def test_a_removed_namespace_name_makes_a_new_sandbox(world):
    async with world.running():
        await world.add_pod()
        (name,) = world.network.addresses_by_id
        world.netns.names.discard(name)
        await world.pass_time(6)
        assert world.status()["podIP"] == "10.244.0.3"
        assert world.status()["phase"] == "Running"


async def test_an_unknown_image_backs_off_and_recovers(world):
    async with world.running():
        await world.add_pod(containers=[{"name": "main", "image": "nginxx"}])
        waiting = world.container_status()["state"]["waiting"]
        assert waiting == {"reason": "ErrImagePull", "message": '"nginxx": not found'}
        assert world.status()["phase"] == "Pending"
        assert ("Failed", 'Failed to pull image "nginxx": "nginxx": not found') in (
            world.api.events()
        )
        assert ("Failed", "Error: ErrImagePull") in world.api.events()
        await world.pass_time(6)
        waiting = world.container_status()["state"]["waiting"]
        message = 'Back-off pulling image "nginxx": ErrImagePull: "nginxx": not found'
        assert waiting == {"reason": "ImagePullBackOff", "message": message}
        assert ("BackOff", message) in world.api.events()
        world.runtime.registry.add("nginxx")
        await world.pass_time(5)
        assert world.status()["phase"] == "Running"


async def test_policy_never_does_not_fetch(world):
    world.runtime.registry.add("nginx")
    container = {"name": "main", "image": "nginx", "imagePullPolicy": "Never"}
    async with world.running():
        await world.add_pod(containers=[container])
        waiting = world.container_status()["state"]["waiting"]
        assert waiting["reason"] == "ErrImageNeverPull"


async def test_a_missing_config_map_is_named_and_waited_for(world):
    source = {"configMapKeyRef": {"name": "settings", "key": "color"}}
    container = {
        "name": "main",
        "image": "busybox",
        "env": [{"name": "COLOR", "valueFrom": source}],
    }
    async with world.running():
        await world.add_pod(containers=[container])
        waiting = world.container_status()["state"]["waiting"]
        assert waiting == {
            "reason": "CreateContainerConfigError",
            "message": 'configmap "settings" not found',
        }
        assert ("Failed", 'Error: configmap "settings" not found') in world.api.events()
        await world.api.create(
            CONFIG_MAP, "default", {"metadata": {"name": "settings"}, "data": {"color": "red"}}
        )
        await world.pass_time(11)
        assert world.status()["phase"] == "Running"
        config = world.runtime.configs[world.runtime.container("main").id]
        assert config.env["COLOR"] == "red"


async def test_a_command_that_cannot_run(world):
    world.runtime.start_error = 'exec: "nonsense": executable file not found in $PATH'
    async with world.running():
        await world.add_pod()
        waiting = world.container_status()["state"]["waiting"]
        assert waiting["reason"] == "RunContainerError"
        assert "executable file not found" in waiting["message"]
        await world.pass_time(6)
        assert world.container_status()["state"]["waiting"]["reason"] == "CrashLoopBackOff"


async def test_a_container_that_cannot_be_created(world):
    world.runtime.create_error = "mount /x: no such file"
    async with world.running():
        await world.add_pod()
        waiting = world.container_status()["state"]["waiting"]
        assert waiting == {"reason": "CreateContainerError", "message": "mount /x: no such file"}
        world.runtime.create_error = ""
        await world.pass_time(11)
        assert world.container_status()["restartCount"] == 0
        assert world.status()["phase"] == "Running"


async def test_a_failed_sandbox_is_told_and_tried_again(world):
    world.network.error = "no address is left"
    async with world.running():
        await world.add_pod()
        text = "Failed to create pod sandbox: no address is left"
        assert ("FailedCreatePodSandBox", text) in world.api.events()
        assert world.container_status()["state"]["waiting"]["reason"] == "ContainerCreating"
        assert not world.runtime.sandboxes
        world.network.error = ""
        await world.pass_time(2)
        assert world.status()["phase"] == "Running"


async def test_one_of_two_containers_crashes(world):
    containers = [{"name": "b", "image": "busybox"}, {"name": "a", "image": "mongo"}]
    async with world.running():
        await world.add_pod(containers=containers)
        names = [c["name"] for c in world.status()["containerStatuses"]]
        assert names == ["a", "b"]
        world.runtime.end(world.runtime.container("a").id, 1)
        await world.settle()
        world.runtime.end(world.runtime.container("a").id, 1)
        await world.settle()
        ready = condition(world.status(), "Ready")
        assert ready["message"] == "containers with unready status: [a]"
        assert world.status()["phase"] == "Running"
        assert world.container_status(index=1)["restartCount"] == 0


async def test_a_changed_image_replaces_the_container(world):
    async with world.running():
        await world.add_pod()
        patch = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}
        await world.api.patch(POD, "default", "web", patch, patch_type="strategic")
        await world.settle()
        assert world.container_status()["image"] == "busybox:2"
        assert world.container_status()["restartCount"] == 1
        text = "Container main definition changed, will be restarted"
        assert ("Killing", text) in world.api.events()


async def test_a_new_agent_adopts_running_pods_untouched(world):
    async with world.running():
        await world.add_pod()
    before = dict(world.runtime.containers)
    calls = list(world.runtime.calls)
    world.kubelet = world.new_kubelet()
    async with world.running():
        await world.pass_time(20)
        assert world.runtime.containers == before
        assert world.runtime.calls == calls
        assert world.status()["podIP"] == "10.244.0.2"


async def test_a_new_agent_learns_an_address_that_was_never_reported(world):
    async with world.running():
        await world.add_pod()
    unknown = dict.fromkeys(("podIP", "podIPs", "containerStatuses", "conditions"))
    await world.api.patch(POD, "default", "web", {"status": unknown}, subresource="status")
    assert "podIP" not in world.status()
    world.kubelet = world.new_kubelet()
    async with world.running():
        assert world.status()["podIP"] == "10.244.0.2"
        assert world.status()["phase"] == "Running"


async def test_after_a_reboot_counts_go_on(world):
    async with world.running():
        await world.add_pod()
    world.runtime.containers.clear()
    world.runtime.sandboxes.clear()
    world.network.addresses_by_id.clear()
    world.netns.names = {"somebody-elses"}
    world.kubelet = world.new_kubelet()
    async with world.running():
        container = world.container_status()
        assert container["restartCount"] == 1
        assert container["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
        assert world.status()["phase"] == "Running"


async def test_a_new_agent_removes_what_belongs_to_no_pod(world):
    async with world.running():
        await world.add_pod()
        await world.add_pod("other")
    world.api.remove(POD, "default", "web")
    world.netns.names.add("netlab-test_default_gone_12345678")
    stray = "netlab-test_default_lost_12345678"
    world.network.addresses_by_id[stray] = world.config.node_ip
    world.kubelet = world.new_kubelet()
    async with world.running():
        assert {s.config.pod.name for s in world.runtime.sandboxes.values()} == {"other"}
        assert len(world.network.addresses_by_id) == 1
        assert "netlab-test_default_gone_12345678" not in world.netns.names
        assert "somebody-elses" in world.netns.names


async def test_stop_all_leaves_no_process(world):
    async with world.running():
        await world.add_pod()
        await world.add_pod("other")
    await world.kubelet.stop_all()
    assert not world.runtime.sandboxes
    assert not world.runtime.containers
    assert not world.network.addresses_by_id


async def test_status_writes_are_retried(world):
    broken = [True]

    def refuse(verb, kind, _name):
        if verb == "patch status" and kind is POD and broken[0]:
            return ApiError(503, "ServiceUnavailable", "try later")
        return None

    world.api.refuse = refuse
    async with world.running():
        await world.add_pod()
        assert world.status()["phase"] == "Pending"
        broken[0] = False
        await world.pass_time(2)
        assert world.status()["phase"] == "Running"


async def test_conditions_of_others_are_kept(world):
    async with world.running():
        await world.add_pod()
        mine = {"type": "example.org/gate", "status": "True"}
        conditions = [*world.status()["conditions"], mine]
        status = {"conditions": conditions}
        await world.api.patch(POD, "default", "web", {"status": status}, subresource="status")
        world.runtime.end(world.runtime.container("main").id, 1)
        await world.settle()
        assert condition(world.status(), "example.org/gate")["status"] == "True"


async def test_many_pods_share_listings(world):
    async with world.running():
        before = world.runtime.listings
        for number in range(20):
            await world.api.create(
                POD, "default", {**_bare_pod(), "metadata": {"name": f"p{number}"}}
            )
        await world.settle()
        await world.settle()
        assert len(world.runtime.containers) == 20
        assert world.runtime.listings - before < 60


def _bare_pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {"nodeName": "node0", "containers": [{"name": "main", "image": "busybox"}]},
        "status": {"phase": "Pending"},
    }


async def test_projected_volume_with_token(world):
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
            }
        },
    ]
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    container = {
        "name": "main",
        "image": "busybox",
        "volumeMounts": [{"name": "access", "mountPath": path, "readOnly": True}],
    }
    async with world.running():
        await world.add_pod(
            containers=[container],
            serviceAccountName="default",
            volumes=[{"name": "access", "projected": {"sources": sources}}],
        )
        assert world.container_status()["state"]["waiting"]["reason"] == "ContainerCreating"
        text = (
            'MountVolume.SetUp failed for volume "access" : configmap "kube-root-ca.crt" not found'
        )
        assert ("FailedMount", text) in world.api.events()
        data = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CERTIFICATE"}}
        await world.api.create(CONFIG_MAP, "default", data)
        await world.pass_time(3)
        assert world.status()["phase"] == "Running"
        config = world.runtime.configs[world.runtime.container("main").id]
        (mount,) = [m for m in config.mounts if m.target == path]
        assert mount.read_only
        assert (mount.source / "token").read_text() == "token-1"
        assert (mount.source / "ca.crt").read_text() == "CERTIFICATE"
        assert (mount.source / "namespace").read_text() == "default"
        assert (mount.source / "token").is_symlink()
        await world.pass_time(0.7 * 3607)
        assert (mount.source / "token").read_text() == "token-1"
        await world.pass_time(0.2 * 3607)
        assert (mount.source / "token").read_text() == "token-2"
        assert ("create token", SERVICE_ACCOUNT.plural, "default") in world.api.writes


async def test_an_unknown_volume_kind_is_told(world):
    async with world.running():
        await world.add_pod(volumes=[{"name": "disk", "nfs": {"server": "x", "path": "/"}}])
        text = (
            'MountVolume.SetUp failed for volume "disk" : netlab cannot mount this kind of volume'
        )
        assert ("FailedMount", text) in world.api.events()
        assert world.status()["phase"] == "Pending"


async def test_a_volume_that_fails_on_is_tried_less_and_less_often(world, monkeypatch):
    tries = []
    prepare = PodMounts.prepare

    async def counting(self, pod):
        tries.append(world.clock.now())
        return await prepare(self, pod)

    monkeypatch.setattr(PodMounts, "prepare", counting)
    async with world.running():
        await world.add_pod(volumes=[{"name": "disk", "nfs": {"server": "x", "path": "/"}}])
        for _ in range(30):
            await world.pass_time(0.5)
    waits_s = [(after - before).total_seconds() for before, after in pairwise(tries)]
    assert waits_s == [0.5, 1.0, 2.0, 4.0]


async def test_a_fault_in_one_pod_spares_the_others(world, caplog):
    real = world.runtime.pull_image

    async def pull_image(reference, *, policy, credentials=()):
        if reference == "cursed":
            raise KeyError("a fault of ours")
        return await real(reference, policy=policy, credentials=credentials)

    world.runtime.pull_image = pull_image
    async with world.running():
        await world.add_pod("bad", containers=[{"name": "main", "image": "cursed"}])
        await world.add_pod("good")
        assert world.status("good")["phase"] == "Running"
        assert "a fault of ours" in caplog.text
        await world.pass_time(30)
        assert world.status("bad")["phase"] == "Pending"
        await world.delete("bad")
        assert not world.exists("bad")


@pytest.mark.parametrize("policy", ["Always", "IfNotPresent", "Never"])
async def test_an_image_name_that_is_none(world, policy):
    container = {"name": "main", "image": "Busybox", "imagePullPolicy": policy}
    message = (
        'Failed to apply default image tag "Busybox": couldn\'t parse image name "Busybox": '
        "invalid reference format: repository name (library/Busybox) must be lowercase"
    )
    async with world.running():
        await world.add_pod(containers=[container])
        waiting = world.container_status()["state"]["waiting"]
        assert waiting == {"reason": "InvalidImageName", "message": message}
        assert world.api.events()[-2:] == [
            ("InspectFailed", message),
            ("Failed", "Error: InvalidImageName"),
        ]


async def test_a_pod_that_never_started_is_deleted(world):
    last: list[Any] = []
    real_delete = world.api.delete

    async def delete(kind, *args, **options):
        if options.get("grace_period_s") == 0:
            last.append(world.status())
        return await real_delete(kind, *args, **options)

    async with world.running():
        await world.add_pod(containers=[{"name": "main", "image": "nginxx"}])
        world.api.delete = delete
        await world.delete(grace=30)
        assert not world.exists()
        assert world.nothing_left()
        ended = last[0]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["reason"], ended["exitCode"]) == ("ContainerStatusUnknown", 137)
        assert last[0]["phase"] == "Failed"


async def test_the_echo_of_an_own_report_wakes_nobody(world):
    async with world.running():
        await world.add_pod()
        before = world.runtime.listings
        labels = {"metadata": {"labels": {"app": "web", "new": "label"}}}
        wrong = {"status": {"hostIP": "192.0.2.1"}}
        await world.api.patch(POD, "default", "web", wrong, subresource="status")
        await world.settle()
        assert world.runtime.listings == before
        await world.api.patch(POD, "default", "web", labels)
        await world.settle()
        assert world.runtime.listings == before + 1


READY_GATE = {"type": "example.com/gate", "status": "True"}
RUNNING_MEDDLING = {
    "address": {"podIP": "9.9.9.9", "podIPs": [{"ip": "9.9.9.9"}]},
    "no address": {"podIP": None, "podIPs": None},
    "node's address": {"hostIP": "9.9.9.9"},
    "phase": {"phase": "Pending"},
    "an unknown phase": {"phase": "Unknown"},
    "reason": {"reason": "Evicted", "message": "not at all"},
    "not ready": {"conditions": [{"type": "Ready", "status": "False"}]},
    "no conditions": {"conditions": None},
    "no containers": {"containerStatuses": []},
    "an ended container": {
        "containerStatuses": [
            {"name": "main", "ready": False, "restartCount": 7, "image": "x", "imageID": "",
             "state": {"terminated": {"exitCode": 1, "reason": "Error"}}, "lastState": {}}
        ]
    },
    "a start in the past": {"startTime": "2001-01-01T00:00:00Z"},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNNING_MEDDLING)
async def test_a_status_that_somebody_changed_is_put_right(world, name):
    async with world.running():
        await world.add_pod()
        before = copy.deepcopy(world.status())
        await world.api.patch(
            POD, "default", "web", {"status": RUNNING_MEDDLING[name]}, subresource="status"
        )
        await world.settle()
        assert world.status() == before
        assert len(world.runtime.containers) == 1


async def test_a_status_that_was_changed_while_the_agent_was_away_is_put_right(world):
    async with world.running():
        await world.add_pod()
        before = copy.deepcopy(world.status())
    wrong = {**RUNNING_MEDDLING["address"], **RUNNING_MEDDLING["reason"], "phase": "Pending"}
    await world.api.patch(POD, "default", "web", {"status": wrong}, subresource="status")
    world.kubelet = world.new_kubelet()
    async with world.running():
        assert world.status() == before


async def test_conditions_of_others_survive(world):
    async with world.running():
        await world.add_pod()
        conditions = [READY_GATE, *world.status()["conditions"]]
        status = {"conditions": conditions, "podIP": "9.9.9.9"}
        await world.api.patch(POD, "default", "web", {"status": status}, subresource="status")
        await world.settle()
        assert any(c["type"] == READY_GATE["type"] for c in world.status()["conditions"])
        assert world.status()["podIP"] == "10.244.0.2"


async def test_a_pod_that_somebody_failed_is_ended(world):
    async with world.running():
        await world.add_pod()
        status = {"phase": "Failed", "reason": "Mine", "message": "I say so", "podIP": "9.9.9.9"}
        await world.api.patch(POD, "default", "web", {"status": status}, subresource="status")
        await world.settle()
        assert not world.runtime.sandboxes
        found = world.status()
        assert (found["phase"], found["reason"], found["message"]) == ("Failed", "Mine", "I say so")
        assert found["podIP"] == "10.244.0.2"
        assert "terminated" in found["containerStatuses"][0]["state"]


async def test_a_pod_that_has_ended_stays_ended_whatever_somebody_writes(world):
    async with world.running():
        await world.add_pod(restartPolicy="Never")
        world.runtime.end(world.runtime.container("main").id, 0)
        await world.settle()
        assert world.status()["phase"] == "Succeeded"
        await world.api.patch(
            POD, "default", "web", {"status": {"phase": "Running"}}, subresource="status"
        )
        await world.settle()
        assert world.status()["phase"] == "Succeeded"
        assert not world.runtime.containers


async def test_two_who_disagree_do_not_keep_the_api_server_busy(world):
    async with world.running():
        await world.add_pod()

        def writes():
            return sum(w == ("patch status", "pods", "web") for w in world.api.writes)

        before = writes()
        for number in range(20):
            wrong = {"status": {"podIP": f"9.9.9.{number}"}}
            await world.api.patch(POD, "default", "web", wrong, subresource="status")
            await world.pass_time(0.1)
        assert writes() - before - 20 <= 3
        await world.pass_time(1)
        assert world.status()["podIP"] == "10.244.0.2"


async def test_a_finalizer_holds_the_object_but_not_the_processes(world):
    async with world.running():
        await world.add_pod()
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        await world.api.patch(POD, "default", "web", held)
        asked: list[Any] = []
        world.api.refuse = lambda verb, *_: asked.append(verb) if verb == "delete" else None
        await world.delete(grace=5)
        await world.pass_time(60)
        assert world.exists()
        assert world.nothing_left()
        assert asked == ["delete", "delete"]  # ours, and the agent's one
        await world.api.patch(POD, "default", "web", {"metadata": {"finalizers": None}})
        assert not world.exists()


def _fails_for_bad(real):
    def failing(*args, **options):
        found = [a for a in args if getattr(getattr(a, "metadata", None), "name", "") == "bad"]
        if found:
            raise ValueError("no agent can read this")
        return real(*args, **options)

    return failing


@pytest.mark.parametrize(
    "place", ["worker.plan_pod", "agent.refuse", "status.reporter.status_patch", "worker.PodState"]
)
async def test_a_pod_that_cannot_be_digested_costs_only_itself(world, monkeypatch, place):
    module, name = place.rsplit(".", 1)
    module = importlib.import_module(f"netlab.kubelet.{module}")
    real = getattr(module, name)
    monkeypatch.setattr(module, name, _fails_for_bad(real))
    async with world.running():
        await world.add_pod("bad")
        await world.pass_time(6)
        await world.add_pod("good")
        assert world.status("good")["phase"] == "Running"
        told = dict(world.api.events())["FailedSync"]
        assert told == "error determining status: ValueError: no agent can read this"
        assert world.kubelet.ready.is_set()


async def test_a_pod_that_could_not_be_digested_for_a_while_is_taken_up_again(world, monkeypatch):
    module = importlib.import_module("netlab.kubelet.status.reporter")
    real = module.status_patch
    monkeypatch.setattr(module, "status_patch", _fails_for_bad(real))
    async with world.running():
        await world.add_pod("bad")
        monkeypatch.setattr(module, "status_patch", real)
        await world.pass_time(6)
        assert world.status("bad")["phase"] == "Running"


async def test_a_node_whose_status_nobody_can_read_gets_a_new_one(world: Any) -> None:
    bad = {"type": "Ready", "status": "True", "lastTransitionTime": "1-01-01T00:00:05Z"}
    spec = {"podCIDR": "10.244.0.0/24"}
    body = {"metadata": {"name": "node0"}, "spec": spec, "status": {"conditions": [bad]}}
    world.api.put({"apiVersion": "v1", "kind": "Node", **body})
    async with world.running():
        node = world.api.objects["nodes", "", "node0"]
        assert Node.parse(node).status.conditions
        assert bad not in node["status"]["conditions"]
        assert world.kubelet.ready.is_set()
