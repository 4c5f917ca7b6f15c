"""Containers: made ready, started under conmon, watched, stopped, removed.

Plays containerd's container and task services. ``create`` prepares root file system and spec;
``start`` launches conmon, which has the OCI runtime create the container, and starts it. What a
crash leaves between any two steps is told by the container's folder (``records.py``): adoption
turns it into a container that is created, running or exited, and ``remove`` takes any of them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from netlab.errors import ContainerError
from netlab.runtime.attach import AttachTarget
from netlab.runtime.bundle import make_bundle, new_record
from netlab.runtime.cgroups import (
    add_process,
    kill_processes,
    lab_group,
    signal_group,
)
from netlab.runtime.conmon import ConmonJob, launch, reopen_log
from netlab.runtime.cri import (
    ContainerConfig,
    ContainerPhase,
    ContainerState,
    LinuxResources,
    SandboxStatus,
)
from netlab.runtime.exec import end_session
from netlab.runtime.exits import ExitWatcher
from netlab.runtime.limits import oci_changes
from netlab.runtime.machine import Machine, disk_errors_as
from netlab.runtime.process import (
    kill_with_argument,
    open_command,
    open_member,
    read_pid,
    signal_member,
)
from netlab.runtime.recipe import UnpackedImage
from netlab.runtime.records import (
    EXIT_KILLED,
    ContainerRecord,
    Outcome,
    Started,
    judge_outcome,
    read_outcome,
    read_record,
    record_folders,
    write_record,
)
from netlab.runtime.teardown import remove_without_record, tear_down_container
from netlab.runtime.terminals import set_size_of
from netlab.runtime.usage import oom_kills

_KILL_TIMEOUT_S = 10.0
# containerd's words for a container whose process could not be started at all.
_EXIT_CANNOT_RUN, _CANNOT_RUN = 128, "StartError"


@dataclass(slots=True)
class _Container:
    """What is known of a container.

    pid: its first process; 0 before it is started. ended: for those who are attached; done when it
    has ended. shown: the state last told, behind what it was made from.
    """

    record: ContainerRecord
    pid: int = 0
    started_at: datetime | None = None
    outcome: Outcome | None = None
    ended: asyncio.Future[None] | None = None
    shown: tuple[tuple[object, ...], ContainerState] | None = None


class Containers:
    """The containers of a lab. Calls about one container come one after the other."""

    def __init__(self, machine: Machine, watcher: ExitWatcher) -> None:
        self._machine = machine
        self._watcher = watcher
        self._containers: dict[str, _Container] = {}

    def adopt(self) -> None:
        """Take over what an earlier daemon left."""
        machine = self._machine
        for folder in record_folders(machine.paths.containers):
            record = read_record(folder / "record.json", ContainerRecord)
            if record is None:
                # Nothing else was made before the record was whole; or it was damaged since.
                remove_without_record(folder)
                continue
            self._containers[record.id] = self._adopt_one(folder, record)

    def groups(self) -> set[str]:
        """Return the control groups of all containers."""
        return {container.record.cgroup for container in self._containers.values()}

    async def create(
        self, sandbox: SandboxStatus, config: ContainerConfig, image: UnpackedImage
    ) -> str:
        """Make a container ready to start; return its id."""
        machine = self._machine
        container_id = secrets.token_hex(32)
        record = new_record(container_id, machine, sandbox, config, image)
        target_pid = self._pid_of(config.target_container)
        try:
            with disk_errors_as(f"container {config.name}"):
                await machine.in_thread(
                    make_bundle, machine, record, sandbox, config, image, target_pid=target_pid
                )
        except BaseException:
            await self._tear_down(record)
            raise
        self._containers[container_id] = _Container(record)
        return container_id

    async def start(self, container_id: str) -> None:
        """Run a created container's process.

        Raises: ContainerError with the OCI runtime's reason; the container is then EXITED.
        """
        container = self._require(container_id)
        if self._phase(container) is not ContainerPhase.CREATED:
            raise ContainerError(f"container {container_id}: is started already")
        record, folder = container.record, self._machine.paths.container(container_id)
        container.started_at = self._machine.clock.now()
        with disk_errors_as(f"container {record.name}"):
            write_record(folder / "started.json", Started(container.started_at))
        try:
            container.pid = await launch(self._job(record), settle=self._settle)
            self._watch(container)
            await self._machine.oci.start(container_id, folder)
        except ContainerError as error:
            await self._machine.in_thread(kill_processes, self._machine.hierarchies, record.cgroup)
            self._set_outcome(container, _EXIT_CANNOT_RUN, _CANNOT_RUN, str(error))
            self._watcher.report(container_id)
            raise

    async def stop(self, container_id: str, *, grace_period_s: float) -> None:
        """Send the stop signal, wait, then kill; what it forked is killed too."""
        container = self._containers.get(container_id)
        if container is None or not self._watcher.is_running(container_id):
            return
        if grace_period_s > 0:
            self._signal(container, signal.Signals[container.record.stop_signal])
            if await self._watcher.wait(container_id, grace_period_s):
                return
        await self._machine.in_thread(
            kill_processes, self._machine.hierarchies, container.record.cgroup
        )
        if not await self._watcher.wait(container_id, _KILL_TIMEOUT_S):
            raise ContainerError(f"container {container_id}: conmon does not end")

    async def remove(self, container_id: str) -> None:
        """Kill a container if it runs and remove all that belongs to it."""
        container = self._containers.get(container_id)
        if container is None:
            return
        await self.stop(container_id, grace_period_s=0)
        await self._tear_down(container.record)
        self._watcher.forget(container_id)
        self._containers.pop(container_id, None)

    def states(self) -> list[ContainerState]:
        """Return every container, the oldest first."""
        states = [self._state(container) for container in self._containers.values()]
        return sorted(states, key=lambda state: state.created_at)

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None:
        """Change the bounds of a running container.

        Raises: ContainerError.
        """
        self.running(container_id)
        machine = self._machine
        words = oci_changes(resources, machine.hierarchies)
        await machine.oci.update(container_id, machine.paths.container(container_id), words)

    def running_groups(self) -> dict[str, str]:
        """Return the control groups of the running containers by id."""
        return {
            one.record.id: one.record.cgroup
            for one in self._containers.values()
            if self._phase(one) is ContainerPhase.RUNNING
        }

    def attach_target(self, container_id: str) -> AttachTarget:
        """Return where the streams of a running container's own process are.

        Raises: ContainerError.
        """
        record = self.running(container_id)
        container = self._containers[container_id]
        if container.ended is None:
            container.ended = asyncio.get_running_loop().create_future()
        return AttachTarget(
            id=container_id,
            folder=self._machine.paths.container(container_id),
            stdin=record.stdin,
            stdin_once=record.stdin_once,
            tty=record.tty,
            ended=container.ended,
            resize=lambda columns, rows: self._resize(container, columns, rows),
            exit_code=lambda: container.outcome.exit_code if container.outcome else EXIT_KILLED,
        )

    def _resize(self, container: _Container, columns: int, rows: int) -> bool:
        pidfd = open_member(container.pid, container.record.cgroup)
        if pidfd is None:
            return False
        try:
            return set_size_of(container.pid, columns, rows)
        finally:
            os.close(pidfd)

    def detach_all(self) -> None:
        """End every attached client's session; the containers run on."""
        for container in self._containers.values():
            if container.ended is not None:
                container.ended.cancel()
                container.ended = None

    async def rotate_log(self, container_id: str) -> None:
        """Have the container's conmon open its log path anew.

        Raises: ContainerError.
        """
        record = self.running(container_id)
        await reopen_log(self._machine.paths.container(container_id), Path(record.log_path))

    def of_sandbox(self, sandbox_id: str) -> list[str]:
        """Return the ids of a sandbox's containers."""
        found = self._containers.values()
        return [one.record.id for one in found if one.record.sandbox_id == sandbox_id]

    def running(self, container_id: str) -> ContainerRecord:
        """Return a container in which a process can be run.

        Raises: ContainerError.
        """
        container = self._require(container_id)
        if self._phase(container) is not ContainerPhase.RUNNING:
            raise ContainerError(f"container {container_id}: is not running")
        return container.record

    def _pid_of(self, container_id: str) -> int:
        """Return the first process of a running container; 0 for "".

        Raises: ContainerError when it does not run.
        """
        if not container_id:
            return 0
        container = self._require(container_id)
        if self._phase(container) is not ContainerPhase.RUNNING:
            raise ContainerError(f"container {container_id}: is not running")
        return container.pid

    def _job(self, record: ContainerRecord) -> ConmonJob:
        return ConmonJob(
            container_id=record.id,
            name=f"k8s_{record.name}_{record.pod_name}_{record.namespace}",
            folder=self._machine.paths.container(record.id),
            log_path=Path(record.log_path),
            oci_runtime=self._machine.oci.path,
            oci_root=self._machine.oci.root,
            stdin=record.stdin,
            stdin_ends_with_client=record.stdin_once and not record.tty,
            tty=record.tty,
        )

    def _settle(self, pid: int) -> None:
        group = f"{lab_group(self._machine.lab_name)}/conmon"
        add_process(self._machine.hierarchies, group, pid)

    def _watch(self, container: _Container) -> None:
        """Watch a container's conmon; without one, its end cannot be told apart from now."""
        record = container.record
        folder = self._machine.paths.container(record.id)
        conmon = open_command(read_pid(folder / "conmon.pid"), record.id)
        if conmon is None:
            self._conmon_ended(container)
            self._watcher.report(record.id)
        else:
            self._watcher.watch(record.id, conmon, lambda: self._conmon_ended(container))

    def _conmon_ended(self, container: _Container) -> None:
        container.outcome = container.outcome or self._read_outcome(container.record)
        if container.record.shares_processes:
            # Its pid namespace lives on, and so would what the first process left behind.
            signal_group(self._machine.hierarchies, container.record.cgroup, signal.SIGKILL)
        if container.outcome is None:
            # Somebody killed conmon: output and exit code of its container are lost with it.
            self._signal(container, signal.SIGKILL)
            message = "its supervisor conmon ended without an exit code"
            self._set_outcome(container, EXIT_KILLED, "Error", message)
        if container.ended is not None and not container.ended.done():
            container.ended.set_result(None)

    def _adopt_one(self, folder: Path, record: ContainerRecord) -> _Container:
        for session in folder.glob("exec-*"):
            # Nobody reads its output any more.
            end_session(self._machine.hierarchies, record.cgroup, session)
            shutil.rmtree(session, ignore_errors=True)
        started = read_record(folder / "started.json", Started)
        container = _Container(record, pid=read_pid(folder / "pid"))
        if started is None:
            return container
        container.started_at = started.at
        container.outcome = self._read_outcome(record)
        if container.outcome is not None:
            self._watcher.report(record.id)
        elif self._machine.oci.is_waiting(record.id) or container.pid == 0:
            kill_with_argument(record.id)
            kill_processes(self._machine.hierarchies, record.cgroup)
            message = "the daemon ended while it started this container"
            self._set_outcome(container, _EXIT_CANNOT_RUN, _CANNOT_RUN, message)
            self._watcher.report(record.id)
        else:
            self._watch(container)
        return container

    def _read_outcome(self, record: ContainerRecord) -> Outcome | None:
        outcome = read_outcome(self._machine.paths.container(record.id), record.id)
        kills = oom_kills(self._machine.hierarchies, record.cgroup)
        if outcome is None or kills is None or outcome.message:
            return outcome
        # The kernel's count before conmon's word: of a bound of the pod's group conmon hears
        # nothing with version 2, and with version 1 also when another container was killed.
        return judge_outcome(outcome, kills)

    def _set_outcome(self, container: _Container, code: int, reason: str, message: str) -> None:
        container.outcome = Outcome(
            exit_code=code, reason=reason, finished_at=self._machine.clock.now(), message=message
        )
        folder = self._machine.paths.container(container.record.id)
        write_record(folder / "outcome.json", container.outcome)

    def _signal(self, container: _Container, number: int) -> None:
        signal_member(container.pid, container.record.cgroup, number)

    async def _tear_down(self, record: ContainerRecord) -> None:
        machine = self._machine
        await machine.in_thread(
            tear_down_container, machine.paths, machine.hierarchies, record.id, record.cgroup
        )

    def _require(self, container_id: str) -> _Container:
        container = self._containers.get(container_id)
        if container is None:
            raise ContainerError(f"container {container_id}: not found")
        return container

    def _phase(self, container: _Container) -> ContainerPhase:
        if container.outcome is not None:
            return ContainerPhase.EXITED
        if container.started_at is None:
            return ContainerPhase.CREATED
        return ContainerPhase.RUNNING

    def _state(self, container: _Container) -> ContainerState:
        phase = self._phase(container)
        # the kubelet lists all containers each time it looks at one pod, so a state that did not
        # change is not built again
        key = (phase, container.pid, container.started_at, container.outcome)
        if container.shown is None or container.shown[0] != key:
            container.shown = (key, self._describe(container, phase))
        return container.shown[1]

    def _describe(self, container: _Container, phase: ContainerPhase) -> ContainerState:
        record, outcome = container.record, container.outcome
        return ContainerState(
            id=record.id,
            sandbox_id=record.sandbox_id,
            pod=record.pod,
            name=record.name,
            attempt=record.attempt,
            image=record.image,
            image_id=record.image_id,
            phase=phase,
            pid=container.pid if phase is ContainerPhase.RUNNING else 0,
            created_at=record.created_at,
            started_at=container.started_at,
            finished_at=outcome.finished_at if outcome else None,
            exit_code=outcome.exit_code if outcome else 0,
            reason=outcome.reason if outcome else "",
            message=outcome.message if outcome else "",
            log_path=Path(record.log_path),
        )
