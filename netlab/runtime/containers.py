"""Containers: made ready, started under conmon, watched, stopped, removed.

Plays containerd's container and task services. ``create`` prepares root file system and spec;
``start`` launches conmon, which has the OCI runtime create the container, and starts it. What a
crash leaves between any two steps is told by the container's folder (``records.py``): adoption
turns it into a container that is created, running or exited, and ``remove`` takes any of them.
"""

from __future__ import annotations

import secrets
import shutil
import signal
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from netlab.errors import ContainerError
from netlab.runtime.cgroups import (
    add_process,
    kill_processes,
    kill_session,
    lab_group,
    pod_group,
    signal_group,
)
from netlab.runtime.conmon import ConmonJob, launch
from netlab.runtime.cri import ContainerConfig, ContainerPhase, ContainerState, SandboxStatus
from netlab.runtime.exits import ExitWatcher
from netlab.runtime.machine import Machine, disk_errors_as
from netlab.runtime.mounts import mount_overlay
from netlab.runtime.process import kill_with_argument, open_command, read_pid, signal_member
from netlab.runtime.recipe import UnpackedImage
from netlab.runtime.records import (
    ContainerRecord,
    Outcome,
    Started,
    read_outcome,
    read_record,
    record_folders,
    write_record,
)
from netlab.runtime.spec import ContainerPlace, container_spec
from netlab.runtime.teardown import remove_tree, tear_down_container

_KILL_TIMEOUT_S = 10.0
# containerd's code for a container whose process could not be started at all.
_EXIT_CANNOT_RUN = 128
_EXIT_KILLED = 137


@dataclass(slots=True)
class _Container:
    """What is known of a container.

    pid: its first process; 0 before it is started. shown: the state last told, behind what it was
    made from.
    """

    record: ContainerRecord
    pid: int = 0
    started_at: datetime | None = None
    outcome: Outcome | None = None
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
                # Nothing else was made before the record was whole.
                remove_tree(folder)
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
        record = _record(container_id, machine, sandbox, config, image)
        try:
            with disk_errors_as(f"container {config.name}"):
                await machine.in_thread(self._prepare, record, sandbox, config, image)
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
            self._set_outcome(container, _EXIT_CANNOT_RUN, "ContainerCannotRun", str(error))
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

    def _prepare(
        self,
        record: ContainerRecord,
        sandbox: SandboxStatus,
        config: ContainerConfig,
        image: UnpackedImage,
    ) -> None:
        paths = self._machine.paths
        folder, writable = paths.container(record.id), paths.writable / record.id
        folder.mkdir()
        write_record(folder / "record.json", record)
        root, upper, work = folder / "rootfs", writable / "upper", writable / "work"
        for made in (root, writable, upper, work):
            made.mkdir()
        # The root folder's own permissions come from the upper layer.
        upper.chmod(0o755)
        mount_overlay(image.layers, upper=upper, work=work, target=root)
        place = ContainerPlace(
            root=root,
            cgroup=record.cgroup,
            pause_pid=sandbox.pid,
            shm=paths.sandbox(sandbox.id) / "shm",
            hostname=paths.sandbox(sandbox.id) / "hostname",
            empty=paths.empty,
        )
        spec = container_spec(
            config,
            sandbox=sandbox.config,
            image=image,
            place=place,
            capabilities=self._machine.capabilities,
        )
        (folder / "config.json").write_bytes(msgspec.json.encode(spec))
        config.log_path.parent.mkdir(parents=True, exist_ok=True)

    def _job(self, record: ContainerRecord) -> ConmonJob:
        return ConmonJob(
            container_id=record.id,
            name=f"k8s_{record.name}_{record.pod_name}_{record.namespace}",
            folder=self._machine.paths.container(record.id),
            log_path=Path(record.log_path),
            oci_runtime=self._machine.oci.path,
            oci_root=self._machine.oci.root,
            stdin=record.stdin,
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
        folder = self._machine.paths.container(container.record.id)
        container.outcome = container.outcome or read_outcome(folder, container.record.id)
        if container.record.share_process_namespace:
            # Its pid namespace lives on, and so would what the first process left behind.
            signal_group(self._machine.hierarchies, container.record.cgroup, signal.SIGKILL)
        if container.outcome is None:
            # Somebody killed conmon: output and exit code of its container are lost with it.
            self._signal(container, signal.SIGKILL)
            message = "its supervisor conmon ended without an exit code"
            self._set_outcome(container, _EXIT_KILLED, "Error", message)

    def _adopt_one(self, folder: Path, record: ContainerRecord) -> _Container:
        for session in folder.glob("exec-*"):
            # Nobody reads its output any more.
            kill_session(self._machine.hierarchies, record.cgroup, read_pid(session / "pid"))
            shutil.rmtree(session, ignore_errors=True)
        started = read_record(folder / "started.json", Started)
        container = _Container(record, pid=read_pid(folder / "pid"))
        if started is None:
            return container
        container.started_at = started.at
        container.outcome = read_outcome(folder, record.id)
        if container.outcome is not None:
            self._watcher.report(record.id)
        elif self._machine.oci.is_waiting(record.id) or container.pid == 0:
            kill_with_argument(record.id)
            kill_processes(self._machine.hierarchies, record.cgroup)
            message = "the daemon ended while it started this container"
            self._set_outcome(container, _EXIT_CANNOT_RUN, "ContainerCannotRun", message)
            self._watcher.report(record.id)
        else:
            self._watch(container)
        return container

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


def _record(
    container_id: str,
    machine: Machine,
    sandbox: SandboxStatus,
    config: ContainerConfig,
    image: UnpackedImage,
) -> ContainerRecord:
    pod = sandbox.config.pod
    return ContainerRecord(
        id=container_id,
        sandbox_id=sandbox.id,
        namespace=pod.namespace,
        pod_name=pod.name,
        pod_uid=pod.uid,
        name=config.name,
        attempt=config.attempt,
        image=config.image,
        image_id=image.id,
        log_path=str(config.log_path),
        stop_signal=image.config.stop_signal,
        stdin=config.stdin,
        tty=config.tty,
        share_process_namespace=sandbox.config.share_process_namespace,
        cgroup=f"{pod_group(machine.lab_name, pod.uid)}/{container_id}",
        created_at=machine.clock.now(),
    )
