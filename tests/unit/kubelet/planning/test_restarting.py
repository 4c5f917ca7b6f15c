"""Who is started again, and by which number."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.pods import Pod
from netlab.kubelet.planning.restarting import init_restarts, may_restart, restarts


def spec_of(policy: str, container: dict[str, Any]) -> Any:
    pod = {"spec": {"restartPolicy": policy, "containers": [{"name": "a", **container}]}}
    return Pod.parse(pod).spec


def rule(operator: str, *values: int) -> dict[str, Any]:
    return {"action": "Restart", "exitCodes": {"operator": operator, "values": list(values)}}


NEVER_BUT_42 = {"restartPolicy": "Never", "restartPolicyRules": [rule("In", 42)]}
ROWS: dict[str, tuple[str, dict[str, Any], int, bool]] = {
    "Always, success": ("Always", {}, 0, True),
    "Always, failure": ("Always", {}, 1, True),
    "OnFailure, success": ("OnFailure", {}, 0, False),
    "OnFailure, failure": ("OnFailure", {}, 1, True),
    "Never, failure": ("Never", {}, 1, False),
    "own policy Always": ("Never", {"restartPolicy": "Always"}, 0, True),
    "own policy Never": ("Always", {"restartPolicy": "Never"}, 1, False),
    "own policy OnFailure": ("Never", {"restartPolicy": "OnFailure"}, 1, True),
    "a rule that fits": ("Never", NEVER_BUT_42, 42, True),
    "a rule that does not fit": ("Always", NEVER_BUT_42, 41, False),
    "a rule NotIn": (
        "Always",
        {"restartPolicy": "Never", "restartPolicyRules": [rule("NotIn", 42)]},
        41,
        True,
    ),
    "rules need an own policy": ("Never", {"restartPolicyRules": [rule("In", 42)]}, 42, False),
}


@pytest.mark.parametrize("name", ROWS)
def test_restarts(name: str) -> None:
    policy, container, code, expected = ROWS[name]
    spec = spec_of(policy, container)
    assert restarts(spec, spec.containers[0], code) is expected


@pytest.mark.parametrize(
    ("policy", "container", "expected"),
    [
        ("Always", {}, True),
        ("Never", {}, False),
        ("Never", {"restartPolicy": "OnFailure"}, True),
        ("Never", NEVER_BUT_42, True),
    ],
)
def test_what_a_probe_kills_may_restart(
    policy: str, container: dict[str, Any], expected: bool
) -> None:
    spec = spec_of(policy, container)
    assert may_restart(spec, spec.containers[0]) is expected


def test_an_init_container_that_succeeded_is_done() -> None:
    spec = spec_of("Always", {})
    assert not init_restarts(spec, spec.containers[0], 0)
    assert init_restarts(spec, spec.containers[0], 1)
