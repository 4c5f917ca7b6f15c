"""Writes the files a pod's containers see: its volumes and three files in /etc.

Mirrors the kubelet's volume manager and token manager for the kinds that ``volumes`` decides.
``prepare`` makes everything and is run again from time to time: files whose source has changed are
then replaced atomically, and tokens are renewed before they expire. Files are small, so they are
written on the event loop; only the removal of emptyDirs, which may be large, goes to a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from netlab.api.core import Container, Pod, ServiceAccountTokenProjection, Volume
from netlab.api.kinds import CONFIG_MAP, SECRET, SERVICE_ACCOUNT, Kind
from netlab.api.meta import AnyObject
from netlab.client.interface import Client
from netlab.errors import ApiError, is_not_found
from netlab.kubelet.atomic_files import write_atomically
from netlab.kubelet.environment import PodAddresses
from netlab.kubelet.files import hosts_file, pod_hostname, pod_resolver, resolv_conf
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.node_parts import NodeParts
from netlab.kubelet.volumes import (
    Token,
    VolumeError,
    VolumeSources,
    mount_failure,
    needed_config_maps,
    needed_secrets,
    needed_tokens,
    token_request,
    volume_files,
)
from netlab.runtime.cri import Mount

T = TypeVar("T", bound=AnyObject)

EMPTY_DIR_MODE = 0o777


class PodMounts:
    """The files of one pod."""

    def __init__(self, parts: NodeParts, folders: PodFolders) -> None:
        self._parts = parts
        self._folders = folders
        self._tokens: dict[ServiceAccountTokenProjection, Token] = {}

    async def prepare(self, pod: Pod) -> None:
        """Make all volumes hold what they should.

        Raises: VolumeError with the text of event FailedMount; NetlabError, OSError.
        """
        for volume in pod.spec.volumes:
            try:
                files = volume_files(pod, volume, await self._sources(pod, volume))
            except VolumeError as error:
                raise VolumeError(mount_failure(volume.name, error)) from error
            if files is None:
                self._make_empty_dir(volume.name)
            else:
                folder = self._folders.files_volume(volume.name)
                write_atomically(folder, files, self._parts.clock.now())

    def _make_empty_dir(self, volume: str) -> None:
        folder = self._folders.empty_dir(volume)
        if not folder.is_dir():
            folder.mkdir(parents=True)
            folder.chmod(EMPTY_DIR_MODE)

    async def _sources(self, pod: Pod, volume: Volume) -> VolumeSources:
        namespace = pod.metadata.namespace
        client = self._parts.client
        for projection in needed_tokens(volume):
            await self._renew_token(pod, projection)
        return VolumeSources(
            await fetch(client, CONFIG_MAP, namespace, needed_config_maps(volume)),
            await fetch(client, SECRET, namespace, needed_secrets(volume)),
            dict(self._tokens),
            PodAddresses("", self._parts.host_ip),
        )

    async def _renew_token(self, pod: Pod, projection: ServiceAccountTokenProjection) -> None:
        now = self._parts.clock.now()
        known = self._tokens.get(projection)
        if known is not None and now < known.renew_at:
            return
        try:
            self._tokens[projection] = await self._request_token(pod, projection, now)
        except ApiError as error:
            if known is None or now >= known.expires:
                raise VolumeError(f"failed to fetch token: {error}") from error

    async def _request_token(
        self, pod: Pod, projection: ServiceAccountTokenProjection, now: datetime
    ) -> Token:
        body = token_request(pod, projection)
        answer = await self._parts.client.create_subresource(
            SERVICE_ACCOUNT, pod.metadata.namespace, body["metadata"]["name"], "token", body
        )
        expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"])
        return Token(answer["status"]["token"], now, expires)

    def write_etc(self, pod: Pod, pod_ip: str) -> None:
        """Write hosts, hostname and resolv.conf."""
        config = self._parts.config
        resolver = pod_resolver(
            pod,
            cluster_dns=str(config.dns_service_ip),
            cluster_domain=config.cluster_domain,
            node_resolver=self._parts.node_resolver(),
        )
        texts = {
            "hosts": hosts_file(pod, pod_ip=pod_ip, cluster_domain=config.cluster_domain),
            "hostname": pod_hostname(pod) + "\n",
            "resolv.conf": resolv_conf(resolver),
        }
        self._folders.etc.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, text in texts.items():
            file = self._folders.etc / name
            if not file.exists() or file.read_text() != text:
                # in place, not renamed: running containers have this very file mounted
                file.write_text(text)

    def container_mounts(self, pod: Pod, container: Container) -> tuple[Mount, ...]:
        """Return the bind mounts of a container.

        Raises: VolumeError when a mount names a volume that the pod lacks.
        """
        volumes = {volume.name: volume for volume in pod.spec.volumes}
        taken = {mount.mount_path.rstrip("/") for mount in container.volume_mounts}
        mounts = [
            Mount(self._folders.etc / name, f"/etc/{name}")
            for name in ("hosts", "hostname", "resolv.conf")
            if f"/etc/{name}" not in taken
        ]
        for mount in container.volume_mounts:
            volume = volumes.get(mount.name)
            if volume is None:
                raise VolumeError(f"no volume named {mount.name}")
            if volume.empty_dir is not None:
                source = self._folders.empty_dir(mount.name)
            else:
                source = self._folders.files_volume(mount.name)
            read_only = mount.read_only or volume.empty_dir is None
            source = _inside(source, mount.sub_path, create=volume.empty_dir is not None)
            mounts.append(Mount(source, mount.mount_path, read_only))
        return tuple(mounts)

    async def remove(self) -> None:
        """Remove all of the pod's files."""
        await asyncio.to_thread(self._folders.remove)


def _inside(folder: Path, sub_path: str, *, create: bool) -> Path:
    """Return a path below a volume; a symlink must not lead out of it."""
    if not sub_path:
        return folder
    root = folder.resolve()
    target = (root / sub_path).resolve()
    if not target.is_relative_to(root):
        raise VolumeError(f"subPath {sub_path} leads out of the volume")
    if not target.exists() and create:
        target.mkdir(parents=True)
    return target


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
