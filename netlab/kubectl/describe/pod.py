"""``describe pod``."""

from __future__ import annotations

from netlab.api.durations import age
from netlab.kubectl.describe.containers import add_containers, add_volumes
from netlab.kubectl.describe.lines import NONE, controlled_by, rfc1123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines


def describe_pod(lines: Lines, pod: dict[str, Any], context: Context) -> None:
    """Add the description of a Pod."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    _add_identity(lines, pod, spec, status)
    _add_status(lines, pod, status, context)
    _add_addresses(lines, pod, status)
    if spec.get("initContainers"):
        statuses = status.get("initContainerStatuses") or ()
        add_containers(lines, "Init Containers", spec["initContainers"], statuses, pod)
    statuses = status.get("containerStatuses") or ()
    add_containers(lines, "Containers", spec.get("containers") or (), statuses, pod)
    _add_conditions(lines, spec, status)
    add_volumes(lines, spec.get("volumes") or ())
    lines.add(f"QoS Class:\t{status.get('qosClass') or 'BestEffort'}")
    lines.add_pairs("Node-Selectors", spec.get("nodeSelector"))
    add_tolerations(lines, "Tolerations", spec.get("tolerations") or ())
    _add_spread(lines, spec.get("topologySpreadConstraints") or ())
    context.add_events(lines, pod)


def _add_identity(
    lines: Lines, pod: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]
) -> None:
    metadata = pod["metadata"]
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Namespace:\t{metadata.get('namespace', '')}")
    if spec.get("priority") is not None:
        lines.add(f"Priority:\t{spec['priority']}")
    if spec.get("priorityClassName"):
        lines.add(f"Priority Class Name:\t{spec['priorityClassName']}")
    if spec.get("runtimeClassName"):
        lines.add(f"Runtime Class Name:\t{spec['runtimeClassName']}")
    if spec.get("serviceAccountName"):
        lines.add(f"Service Account:\t{spec['serviceAccountName']}")
    node = f"{spec['nodeName']}/{status.get('hostIP', '')}" if spec.get("nodeName") else NONE
    lines.add(f"Node:\t{node}")
    if status.get("startTime"):
        lines.add(f"Start Time:\t{rfc1123(status['startTime'])}")
    lines.add_pairs("Labels", metadata.get("labels"))
    lines.add_annotations("Annotations", metadata.get("annotations"))


def _add_status(
    lines: Lines, pod: Mapping[str, Any], status: Mapping[str, Any], context: Context
) -> None:
    metadata = pod["metadata"]
    phase = status.get("phase", "")
    if metadata.get("deletionTimestamp") and phase not in ("Failed", "Succeeded"):
        lasts = age(metadata["deletionTimestamp"], context.now)
        lines.add(f"Status:\tTerminating (lasts {lasts})")
        grace = metadata.get("deletionGracePeriodSeconds", 0)
        lines.add(f"Termination Grace Period:\t{grace}s")
    else:
        lines.add(f"Status:\t{phase}")
    if status.get("reason"):
        lines.add(f"Reason:\t{status['reason']}")
    if status.get("message"):
        lines.add(f"Message:\t{status['message']}")
    seccomp = ((pod["spec"].get("securityContext") or {}).get("seccompProfile") or {}).get("type")
    if seccomp:
        lines.add(f"SeccompProfile:\t{seccomp}")


def _add_addresses(lines: Lines, pod: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    lines.add(f"IP:\t{status.get('podIP', '')}")
    addresses = status.get("podIPs") or ()
    if not addresses:
        lines.add(f"IPs:\t{NONE}")
    else:
        lines.add("IPs:")
        for address in addresses:
            lines.add(f"IP:\t{address.get('ip', '')}", 1)
    controller = controlled_by(pod)
    if controller:
        lines.add(f"Controlled By:\t{controller}")
    if status.get("nominatedNodeName"):
        lines.add(f"NominatedNodeName:\t{status['nominatedNodeName']}")


def _add_conditions(lines: Lines, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    conditions = status.get("conditions") or ()
    gates = spec.get("readinessGates") or ()
    if gates:
        lines.add("Readiness Gates:\n  Type\tStatus")
        by_type = {condition["type"]: condition["status"] for condition in conditions}
        for gate in gates:
            word = by_type.get(gate["conditionType"], NONE)
            lines.add(f"{gate['conditionType']} \t{word} ", 1)
    if conditions:
        lines.add("Conditions:\n  Type\tStatus")
        for condition in conditions:
            lines.add(f"{condition['type']} \t{condition['status']} ", 1)


def add_tolerations(lines: Lines, title: str, tolerations: Iterable[Mapping[str, Any]]) -> None:
    """Add tolerations, one a line, sorted by key."""
    found = sorted(tolerations, key=lambda toleration: str(toleration.get("key", "")))
    if not found:
        lines.add(f"{title}:\t{NONE}")
        return
    for index, toleration in enumerate(found):
        head = f"{title}:" if index == 0 else ""
        lines.add(f"{head}\t{_format_toleration(toleration)}")


def _format_toleration(toleration: Mapping[str, Any]) -> str:
    text = str(toleration.get("key", ""))
    if toleration.get("value"):
        text += f"={toleration['value']}"
    if toleration.get("effect"):
        text += f":{toleration['effect']}"
    if toleration.get("operator") == "Exists" and not toleration.get("value"):
        text += " op=Exists" if text else "op=Exists"
    if toleration.get("tolerationSeconds") is not None:
        text += f" for {toleration['tolerationSeconds']}s"
    return text


def _add_spread(lines: Lines, constraints: Iterable[Mapping[str, Any]]) -> None:
    from netlab.api.label_text import format_label_selector

    for index, each in enumerate(sorted(constraints, key=lambda c: str(c.get("topologyKey")))):
        text = (
            f"{each.get('topologyKey')}:{each.get('whenUnsatisfiable')} "
            f"when max skew {each.get('maxSkew')} is exceeded"
        )
        if each.get("labelSelector"):
            text += f" for selector {format_label_selector(each['labelSelector'])}"
        lines.add(f"{'Topology Spread Constraints:' if index == 0 else ''}\t{text}")
