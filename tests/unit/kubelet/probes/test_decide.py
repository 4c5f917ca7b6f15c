"""What results of probes mean."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.containers import Probe
from netlab.api.pods import Pod
from netlab.kubelet.planning.steps import ProbeVerdict
from netlab.kubelet.probes.decide import (
    ProbeKind,
    Progress,
    adopted_progress,
    advance,
    container_probes,
    container_verdict,
    error_event,
    first_progress,
    probed_containers,
    result_event,
    runs,
    settled_for_deletion,
)
from netlab.kubelet.probes.results import Outcome, ProbeResult

STARTUP, LIVENESS, READINESS = ProbeKind.STARTUP, ProbeKind.LIVENESS, ProbeKind.READINESS

# result letters: s success, f failure; the state after each
SEQUENCES = {
    "one success is enough": (READINESS, {}, "s", [True]),
    "ready after three": (READINESS, {"successThreshold": 3}, "ssfsss", [False] * 5 + [True]),
    "three failures": (LIVENESS, {}, "ffsfff", [True] * 5 + [False]),
    "readiness comes back": (READINESS, {"failureThreshold": 1}, "sfs", [True, False, True]),
    "startup is unknown first": (STARTUP, {"failureThreshold": 2}, "ff", [None, False]),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_thresholds(name: str) -> None:
    kind, fields, results, expected = SEQUENCES[name]
    probe = Probe.parse({"exec": {"command": ["true"]}, **fields})
    progress = first_progress(kind)
    states = []
    for letter in results:
        progress = advance(progress, probe, succeeded=letter == "s")
        states.append(progress.state)
    assert states == expected


YES, NO, UNKNOWN = Progress(True), Progress(False), Progress(None)
RUNS: dict[str, tuple[ProbeKind, dict[ProbeKind, Progress], bool, bool]] = {
    "liveness waits for startup": (LIVENESS, {STARTUP: UNKNOWN, LIVENESS: YES}, False, False),
    "readiness waits for startup": (READINESS, {STARTUP: UNKNOWN, READINESS: NO}, False, False),
    "startup runs": (STARTUP, {STARTUP: UNKNOWN}, False, True),
    "startup ends with success": (STARTUP, {STARTUP: YES}, False, False),
    "startup ends with failure": (STARTUP, {STARTUP: NO}, False, False),
    "liveness after startup": (LIVENESS, {STARTUP: YES, LIVENESS: YES}, False, True),
    "liveness without startup": (LIVENESS, {LIVENESS: YES}, False, True),
    "liveness ends with failure": (LIVENESS, {LIVENESS: NO}, False, False),
    "liveness ends with deletion": (LIVENESS, {LIVENESS: YES}, True, False),
    "readiness goes on when deleting": (READINESS, {READINESS: YES}, True, True),
    "readiness goes on when failing": (READINESS, {READINESS: NO}, False, True),
}


@pytest.mark.parametrize("name", RUNS)
def test_which_probes_run(name: str) -> None:
    kind, progress, deleting, expected = RUNS[name]
    assert runs(kind, progress, deleting=deleting) is expected


def make_pod(container: dict[str, Any], **spec: Any) -> Pod:
    return Pod.parse(
        {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", **container}]} | spec}
    )


ALL = {
    "startupProbe": {"terminationGracePeriodSeconds": 3},
    "livenessProbe": {},
    "readinessProbe": {},
}
RESTARTED = "Container web failed liveness probe, will be restarted"
VERDICTS: dict[str, tuple[dict[ProbeKind, Progress], dict[str, Any], ProbeVerdict]] = {
    "new": (
        {STARTUP: UNKNOWN, LIVENESS: YES, READINESS: NO},
        {},
        ProbeVerdict(started=False, ready=False),
    ),
    "ready": (
        {STARTUP: YES, LIVENESS: YES, READINESS: YES},
        {},
        ProbeVerdict(started=True, ready=True),
    ),
    "not ready": (
        {STARTUP: YES, LIVENESS: YES, READINESS: NO},
        {},
        ProbeVerdict(started=True, ready=False),
    ),
    "startup failed": (
        {STARTUP: NO, LIVENESS: YES, READINESS: YES},
        {},
        ProbeVerdict(
            False, False, "Container web failed startup probe, will be restarted", grace_s=3.0
        ),
    ),
    "not alive": (
        {STARTUP: YES, LIVENESS: NO, READINESS: YES},
        {},
        ProbeVerdict(True, True, RESTARTED),
    ),
    "not alive, never restarted": (
        {STARTUP: YES, LIVENESS: NO, READINESS: YES},
        {"restartPolicy": "Never"},
        ProbeVerdict(True, True, "Container web failed liveness probe"),
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(name: str) -> None:
    progress, spec, expected = VERDICTS[name]
    pod = make_pod(ALL, **spec)
    assert container_verdict(pod, pod.spec.containers[0], progress) == expected


def test_without_readiness_probe_a_started_container_is_ready() -> None:
    pod = make_pod({"livenessProbe": {}})
    verdict = container_verdict(pod, pod.spec.containers[0], {LIVENESS: YES})
    assert verdict == ProbeVerdict(started=True, ready=True)


def test_only_containers_and_sidecars_are_probed() -> None:
    probe = {"livenessProbe": {}}
    pod = make_pod(
        probe,
        initContainers=[
            {"name": "side", "restartPolicy": "Always", **probe},
            {"name": "init", **probe},
            {"name": "plain", "restartPolicy": "Always"},
        ],
    )
    assert list(probed_containers(pod)) == ["side", "web"]
    assert list(container_probes(pod.spec.containers[0])) == [LIVENESS]


def test_a_new_agent_takes_over_what_was_reported() -> None:
    assert adopted_progress(READINESS, started=True, ready=True).state is True
    assert adopted_progress(STARTUP, started=True, ready=False).state is True
    assert adopted_progress(STARTUP, started=False, ready=False).state is None
    assert adopted_progress(LIVENESS, started=True, ready=True).state is True


def test_deletion_settles_all_but_readiness() -> None:
    assert settled_for_deletion(STARTUP, UNKNOWN).state is True
    assert settled_for_deletion(LIVENESS, NO).state is True
    assert settled_for_deletion(READINESS, NO).state is False


def test_events() -> None:
    failed = ProbeResult(Outcome.FAILURE, "HTTP probe failed with statuscode: 503")
    assert result_event(READINESS, failed) == (
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
    )
    warned = ProbeResult(Outcome.WARNING, "Probe terminated redirects, Response body: x")
    assert result_event(LIVENESS, warned) == (
        "ProbeWarning",
        "Liveness probe warning: Probe terminated redirects, Response body: x",
    )
    assert result_event(STARTUP, ProbeResult(Outcome.SUCCESS, "ok")) is None
    assert error_event(STARTUP, "no such container") == (
        "Unhealthy",
        "Startup probe errored and resulted in unknown state: no such container",
    )
