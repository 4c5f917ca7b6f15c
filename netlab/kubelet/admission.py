"""Decides whether this node takes a pod that is bound to it.

Mirrors the kubelet's admission: ``pkg/kubelet/lifecycle/predicate.go`` and the sysctl allowlist of
``pkg/kubelet/sysctl``. The scheduler has looked at most of this already, but a pod may come to the
node without it (``spec.nodeName``), or two at once. A pod that is refused is Failed with the reason
and the message given here, and nothing of it is ever made; an event tells the same. Pure.

netlab leaves out what its nodes do not have: memory or disk pressure as a reason to refuse,
preemption for critical pods, devices and NUMA placement (TopologyAffinityError), required terms of
affinity, which its scheduler does not know either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netlab.api.core import Node
from netlab.api.pod_resources import Amounts, parse_amounts, plus, pod_requests
from netlab.api.pods import Pod, PodSecurityContext
from netlab.api.quantities import Quantity
from netlab.api.taints import tolerates
from netlab.cni.host_ports import HostPort, pod_host_ports

OS: Final = "linux"
OS_LABEL: Final = "kubernetes.io/os"
STANDARD: Final = ("cpu", "memory", "ephemeral-storage")

SAFE_SYSCTLS: Final[Mapping[str, str]] = {
    "kernel.shm_rmid_forced": "ipc",
    "net.ipv4.ip_local_port_range": "net",
    "net.ipv4.tcp_syncookies": "net",
    "net.ipv4.ping_group_range": "net",
    "net.ipv4.ip_unprivileged_port_start": "net",
    "net.ipv4.ip_local_reserved_ports": "net",
    "net.ipv4.tcp_keepalive_time": "net",
    "net.ipv4.tcp_fin_timeout": "net",
    "net.ipv4.tcp_keepalive_intvl": "net",
    "net.ipv4.tcp_keepalive_probes": "net",
    "net.ipv4.tcp_rmem": "net",
    "net.ipv4.tcp_wmem": "net",
}
"""Those that one pod can set without harm to another, and the namespace in which they live."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the node does not take a pod, as event and ``status.reason`` tell it."""

    reason: str
    message: str


def refuse(pod: Pod, node: Node, others: Iterable[Pod]) -> Refusal | None:
    """Return why the node does not take the pod; None when it does.

    others: the pods of the node that have their place there and have not ended.
    """
    others = tuple(others)
    return (
        _refuse_sysctls(pod)
        or _refuse_system(pod)
        or _refuse_amounts(pod, node, others)
        or _refuse_labels(pod, node)
        or _refuse_ports(pod, others)
        or _refuse_taints(pod, node)
    )


def _refuse_sysctls(pod: Pod) -> Refusal | None:
    spec = pod.spec
    wanted = (spec.security_context or PodSecurityContext()).sysctls
    shared = {"net": spec.host_network, "ipc": spec.host_ipc}
    for sysctl in wanted:
        name = dotted(sysctl.name)
        space = SAFE_SYSCTLS.get(name)
        if space is None:
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        if shared[space]:
            text = f'forbidden sysctl: "{name}" not allowed with host {space} enabled'
            return Refusal("SysctlForbidden", text)
    return None


def dotted(name: str) -> str:
    """Return a sysctl's name with dots between its parts, whichever separator it was written with.

    The separator is the one that comes first; the other stands for a character of a part
    (``net/ipv4/conf/eth0.1`` is ``net.ipv4.conf.eth0/1``). Source: man 5 sysctl.d
    """
    first = next((character for character in name if character in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def _refuse_system(pod: Pod) -> Refusal | None:
    if pod.metadata.labels.get(OS_LABEL, OS) != OS:
        text = f"Failed to admit pod as the `{OS_LABEL}` label doesn't match node label"
        return Refusal("PodOSSelectorNodeLabelDoesNotMatch", text)
    if pod.spec.os is not None and pod.spec.os.name != OS:
        text = "Failed to admit pod as the OS field doesn't match node OS"
        return Refusal("PodOSNotSupported", text)
    return None


def _refuse_amounts(pod: Pod, node: Node, others: Sequence[Pod]) -> Refusal | None:
    total = parse_amounts(node.status.allocatable)
    places = total["pods"].whole() if "pods" in total else 0
    if len(others) + 1 > places:
        return _out_of("pods", 1, len(others), places)
    # a resource that the node does not know may belong to the cluster: it is not asked for here
    wanted = {
        name: amount
        for name, amount in pod_requests(pod.spec).items()
        if amount.value > 0 and (name in total or name in STANDARD)
    }
    used = _reserved(others) if wanted else {}
    for name in sorted(wanted, key=lambda name: (name not in STANDARD, name)):
        asked, taken, have = (_count(name, a.get(name)) for a in (wanted, used, total))
        if asked > have - taken:
            return _out_of(name, asked, taken, have)
    return None


def _reserved(pods: Iterable[Pod]) -> Amounts:
    total: Amounts = {}
    for pod in pods:
        total = plus(total, pod_requests(pod.spec))
    return total


def _count(name: str, amount: Quantity | None) -> int:
    """Return an amount in the unit that Kubernetes counts it in: thousandths of a processor."""
    if amount is None:
        return 0
    return amount.milli() if name == "cpu" else amount.whole()


def _out_of(name: str, asked: int, taken: int, have: int) -> Refusal:
    text = (
        f"Node didn't have enough resource: {name}, requested: {asked}, used: {taken}, "
        f"capacity: {have}"
    )
    return Refusal(f"OutOf{name}", text)


def _refuse_labels(pod: Pod, node: Node) -> Refusal | None:
    if pod.spec.node_selector.items() <= node.metadata.labels.items():
        return None
    return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")


def _refuse_ports(pod: Pod, others: Iterable[Pod]) -> Refusal | None:
    wanted = pod_host_ports(pod)
    if not wanted:
        return None
    used = [port for other in others for port in pod_host_ports(other)]
    if any(_clash(left, right) for left in wanted for right in used):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def _clash(left: HostPort, right: HostPort) -> bool:
    if (left.protocol, left.host_port) != (right.protocol, right.host_port):
        return False
    return left.host_ip == right.host_ip or left.host_ip is None or right.host_ip is None


def _refuse_taints(pod: Pod, node: Node) -> Refusal | None:
    for taint in node.spec.taints:
        if taint.effect == "NoExecute" and not tolerates(pod, taint):
            text = "node(s) had taints that the pod didn't tolerate"
            return _predicate("TaintToleration", text)
    return None


def _predicate(name: str, text: str) -> Refusal:
    return Refusal(name, f"Predicate {name} failed: {text}")
