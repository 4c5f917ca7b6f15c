"""``netlab run``: one pod from an image."""

from __future__ import annotations

import json
import time

from netlab.errors import ApiError, UsageError
from netlab.kubectl.attach import attach
from netlab.kubectl.create_typed import split_command
from netlab.kubectl.expose import parse_pairs
from netlab.kubectl.failures import ExitError
from netlab.kubectl.flags import Command, Flag, HintedUsageError
from netlab.kubectl.image_names import check_image_name
from netlab.kubectl.results import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, OUTPUT_FLAGS, Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

POLL_S = 0.1


def _run(session: Session, parsed: Parsed) -> int:
    args, after_dash = split_command(parsed)
    if not args:
        raise HintedUsageError("NAME is required for run")
    if not parsed["image"]:
        raise UsageError('required flag(s) "image" not set')
    check_image_name(parsed["image"], "Invalid")
    follow = parsed["attach"] if parsed.has("attach") else parsed["stdin"]
    if parsed["tty"] and not parsed["stdin"]:
        raise HintedUsageError("-i/--stdin is required for containers with -t/--tty=true")
    if parsed["rm"] and not follow:
        raise HintedUsageError("--rm should only be used for attached containers")
    if parsed["restart"] not in ("Always", "OnFailure", "Never"):
        raise HintedUsageError(f"invalid restart policy: {parsed['restart']}")
    reporter = Reporter(session, parsed)
    if follow and reporter.dry_run != "none":
        raise HintedUsageError(
            f"--dry-run={reporter.dry_run} can't be used with attached containers options "
            "(--attach, --stdin, or --tty)"
        )
    pod = _pod(args[0], [*args[1:], *after_dash], parsed)
    if reporter.dry_run == "client":
        if session.access.namespace_is_set:
            pod["metadata"]["namespace"] = session.namespace
    else:
        pod = session.client.call(
            "POST",
            session.resources.find("pods").path(session.namespace),
            query={"fieldManager": "kubectl-run", **reporter.query},
            body=json.dumps(pod).encode(),
        )
    if not follow:
        reporter.report(pod, "created")
        return 0
    try:
        return _follow(session, pod, parsed)
    finally:
        if parsed["rm"]:
            _remove(session, pod, quiet=parsed["quiet"])


def _follow(session: Session, pod: dict[str, Any], parsed: Parsed) -> int:
    """Attach to the pod's container, or print its log when it has ended already.

    Raises: ExitError with the container's exit code.
    """
    container = pod["metadata"]["name"]
    pod = _wait_for(session, pod, _has_started, parsed["pod-running-timeout"])
    if _phase(pod) not in ("Succeeded", "Failed"):
        try:
            # what was printed before the connection stood is in the log
            attach(
                session,
                pod,
                container,
                stdin=parsed["stdin"],
                tty=parsed["tty"],
                quiet=parsed["quiet"],
            )
        except ApiError:
            _print_log(session, pod, container)
    else:
        _print_log(session, pod, container)
    if parsed["restart"] == "Always":
        return 0
    pod = _wait_for(session, pod, _has_ended, parsed["pod-running-timeout"])
    code = _exit_code(pod)
    if code:
        name = pod["metadata"]["name"]
        where = f"{pod['metadata']['namespace']}/{name}"
        raise ExitError(code, f"pod {where} terminated (Error)")
    return 0


def _wait_for(
    session: Session,
    pod: dict[str, Any],
    is_there: Callable[[dict[str, Any]], bool],
    timeout_s: float,
) -> dict[str, Any]:
    metadata = pod["metadata"]
    path = session.resources.find("pods").path(metadata["namespace"], metadata["name"])
    deadline = time.monotonic() + timeout_s
    while not is_there(pod):
        if time.monotonic() > deadline:
            raise UsageError("timed out waiting for the condition")
        time.sleep(POLL_S)
        pod = session.client.call("GET", path)
    return pod


