"""A pod's life: init containers, sidecars, hooks, deadlines, how containers end, debugging."""

import pytest

from tests.support.lab import Lab, eventually
from tests.support.pods import (
    apply,
    container_state,
    events_of,
    get,
    wait_event,
    wait_phase,
    wait_ready,
)

pytestmark = pytest.mark.e2e


def test_init_containers_run_in_order_before_the_others(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: orderly}
        spec:
          restartPolicy: Never
          initContainers:
          - {name: one, image: busybox, command: [sh, -c, "echo one >> /work/order"],
             volumeMounts: [{name: work, mountPath: /work}]}
          - {name: two, image: busybox, command: [sh, -c, "echo two >> /work/order"],
             volumeMounts: [{name: work, mountPath: /work}]}
          containers:
          - {name: main, image: busybox, command: [cat, /work/order],
             volumeMounts: [{name: work, mountPath: /work}]}
          volumes: [{name: work, emptyDir: {}}]
        """,
    )
    pod = wait_phase(lab, "orderly", "Succeeded")
    assert lab.kubectl("logs", "orderly") == "one\ntwo\n"
    for name in ("one", "two"):
        assert container_state(pod, name)["state"]["terminated"]["reason"] == "Completed"


def test_a_failing_init_container_holds_the_pod_back(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: held}
        spec:
          initContainers: [{name: gate, image: busybox, command: ["false"]}]
          containers: [{name: main, image: busybox, command: [sleep, "600"]}]
        """,
    )
    eventually(
        lambda: lab.kubectl("get", "pod", "held", "--no-headers"),
        lambda line: "Init:CrashLoopBackOff" in line or "Init:Error" in line,
        what="STATUS Init:…",
    )
    pod = get(lab, "pod", "held")
    assert container_state(pod, "main")["state"]["waiting"]["reason"] == "PodInitializing"
    conditions = {c["type"]: c for c in pod["status"]["conditions"]}
    assert conditions["Initialized"]["reason"] == "ContainersNotInitialized"
    lab.kubectl("delete", "pod", "held", "--now")


def test_a_sidecar_starts_first_and_does_not_keep_the_pod_from_ending(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: accompanied}
        spec:
          restartPolicy: Never
          initContainers:
          - name: proxy
            image: busybox
            restartPolicy: Always
            command: [sh, -c, "echo hi > /index.html; exec httpd -f -p 8000 -h /"]
            startupProbe: {tcpSocket: {port: 8000}, periodSeconds: 1}
          containers:
          - {name: main, image: busybox, command: [wget, -qO-, "127.0.0.1:8000"]}
        """,
    )
    wait_phase(lab, "accompanied", "Succeeded", within_s=40)
    assert lab.kubectl("logs", "accompanied", "-c", "main") == "hi\n"


HOOKS = """
apiVersion: v1
kind: Pod
metadata: {name: hooked}
spec:
  terminationGracePeriodSeconds: 10
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "trap 'echo got TERM; exit 0' TERM; while :; do sleep 0.1; done"]
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo post > /proc/1/fd/1"]}}
      preStop: {exec: {command: [sh, -c, "echo pre > /proc/1/fd/1; sleep 1"]}}
"""


def test_hooks_run_after_the_start_and_before_the_stop(lab: Lab) -> None:
    apply(lab, HOOKS)
    wait_ready(lab, "hooked")
    follow = lab.start(["logs", "-f", "hooked"])
    lab.kubectl("delete", "pod", "hooked", timeout_s=30)
    printed, _ = follow.communicate(timeout=20)
    assert printed.split("\n")[:3] == ["post", "pre", "got TERM"]


def test_a_post_start_hook_that_fails_ends_the_container(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: bad-hook}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: main
            image: busybox
            command: [sleep, "600"]
            lifecycle: {postStart: {exec: {command: [sh, -c, "echo broken >&2; exit 7"]}}}
        """,
    )
    wait_event(lab, "bad-hook", "FailedPostStartHook", "PostStartHook failed")
    wait_event(lab, "bad-hook", "Killing", "FailedPostStartHook")
    lab.kubectl("delete", "pod", "bad-hook", "--now")


def test_a_pod_that_takes_too_long_is_ended_by_its_deadline(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: late}
        spec:
          activeDeadlineSeconds: 2
          terminationGracePeriodSeconds: 0
          containers: [{name: main, image: busybox, command: [sleep, "600"]}]
        """,
    )
    pod = wait_phase(lab, "late", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "active on the node longer than the specified deadline" in pod["status"]["message"]


@pytest.mark.parametrize(
    ("name", "script", "policy", "message"),
    [
        pytest.param(
            "said", "echo -n why > /dev/termination-log; exit 2", "File", "why", id="file"
        ),
        pytest.param(
            "logged",
            "echo from the log; exit 2",
            "FallbackToLogsOnError",
            "from the log\n",
            id="fallback to the log",
        ),
    ],
)
def test_a_container_tells_why_it_ended(
    lab: Lab, name: str, script: str, policy: str, message: str
) -> None:
    apply(
        lab,
        f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          restartPolicy: Never
          containers:
          - name: main
            image: busybox
            command: [sh, -c, "{script}"]
            terminationMessagePolicy: {policy}
        """,
    )
    ended = container_state(wait_phase(lab, name, "Failed"), "main")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (2, "Error", message)


