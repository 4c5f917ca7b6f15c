"""``describe node``: the node, what it has, and what its pods ask of it."""

from __future__ import annotations

from fractions import Fraction

from netlab.api.durations import age
from netlab.api.label_text import node_roles
from netlab.kubectl.describe.amounts import (
    amount,
    canonical,
    format_cpu,
    format_memory,
    is_binary,
)
from netlab.kubectl.describe.lines import NONE, lower_boolean, rfc1123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines

    Amounts: TypeAlias = dict[tuple[str, str], "Amount"]

_SYSTEM_INFO = (
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
    ("Kube-Proxy Version", "kubeProxyVersion"),
)


class Amount:
    """A quantity and how it is written: in powers of two, or of ten."""

    __slots__ = ("binary", "value")

    def __init__(self, value: Fraction, binary: bool) -> None:
        self.value = value
        self.binary = binary

    def plus(self, other: Amount) -> Amount:
        """Return the sum, written as the first of them that is not zero, as Quantity.Add does."""
        return Amount(self.value + other.value, self.binary if self.value else other.binary)


NOTHING = Amount(Fraction(0), binary=False)


def describe_node(lines: Lines, node: dict[str, Any], context: Context) -> None:
    """Add the description of a Node."""
    metadata, spec = node["metadata"], node.get("spec") or {}
    status = node.get("status") or {}
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Roles:\t{','.join(node_roles(metadata.get('labels'))) or NONE}")
    lines.add_pairs("Labels", metadata.get("labels"))
    lines.add_annotations("Annotations", metadata.get("annotations"))
    lines.add(f"CreationTimestamp:\t{rfc1123(metadata.get('creationTimestamp'))}")
    _add_taints(lines, spec.get("taints") or ())
    lines.add(f"Unschedulable:\t{lower_boolean(spec.get('unschedulable'))}")
    _add_lease(lines, context, metadata["name"])
    _add_conditions(lines, status.get("conditions") or ())
    lines.add("Addresses:")
    for address in status.get("addresses") or ():
        lines.add(f"{address['type']}:\t{address['address']}", 1)
    for title, field in (("Capacity", "capacity"), ("Allocatable", "allocatable")):
        amounts = status.get(field) or {}
        if amounts:
            lines.add(f"{title}:")
            for name in sorted(amounts):
                lines.add(f"{name}:\t{canonical(amounts[name])}", 1)
    info = status.get("nodeInfo") or {}
    lines.add("System Info:")
    for title, field in _SYSTEM_INFO:
        lines.add(f"{title}:\t{info.get(field, '')}", 1)
    if spec.get("podCIDR"):
        lines.add(f"PodCIDR:\t{spec['podCIDR']}")
    if spec.get("podCIDRs"):
        lines.add(f"PodCIDRs:\t{','.join(spec['podCIDRs'])}")
    if spec.get("providerID"):
        lines.add(f"ProviderID:\t{spec['providerID']}")
    fields = f"spec.nodeName={metadata['name']},status.phase!=Failed,status.phase!=Succeeded"
    pods = context.list("pods", None, fields=fields)
    _add_pods(lines, pods, status.get("allocatable") or status.get("capacity") or {}, context)
    # the kubelet's events name the node as their uid, the controllers' its own
    context.add_events(lines, node, "Node", uids=(metadata.get("uid", ""), metadata["name"]))


def _add_taints(lines: Lines, taints: Sequence[Mapping[str, Any]]) -> None:
    if not taints:
        lines.add(f"Taints:\t{NONE}")
    ordered = sorted(taints, key=lambda t: (t.get("effect", ""), t.get("key", "")))
    for index, taint in enumerate(ordered):
        value = f"={taint['value']}" if taint.get("value") else ""
        text = f"{taint['key']}{value}:{taint['effect']}"
        lines.add(f"{'Taints:' if index == 0 else ''}\t{text}")


