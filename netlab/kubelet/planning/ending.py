"""Decides in which order and with how much time the containers of a pod are stopped.

Mirrors ``killContainersWithSyncResult`` and ``kuberuntime_termination_order.go``: the hooks of all
containers begin at once, and a sidecar gets its stop signal only when the ordinary containers and
the sidecars that were started after it have ended, all within the same grace period.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.api.pods import Pod
from netlab.kubelet.planning.restarting import sidecars
from netlab.kubelet.planning.steps import Observed, RemoveSandbox, Step, StopContainer
from netlab.runtime.cri import ContainerState


def end_all(pod: Pod | None, observed: Observed, grace_s: float) -> tuple[Step, ...]:
    """Return steps that leave no process of the pod, but keep ended containers for their logs."""
    stops = stop_all(pod, observed.active, grace_s)
    if stops:
        return stops
    return tuple(RemoveSandbox(sandbox, changed=False) for sandbox in observed.sandboxes)


def stop_all(
    pod: Pod | None, containers: Sequence[ContainerState], grace_s: float
) -> tuple[StopContainer, ...]:
    """Return the stops of running containers; pod None: nothing is known of their order."""
    order = {c.name: i for i, c in enumerate(sidecars(pod.spec))} if pod is not None else {}
    ordinary = {c.name for c in pod.spec.containers} if pod is not None else set()

    def after(container: ContainerState) -> tuple[str, ...]:
        place = order.get(container.name)
        if place is None:
            return ()
        return tuple(
            c.id for c in containers if c.name in ordinary or order.get(c.name, -1) > place
        )

    return tuple(
        StopContainer(c.id, c.name, grace_s, f"Stopping container {c.name}", after(c))
        for c in containers
    )
