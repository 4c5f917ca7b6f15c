"""``netlab debug``: a further container in a running pod, to look at what the others do.

Mirrors the part of ``kubectl debug`` that adds an ephemeral container. netlab leaves out copies of
a pod (``--copy-to``) and pods for looking at a node: for that there is ``netlab shell``.
"""

from __future__ import annotations

import json
import time
from random import Random

from netlab.api.generate import random_suffix
from netlab.errors import UsageError
from netlab.kubectl.attach import attach
from netlab.kubectl.create_typed import split_command
from netlab.kubectl.flags import Command, Flag, HintedUsageError
from netlab.kubectl.image_names import check_image_name
from netlab.kubectl.pod_choice import container_names, find_pods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

POLL_S = 0.1
PATCH_TYPE = "application/strategic-merge-patch+json"


def _run(session: Session, parsed: Parsed) -> int:
    names, command = split_command(parsed)
    if len(names) != 1:
        raise HintedUsageError("NAME or TYPE/NAME of one pod is required for debug")
    if names[0].split("/")[0] in ("node", "nodes", "no") and "/" in names[0]:
        raise UsageError(f"netlab has no pods for nodes: use '{session.program} shell' instead")
    if not parsed["image"]:
        raise UsageError("you must specify --image")
    check_image_name(parsed["image"], "invalid")
    if parsed["tty"] and not parsed["stdin"]:
        raise UsageError("-i/--stdin is required for containers with -t/--tty=true")
    pod = find_pods(session, names[0], "debug")[0]
    container = _container(pod, parsed, command)
    if parsed["target"] and not parsed["quiet"]:
        session.complain(
            f'Targeting container "{parsed["target"]}". Its processes are seen with ps.'
        )
    if not parsed["container"] and not parsed["quiet"]:
        session.complain(f"Defaulting debug container name to {container['name']}.")
    body = json.dumps({"spec": {"ephemeralContainers": [container]}}).encode()
    metadata = pod["metadata"]
    path = session.resources.find("pods").path(metadata["namespace"], metadata["name"])
    session.client.call("PATCH", f"{path}/ephemeralcontainers", body=body, content_type=PATCH_TYPE)
    if not (parsed["attach"] if parsed.has("attach") else parsed["stdin"]):
        return 0
    pod = _wait_until_started(session, path, container["name"], parsed["pod-running-timeout"])
    return attach(
        session,
        pod,
        container["name"],
        stdin=parsed["stdin"],
        tty=parsed["tty"],
        quiet=parsed["quiet"],
    )


def _container(pod: dict[str, Any], parsed: Parsed, command: list[str]) -> dict[str, Any]:
    name = parsed["container"] or f"debugger-{random_suffix(Random())}"
    if name in container_names(pod):
        raise UsageError(
            f"pod {pod['metadata']['name']} has a container {name} already; take another name"
        )
    container: dict[str, Any] = {
        "name": name,
        "image": parsed["image"],
        "terminationMessagePolicy": "File",
    }
    if command:
        container["args" if parsed["arguments-only"] else "command"] = command
    if parsed["target"]:
        container["targetContainerName"] = parsed["target"]
    if parsed["stdin"]:
        container["stdin"] = True
    if parsed["tty"]:
        container["tty"] = True
    if parsed["env"]:
        container["env"] = [
            dict(zip(("name", "value"), pair.partition("=")[::2], strict=True))
            for pair in parsed["env"]
        ]
    return container


def _wait_until_started(
    session: Session, path: str, container: str, timeout_s: float
) -> dict[str, Any]:
    """Return the pod once the container runs or has ended.

    Raises: UsageError when it does not within the time, with what it waits for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        pod: dict[str, Any] = session.client.call("GET", path)
        statuses = (pod.get("status") or {}).get("ephemeralContainerStatuses") or ()
        state: dict[str, Any] = next((s["state"] for s in statuses if s["name"] == container), {})
        if "running" in state or "terminated" in state:
            return pod
        if time.monotonic() > deadline:
            waiting = state.get("waiting") or {}
            why = waiting.get("message") or waiting.get("reason") or "it was not started"
            raise UsageError(f"container {container} does not run: {why}")
        time.sleep(POLL_S)


COMMAND = Command(
    "debug",
    _run,
    usage="(POD | TYPE/NAME) --image=IMAGE [--target=CONTAINER] [-- COMMAND…]",
    text="Add a container to a running pod, to look at what the others do.",
    flags=(
        Flag("image", help="The image of the added container."),
        Flag("container", short="c", help="Its name; default: debugger-xxxxx."),
        Flag("target", help="The container whose processes it sees."),
        Flag("stdin", "bool", short="i", help="Keep its input open and attach to it."),
        Flag("tty", "bool", short="t", help="Give it a terminal."),
        Flag("attach", "bool", help="Attach to it; default with -i."),
        Flag("arguments-only", "bool", help="The words after -- are arguments of the image's own."),
        Flag("env", "array", help="NAME=VALUE of a variable."),
        Flag("quiet", "bool", short="q", help="Print only what the container prints."),
        Flag("pod-running-timeout", "duration", default=60.0, help="Wait so long for it."),
        Flag("profile", default="general", help="Accepted for kubectl's sake."),
        Flag("copy-to", help="Not supported by netlab.", refused=True),
    ),
    examples=(
        "debug -it web --image=busybox --target=app",
        "debug web --image=netlab/tools -- dig x",
    ),
)
