"""``netlab run``: one pod from an image."""

from __future__ import annotations

import json

from netlab.cli.create_typed import split_command
from netlab.cli.expose import parse_pairs
from netlab.cli.flags import Command, Flag, HintedUsageError
from netlab.cli.results import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, OUTPUT_FLAGS, Reporter
from netlab.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.cli.flags import Parsed
    from netlab.cli.session import Session


def _run(session: Session, parsed: Parsed) -> int:
    args, after_dash = split_command(parsed)
    if not args:
        raise HintedUsageError("NAME is required for run")
    if not parsed["image"]:
        raise UsageError('required flag(s) "image" not set')
    if parsed["stdin"] or parsed["tty"] or parsed["attach"] or parsed["rm"]:
        raise UsageError(
            "netlab run does not attach; run the pod, then use "
            f"'{session.program} exec -it {args[0]} -- sh' or '{session.program} logs -f {args[0]}'"
        )
    if parsed["restart"] not in ("Always", "OnFailure", "Never"):
        raise HintedUsageError(f"invalid restart policy: {parsed['restart']}")
    reporter = Reporter(session, parsed)
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
    reporter.report(pod, "created")
    return 0


def _pod(name: str, words: list[str], parsed: Parsed) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": parsed["image"], "resources": {}}
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
        Flag("stdin", "bool", short="i", help="Not supported by netlab."),
        Flag("tty", "bool", short="t", help="Not supported by netlab."),
        Flag("attach", "bool", help="Not supported by netlab."),
        Flag("rm", "bool", help="Not supported by netlab."),
        Flag("overrides", help="Not supported by netlab.", refused=True),
        Flag("quiet", "bool", short="q", help="Accepted for kubectl's sake."),
    ),
    examples=("run web --image=nginx", "run ping --image alpine -- ping 10.244.0.1"),
)
