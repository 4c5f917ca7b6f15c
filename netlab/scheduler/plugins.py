"""What the scheduler asks, in kube-scheduler's order; a further question is one more entry.

The first filter that refuses a node ends the questions about that node. Pure.
"""

from __future__ import annotations

from netlab.scheduler.filters import (
    Filter,
    Placement,
    PodCheck,
    node_is_schedulable,
    node_labels_match,
    node_ports_are_free,
    node_taints_are_tolerated,
)
from netlab.scheduler.resources import node_has_room
from netlab.scheduler.volumes import (
    claims_are_not_taken,
    claims_are_usable,
    claims_to_place,
    volumes_are_reachable,
)

POD_CHECKS: tuple[PodCheck, ...] = (claims_are_usable,)
FILTERS: tuple[Filter, ...] = (
    node_is_schedulable,
    node_taints_are_tolerated,
    node_labels_match,
    node_ports_are_free,
    node_has_room,
    claims_are_not_taken,
    volumes_are_reachable,
)
PLACEMENTS: tuple[Placement, ...] = (claims_to_place,)
