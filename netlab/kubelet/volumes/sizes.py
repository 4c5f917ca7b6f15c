"""Decides how much an emptyDir may hold, and when a pod has put too much into one.

Mirrors ``pkg/volume/emptydir`` ``calculateEmptyDirMemorySize`` (a tmpfs is bounded by the kernel)
and the eviction manager's ``emptyDirLimitEviction`` (a folder on disk is measured now and then, and
the pod ends when it is over its limit). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from netlab.api.pods import Pod
from netlab.api.quantities import parse_quantity
from netlab.api.volumes import EmptyDirVolume, Volume


def tmpfs_bytes(pod: Pod, source: EmptyDirVolume, node_memory_bytes: int) -> int:
    """Return the size of an emptyDir in memory: the least of the node's memory, the memory that
    all containers together may use, and its sizeLimit.
    """
    bounds = [node_memory_bytes, _pod_memory_bytes(pod), _limit_bytes(source)]
    return min((bound for bound in bounds if bound > 0), default=0)


def measured_volumes(pod: Pod) -> dict[str, int]:
    """Return, by name, the limits in bytes of those emptyDirs whose use has to be measured."""
    return {
        volume.name: limit
        for volume in pod.spec.volumes
        if (limit := _disk_limit_bytes(volume)) > 0
    }


def excess_message(pod: Pod, used_bytes: Mapping[str, int]) -> str | None:
    """Return why the pod must be evicted (reason Evicted), or None while it keeps its limits.

    used_bytes: by volume, what is in each of ``measured_volumes``.
    """
    for volume in pod.spec.volumes:
        limit = _disk_limit_bytes(volume)
        if limit > 0 and used_bytes.get(volume.name, 0) > limit:
            assert volume.empty_dir is not None, "only an emptyDir has a limit"
            bound = volume.empty_dir.size_limit
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{bound}". '
    return None


def _disk_limit_bytes(volume: Volume) -> int:
    if volume.empty_dir is None or volume.empty_dir.medium == "Memory":
        return 0
    return _limit_bytes(volume.empty_dir)


def _limit_bytes(source: EmptyDirVolume) -> int:
    return parse_quantity(source.size_limit).whole() if source.size_limit else 0


def _pod_memory_bytes(pod: Pod) -> int:
    """What all containers may use together; 0 when one of them has no limit."""
    if pod.spec.resources is not None and "memory" in pod.spec.resources.limits:
        return parse_quantity(pod.spec.resources.limits["memory"]).whole()
    sidecars = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    limits = [
        container.resources.limits.get("memory") for container in (*pod.spec.containers, *sidecars)
    ]
    if None in limits:
        return 0
    return sum(parse_quantity(limit).whole() for limit in limits if limit is not None)
