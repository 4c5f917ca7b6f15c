"""Views of storage: PersistentVolume, PersistentVolumeClaim, StorageClass.

Fields here are the fields netlab acts on (see ``view``). Amounts are canonical quantities.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from netlab.api.containers import ResourceRequirements
from netlab.api.meta import AnyObject, Condition, LabelSelector, ObjectReference
from netlab.api.view import View
from netlab.api.volumes import HostPathVolume

field = msgspec.field


class LocalVolumeSource(View, frozen=True, kw_only=True):
    """A folder of the node that must exist."""

    path: str = ""


class NodeSelectorRequirement(View, frozen=True, kw_only=True):
    """One requirement on a node's label or field; operator as in labels, or Gt or Lt."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class NodeSelectorTerm(View, frozen=True, kw_only=True):
    """Requirements that must all hold."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(View, frozen=True, kw_only=True):
    """Terms of which one must hold."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class VolumeNodeAffinity(View, frozen=True, kw_only=True):
    """On which nodes a volume can be used."""

    required: NodeSelector | None = None


class PersistentVolumeSpec(View, frozen=True, kw_only=True):
    """What a volume is; reclaim policy is Retain or Delete, mode Filesystem."""

    capacity: dict[str, str] = {}
    access_modes: tuple[str, ...] = ()
    persistent_volume_reclaim_policy: str = "Retain"
    storage_class_name: str = ""
    volume_mode: str = "Filesystem"
    claim_ref: ObjectReference | None = None
    host_path: HostPathVolume | None = None
    local: LocalVolumeSource | None = None
    node_affinity: VolumeNodeAffinity | None = None


class PersistentVolumeStatus(View, frozen=True, kw_only=True):
    """Where a volume is in its life: Pending, Available, Bound, Released or Failed."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    last_phase_transition_time: datetime | None = None


class PersistentVolume(AnyObject, frozen=True, kw_only=True):
    """A piece of storage that outlives pods."""

    spec: PersistentVolumeSpec = field(default_factory=PersistentVolumeSpec)
    status: PersistentVolumeStatus = field(default_factory=PersistentVolumeStatus)


class PersistentVolumeClaimSpec(View, frozen=True, kw_only=True):
    """What storage is asked for; storage_class_name None means the default class, "" none."""

    access_modes: tuple[str, ...] = ()
    resources: ResourceRequirements = field(default_factory=ResourceRequirements)
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_mode: str = "Filesystem"
    volume_name: str = ""


class PersistentVolumeClaimStatus(View, frozen=True, kw_only=True):
    """Where a claim is in its life: Pending, Bound or Lost."""

    phase: str = ""
    access_modes: tuple[str, ...] = ()
    capacity: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()


class PersistentVolumeClaim(AnyObject, frozen=True, kw_only=True):
    """A request for storage, by which pods name it."""

    spec: PersistentVolumeClaimSpec = field(default_factory=PersistentVolumeClaimSpec)
    status: PersistentVolumeClaimStatus = field(default_factory=PersistentVolumeClaimStatus)


class StorageClass(AnyObject, frozen=True, kw_only=True):
    """How volumes are made for claims; its fields stand at the top, not in a spec.

    volume_binding_mode: Immediate, or WaitForFirstConsumer (once a pod that uses it has a node).
    """

    provisioner: str = ""
    parameters: dict[str, str] = {}
    reclaim_policy: str = "Delete"
    volume_binding_mode: str = "Immediate"
    allow_volume_expansion: bool = False