def _add_lease(lines: Lines, context: Context, name: str) -> None:
    lease = context.get("leases.coordination.k8s.io", "kube-node-lease", name)
    if lease is None:
        missing = f'leases.coordination.k8s.io "{name}" not found'
        lines.add(f"Lease:\tFailed to get lease: {missing}")
        return
    lines.add("Lease:")
    spec = lease.get("spec") or {}
    lines.add(f"HolderIdentity:\t{spec.get('holderIdentity') or '<unset>'}", 1)
    for title, field in (("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")):
        lines.add(f"{title}:\t{rfc1123(spec[field]) if spec.get(field) else '<unset>'}", 1)


def _add_conditions(lines: Lines, conditions: Sequence[Mapping[str, Any]]) -> None:
    if not conditions:
        return
    lines.add("Conditions:")
    rows = [["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"]]
    for each in conditions:
        rows.append(
            [
                f"{each['type']} ",
                f"{each['status']} ",
                f"{rfc1123(each.get('lastHeartbeatTime'))} ",
                f"{rfc1123(each.get('lastTransitionTime'))} ",
                f"{each.get('reason', '')} ",
                f"{each.get('message', '')}",
            ]
        )
    lines.add_table(rows, 1)


def _add_pods(
    lines: Lines,
    pods: Sequence[Mapping[str, Any]],
    allocatable: Mapping[str, Any],
    context: Context,
) -> None:
    lines.add(f"Non-terminated Pods:\t({len(pods)} in total)")
    header = "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge"
    rule = "---------\t----\t\t------------\t----------\t---------------\t-------------\t---"
    lines.add(header, 1)
    lines.add(rule, 1)
    totals: Amounts = {}
    for pod in pods:
        asked = _pod_amounts(pod)
        for key, value in asked.items():
            totals[key] = totals.get(key, NOTHING).plus(value)
        cells = [
            _share(asked.get((kind, name), NOTHING), name, allocatable)
            for name in ("cpu", "memory")
            for kind in ("requests", "limits")
        ]
        metadata = pod["metadata"]
        when = age(metadata.get("creationTimestamp"), context.now)
        shown = "\t".join(cells)
        lines.add(f"{metadata['namespace']}\t{metadata['name']}\t\t{shown}\t{when}", 1)
    _add_totals(lines, totals, allocatable)


def _pod_amounts(pod: Mapping[str, Any]) -> Amounts:
    """Return what a pod asks for: the sum of its containers, or its hungriest init container."""
    spec = pod.get("spec") or {}
    asked: Amounts = {}
    for container in spec.get("containers") or ():
        for key, value in _container_amounts(container).items():
            asked[key] = asked.get(key, NOTHING).plus(value)
    for container in spec.get("initContainers") or ():
        for key, value in _container_amounts(container).items():
            if container.get("restartPolicy") == "Always":
                asked[key] = asked.get(key, NOTHING).plus(value)
            elif value.value > asked.get(key, NOTHING).value:
                asked[key] = value
    return asked


def _container_amounts(container: Mapping[str, Any]) -> Amounts:
    return {
        (kind, name): Amount(amount(text), is_binary(text))
        for kind in ("requests", "limits")
        for name, text in ((container.get("resources") or {}).get(kind) or {}).items()
    }


def _share(asked: Amount, name: str, allocatable: Mapping[str, Any]) -> str:
    whole = amount(allocatable.get(name, "0"))
    percent = int(asked.value * 100 / whole) if whole else 0
    if name == "cpu":
        return f"{format_cpu(asked.value)} ({percent}%)"
    return f"{format_memory(asked.value, binary=asked.binary)} ({percent}%)"


def _add_totals(
    lines: Lines,
    totals: Amounts,
    allocatable: Mapping[str, Any],
) -> None:
    lines.add("Allocated resources:")
    lines.add("(Total limits may be over 100 percent, i.e., overcommitted.)", 1)
    rows = [["Resource", "Requests", "Limits"]]
    names = ["cpu", "memory", "ephemeral-storage"]
    names += [name for name in sorted(allocatable) if name.startswith("hugepages-")]
    for name in names:
        shares = [
            _share(totals.get((kind, name), NOTHING), name, allocatable)
            for kind in ("requests", "limits")
        ]
        rows.append([name, *shares])
    lines.add_table(rows, 1)
