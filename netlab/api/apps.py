"""Views of the apps group: ReplicaSet and Deployment."""

from __future__ import annotations

import msgspec

from netlab.api.meta import AnyObject, Condition, LabelSelector
from netlab.api.pods import PodTemplateSpec
from netlab.api.view import View

field = msgspec.field


class ReplicaSetSpec(View, frozen=True, kw_only=True):
    """How many pods of one template shall run."""

    replicas: int = 1
    min_ready_seconds: int = 0
    selector: LabelSelector = field(default_factory=LabelSelector)
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)


class ReplicaSetStatus(View, frozen=True, kw_only=True):
    """How many pods run."""

    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(AnyObject, frozen=True, kw_only=True):
    """Keeps a number of equal pods running."""

    spec: ReplicaSetSpec = field(default_factory=ReplicaSetSpec)
    status: ReplicaSetStatus = field(default_factory=ReplicaSetStatus)


class RollingUpdateDeployment(View, frozen=True, kw_only=True):
    """Bounds of a rolling update; numbers or percentages of replicas."""

    max_unavailable: int | str = "25%"
    max_surge: int | str = "25%"


class DeploymentStrategy(View, frozen=True, kw_only=True):
    """RollingUpdate or Recreate."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(View, frozen=True, kw_only=True):
    """Which template shall run, how often, and how to change over to a new one."""

    replicas: int = 1
    selector: LabelSelector = field(default_factory=LabelSelector)
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)
    strategy: DeploymentStrategy = field(default_factory=DeploymentStrategy)
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    paused: bool = False
    progress_deadline_seconds: int = 600


class DeploymentStatus(View, frozen=True, kw_only=True):
    """How far the change-over is."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class Deployment(AnyObject, frozen=True, kw_only=True):
    """Replaces ReplicaSets step by step."""

    spec: DeploymentSpec = field(default_factory=DeploymentSpec)
    status: DeploymentStatus = field(default_factory=DeploymentStatus)
