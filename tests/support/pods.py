"""Pods for end-to-end tests: made from YAML with kubectl, awaited, asked."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from tests.support.lab import Lab, eventually
from tests.support.patience import patience


def apply(lab: Lab, text: str) -> None:
    """Apply manifests written in a test's own indentation."""
    lab.kubectl("apply", "-f", "-", stdin=textwrap.dedent(text))


def get(lab: Lab, *words: str) -> dict[str, Any]:
    """Return an object as the API has it."""
    found: dict[str, Any] = json.loads(lab.kubectl("get", *words, "-o", "json"))
    return found


def wait_ready(lab: Lab, name: str, *, timeout_s: int = 60) -> None:
    """Wait until a pod is Ready."""
    lab.kubectl(
        "wait",
        "--for=condition=Ready",
        f"pod/{name}",
        f"--timeout={round(timeout_s * patience())}s",
        timeout_s=timeout_s + 10,
    )


def wait_phase(lab: Lab, name: str, phase: str, *, within_s: float = 30) -> dict[str, Any]:
    """Wait until a pod has that phase and return it."""
    return eventually(
        lambda: get(lab, "pod", name),
        lambda pod: pod["status"]["phase"] == phase,
        within_s=within_s,
        what=f"pod {name} {phase}",
    )


def container_state(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the status of a container of any kind."""
    status = pod["status"]
    lists = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    for each in (s for kind in lists for s in status.get(kind) or ()):
        if each["name"] == name:
            found: dict[str, Any] = each
            return found
    raise AssertionError(f"pod {pod['metadata']['name']} has no status of container {name}")


def events_of(lab: Lab, name: str) -> list[tuple[str, str]]:
    """Return (reason, message) of the events about a pod."""
    listed = get(lab, "events", f"--field-selector=involvedObject.name={name}")
    return [(event["reason"], event["message"]) for event in listed["items"]]


def wait_event(lab: Lab, name: str, reason: str, text: str, *, within_s: float = 30) -> None:
    """Wait for an event about a pod."""
    eventually(
        lambda: events_of(lab, name),
        lambda seen: any(why == reason and text in message for why, message in seen),
        within_s=within_s,
        what=f"event {reason}: {text}",
    )
