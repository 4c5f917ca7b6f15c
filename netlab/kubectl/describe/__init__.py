"""``netlab describe``: an object with what belongs to it, for people.

Mirrors ``kubectl describe``: a describer per kind writes lines with tabs, one tabwriter aligns
them; a name that does not exist is taken for the beginning of names.
"""

from __future__ import annotations

from netlab.errors import ApiError, NetlabError, UsageError, is_not_found
from netlab.kubectl.describe.lines import Lines
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.selection import (
    Target,
    fetch,
    fetch_all,
    named_target,
    targets_of_files,
    targets_of_words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

    Describer: TypeAlias = Callable[[Lines, dict[str, Any], Context], None]

DESCRIBERS = {
    "pods": ("netlab.kubectl.describe.pod", "describe_pod"),
    "services": ("netlab.kubectl.describe.network", "describe_service"),
    "endpoints": ("netlab.kubectl.describe.network", "describe_endpoints"),
    "endpointslices.discovery.k8s.io": (
        "netlab.kubectl.describe.network",
        "describe_endpoint_slice",
    ),
    "replicasets.apps": ("netlab.kubectl.describe.workloads", "describe_replica_set"),
    "deployments.apps": ("netlab.kubectl.describe.workloads", "describe_deployment"),
    "nodes": ("netlab.kubectl.describe.node", "describe_node"),
    "namespaces": ("netlab.kubectl.describe.small", "describe_namespace"),
    "configmaps": ("netlab.kubectl.describe.small", "describe_config_map"),
    "secrets": ("netlab.kubectl.describe.small", "describe_secret"),
    "serviceaccounts": ("netlab.kubectl.describe.small", "describe_service_account"),
    "limitranges": ("netlab.kubectl.describe.bounds", "describe_limit_range"),
    "resourcequotas": ("netlab.kubectl.describe.bounds", "describe_resource_quota"),
    "persistentvolumes": ("netlab.kubectl.describe.storage", "describe_volume"),
    "persistentvolumeclaims": ("netlab.kubectl.describe.storage", "describe_claim"),
    "storageclasses.storage.k8s.io": ("netlab.kubectl.describe.storage", "describe_class"),
}
"""Where the describer of a resource is; others are shown field by field."""


def _run(session: Session, parsed: Parsed) -> int:
    from netlab.kubectl.describe.context import Context

    context = Context(session=session, show_events=parsed["show-events"], now=session.now())
    errors: list[NetlabError] = []
    is_first = True
    for target in _targets(session, parsed):
        try:
            found, by_prefix = _find(session, parsed, target)
        except ApiError as error:
            errors.append(error)
            continue
        for one in found:
            try:
                text = describe(one, fetch(session, one), context)
            except ApiError as error:
                errors.append(error)
                continue
            if by_prefix:
                text += "\n"
            elif not is_first:
                text = "\n\n" + text
            session.out.write(text)
            is_first = False
    if errors:
        raise CombinedError(errors)
    if is_first:
        if parsed["all-namespaces"]:
            session.complain("No resources found")
        else:
            session.complain(f"No resources found in {session.namespace} namespace.")
    return 0


def describe(target: Target, obj: dict[str, Any], context: Context) -> str:
    """Return the description of one object."""
    from importlib import import_module

    module, function = DESCRIBERS.get(
        target.resource.group_resource, ("netlab.kubectl.describe.anything", "describe_anything")
    )
    describer: Describer = getattr(import_module(module), function)
    lines = Lines()
    describer(lines, obj, context)
    return lines.text()


def _targets(session: Session, parsed: Parsed) -> list[Target]:
    if parsed["filename"] or parsed["kustomize"]:
        found: list[Target] = []
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                raise each
            found.append(each)
        return found
    if not parsed.args:
        program = session.program
        raise UsageError(
            f'You must specify the type of resource to describe. Use "{program} api-resources" '
            "for a complete list of supported resources."
        )
    targets = targets_of_words(
        session, parsed.args, verb="describe", all_namespaces=parsed["all-namespaces"]
    )
    if parsed["selector"] and any(target.name for target in targets):
        raise UsageError("name cannot be provided when a selector is specified")
    if parsed["all-namespaces"] and any(t.name and t.resource.namespaced for t in targets):
        raise UsageError("a resource cannot be retrieved by name across all namespaces")
    return targets


def _find(session: Session, parsed: Parsed, target: Target) -> tuple[list[Target], bool]:
    """Return the objects a target means, and whether its name was taken for their beginning."""
    by_prefix = False
    try:
        objects = fetch_all(session, target, label_selector=parsed["selector"] or "")
    except ApiError as error:
        if not is_not_found(error) or not target.name or parsed["filename"]:
            raise
        whole = Target(target.resource, target.namespace)
        objects = [
            obj
            for obj in fetch_all(session, whole)
            if obj["metadata"]["name"].startswith(target.name)
        ]
        if not objects:
            raise
        by_prefix = True
    return [named_target(target, obj) for obj in objects], by_prefix


COMMAND = Command(
    "describe",
    _run,
    usage="TYPE [NAME | NAME_PREFIX | -l SELECTOR] | TYPE/NAME",
    text="Show an object with what belongs to it: its parts, its conditions, its events.",
    flags=(
        *manifest_flags(),
        Flag("selector", short="l", help="The objects with these labels."),
        Flag("all-namespaces", "bool", short="A", help="In all namespaces."),
        Flag("show-events", "bool", default=True, help="Show the events too."),
        Flag("chunk-size", "int", default=500, help="Accepted for kubectl's sake."),
    ),
    examples=("describe pod web", "describe svc go-demo-2", "describe nodes"),
)
