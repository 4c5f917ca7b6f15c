"""Sandboxes: the pause containers that hold pods' namespaces.

Plays containerd's ``RunPodSandbox`` and its companions. A sandbox is one OCI container without a
supervisor: pause has no output and its exit code means nothing, so one ``run --detach`` does.
"""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

import msgspec

from netlab.errors import ContainerError
from netlab.runtime.cgroups import pod_group
from netlab.runtime.cri import ContainerPhase, LinuxResources, SandboxConfig, SandboxStatus
from netlab.runtime.exits import ExitWatcher
from netlab.runtime.limits import bound_group
from netlab.runtime.machine import Machine, disk_errors_as
from netlab.runtime.mounts import mount_shm
from netlab.runtime.process import open_member, read_pid, signal_member
from netlab.runtime.records import (
    SandboxRecord,
    read_record,
    record_folders,
    write_record,
)
from netlab.runtime.spec import sandbox_spec
from netlab.runtime.teardown import remove_without_record, tear_down_sandbox

# containerd's default for a pod's shared memory.
_SHM_BYTES = 64 << 20
_STOP_TIMEOUT_S = 10.0


class Sandboxes:
    """The sandboxes of a lab. Calls about one sandbox come one after the other."""

    def __init__(self, machine: Machine, watcher: ExitWatcher) -> None:
        self._machine = machine
        self._watcher = watcher
        self._records: dict[str, SandboxRecord] = {}
        self._pids: dict[str, int] = {}

    def adopt(self) -> None:
        """Take over what an earlier daemon left; a sandbox whose pause is gone counts as exited."""
        for folder in record_folders(self._machine.paths.sandboxes):
            record = read_record(folder / "record.json", SandboxRecord)
            if record is None:
                # Nothing else was made before the record was whole; or it was damaged since.
                remove_without_record(folder)
                continue
            self._records[record.id] = record
            self._watch(record, read_pid(folder / "pid"))

    def groups(self) -> set[str]:
        """Return the control groups of all sandboxes."""
        return {record.cgroup for record in self._records.values()}

    async def run(self, config: SandboxConfig) -> str:
        """Start a sandbox in an existing network namespace; return its id."""
        machine = self._machine
        sandbox_id = secrets.token_hex(32)
        record = SandboxRecord(
            id=sandbox_id,
            config=config,
            cgroup=f"{pod_group(machine.lab_name, config.pod.uid)}/{sandbox_id}",
            created_at=machine.clock.now(),
        )
        folder = machine.paths.sandbox(sandbox_id)
        try:
            with disk_errors_as(f"sandbox of pod {config.pod.namespace}/{config.pod.name}"):
                await machine.in_thread(self._prepare, folder, record)
                pid = await machine.oci.run_detached(sandbox_id, folder)
        except BaseException:
            await machine.in_thread(
                tear_down_sandbox, machine.paths, machine.hierarchies, sandbox_id, record.cgroup
            )
            raise
        self._records[sandbox_id] = record
        self._watch(record, pid)
        return sandbox_id

    async def stop(self, sandbox_id: str) -> None:
        """End pause, and with it nothing else: containers are stopped before."""
        record = self._records.get(sandbox_id)
        if record is None or not self._watcher.is_running(sandbox_id):
            return
        signal_member(self._pids[sandbox_id], record.cgroup, signal.SIGKILL)
        if not await self._watcher.wait(sandbox_id, _STOP_TIMEOUT_S):
            raise ContainerError(f"sandbox {sandbox_id}: pause does not end")

    async def remove(self, sandbox_id: str) -> None:
        """Remove a sandbox and what belongs to it."""
        record = self._records.get(sandbox_id)
        if record is None:
            return
        machine = self._machine
        await machine.in_thread(
            tear_down_sandbox, machine.paths, machine.hierarchies, sandbox_id, record.cgroup
        )
        self._watcher.forget(sandbox_id)
        self._records.pop(sandbox_id, None)
        self._pids.pop(sandbox_id, None)

    async def update_resources(self, sandbox_id: str, resources: LinuxResources) -> None:
        """Change the bounds of the pod's control group.

        Raises: ContainerError.
        """
        group = self.pods().get(sandbox_id)
        if group is not None:
            machine = self._machine
            await machine.in_thread(bound_group, machine.hierarchies, group, resources)

    def pods(self) -> dict[str, str]:
        """Return the control group of each running sandbox's pod, by the sandbox's id."""
        return {
            record.id: str(Path(record.cgroup).parent)
            for record in self._records.values()
            if self._watcher.is_running(record.id)
        }

    def statuses(self) -> list[SandboxStatus]:
        """Return every sandbox, the oldest first."""
        statuses = [self._status(record) for record in self._records.values()]
        return sorted(statuses, key=lambda status: status.created_at)

    def running(self, sandbox_id: str) -> SandboxStatus:
        """Return a sandbox that containers can join.

        Raises: ContainerError.
        """
        record = self._records.get(sandbox_id)
        if record is None:
            raise ContainerError(f"sandbox {sandbox_id}: not found")
        status = self._status(record)
        if status.phase is not ContainerPhase.RUNNING:
            raise ContainerError(f"sandbox {sandbox_id}: pause has ended")
        return status

    def _prepare(self, folder: Path, record: SandboxRecord) -> None:
        folder.mkdir()
        write_record(folder / "record.json", record)
        machine, config = self._machine, record.config
        (folder / "hostname").write_text(f"{config.hostname}\n")
        if not config.host_ipc:
            (folder / "shm").mkdir()
            mount_shm(folder / "shm", _SHM_BYTES)
        bound_group(machine.hierarchies, str(Path(record.cgroup).parent), config.resources)
        spec = sandbox_spec(
            config,
            root=machine.pause_layer,
            cgroup=record.cgroup,
            lowest_oom_score=machine.lowest_oom_score,
        )
        (folder / "config.json").write_bytes(msgspec.json.encode(spec))

    def _watch(self, record: SandboxRecord, pid: int) -> None:
        waiting = self._machine.oci.is_waiting(record.id)
        pidfd = None if waiting else open_member(pid, record.cgroup)
        if pidfd is None:
            self._watcher.report(record.id)
            return
        self._pids[record.id] = pid
        self._watcher.watch(record.id, pidfd, lambda: None)

    def _status(self, record: SandboxRecord) -> SandboxStatus:
        running = self._watcher.is_running(record.id)
        return SandboxStatus(
            id=record.id,
            config=record.config,
            phase=ContainerPhase.RUNNING if running else ContainerPhase.EXITED,
            pid=self._pids.get(record.id, 0) if running else 0,
            created_at=record.created_at,
        )
