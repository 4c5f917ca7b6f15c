"""``netlab create``: objects from manifests, or from options (``create namespace shop``)."""

from __future__ import annotations

import json

from netlab.errors import ApiError, NetlabError, UsageError
from netlab.kubectl.failures import CombinedError, LocatedError
from netlab.kubectl.flags import Command, Flag, Group
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.results import (
    DRY_RUN_FLAG,
    FIELD_MANAGER_FLAG,
    OUTPUT_FLAGS,
    VALIDATE_FLAG,
    Reporter,
    field_validation,
)
from netlab.kubectl.selection import targets_of_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.selection import Target
    from netlab.kubectl.session import Session

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _run(session: Session, parsed: Parsed) -> int:
    if parsed.args:
        raise UsageError(
            f"Unexpected args: [{' '.join(parsed.args)}]\nSee '{session.program} "
            "create -h' for help and examples"
        )
    if not parsed["filename"] and not parsed["kustomize"]:
        raise UsageError("must specify one of -f and -k")
    reporter = Reporter(session, parsed)
    validation = field_validation(parsed["validate"])
    errors: list[NetlabError] = []
    count = 0
    for target in targets_of_files(session, parsed):
        if isinstance(target, NetlabError):
            errors.append(target)
            continue
        if parsed["selector"] and not _matches(target, parsed["selector"]):
            continue
        count += 1
        try:
            _create_one(session, reporter, target, validation, save=parsed["save-config"])
        except ApiError as error:
            errors.append(LocatedError(f'error when creating "{target.source}"', error))
    if errors:
        raise CombinedError(errors)
    if not count:
        raise UsageError("no objects passed to create")
    return 0


def _create_one(
    session: Session, reporter: Reporter, target: Target, validation: str, *, save: bool
) -> None:
    obj = with_namespace(target)
    if save:
        obj = with_last_applied(obj)
    if reporter.dry_run != "client":
        query = {"fieldManager": "kubectl-create", "fieldValidation": validation}
        obj = create(session, target, obj, {**query, **reporter.query})
    reporter.report(obj, "created")


def create(
    session: Session, target: Target, obj: dict[str, Any], query: dict[str, str]
) -> dict[str, Any]:
    """POST the object to its collection and return what the server made of it."""
    body = json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()
    path = target.resource.path(target.namespace)
    created: dict[str, Any] = session.client.call("POST", path, query=query, body=body)
    return created


def with_namespace(target: Target) -> dict[str, Any]:
    """Return the target's object with its namespace filled in."""
    obj = dict(target.obj or {})
    if target.namespace is not None:
        obj["metadata"] = {**(obj.get("metadata") or {}), "namespace": target.namespace}
    return obj


def with_last_applied(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object with itself recorded in the annotation that ``apply`` reads."""
    from netlab.kubectl.output.gojson import to_compact_json

    metadata = dict(obj.get("metadata") or {})
    annotations = {
        k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED
    }
    bare = {**obj, "metadata": {**metadata, "annotations": annotations}}
    recorded = to_compact_json(bare) + "\n"
    metadata["annotations"] = {**annotations, LAST_APPLIED: recorded}
    return {**obj, "metadata": metadata}


def _matches(target: Target, selector: str) -> bool:
    from netlab.api.selectors import parse_label_selector

    labels = ((target.obj or {}).get("metadata") or {}).get("labels") or {}
    return bool(parse_label_selector(selector).matches(labels))


FLAGS = (
    *manifest_flags(),
    *OUTPUT_FLAGS,
    DRY_RUN_FLAG,
    FIELD_MANAGER_FLAG,
    VALIDATE_FLAG,
    Flag("save-config", "bool", help="Record the object for a later apply."),
    Flag("selector", short="l", help="Only objects with these labels."),
)

COMMAND = Group(
    Command(
        "create",
        _run,
        usage="-f FILE | KIND NAME [OPTIONS]",
        text="Create objects from manifests, or from options: namespace, configmap, secret, "
        "deployment,\nservice, serviceaccount, quota, token.",
        flags=FLAGS,
        examples=(
            "create -f pod.yml",
            "create namespace shop",
            "create deployment web --image=nginx --replicas=3",
            "create service nodeport web --tcp=80:8080 --node-port=30080",
            "create configmap conf --from-file=nginx/proxy.conf",
        ),
    ),
    {
        "namespace": ("netlab.kubectl.create_typed", "NAMESPACE"),
        "ns": ("netlab.kubectl.create_typed", "NAMESPACE"),
        "configmap": ("netlab.kubectl.create_data", "CONFIG_MAP"),
        "cm": ("netlab.kubectl.create_data", "CONFIG_MAP"),
        "secret": ("netlab.kubectl.create_data", "SECRET"),
        "deployment": ("netlab.kubectl.create_typed", "DEPLOYMENT"),
        "deploy": ("netlab.kubectl.create_typed", "DEPLOYMENT"),
        "service": ("netlab.kubectl.create_service", "SERVICE"),
        "svc": ("netlab.kubectl.create_service", "SERVICE"),
        "serviceaccount": ("netlab.kubectl.create_typed", "SERVICE_ACCOUNT"),
        "sa": ("netlab.kubectl.create_typed", "SERVICE_ACCOUNT"),
        "quota": ("netlab.kubectl.create_typed", "QUOTA"),
        "resourcequota": ("netlab.kubectl.create_typed", "QUOTA"),
        "token": ("netlab.kubectl.create_typed", "TOKEN"),
    },
)