def test_who_wants_more_memory_than_allowed_is_oom_killed(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: greedy}
        spec:
          restartPolicy: Never
          containers:
          - name: main
            image: busybox
            command: [sh, -c, "exec dd if=/dev/zero of=/dev/null bs=64M count=1"]
            resources: {limits: {memory: 16Mi}}
        """,
    )
    pod = wait_phase(lab, "greedy", "Failed")
    ended = container_state(pod, "main")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    assert "OOMKilled" in lab.kubectl("get", "pod", "greedy", "--no-headers")


def test_a_crashing_container_waits_longer_each_time(lab: Lab) -> None:
    lab.kubectl("run", "crashing", "--image=busybox", "--", "sh", "-c", "exit 1")
    eventually(
        lambda: lab.kubectl("get", "pod", "crashing", "--no-headers"),
        lambda line: "CrashLoopBackOff" in line,
        what="CrashLoopBackOff",
    )
    pod = get(lab, "pod", "crashing")
    waiting = container_state(pod, "crashing")["state"]["waiting"]
    assert waiting["message"].startswith("back-off 10s restarting failed container=crashing pod=")
    lab.kubectl("delete", "pod", "crashing", "--now")


def test_readiness_gates_wait_for_somebody_else(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: gated}
        spec:
          readinessGates: [{conditionType: example.com/approved}]
          containers: [{name: main, image: busybox, command: [sleep, "600"]}]
        """,
    )
    eventually(
        lambda: lab.kubectl("get", "pod", "gated", "-o", "wide", "--no-headers"),
        lambda line: " Running " in line and line.split()[-1] == "0/1",
        what="READINESS GATES 0/1",
    )
    assert get(lab, "pod", "gated")["status"]["containerStatuses"][0]["ready"] is True
    lab.kubectl(
        "patch", "pod", "gated", "--subresource=status", "--type=merge", "-p",
        '{"status":{"conditions":[{"type":"example.com/approved","status":"True"}]}}',
    )  # fmt: skip
    wait_ready(lab, "gated")
    lab.kubectl("delete", "pod", "gated", "--now")


def test_debugging_adds_a_container_that_sees_the_others_processes(lab: Lab) -> None:
    lab.kubectl("run", "patient", "--image=busybox", "--", "sleep", "12345")
    wait_ready(lab, "patient")
    lab.kubectl(
        "debug", "patient", "--image=busybox", "--target=patient", "-c", "doctor", "--",
        "sh", "-c", "ps | grep 1234[5]",
    )  # fmt: skip
    eventually(
        lambda: lab.kubectl("logs", "patient", "-c", "doctor", check=False),
        lambda text: "sleep 12345" in text,
        what="the doctor sees the patient's process",
    )
    pod = get(lab, "pod", "patient")
    assert container_state(pod, "doctor")["name"] == "doctor"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    lab.kubectl("delete", "pod", "patient", "--now")


def test_netlab_debugs_too(lab: Lab) -> None:
    lab.kubectl("run", "subject", "--image=busybox", "--", "sleep", "12345")
    wait_ready(lab, "subject")
    lab.netlab(
        "debug", "subject", "--image=busybox", "--target=subject", "-c", "doctor", "--",
        "sh", "-c", "ps | grep 1234[5]",
    )  # fmt: skip
    eventually(
        lambda: lab.netlab("logs", "subject", "-c", "doctor", check=False),
        lambda text: "sleep 12345" in text,
        what="the doctor sees the subject's process",
    )
    lab.kubectl("delete", "pod", "subject", "--now")


def test_describe_tells_the_whole_story(lab: Lab) -> None:
    lab.kubectl("run", "story", "--image=busybox", "--", "sleep", "600")
    wait_ready(lab, "story")
    eventually(
        lambda: {reason for reason, _ in events_of(lab, "story")},
        lambda seen: {"Scheduled", "Pulled", "Created", "Started"} <= seen,
        what="events of a start",
    )
    by_kubectl = lab.kubectl("describe", "pod", "story")
    assert "Successfully assigned default/story to node0" in by_kubectl
    by_netlab = lab.netlab("describe", "pod", "story")
    without_ages = [line for line in by_netlab.splitlines() if "Age" not in line]
    for line in without_ages:
        if line.startswith(("Name:", "IP:", "    Image:", "QoS Class:", "    Command:")):
            assert line in by_kubectl
    lab.kubectl("delete", "pod", "story", "--now")
