"""Makes the volumes that are folders: emptyDir, hostPath and what is behind a claim.

Mirrors ``pkg/volume/emptydir`` and the mounting half of ``pkg/volume/{hostpath,local}``. A folder
is made, and given to the pod's fsGroup, once; later passes only look it up. The blocking work,
which for a large volume takes long, is done on a thread.

netlab leaves out the medium HugePages, and enforces the capacity of no claim.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from netlab.api.pods import Pod
from netlab.api.quantities import parse_quantity
from netlab.api.volumes import EmptyDirVolume, Volume
from netlab.errors import NetlabError
from netlab.kubelet.containers.resource_fields import node_allocatable
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.node_parts import NodeParts
from netlab.kubelet.volumes.claims import (
    ClaimError,
    claim_failure,
    claimed_volume,
    node_labels,
    volume_folder,
)
from netlab.kubelet.volumes.content import VolumeError, fs_group, mount_failure
from netlab.kubelet.volumes.host_paths import ensure_host_path
from netlab.kubelet.volumes.ownership import give_to_group
from netlab.kubelet.volumes.sizes import measured_volumes, tmpfs_bytes
from netlab.runtime.mounts import mount_tmpfs

EMPTY_DIR_MODE = 0o777


@dataclass(frozen=True, slots=True)
class FolderVolume:
    """A volume that is a folder, or for hostPath also a file, of the node."""

    path: Path
    read_only: bool = False
    managed: bool = True


class PodVolumeFolders:
    """The folders that one pod's volumes are."""

    def __init__(self, parts: NodeParts, folders: PodFolders) -> None:
        self._parts = parts
        self._folders = folders
        self._ready: dict[str, FolderVolume] = {}

    def get(self, volume: str) -> FolderVolume | None:
        """Return a volume that ``ensure`` has made."""
        return self._ready.get(volume)

    async def ensure(self, pod: Pod, volume: Volume) -> None:
        """Make the volume's folder.

        Raises: VolumeError with the whole text of event FailedMount.
        """
        if volume.name in self._ready:
            return
        try:
            folder = await self._find(pod, volume)
            if folder.managed:
                await self._give(pod, folder)
        except (OSError, NetlabError) as error:
            raise VolumeError(mount_failure(volume.name, error)) from error
        self._ready[volume.name] = folder

    async def _find(self, pod: Pod, volume: Volume) -> FolderVolume:
        if volume.empty_dir is not None:
            return FolderVolume(self._empty_dir(pod, volume.name, volume.empty_dir))
        if volume.host_path is not None:
            try:
                return FolderVolume(ensure_host_path(volume.host_path), managed=False)
            except VolumeError as error:
                raise VolumeError(mount_failure(volume.name, error)) from error
        return await self._claimed(pod, volume)

    def _empty_dir(self, pod: Pod, name: str, source: EmptyDirVolume) -> Path:
        in_memory = source.medium == "Memory"
        folder = self._folders.memory_dir(name) if in_memory else self._folders.empty_dir(name)
        if in_memory and not folder.is_mount():
            folder.mkdir(parents=True, exist_ok=True)
            allocatable = node_allocatable(self._parts.config.state_dir)
            size = tmpfs_bytes(pod, source, parse_quantity(allocatable["memory"]).whole())
            mount_tmpfs(folder, size_bytes=size, mode=EMPTY_DIR_MODE)
        elif not folder.is_dir():
            folder.mkdir(parents=True)
            folder.chmod(EMPTY_DIR_MODE)
        return folder

    async def _claimed(self, pod: Pod, volume: Volume) -> FolderVolume:
        source = volume.persistent_volume_claim
        assert source is not None, "the only kind of folder that is left"
        namespace = pod.metadata.namespace
        client, node_name = self._parts.client, self._parts.node_name
        try:
            found = await claimed_volume(client, namespace, source)
        except ClaimError as error:
            text = claim_failure(namespace, volume.name, source.claim_name, error)
            raise VolumeError(text) from error
        folder = volume_folder(found, node_name, await node_labels(client, node_name))
        return FolderVolume(folder.path, source.read_only, folder.managed)

    async def _give(self, pod: Pod, folder: FolderVolume) -> None:
        group = fs_group(pod)
        if group is None or folder.read_only:
            return
        assert pod.spec.security_context is not None, "it holds the group"
        policy = pod.spec.security_context.fs_group_change_policy
        await asyncio.to_thread(
            give_to_group,
            folder.path,
            group,
            read_only=False,
            unless_owned=policy == "OnRootMismatch",
        )

    async def used_bytes(self, pod: Pod) -> dict[str, int]:
        """Return, by name, what is in the emptyDirs whose use is bounded."""
        names = measured_volumes(pod)
        return {
            name: await asyncio.to_thread(disk_use_bytes, self._folders.empty_dir(name))
            for name in names
        }


def is_folder_volume(volume: Volume) -> bool:
    """Return whether the volume is a folder of the node, not files that the agent writes."""
    return (
        volume.empty_dir is not None
        or volume.host_path is not None
        or volume.persistent_volume_claim is not None
    )


def disk_use_bytes(folder: Path) -> int:
    """Return how much disk a folder takes, as ``du`` counts; hard links once. Blocking."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for _, folders, files, folder_fd in os.fwalk(folder):
        for name in (*folders, *files):
            try:
                status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            identity = (status.st_dev, status.st_ino)
            if identity not in seen:
                seen.add(identity)
                total += status.st_blocks * 512
    return total
