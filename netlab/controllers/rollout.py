"""How many replicas each ReplicaSet of a Deployment shall have.

The arithmetic of ``pkg/controller/deployment`` (``rolling.go``, ``sync.go``, ``util``) of
kube-controller-manager: rolling update, proportional scaling, scaling of the only active set.
Pure numbers in, numbers out; ``deployment`` turns them into writes.

All sizes are ``spec.replicas``: what has been asked for, not what runs. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from netlab.api.apps import Deployment, ReplicaSet, RollingUpdateDeployment
from netlab.api.names import int64

Sizes: TypeAlias = dict[str, int]
"""New size by ReplicaSet name; sets that keep theirs are left out."""


MOST_PODS = (1 << 31) - 1


def is_rolling(deployment: Deployment) -> bool:
    """Return whether the strategy is RollingUpdate."""
    return deployment.spec.strategy.type == "RollingUpdate"


def _resolved(value: int | str, total: int, rounding: Callable[[float], int]) -> int:
    if isinstance(value, int):
        return value
    percentage = int64(value.rstrip("%"))
    # of more digits than a number has, and counts are of 32 bits in Kubernetes
    most = MOST_PODS if percentage is None else rounding(total * percentage / 100)
    return min(most, MOST_PODS)


def bounds(deployment: Deployment) -> tuple[int, int]:
    """Return (max surge, max unavailable) in pods: percentages up, respectively down.

    Both zero would never change anything; then one pod may be missing.
    """
    if not is_rolling(deployment):
        return (0, 0)
    rolling = deployment.spec.strategy.rolling_update or RollingUpdateDeployment()
    total = deployment.spec.replicas
    surge = _resolved(rolling.max_surge, total, math.ceil)
    unavailable = _resolved(rolling.max_unavailable, total, math.floor)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return (surge, min(unavailable, total))


def max_surge(deployment: Deployment) -> int:
    """Return how many pods above the wanted number may exist."""
    return bounds(deployment)[0]


def max_unavailable(deployment: Deployment) -> int:
    """Return how many pods of the wanted number may be missing."""
    return bounds(deployment)[1]


def total_size(sets: Sequence[ReplicaSet]) -> int:
    """Return the replicas asked for by all sets."""
    return sum(rs.spec.replicas for rs in sets)


def new_set_size(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> int:
    """Return the size the new set may have now, given what the others still hold."""
    wanted = deployment.spec.replicas
    if not is_rolling(deployment):
        return wanted
    size = new.spec.replicas if new is not None else 0
    if size > wanted:
        return wanted
    room = wanted + max_surge(deployment) - total_size(old) - size
    return size if room <= 0 else size + min(room, wanted - size)


def shrink_old_sets(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Sizes:
    """Return the old sets' sizes that keep enough pods available. old: oldest first.

    Pods that are not available anyway go first; they cost nothing.
    """
    if total_size(old) == 0:
        return {}
    minimum = deployment.spec.replicas - max_unavailable(deployment)
    unavailable = new.spec.replicas - new.status.available_replicas
    room = total_size(old) + new.spec.replicas - minimum - unavailable
    if room <= 0:
        return {}
    sizes: Sizes = {}
    for rs in old:
        unhealthy = min(room, rs.spec.replicas - rs.status.available_replicas)
        if unhealthy > 0:
            sizes[rs.metadata.name] = rs.spec.replicas - unhealthy
            room -= unhealthy
    available = new.status.available_replicas + sum(rs.status.available_replicas for rs in old)
    spare = available - minimum
    for rs in old:
        size = sizes.get(rs.metadata.name, rs.spec.replicas)
        step = min(size, spare)
        if step > 0:
            sizes[rs.metadata.name] = size - step
            spare -= step
    return sizes


def resize(
    deployment: Deployment,
    new: ReplicaSet | None,
    old: Sequence[ReplicaSet],
    earlier_maximum: Callable[[ReplicaSet], int],
) -> Sizes:
    """Return the sizes after ``spec.replicas`` changed, without going on with the rollout.

    old: oldest first. earlier_maximum: the largest total when a set was last sized, 0 unknown.
    """
    wanted = deployment.spec.replicas
    single = _active_or_latest(new, old)
    if single is not None:
        return {} if single.spec.replicas == wanted else {single.metadata.name: wanted}
    if new is not None and _is_saturated(deployment, new):
        return {rs.metadata.name: 0 for rs in old if rs.spec.replicas}
    if not is_rolling(deployment):
        return {}
    sets = [rs for rs in [*old, *([new] if new else [])] if rs.spec.replicas > 0]
    return _proportional(deployment, sets, earlier_maximum)


def _active_or_latest(new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> ReplicaSet | None:
    active = [rs for rs in [*old, *([new] if new else [])] if rs.spec.replicas > 0]
    if len(active) > 1:
        return None
    if active:
        return active[0]
    return new if new is not None else (old[-1] if old else None)


def _is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    wanted = deployment.spec.replicas
    return new.spec.replicas == wanted and new.status.available_replicas == wanted


def _proportional(
    deployment: Deployment,
    sets: list[ReplicaSet],
    earlier_maximum: Callable[[ReplicaSet], int],
) -> Sizes:
    wanted = deployment.spec.replicas
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - total_size(sets)
    # the largest take their share first; among equals the newer when growing, else the older
    sets = sets if to_add <= 0 else sets[::-1]
    sets = sorted(sets, key=lambda rs: -rs.spec.replicas)
    sizes: Sizes = {}
    added = 0
    for rs in sets:
        share = 0
        if to_add != 0:
            left = to_add - added
            fraction = _fraction(deployment, rs, earlier_maximum(rs))
            share = min(fraction, left) if to_add > 0 else max(fraction, left)
        sizes[rs.metadata.name] = rs.spec.replicas + share
        added += share
    if sets and to_add != added:
        first = sets[0].metadata.name
        sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _fraction(deployment: Deployment, rs: ReplicaSet, earlier_maximum: int) -> int:
    if deployment.spec.replicas == 0:
        return -rs.spec.replicas
    maximum = deployment.spec.replicas + max_surge(deployment)
    before = earlier_maximum or deployment.status.replicas
    if before == 0:
        return 0
    return math.floor(rs.spec.replicas * maximum / before + 0.5) - rs.spec.replicas
