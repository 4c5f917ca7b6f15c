"""The words in which a pod's next steps are told: what is seen, remembered, wanted and waited for.

All values are frozen. ``plan`` makes the steps, ``worker`` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from netlab.api.containers import Container, ResourceRequirements
from netlab.api.pods import Pod
from netlab.kubelet.planning.backoff import BackOff
from netlab.runtime.cri import ContainerPhase, ContainerState, SandboxStatus

ERROR_SHOWN_S = 5.0
"""How long a failure is shown as such (ErrImagePull, Error) before the wait for the next try is
(ImagePullBackOff, CrashLoopBackOff); the kubelet changes over at its next pass, which comes after
about as long."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run, as ``state.waiting`` shows it."""

    reason: str
    message: str = ""


CREATING = Waiting("ContainerCreating")
INITIALIZING = Waiting("PodInitializing")


def not_started(pod: Pod) -> Waiting:
    """Return why a container of the pod that was never started does not run."""
    return INITIALIZING if pod.spec.init_containers else CREATING


@dataclass(frozen=True, slots=True)
class PodFailure:
    """Why the node gave a pod up, as ``status.reason`` and ``status.message`` tell it.

    event_type: Normal or Warning, of the event with the same reason and message. event_message:
    what the event says instead; "" for the same. grace_s: how long the pod then has to end; None
    means its own time. refused: nothing of the pod was ever made.
    """

    reason: str
    message: str
    event_type: str = "Warning"
    grace_s: float | None = None
    event_message: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed at ``at`` and shall not be tried again before ``retry_at``.

    later: what is shown once ERROR_SHOWN_S have passed; None means the same for all the time.
    """

    shown: Waiting
    at: datetime
    retry_at: datetime
    later: Waiting | None = None

    def waiting(self, now: datetime) -> Waiting:
        """Return what to show at ``now``."""
        return self.later if self.later and now >= self.shown_until else self.shown

    @property
    def shown_until(self) -> datetime:
        """When ``shown`` makes way for ``later``."""
        return self.at + timedelta(seconds=ERROR_SHOWN_S)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the agent remembers of a pod between passes; lost when it restarts.

    crashes, failures: by container name. sandbox_attempt: the highest used so far, -1 for none.
    given_up: set for ever once the node has given the pod up for something it has measured.
    resources: by container id, what was asked for when the container was started or resized last.
    """

    crashes: Mapping[str, BackOff] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    pod_failure: Failure | None = None
    sandbox_attempt: int = -1
    volumes_ready: bool = False
    network_faults: tuple[str, ...] = ()
    deletion_sent: bool = False
    given_up: PodFailure | None = None
    resources: Mapping[str, ResourceRequirements] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeVerdict:
    """What the probes of one running container have found so far.

    started: its startup probe has succeeded, or it has none. ready: it is started and its
    readiness probe's last word is success, or it has none. unhealthy: the message of event
    Killing when its startup or liveness probe has failed for good (``Container web failed
    liveness probe, will be restarted``), else "". grace_s: how long it then has to end; None
    means the pod's own time.
    """

    started: bool
    ready: bool
    unhealthy: str = ""
    grace_s: float | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What exists of a pod. cleaned: True once ``Teardown`` has left nothing of it.

    verdicts: by container id, of the running containers that have probes; one that is missing
    has no probes.
    """

    sandboxes: tuple[SandboxStatus, ...] = ()
    containers: tuple[ContainerState, ...] = ()
    cleaned: bool = False
    verdicts: Mapping[str, ProbeVerdict] = field(default_factory=dict)

    @property
    def sandbox(self) -> SandboxStatus | None:
        """The sandbox that runs, if any; the newest of several."""
        alive = [s for s in self.sandboxes if s.phase is ContainerPhase.RUNNING]
        return max(alive, key=lambda s: s.config.attempt, default=None)

    def states(self, name: str) -> list[ContainerState]:
        """Return the containers of that name, newest first."""
        same = [c for c in self.containers if c.name == name]
        return sorted(same, key=lambda c: (c.attempt, c.created_at), reverse=True)

    @property
    def active(self) -> list[ContainerState]:
        """The containers that have a process."""
        return [c for c in self.containers if c.phase is ContainerPhase.RUNNING]


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Run a container's preStop hook and stop it, telling ``message`` as event Killing.

    after: ids of the containers of the same plan that get their stop signal before this one.
    """

    id: str
    name: str
    grace_s: float
    message: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove a container that has ended, and its log."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Stop a sandbox, free its address, remove its network namespace and itself.

    changed: the pod goes on with a new one, which an event tells.
    """

    sandbox: SandboxStatus
    changed: bool


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Make network namespace, address and pause container, and at the same time the volumes."""

    attempt: int
    with_volumes: bool


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Write the files of the pod's volumes."""


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Pull the image, create and start a container, run its postStart hook.

    back_off: remembered for its next end. target: id of the container whose processes it sees.
    """

    container: Container
    attempt: int
    back_off: BackOff | None
    target: str = ""


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Change the bounds of a running container to those of its spec."""

    id: str
    container: Container


@dataclass(frozen=True, slots=True)
class RepairNetwork:
    """Mend the pod's link, keeping its address."""

    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Write the status and wait until the API server has it."""


@dataclass(frozen=True, slots=True)
class Teardown:
    """Remove all that exists of the pod, logs and volumes included."""


@dataclass(frozen=True, slots=True)
class FinishDeletion:
    """Remove the Pod object: nothing of the pod is left."""


Step: TypeAlias = (
    StopContainer
    | RemoveContainer
    | RemoveSandbox
    | CreateSandbox
    | PrepareVolumes
    | StartContainer
    | ResizeContainer
    | RepairNetwork
    | Report
    | Teardown
    | FinishDeletion
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next.

    waiting: by name, the containers that do not run but will. recheck_at: plan again then, when
    nothing happens before. done: nothing of the pod is left and nothing will come. failed: the pod
    is given up: it is Failed as soon as no container runs any more.
    """

    steps: tuple[Step, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    recheck_at: datetime | None = None
    done: bool = False
    failed: PodFailure | None = None
