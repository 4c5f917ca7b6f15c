"""``netlab create namespace|deployment|serviceaccount|token``: objects made from options."""

from __future__ import annotations

import json

from netlab.errors import ApiError, UsageError
from netlab.kubectl.create import with_last_applied
from netlab.kubectl.flags import Command, Flag, FlagError, HintedUsageError
from netlab.kubectl.results import (
    DRY_RUN_FLAG,
    FIELD_MANAGER_FLAG,
    OUTPUT_FLAGS,
    VALIDATE_FLAG,
    Reporter,
    field_validation,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

TYPED_FLAGS = (
    *OUTPUT_FLAGS,
    DRY_RUN_FLAG,
    FIELD_MANAGER_FLAG,
    VALIDATE_FLAG,
    Flag("save-config", "bool", help="Record the object for a later apply."),
)


def exactly_one_name(parsed: Parsed, what: str = "NAME") -> str:
    """Return the only argument.

    Raises: HintedUsageError when there is none or more than one.
    """
    if len(parsed.args) != 1:
        raise HintedUsageError(f"exactly one {what} is required, got {len(parsed.args)}")
    return parsed.args[0]


def create_typed(session: Session, parsed: Parsed, kind: str, obj: dict[str, Any]) -> int:
    """Create an object that was made from options, and say so.

    Raises: UsageError worded as kubectl's ``failed to create …``.
    """
    reporter = Reporter(session, parsed)
    resource = session.resources.find(kind)
    namespace = session.namespace if resource.namespaced else None
    if namespace is not None and (session.access.namespace_is_set or reporter.dry_run != "client"):
        obj = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
    if parsed["save-config"]:
        obj = with_last_applied(obj)
    if reporter.dry_run != "client":
        query = {
            "fieldManager": "kubectl-create",
            "fieldValidation": field_validation(parsed["validate"]),
            **reporter.query,
        }
        body = json.dumps(obj).encode()
        try:
            created = session.client.call("POST", resource.path(namespace), query=query, body=body)
        except ApiError as error:
            if kind == "namespace":
                raise
            what = f"{obj['spec']['type']} service" if kind == "service" else kind
            raise UsageError(f"failed to create {what}: {error.message}") from error
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, **created}
    reporter.report(obj, "created")
    return 0


def _create_namespace(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    obj = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"creationTimestamp": None, "name": name},
        "spec": {},
        "status": {},
    }
    return create_typed(session, parsed, "namespace", obj)


def _create_service_account(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    obj = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"creationTimestamp": None, "name": name},
    }
    return create_typed(session, parsed, "serviceaccount", obj)


def _create_deployment(session: Session, parsed: Parsed) -> int:
    args, command = split_command(parsed)
    images = parsed["image"]
    if not images:
        raise UsageError('required flag(s) "image" not set')
    if len(args) != 1:
        raise HintedUsageError(f"exactly one NAME is required, got {len(args)}")
    if len(images) > 1 and command:
        raise UsageError("cannot specify multiple --image options and command")
    if parsed.has("replicas") and parsed["replicas"] < 0:
        raise UsageError(f"invalid replicas: {parsed['replicas']}")
    name = args[0]
    containers = [_container(image, command, parsed["port"]) for image in images]
    labels = {"app": name}
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"creationTimestamp": None, "labels": labels, "name": name},
        "spec": {
            "replicas": parsed["replicas"],
            "selector": {"matchLabels": labels},
            "strategy": {},
            "template": {
                "metadata": {"creationTimestamp": None, "labels": labels},
                "spec": {"containers": containers},
            },
        },
        "status": {},
    }
    return create_typed(session, parsed, "deployment", obj)


def split_command(parsed: Parsed) -> tuple[list[str], list[str]]:
    """Return the words before ``--`` and those after it."""
    if parsed.dash < 0:
        return parsed.args, []
    return parsed.args[: parsed.dash], parsed.args[parsed.dash :]


def _container(image: str, command: list[str], port: int) -> dict[str, Any]:
    name = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    container: dict[str, Any] = {"image": image, "name": name, "resources": {}}
    if command:
        container["command"] = command
    if port > 0:
        container["ports"] = [{"containerPort": port}]
    return container


def _create_token(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    spec: dict[str, Any] = {}
    if parsed["audience"]:
        spec["audiences"] = list(parsed["audience"])
    if parsed["duration"]:
        if parsed["duration"] < 0:
            raise FlagError("--duration must be greater than or equal to 0")
        spec["expirationSeconds"] = int(parsed["duration"])
    resource = session.resources.find("serviceaccounts")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    try:
        answer = session.client.call(
            "POST",
            resource.path(session.namespace, name, "token"),
            body=json.dumps(body).encode(),
        )
    except ApiError as error:
        raise UsageError(f"failed to create token: {error.message}") from error
    if parsed["output"]:
        Reporter(session, parsed).report(answer, "")
    else:
        session.print(answer["status"]["token"])
    return 0


NAMESPACE = Command(
    "create namespace",
    _create_namespace,
    usage="NAME",
    text="Create a namespace.",
    flags=TYPED_FLAGS,
)
SERVICE_ACCOUNT = Command(
    "create serviceaccount",
    _create_service_account,
    usage="NAME",
    text="Create a service account.",
    flags=TYPED_FLAGS,
)
DEPLOYMENT = Command(
    "create deployment",
    _create_deployment,
    usage="NAME --image=IMAGE [-- COMMAND [ARGS…]]",
    text="Create a deployment.",
    flags=(
        *TYPED_FLAGS,
        Flag("image", "strings", help="Image of the container; several make several containers."),
        Flag("port", "int", default=-1, help="Port the container listens on."),
        Flag("replicas", "int", short="r", default=1, help="How many pods shall run."),
    ),
)
TOKEN = Command(
    "create token",
    _create_token,
    usage="SERVICEACCOUNT",
    text="Ask for a token of a service account.",
    flags=(
        *OUTPUT_FLAGS,
        Flag("audience", "array", help="For whom the token is meant."),
        Flag("duration", "duration", help="How long the token shall be valid."),
    ),
)


def _create_quota(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    spec: dict[str, Any] = {}
    hard: dict[str, str] = {}
    for pair in (parsed["hard"] or "").split(","):
        if not pair:
            continue
        resource, equals, amount = pair.partition("=")
        if not equals or not resource:
            raise UsageError(f"invalid argument syntax {pair}, expected <resource>=<value>")
        hard[resource] = amount
    if hard:
        spec["hard"] = hard
    if parsed["scopes"]:
        spec["scopes"] = parsed["scopes"].split(",")
    obj = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"creationTimestamp": None, "name": name},
        "spec": spec,
        "status": {},
    }
    return create_typed(session, parsed, "resourcequota", obj)


QUOTA = Command(
    "create quota",
    _create_quota,
    usage="NAME [--hard=RESOURCE=AMOUNT,…] [--scopes=SCOPE,…]",
    text="Create a bound on what a namespace uses altogether.",
    flags=(
        *TYPED_FLAGS,
        Flag("hard", help="RESOURCE=AMOUNT pairs, with commas."),
        Flag("scopes", help="Which pods it counts, with commas."),
    ),
)
