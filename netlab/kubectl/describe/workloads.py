"""``describe replicaset`` and ``describe deployment``."""

from __future__ import annotations

from netlab.api.label_text import format_label_selector
from netlab.kubectl.describe.containers import add_containers, add_volumes
from netlab.kubectl.describe.lines import NONE, controlled_by, rfc1123
from netlab.kubectl.describe.pod import add_tolerations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines

HASH_LABEL = "pod-template-hash"


def describe_replica_set(lines: Lines, replica_set: dict[str, Any], context: Context) -> None:
    """Add the description of a ReplicaSet."""
    metadata = replica_set["metadata"]
    spec, status = replica_set.get("spec") or {}, replica_set.get("status") or {}
    selector = format_label_selector(spec.get("selector"))
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Namespace:\t{metadata.get('namespace', '')}")
    lines.add(f"Selector:\t{selector}")
    lines.add_pairs("Labels", metadata.get("labels"))
    lines.add_annotations("Annotations", metadata.get("annotations"))
    controller = controlled_by(replica_set)
    if controller:
        lines.add(f"Controlled By:\t{controller}")
    lines.add(f"Replicas:\t{status.get('replicas', 0)} current / {spec.get('replicas', 0)} desired")
    pods = context.list("pods", metadata.get("namespace"), labels=selector.replace(NONE, ""))
    lines.add(f"Pods Status:\t{_phases(pods, metadata.get('uid', ''))}")
    add_pod_template(lines, spec.get("template") or {})
    _add_conditions(lines, status.get("conditions") or ())
    context.add_events(lines, replica_set)


def _phases(pods: Sequence[Mapping[str, Any]], uid: str) -> str:
    counts = {"Running": 0, "Pending": 0, "Succeeded": 0, "Failed": 0}
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        phase = (pod.get("status") or {}).get("phase")
        if phase in counts and any(o.get("controller") and o.get("uid") == uid for o in owners):
            counts[phase] += 1
    return (
        f"{counts['Running']} Running / {counts['Pending']} Waiting / "
        f"{counts['Succeeded']} Succeeded / {counts['Failed']} Failed"
    )


def describe_deployment(lines: Lines, deployment: dict[str, Any], context: Context) -> None:
    """Add the description of a Deployment."""
    metadata = deployment["metadata"]
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Namespace:\t{metadata.get('namespace', '')}")
    lines.add(f"CreationTimestamp:\t{rfc1123(metadata.get('creationTimestamp'))}")
    lines.add_pairs("Labels", metadata.get("labels"))
    lines.add_annotations("Annotations", metadata.get("annotations"))
    lines.add(f"Selector:\t{format_label_selector(spec.get('selector'))}")
    lines.add(
        f"Replicas:\t{spec.get('replicas', 0)} desired | {status.get('updatedReplicas', 0)} "
        f"updated | {status.get('replicas', 0)} total | {status.get('availableReplicas', 0)} "
        f"available | {status.get('unavailableReplicas', 0)} unavailable"
    )
    strategy = spec.get("strategy") or {}
    lines.add(f"StrategyType:\t{strategy.get('type', '')}")
    lines.add(f"MinReadySeconds:\t{spec.get('minReadySeconds', 0)}")
    rolling = strategy.get("rollingUpdate")
    if rolling:
        lines.add(
            f"RollingUpdateStrategy:\t{rolling.get('maxUnavailable')} max unavailable, "
            f"{rolling.get('maxSurge')} max surge"
        )
    add_pod_template(lines, spec.get("template") or {})
    _add_conditions(lines, status.get("conditions") or ())
    _add_replica_sets(lines, deployment, context)
    context.add_events(lines, deployment)


def _add_replica_sets(lines: Lines, deployment: Mapping[str, Any], context: Context) -> None:
    metadata = deployment["metadata"]
    selector = format_label_selector((deployment.get("spec") or {}).get("selector"))
    found = context.list("replicasets.apps", metadata.get("namespace"), labels=selector)
    owned = [
        each
        for each in found
        if any(
            owner.get("controller") and owner.get("uid") == metadata.get("uid")
            for owner in each["metadata"].get("ownerReferences") or ()
        )
    ]
    if not owned:
        return
    owned.sort(key=lambda each: str(each["metadata"].get("creationTimestamp")))
    template = _bare_template(deployment)
    newest = next((each for each in owned if _bare_template(each) == template), None)
    old = [each for each in owned if each is not newest]
    shown = ", ".join(_format_replica_set(each) for each in old)
    lines.add(f"OldReplicaSets:\t{shown or NONE}")
    lines.add(f"NewReplicaSet:\t{_format_replica_set(newest) if newest else NONE}")


def _bare_template(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod template without the hash label that tells templates apart."""
    template = dict((obj.get("spec") or {}).get("template") or {})
    metadata = dict(template.get("metadata") or {})
    labels = metadata.get("labels") or {}
    metadata["labels"] = {key: value for key, value in labels.items() if key != HASH_LABEL}
    return {**template, "metadata": {k: v for k, v in metadata.items() if v}}


def _format_replica_set(replica_set: Mapping[str, Any]) -> str:
    status, spec = replica_set.get("status") or {}, replica_set.get("spec") or {}
    counts = f"{status.get('replicas', 0)}/{spec.get('replicas', 0)}"
    return f"{replica_set['metadata']['name']} ({counts} replicas created)"


def _add_conditions(lines: Lines, conditions: Sequence[Mapping[str, Any]]) -> None:
    if conditions:
        lines.add("Conditions:")
        rows = [["Type", "Status", "Reason"]]
        rows += [[f"{c['type']} ", c["status"], c.get("reason", "")] for c in conditions]
        lines.add_table(rows, 1)


def add_pod_template(lines: Lines, template: Mapping[str, Any]) -> None:
    """Add what the pods of a workload are made from."""
    lines.add("Pod Template:")
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    lines.add_pairs("  Labels", metadata.get("labels"))
    if metadata.get("annotations"):
        lines.add_annotations("  Annotations", metadata["annotations"])
    if spec.get("serviceAccountName"):
        lines.add(f"  Service Account:\t{spec['serviceAccountName']}")
    if spec.get("initContainers"):
        add_containers(lines, "Init Containers", spec["initContainers"], (), None, "  ")
    add_containers(lines, "Containers", spec.get("containers") or (), (), None, "  ")
    add_volumes(lines, spec.get("volumes") or (), "  ")
    if spec.get("priorityClassName"):
        lines.add(f"  Priority Class Name:\t{spec['priorityClassName']}")
    lines.add_pairs("  Node-Selectors", spec.get("nodeSelector"))
    add_tolerations(lines, "  Tolerations", spec.get("tolerations") or ())
