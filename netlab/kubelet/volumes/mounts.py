"""Prepares what a pod's containers see of the node: its volumes and three files in /etc.

Mirrors the kubelet's volume manager for the kinds that ``content`` (files that the agent writes)
and ``folders`` decide. ``prepare`` makes everything and is run again when an object that is
shown has changed, and from time to time: files whose source has changed are then replaced
atomically, and tokens are renewed before they expire. The files are small, so they are written on
the event loop; what walks through folders of containers goes to a thread.

Rules for callers: ``prepare`` before ``container_mounts``; ``remove`` when no container is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TypeVar

from netlab.api.containers import Container, VolumeMount
from netlab.api.core import ConfigMap, Secret
from netlab.api.kinds import CONFIG_MAP, POD, SECRET, Kind
from netlab.api.meta import AnyObject
from netlab.api.pods import Pod
from netlab.api.volumes import Volume
from netlab.client.interface import Client
from netlab.errors import ApiError, is_not_found
from netlab.kubelet.containers.environment import PodAddresses
from netlab.kubelet.containers.resource_fields import node_allocatable
from netlab.kubelet.files import etc_files
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.node_parts import WARNING, NodeParts
from netlab.kubelet.volumes.atomic_files import write_atomically, write_in_place
from netlab.kubelet.volumes.content import (
    VolumeError,
    VolumeSources,
    fs_group,
    mount_failure,
    needed_config_maps,
    needed_secrets,
    needed_tokens,
    needs_allocatable,
    volume_files,
)
from netlab.kubelet.volumes.folders import PodVolumeFolders, is_folder_volume
from netlab.kubelet.volumes.sizes import excess_message
from netlab.kubelet.volumes.sub_paths import show_sub_path, sub_path_of
from netlab.kubelet.volumes.tokens import PodTokens
from netlab.kubelet.volumes.watch import ObjectKey
from netlab.runtime.cri import Mount

T = TypeVar("T", bound=AnyObject)

PROPAGATION: Mapping[str, str] = {
    "None": "rprivate",
    "HostToContainer": "rslave",
    "Bidirectional": "rshared",
}


class PodMounts:
    """The files and folders of one pod."""

    def __init__(self, parts: NodeParts, folders: PodFolders) -> None:
        self._parts = parts
        self._folders = folders
        self._tokens = PodTokens(parts.client, parts.clock)
        self._volume_folders = PodVolumeFolders(parts, folders)

    async def prepare(self, pod: Pod) -> None:
        """Make all volumes hold what they should.

        Raises: VolumeError with the text of event FailedMount; NetlabError, OSError.
        """
        read: dict[ObjectKey, str] = {}
        try:
            for volume in pod.spec.volumes:
                if is_folder_volume(volume):
                    await self._volume_folders.ensure(pod, volume)
                else:
                    await self._write_files(pod, volume, read)
        finally:
            self._parts.mounted.follow(pod.metadata.uid, read)

    async def _write_files(self, pod: Pod, volume: Volume, read: dict[ObjectKey, str]) -> None:
        try:
            files = volume_files(pod, volume, await self._sources(pod, volume, read))
        except VolumeError as error:
            raise VolumeError(mount_failure(volume.name, error)) from error
        folder = self._folders.files_volume(volume.name)
        write_atomically(folder, files, self._parts.clock.now(), group=fs_group(pod))

    async def _sources(self, pod: Pod, volume: Volume, read: dict[ObjectKey, str]) -> VolumeSources:
        namespace = pod.metadata.namespace
        client = self._parts.client
        state_dir = self._parts.config.state_dir
        config_maps = await fetch(client, CONFIG_MAP, namespace, needed_config_maps(volume))
        secrets = await fetch(client, SECRET, namespace, needed_secrets(volume))
        read.update(_versions(CONFIG_MAP, namespace, needed_config_maps(volume), config_maps))
        read.update(_versions(SECRET, namespace, needed_secrets(volume), secrets))
        return VolumeSources(
            config_maps,
            secrets,
            await self._tokens.current(pod, needed_tokens(volume)),
            PodAddresses("", self._parts.host_ip),
            node_allocatable(state_dir) if needs_allocatable(volume) else {},
        )

    def write_etc(self, pod: Pod, pod_ip: str) -> None:
        """Write hosts, hostname and resolv.conf.

        Raises: OSError; ContainerError when the pod's full name is too long to be its host name.
        """
        config = self._parts.config
        in_node = pod.spec.host_network
        made = etc_files(
            pod,
            config=config,
            pod_ip=pod_ip,
            node_resolver=self._parts.etc.resolver(),
            node_hosts=self._parts.etc.hosts() if in_node else "",
        )
        for message in made.warnings:
            self._parts.events.record(POD, pod, WARNING, "DNSConfigForming", message)
        self._folders.etc.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, text in made.texts.items():
            write_in_place(self._folders.etc / name, text.encode())

    def container_mounts(
        self, pod: Pod, container: Container, environment: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Return the bind mounts of a container that is about to be created.

        environment: the container's variables, which ``subPathExpr`` refers to.

        Raises: VolumeError when a mount names a volume that the pod lacks, or leads out of it.
        """
        taken = {mount.mount_path.rstrip("/") for mount in container.volume_mounts}
        mounts = [
            Mount(self._folders.etc / name, f"/etc/{name}")
            for name in ("hosts", "hostname", "resolv.conf")
            if f"/etc/{name}" not in taken
        ]
        names = {volume.name for volume in pod.spec.volumes}
        for index, mount in enumerate(container.volume_mounts):
            if mount.name not in names:
                raise VolumeError(f"no volume named {mount.name}")
            mounts.append(self._volume_mount(container, mount, index, environment or {}))
        return tuple(mounts)

    def _volume_mount(
        self, container: Container, mount: VolumeMount, index: int, environment: Mapping[str, str]
    ) -> Mount:
        folder = self._volume_folders.get(mount.name)
        source = folder.path if folder else self._folders.files_volume(mount.name)
        # files that the agent writes are its own: a container must not change them
        read_only = mount.read_only or folder is None or folder.read_only
        sub_path = sub_path_of(mount, environment)
        if sub_path:
            place = self._folders.sub_path(container.name, index)
            show_sub_path(source, sub_path, place, mount, container)
            source = place
        target = _absolute(mount.mount_path)
        return Mount(
            source, target, read_only, PROPAGATION.get(mount.mount_propagation, "rprivate")
        )

    async def excess(self, pod: Pod) -> str | None:
        """Measure the emptyDirs that have a limit; return why the pod must be evicted, if so."""
        return excess_message(pod, await self._volume_folders.used_bytes(pod))

    async def remove(self) -> None:
        """Remove all of the pod's files and mounts.

        Raises: ContainerError when something is still mounted.
        """
        self._parts.mounted.forget(self._folders.identity.uid)
        await asyncio.to_thread(self._folders.remove)


