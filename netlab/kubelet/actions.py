"""Carries out the steps of a pod's plan.

Mirrors ``SyncPod``, ``killPod`` and what they call in ``pkg/kubelet/kuberuntime``. What fails is
told as an event and remembered in the pod's memory, which the next plan takes into account.

Rules: only the pod's worker calls ``carry_out``, one plan after the other. A pull or a hook is let
go of as soon as the pod shall end; everything else is finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from netlab.api.kinds import POD
from netlab.api.pods import Pod
from netlab.errors import ApiError, NetlabError, is_conflict, is_not_found
from netlab.kubelet.containers.hooks import HookError, run_hook
from netlab.kubelet.containers.resources import pod_resources
from netlab.kubelet.containers.starting import ContainerStarter
from netlab.kubelet.containers.stopping import stop_containers
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.images.pulling import StartError
from netlab.kubelet.node_parts import NORMAL, WARNING, NodeParts
from netlab.kubelet.planning.resizing import resize_message
from netlab.kubelet.planning.steps import (
    CREATING,
    CreateSandbox,
    Failure,
    FinishDeletion,
    PrepareVolumes,
    RemoveContainer,
    RemoveSandbox,
    RepairNetwork,
    Report,
    ResizeContainer,
    StartContainer,
    Step,
    StopContainer,
    Teardown,
    Waiting,
)
from netlab.kubelet.pod_state import EndingError, PodState
from netlab.kubelet.sandbox import create_sandbox, remove_network, remove_sandbox, repair_network
from netlab.kubelet.status.reporter import StatusReporter
from netlab.kubelet.status.termination_message import message_file
from netlab.kubelet.streams.log_rotation import log_files
from netlab.kubelet.volumes.content import VolumeError
from netlab.kubelet.volumes.mounts import PodMounts
from netlab.runtime.cri import LinuxResources

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 16.0
"""Delay after a failed pass, sandbox or volume: doubled from the first to the longest."""


def retry_at(now: datetime, failures: int) -> datetime:
    """Return when to try again after so many failures in a row."""
    delay_s = min(FIRST_RETRY_S * 2.0 ** (failures - 1), LONGEST_RETRY_S)
    return now + timedelta(seconds=delay_s)


class PodActions:
    """The actions on one pod.

    slots: held while a sandbox or container is being made, to bound the load.
    """

    def __init__(
        self,
        parts: NodeParts,
        state: PodState,
        *,
        folders: PodFolders,
        mounts: PodMounts,
        reporter: StatusReporter,
        slots: asyncio.Semaphore,
    ) -> None:
        self._parts = parts
        self._state = state
        self._folders = folders
        self._mounts = mounts
        self._reporter = reporter
        self._slots = slots
        self._starter = ContainerStarter(parts, state, folders, mounts)
        self._makes_failed = 0

    async def carry_out(self, pod: Pod | None, steps: Sequence[Step]) -> None:
        """Carry out steps in order; drop the rest after a failed sandbox or volume."""
        stops = [step for step in steps if isinstance(step, StopContainer)]
        if stops:
            await self._stop(stops)
        for step in steps:
            match step:
                case StopContainer():
                    continue
                case RemoveContainer():
                    await self._remove_container(step)
                case RemoveSandbox():
                    await self._remove_sandbox(step)
                case Teardown():
                    await self._teardown()
                case Report():
                    await self._reporter.flush()
                case _ if pod is None:
                    continue  # the steps below are never planned without a pod
                case CreateSandbox() | PrepareVolumes():
                    if not await self._make(pod, step):
                        return
                case StartContainer():
                    await self._start(pod, step)
                case ResizeContainer():
                    await self._resize(pod, step)
                case RepairNetwork():
                    await self._repair_network(step)
                case FinishDeletion():
                    await self._finish_deletion(pod)

    async def _stop(self, stops: Sequence[StopContainer]) -> None:
        for stop in stops:
            self._state.tell(NORMAL, "Killing", stop.message, stop.name)
        await stop_containers(
            self._parts.runtime,
            self._parts.clock,
            stops,
            pre_stop=self._pre_stop,
            shorter_grace=self._state.shorter_grace,
        )

    async def _pre_stop(self, stop: StopContainer) -> None:
        """Run a container's preStop hook, if it has one; a failure is told and changes nothing."""
        pod = self._state.last_pod
        found = [c for c in pod.spec.all_containers if c.name == stop.name] if pod else []
        hook = found[0].lifecycle.pre_stop if found and found[0].lifecycle else None
        if pod is None or hook is None:
            return
        try:
            await run_hook(
                hook,
                parts=self._parts,
                pod=pod,
                container=found[0],
                container_id=stop.id,
                pod_ip=self._state.pod_ip,
            )
        except HookError:
            # the text stays here: it may hold what the hook's output should not tell everybody
            self._state.tell(WARNING, "FailedPreStopHook", "PreStopHook failed", stop.name)

    async def _remove_container(self, step: RemoveContainer) -> None:
        await self._parts.runtime.remove_container(step.id)
        for state in self._state.observed.containers:
            if state.id == step.id and self._folders.logs in state.log_path.parents:
                for file in (*log_files(state.log_path), message_file(state.log_path)):
                    file.unlink(missing_ok=True)

    async def _remove_sandbox(self, step: RemoveSandbox) -> None:
        if step.changed:
            message = "Pod sandbox changed, it will be killed and re-created."
            self._state.tell(NORMAL, "SandboxChanged", message)
        self._state.remember(network_faults=())
        await remove_sandbox(self._parts, step.sandbox)

    async def _make(self, pod: Pod, step: CreateSandbox | PrepareVolumes) -> bool:
        """Make sandbox and volumes; return False, and remember it, when one of them failed."""
        outcomes: list[object] = []
        async with self._slots:
            if isinstance(step, CreateSandbox):
                making = [self._create_sandbox(pod, step)]
                if step.with_volumes:
                    making.append(self._prepare_volumes(pod))
            else:
                making = [self._prepare_volumes(pod)]
            outcomes = list(await asyncio.gather(*making))
        if all(outcomes):
            self._makes_failed = 0
            self._state.remember(pod_failure=None)
            return True
        # counted apart: a pass in which something could not be made is no failed pass
        self._makes_failed += 1
        now = self._parts.clock.now()
        failure = Failure(CREATING, now, retry_at(now, self._makes_failed))
        self._state.remember(pod_failure=failure)
        return False

    async def _create_sandbox(self, pod: Pod, step: CreateSandbox) -> bool:
        self._state.remember(sandbox_attempt=step.attempt, network_faults=())
        try:
            self._state.pod_ip = await create_sandbox(self._parts, pod, self._folders, step.attempt)
        except (NetlabError, OSError) as error:
            message = f"Failed to create pod sandbox: {error}"
            self._state.tell(WARNING, "FailedCreatePodSandBox", message)
            return False
        self._state.ip_attempt = step.attempt
        return True

    async def _prepare_volumes(self, pod: Pod) -> bool:
        try:
            await self._mounts.prepare(pod)
        except (VolumeError, NetlabError, OSError) as error:
            self._state.tell(WARNING, "FailedMount", str(error))
            return False
        self._state.remember(volumes_ready=True)
        return True

    async def _start(self, pod: Pod, step: StartContainer) -> None:
        name, state = step.container.name, self._state
        sandbox = state.observed.sandbox
        if sandbox is None or state.ending:
            return  # the next plan knows better
        failures = {key: f for key, f in state.memory.failures.items() if key != name}
        try:
            image = await state.unless_ending(self._starter.pull(pod, step.container))
            crashes = {key: b for key, b in state.memory.crashes.items() if key != name}
            if step.back_off is not None:
                crashes[name] = step.back_off
            state.remember(crashes=crashes)
            async with self._slots:
                started = await self._starter.start(pod, step, sandbox.id, state.pod_ip, image)
            resources = {**state.memory.resources, started: step.container.resources}
            state.remember(resources=resources)
            await self._post_start(pod, step, started)
        except StartError as error:
            failures[name] = error.failure
        except EndingError:
            return
        state.remember(failures=failures)

    async def _post_start(self, pod: Pod, step: StartContainer, container_id: str) -> None:
        """Run a container's postStart hook, if it has one.

        Raises: StartError, after the container was stopped; EndingError.
        """
        container = step.container
        hook = container.lifecycle.post_start if container.lifecycle else None
        if hook is None:
            return
        try:
            await self._state.unless_ending(
                run_hook(
                    hook,
                    parts=self._parts,
                    pod=pod,
                    container=container,
                    container_id=container_id,
                    pod_ip=self._state.pod_ip,
                )
            )
        except HookError as error:
            name, reason = container.name, "FailedPostStartHook"
            self._state.tell(WARNING, reason, "PostStartHook failed", name)
            grace_s = pod.spec.grace_s
            await self._stop([StopContainer(container_id, name, grace_s, reason)])
            now = self._parts.clock.now()
            waiting = Waiting("PostStartHookError", str(error))
            raise StartError(Failure(waiting, now, now)) from error

    async def _resize(self, pod: Pod, step: ResizeContainer) -> None:
        resources = self._starter.resources(pod, step.container)
        try:
            await self._change_bounds(pod, step.id, resources)
        except NetlabError as error:
            message = f"Error resizing container {step.container.name}: {error}"
            self._state.tell(WARNING, "ResizeError", message, step.container.name)
            raise
        known = {**self._state.memory.resources, step.id: step.container.resources}
        self._state.remember(resources=known)
        self._state.tell(NORMAL, "ResizeCompleted", resize_message(pod))

    async def _change_bounds(self, pod: Pod, container_id: str, bounds: LinuxResources) -> None:
        """Change a container's bounds and those of its pod, which must be the wider ones always."""
        runtime, sandbox = self._parts.runtime, self._state.observed.sandbox
        whole = pod_resources(pod)
        if sandbox is not None:
            unbounded = replace(whole, cpu_quota_us=0, memory_limit_bytes=0)
            await runtime.update_resources(sandbox.id, unbounded)
        await runtime.update_resources(container_id, bounds)
        if sandbox is not None:
            await runtime.update_resources(sandbox.id, whole)

    async def _repair_network(self, step: RepairNetwork) -> None:
        sandbox = self._state.observed.sandbox
        self._state.remember(network_faults=())
        if sandbox is not None:
            await repair_network(self._parts, sandbox)
            message = f"Repaired the pod's network: {'; '.join(step.faults)}"
            self._state.tell(WARNING, "NetworkRepaired", message)

    async def _teardown(self) -> None:
        """Remove all there is of the pod, past failures."""
        errors: list[Exception] = []
        runtime, netns = self._parts.runtime, self._parts.netns
        observed = self._state.observed
        actions: list[Callable[[], Awaitable[None]]]
        actions = [partial(runtime.remove_container, c.id) for c in observed.containers]
        actions += [partial(remove_sandbox, self._parts, s) for s in observed.sandboxes]
        for action in actions:
            try:
                await action()
            except* (NetlabError, OSError) as group:
                errors += group.exceptions
        base = self._folders.netns_name(0)
        for name in netns.list_netns():
            if name == base or name.startswith(f"{base}_"):
                await remove_network(self._parts, name)
        if errors:
            raise ExceptionGroup("remove pod", errors)
        await self._mounts.remove()
        self._state.cleaned = True

    async def _finish_deletion(self, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._parts.client.delete(
                POD, meta.namespace, meta.name, grace_period_s=0, uid=meta.uid
            )
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise
        self._state.remember(deletion_sent=True)
