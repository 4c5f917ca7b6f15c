"""Makes a container's bundle: its record, its root file system mounted, its OCI spec.

The part of containerd's ``CreateContainer`` that touches the disk. Blocking, for the runtime's
threads; what it made before it failed is removed by ``teardown.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from netlab.runtime.cgroups import pod_group
from netlab.runtime.cri import ContainerConfig, SandboxConfig, SandboxStatus
from netlab.runtime.machine import Machine
from netlab.runtime.mounts import mount_overlay
from netlab.runtime.recipe import StackedFolder, UnpackedImage
from netlab.runtime.records import ContainerRecord, write_record
from netlab.runtime.rights import process_rights
from netlab.runtime.spec import ContainerPlace, container_spec


def new_record(
    container_id: str,
    machine: Machine,
    sandbox: SandboxStatus,
    config: ContainerConfig,
    image: UnpackedImage,
) -> ContainerRecord:
    """Return what is to be remembered of a container."""
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
        stop_signal=config.stop_signal or image.config.stop_signal,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        tty=config.tty,
        shares_processes=_shares_processes(sandbox.config, config),
        cgroup=f"{pod_group(machine.lab_name, pod.uid)}/{container_id}",
        created_at=machine.clock.now(),
    )


def make_bundle(
    machine: Machine,
    record: ContainerRecord,
    sandbox: SandboxStatus,
    config: ContainerConfig,
    image: UnpackedImage,
    *,
    target_pid: int,
) -> None:
    """Make everything that the OCI runtime needs. target_pid: as in ``ContainerPlace``.

    Raises: ContainerError; OSError.
    """
    paths = machine.paths
    folder, writable = paths.container(record.id), paths.writable / record.id
    folder.mkdir()
    write_record(folder / "record.json", record)
    root = _mount_root(folder / "rootfs", writable, image)
    place = ContainerPlace(
        root=root,
        cgroup=record.cgroup,
        pause_pid=sandbox.pid,
        shm=None if sandbox.config.host_ipc else paths.sandbox(sandbox.id) / "shm",
        hostname=paths.sandbox(sandbox.id) / "hostname",
        empty=paths.empty,
        target_pid=target_pid,
    )
    rights = process_rights(machine, config, image.config.user, root)
    spec = container_spec(config, sandbox=sandbox.config, image=image, place=place, rights=rights)
    (folder / "config.json").write_bytes(msgspec.json.encode(spec))
    config.log_path.parent.mkdir(parents=True, exist_ok=True)


def _mount_root(root: Path, writable: Path, image: UnpackedImage) -> Path:
    upper, work = writable / "upper", writable / "work"
    for made in (root, writable, upper, work):
        made.mkdir()
    # The root folder's own permissions come from the upper layer.
    upper.chmod(0o755)
    mount_overlay(image.layers, upper=upper, work=work, target=root)
    _mount_stacked(image.stacked, writable=writable, root=root)
    return root


def _mount_stacked(folders: Sequence[StackedFolder], *, writable: Path, root: Path) -> None:
    """Mount the folders of an image that are overlays of their own, below the mounted root."""
    for number, folder in enumerate(folders):
        upper, work = writable / f"upper-{number}", writable / f"work-{number}"
        upper.mkdir()
        upper.chmod(0o755)
        work.mkdir()
        mount_overlay(folder.lower, upper=upper, work=work, target=root / folder.target.lstrip("/"))


def _shares_processes(sandbox: SandboxConfig, config: ContainerConfig) -> bool:
    """True when the container's pid namespace lives on after its first process."""
    return bool(sandbox.share_process_namespace or sandbox.host_pid or config.target_container)
