"""Decides the bounds of a pod's control groups from the amounts its containers ask for.

Mirrors ``pkg/kubelet/kuberuntime/kuberuntime_container_linux.go`` (containers),
``pkg/kubelet/cm/pod_container_manager_linux.go`` and ``ResourceConfigForPod`` (the pod's own
group), and ``pkg/kubelet/qos/policy.go`` (who is killed first when memory is short).

A request of CPU becomes a weight among neighbours, a limit a quota of each period; a limit of
memory is one in the kernel, a request only decides who is killed first. netlab leaves out huge
pages, exclusive processors and NUMA placement. Pure.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from netlab.api.containers import Container, ResourceRequirements
from netlab.api.pod_resources import (
    Amounts,
    container_requests,
    parse_amounts,
    pod_limits,
    pod_requests,
    qos_class,
)
from netlab.api.pods import Pod
from netlab.runtime.cri import LinuxResources

MIN_SHARES: Final = 2
MAX_SHARES: Final = 262144
SHARES_PER_CPU: Final = 1024
PERIOD_US: Final = 100_000
MIN_QUOTA_US: Final = 1000

GUARANTEED_OOM: Final = -997
BEST_EFFORT_OOM: Final = 1000
# Burstable containers stay between: above Guaranteed, below BestEffort.
_LOWEST_BURSTABLE_OOM: Final = 1000 + GUARANTEED_OOM
_HIGHEST_BURSTABLE_OOM: Final = BEST_EFFORT_OOM - 1


def container_resources(
    pod: Pod, container: Container, *, node_memory_bytes: int
) -> LinuxResources:
    """Return the bounds of one container."""
    requests, limits = _amounts(container.resources)
    if pod.spec.resources is not None:
        # what the pod may use as a whole bounds a container that has no limit of its own
        whole = parse_amounts(pod.spec.resources.limits)
        limits = {**whole, **{name: one for name, one in limits.items() if one.value}}
    return LinuxResources(
        cpu_shares=cpu_shares(_milli(requests, "cpu") or _milli(limits, "cpu")),
        cpu_period_us=PERIOD_US,
        cpu_quota_us=cpu_quota_us(_milli(limits, "cpu")),
        memory_limit_bytes=_whole(limits, "memory"),
        memory_request_bytes=_whole(requests, "memory"),
        oom_score_adj=oom_score_adj(pod, container, node_memory_bytes=node_memory_bytes),
    )


def pod_resources(pod: Pod) -> LinuxResources:
    """Return the bounds of the pod's group: a limit only where every container has one."""
    requests, limits = pod_requests(pod.spec), pod_limits(pod.spec)
    if _has_qos(pod, "BestEffort"):
        return LinuxResources(cpu_shares=MIN_SHARES)
    quota_us = cpu_quota_us(_milli(limits, "cpu")) if _all_limited(pod, "cpu") else 0
    memory_bytes = _whole(limits, "memory") if _all_limited(pod, "memory") else 0
    return LinuxResources(
        cpu_shares=cpu_shares(_milli(requests, "cpu") or _milli(limits, "cpu")),
        cpu_period_us=PERIOD_US,
        cpu_quota_us=quota_us,
        memory_limit_bytes=memory_bytes,
        memory_request_bytes=_whole(requests, "memory"),
    )


def cpu_shares(milli: int) -> int:
    """Return the weight of a request in thousandths of a processor."""
    if milli <= 0:
        return MIN_SHARES
    return max(MIN_SHARES, min(MAX_SHARES, milli * SHARES_PER_CPU // 1000))


def cpu_quota_us(milli: int) -> int:
    """Return the microseconds of each period that a limit allows; 0 for no limit."""
    if milli <= 0:
        return 0
    return max(MIN_QUOTA_US, milli * PERIOD_US // 1000)


def oom_score_adj(pod: Pod, container: Container, *, node_memory_bytes: int) -> int:
    """Return who is killed first when the node runs out of memory: the higher, the sooner.

    The more memory a container of a Burstable pod reserves, the later it is killed.
    """
    if _has_qos(pod, "Guaranteed"):
        return GUARANTEED_OOM
    if _has_qos(pod, "BestEffort"):
        return BEST_EFFORT_OOM
    request = _memory_request(container)
    if container in _sidecars(pod):
        # it must not be killed before those that it serves
        request = max(request, min(_memory_request(one) for one in pod.spec.containers))
    score = 1000 - 1000 * (request + _shared_request(pod)) // max(1, node_memory_bytes)
    return max(_LOWEST_BURSTABLE_OOM, min(_HIGHEST_BURSTABLE_OOM, score))


def _memory_request(container: Container) -> int:
    return _whole(parse_amounts(container.resources.requests), "memory")


def _shared_request(pod: Pod) -> int:
    """Return each lasting container's part of what the pod as a whole reserves beyond theirs."""
    if pod.spec.resources is None:
        return 0
    whole = _whole(parse_amounts(pod.spec.resources.requests), "memory")
    lasting = (*pod.spec.containers, *_sidecars(pod))
    rest = whole - _whole(container_requests(pod.spec), "memory")
    return max(0, rest) // max(1, len(lasting))


def _sidecars(pod: Pod) -> list[Container]:
    return [one for one in pod.spec.init_containers if one.restart_policy == "Always"]


def _has_qos(pod: Pod, name: str) -> bool:
    return (pod.status.qos_class or qos_class(pod.spec.to_object())) == name


def _all_limited(pod: Pod, resource: str) -> bool:
    if pod.spec.resources is not None and resource in pod.spec.resources.limits:
        return True
    # init containers end before the others begin; those that stay are sidecars
    return all(
        resource in container.resources.limits
        for container in (*pod.spec.containers, *_sidecars(pod))
    )


def _amounts(resources: ResourceRequirements) -> tuple[Amounts, Amounts]:
    return parse_amounts(resources.requests), parse_amounts(resources.limits)


def _milli(amounts: Amounts, name: str) -> int:
    amount = amounts.get(name)
    return 0 if amount is None or amount.value <= Decimal(0) else amount.milli()


def _whole(amounts: Amounts, name: str) -> int:
    amount = amounts.get(name)
    return 0 if amount is None else max(0, amount.whole())
