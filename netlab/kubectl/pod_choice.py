"""Which pod and which container ``logs`` and ``exec`` mean when the user names less than that.

Mirrors kubectl's ``podcmd`` and ``polymorphichelpers``: a workload stands for its first pod, a pod
for its default container, and the user is told which one was taken.
"""

from __future__ import annotations

import time

from netlab.api.label_text import format_label_selector
from netlab.errors import UsageError
from netlab.kubectl.selection import Target, fetch, targets_of_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from netlab.kubectl.session import Session

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
POLL_S = 0.25
CONTAINER_FIELDS = ("containers", "initContainers", "ephemeralContainers")


def find_pods(
    session: Session, word: str, verb: str, *, timeout_s: float = 0.0
) -> list[dict[str, Any]]:
    """Return the pod that ``NAME`` or ``TYPE/NAME`` means; of a workload all pods, best first.

    timeout_s: how long to wait for a workload's first pod.

    Raises: UsageError when the type has no pods, or there are none in time; ApiError NotFound.
    """
    if "/" not in word:
        resource = session.resources.find("pods")
        return [fetch(session, Target(resource, session.namespace, word))]
    target = targets_of_words(session, [word], verb=verb)[0]
    obj = fetch(session, target)
    if target.resource.kind == "Pod":
        return [obj]
    selector = _pod_selector(target, obj, verb)
    deadline = time.monotonic() + timeout_s
    while not (pods := list_pods(session, selector)):
        if time.monotonic() >= deadline:
            raise UsageError("timed out waiting for the condition")
        time.sleep(POLL_S)
    return sorted(pods, key=_rank)


def _pod_selector(target: Target, obj: Mapping[str, Any], verb: str) -> str:
    selector = (obj.get("spec") or {}).get("selector")
    kind = target.resource.kind
    doing = "get the logs from" if verb == "logs" else "attach to"
    if kind in ("Service", "ReplicationController"):
        if not selector:
            raise UsageError(
                f"cannot {doing} *v1.{kind}: invalid service '{target.name}': Service is defined "
                "without a selector"
            )
        return format_label_selector({"matchLabels": selector})
    if not isinstance(selector, dict):
        raise UsageError(f"cannot {doing} *v1.{kind}: selector for *v1.{kind} not implemented")
    return format_label_selector(selector)


def list_pods(session: Session, selector: str) -> list[dict[str, Any]]:
    """Return the pods of the namespace with these labels."""
    path = session.resources.find("pods").path(session.namespace)
    found = session.client.call("GET", path, query={"labelSelector": selector})
    return list(found.get("items") or ())


def _rank(pod: Mapping[str, Any]) -> tuple[bool, int, bool, str]:
    """Order pods by usefulness: bound, running, ready, then the oldest."""
    status = pod.get("status") or {}
    phases = {"Running": 0, "Unknown": 1, "Pending": 2}
    ready = any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in status.get("conditions") or ()
    )
    return (
        not (pod.get("spec") or {}).get("nodeName"),
        phases.get(status.get("phase", ""), 3),
        not ready,
        str(pod["metadata"].get("creationTimestamp")),
    )


def container_names(pod: Mapping[str, Any]) -> list[str]:
    """Return the names of all containers, in the order: regular, init, ephemeral."""
    spec = pod.get("spec") or {}
    return [c["name"] for field in CONTAINER_FIELDS for c in spec.get(field) or ()]


def choose_container(
    session: Session, pod: Mapping[str, Any], wanted: str, *, quiet: bool = False
) -> str:
    """Return the container to use; says so when there were several to choose from.

    Raises: UsageError when the pod has no such container.
    """
    names = container_names(pod)
    pod_name = pod["metadata"]["name"]
    if wanted:
        if wanted not in names:
            raise UsageError(f"container {wanted} is not valid for pod {pod_name}")
        return wanted
    annotated = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if annotated in names:
        return str(annotated)
    first = names[0]
    if len(names) > 1 and not quiet:
        session.complain(f'Defaulted container "{first}" out of: {_all(pod)}')
    return first


def _all(pod: Mapping[str, Any]) -> str:
    spec = pod.get("spec") or {}
    marks: Sequence[tuple[str, str]] = (
        ("containers", ""),
        ("initContainers", " (init)"),
        ("ephemeralContainers", " (ephem)"),
    )
    return ", ".join(c["name"] + mark for field, mark in marks for c in spec.get(field) or ())