def _phase(pod: dict[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase"))


def _has_started(pod: dict[str, Any]) -> bool:
    if _phase(pod) in ("Succeeded", "Failed"):
        return True
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any("running" in (status.get("state") or {}) for status in statuses)


def _has_ended(pod: dict[str, Any]) -> bool:
    return _phase(pod) in ("Succeeded", "Failed")


def _exit_code(pod: dict[str, Any]) -> int:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            return int(ended["exitCode"])
    return 0


def _print_log(session: Session, pod: dict[str, Any], container: str) -> None:
    metadata = pod["metadata"]
    path = session.resources.find("pods").path(metadata["namespace"], metadata["name"], "log")
    response = session.client.request("GET", path, query={"container": container})
    session.out.write(response.read().decode(errors="replace"))


def _remove(session: Session, pod: dict[str, Any], *, quiet: bool) -> None:
    metadata = pod["metadata"]
    path = session.resources.find("pods").path(metadata["namespace"], metadata["name"])
    session.client.call("DELETE", path)
    if not quiet:
        session.print(f'pod "{metadata["name"]}" deleted')


def _pod(name: str, words: list[str], parsed: Parsed) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": parsed["image"], "resources": {}}
    if parsed["stdin"]:
        container["stdin"] = True
        if parsed["attach"] or not parsed.has("attach"):
            container["stdinOnce"] = True
    if parsed["tty"]:
        container["tty"] = True
    if words:
        container["command" if parsed["command"] else "args"] = words
    if parsed["env"]:
        container["env"] = [_variable(each) for each in parsed["env"]]
    if parsed["port"]:
        if not parsed["port"].isdigit():
            raise UsageError(f'strconv.ParseInt: parsing "{parsed["port"]}": invalid syntax')
        container["ports"] = [{"containerPort": int(parsed["port"])}]
    if parsed["image-pull-policy"]:
        container["imagePullPolicy"] = parsed["image-pull-policy"]
    labels = parse_pairs(parsed["labels"]) if parsed["labels"] else {"run": name}
    metadata: dict[str, Any] = {"name": name, "creationTimestamp": None, "labels": labels}
    if parsed["annotations"]:
        metadata["annotations"] = dict(each.partition("=")[::2] for each in parsed["annotations"])
    spec = {
        "containers": [container],
        "restartPolicy": parsed["restart"],
        "dnsPolicy": "ClusterFirst",
    }
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {}}


def _variable(text: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"invalid env: {text}")
    return {"name": name, "value": value} if value else {"name": name}


COMMAND = Command(
    "run",
    _run,
    usage="NAME --image=IMAGE [-- ARGS…]",
    text="Run an image in a pod.",
    flags=(
        *OUTPUT_FLAGS,
        DRY_RUN_FLAG,
        FIELD_MANAGER_FLAG,
        Flag("image", help="The image."),
        Flag("command", "bool", help="The words after -- replace the image's entrypoint."),
        Flag("env", "array", help="NAME=VALUE of a variable."),
        Flag("port", help="Port the container listens on."),
        Flag("labels", short="l", help="Labels of the pod; default: run=NAME."),
        Flag("annotations", "array", help="KEY=VALUE of an annotation."),
        Flag("restart", default="Always", help="Always, OnFailure or Never."),
        Flag("image-pull-policy", help="Always, IfNotPresent or Never."),
        Flag("stdin", "bool", short="i", help="Keep the container's input open."),
        Flag("tty", "bool", short="t", help="Give the container a terminal."),
        Flag("attach", "bool", help="Wait for the pod and attach to it; default with -i."),
        Flag("rm", "bool", help="Delete the pod after it was attached to."),
        Flag("overrides", help="Not supported by netlab.", refused=True),
        Flag("quiet", "bool", short="q", help="Print only what the container prints."),
        Flag("pod-running-timeout", "duration", default=60.0, help="Wait so long for the pod."),
    ),
    examples=(
        "run -it --rm sh --image=busybox --restart=Never -- sh",
        "run web --image=nginx",
        "run ping --image alpine -- ping 10.244.0.1",
    ),
)