def shown_differently(new: Pod, old: Pod) -> bool:
    """Return whether a downwardAPI volume would tell the two states of a pod apart."""
    return (
        new.metadata.labels != old.metadata.labels
        or new.metadata.annotations != old.metadata.annotations
    )


def _absolute(path: str) -> str:
    # the kubelet takes a relative mountPath as one below /
    return path if path.startswith("/") else f"/{path}"


def _versions(
    kind: Kind[T], namespace: str, names: Iterable[str], found: Mapping[str, T]
) -> dict[ObjectKey, str]:
    """Return the versions of the objects that may still change; "" for one that does not exist."""
    return {
        (kind, namespace, name): found[name].metadata.resource_version if name in found else ""
        for name in names
        if not _is_immutable(found.get(name))
    }


def _is_immutable(obj: AnyObject | None) -> bool:
    return isinstance(obj, ConfigMap | Secret) and obj.immutable


async def fetch(
    client: Client, kind: Kind[T], namespace: str, names: Iterable[str]
) -> dict[str, T]:
    """Return, by name, those of the objects that exist.

    Raises: ApiError for any refusal but NotFound.
    """
    found: dict[str, T] = {}
    for name in sorted(names):
        try:
            found[name] = kind.view.parse(await client.get(kind, namespace, name))
        except ApiError as error:
            if not is_not_found(error):
                raise
    return found
