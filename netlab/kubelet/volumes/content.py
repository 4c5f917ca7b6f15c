"""Decides which files a pod's volumes hold.

Mirrors ``pkg/volume/{projected,configmap,secret,downwardapi}``: each source gives files (path,
content, mode, owner); ``atomic_files`` writes them. Volumes that are folders have no files here:
``folders``. Pure.

netlab leaves out volume kinds that need a disk or another machine; a pod with one of them stays
in ContainerCreating with an event FailedMount.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netlab.api.core import ConfigMap, Secret
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.api.volumes import (
    ConfigMapProjection,
    DownwardApiFile,
    DownwardApiProjection,
    KeyToPath,
    ProjectedVolume,
    SecretProjection,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from netlab.kubelet.containers.environment import ConfigError, PodAddresses, field_value
from netlab.kubelet.containers.resource_fields import UnknownResourceError, resource_field_value

TOKEN_MODE = 0o600
"""Of a token when the pod says who reads it: its user owns the file, or its fsGroup is let in."""

TOKEN_RENEWAL_SHARE = 0.8
"""Part of its life after which a token is replaced, as in the kubelet's token manager."""

TOKEN_RENEWAL_AGE_S = 24 * 3600.0
"""A token is replaced at this age at the latest, however long it lives."""


class VolumeError(Exception):
    """A volume cannot be mounted; the text goes into event FailedMount."""


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """One file of a volume; uid None leaves it root's."""

    content: bytes
    mode: int
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A service account token."""

    text: str
    issued: datetime
    expires: datetime

    @property
    def renew_at(self) -> datetime:
        """When to ask for the next one."""
        life_s = (self.expires - self.issued).total_seconds()
        return self.issued + timedelta(
            seconds=min(life_s * TOKEN_RENEWAL_SHARE, TOKEN_RENEWAL_AGE_S)
        )


@dataclass(frozen=True, slots=True)
class VolumeSources:
    """What volumes are filled from: objects of the pod's namespace, by name, and tokens.

    allocatable: what the node has to give, by resource.
    """

    config_maps: Mapping[str, ConfigMap]
    secrets: Mapping[str, Secret]
    tokens: Mapping[ServiceAccountTokenProjection, Token]
    addresses: PodAddresses
    allocatable: Mapping[str, str] = field(default_factory=dict)


def volume_projections(volume: Volume) -> tuple[VolumeProjection, ...] | None:
    """Return a volume of files as projections; None for folders and for unknown kinds."""
    if volume.projected is not None:
        return volume.projected.sources
    if volume.config_map is not None:
        return (VolumeProjection(config_map=volume.config_map),)
    if volume.secret is not None:
        secret = volume.secret
        source = SecretProjection(
            name=secret.secret_name, items=secret.items, optional=secret.optional
        )
        return (VolumeProjection(secret=source),)
    if volume.downward_api is not None:
        return (VolumeProjection(downward_api=volume.downward_api),)
    return None


def default_mode(volume: Volume) -> int:
    """Return the mode of files for which none is given."""
    for source in (volume.projected, volume.config_map, volume.secret, volume.downward_api):
        if source is not None:
            return source.default_mode
    return ProjectedVolume().default_mode


def needed_config_maps(volume: Volume) -> set[str]:
    """Return the names of the ConfigMaps that the volume shows."""
    found = volume_projections(volume) or ()
    return {p.config_map.name for p in found if p.config_map is not None}


def needed_secrets(volume: Volume) -> set[str]:
    """Return the names of the Secrets that the volume shows."""
    found = volume_projections(volume) or ()
    return {p.secret.name for p in found if p.secret is not None}


def needed_tokens(volume: Volume) -> list[ServiceAccountTokenProjection]:
    """Return the service account tokens that the volume shows."""
    sources = (p.service_account_token for p in volume_projections(volume) or ())
    return list(dict.fromkeys(source for source in sources if source is not None))


def token_request(pod: Pod, projection: ServiceAccountTokenProjection) -> Object:
    """Return the TokenRequest for a token bound to the pod."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {
            "name": pod.spec.service_account_name or "default",
            "namespace": pod.metadata.namespace,
        },
        "spec": {
            "audiences": [projection.audience] if projection.audience else [],
            "expirationSeconds": projection.expiration_seconds,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.metadata.name,
                "uid": pod.metadata.uid,
            },
        },
    }


def needs_allocatable(volume: Volume) -> bool:
    """Return whether a file of the volume tells an amount of a resource."""
    fields = (p.downward_api for p in volume_projections(volume) or ())
    return any(
        item.resource_field_ref is not None
        for source in fields
        if source is not None
        for item in source.items
    )


def volume_files(pod: Pod, volume: Volume, sources: VolumeSources) -> dict[str, VolumeFile]:
    """Return the files of a volume of files, by relative path.

    Raises: VolumeError when a source or key is missing and not optional, or the kind is unknown.
    """
    projections = volume_projections(volume)
    if projections is None:
        raise VolumeError("netlab cannot mount this kind of volume")
    mode = default_mode(volume)
    files: dict[str, VolumeFile] = {}
    for projection in projections:
        files.update(_files_of(pod, projection, mode, sources))
    return files


def common_user(pod: Pod) -> int | None:
    """Return the user that all containers run as by the pod's own word; None when they differ or
    one of them leaves it to its image.
    """
    whole = pod.spec.security_context.run_as_user if pod.spec.security_context else None
    users = {
        whole if own is None or own.run_as_user is None else own.run_as_user
        for own in (container.security_context for container in pod.spec.all_containers)
    }
    return users.pop() if len(users) == 1 else None


def fs_group(pod: Pod) -> int | None:
    """Return the group that shall own the pod's volumes, if the pod names one."""
    return pod.spec.security_context.fs_group if pod.spec.security_context else None


def _files_of(
    pod: Pod, projection: VolumeProjection, mode: int, sources: VolumeSources
) -> dict[str, VolumeFile]:
    if projection.config_map is not None:
        return _config_map_files(projection.config_map, mode, sources.config_maps)
    if projection.secret is not None:
        return _secret_files(projection.secret, mode, sources.secrets)
    if projection.downward_api is not None:
        return _field_files(pod, projection.downward_api, mode, sources)
    if projection.service_account_token is not None:
        token = sources.tokens[projection.service_account_token]
        user = common_user(pod)
        private = user is not None or fs_group(pod) is not None
        file = VolumeFile(token.text.encode(), TOKEN_MODE if private else mode, user)
        return {projection.service_account_token.path: file}
    raise VolumeError("netlab cannot mount this kind of projected source")


def _config_map_files(
    source: ConfigMapProjection, mode: int, found: Mapping[str, ConfigMap]
) -> dict[str, VolumeFile]:
    config_map = found.get(source.name)
    if config_map is None:
        if source.optional:
            return {}
        raise VolumeError(f'configmap "{source.name}" not found')
    data = {key: text.encode() for key, text in config_map.data.items()}
    data |= {key: base64.b64decode(text) for key, text in config_map.binary_data.items()}
    return _chosen(data, source.items, source.optional, mode, f"configmap {source.name}")


def _secret_files(
    source: SecretProjection, mode: int, found: Mapping[str, Secret]
) -> dict[str, VolumeFile]:
    secret = found.get(source.name)
    if secret is None:
        if source.optional:
            return {}
        raise VolumeError(f'secret "{source.name}" not found')
    data = {key: base64.b64decode(text) for key, text in secret.data.items()}
    return _chosen(data, source.items, source.optional, mode, f"secret {source.name}")


def _chosen(
    data: Mapping[str, bytes], items: Iterable[KeyToPath], optional: bool, mode: int, subject: str
) -> dict[str, VolumeFile]:
    items = tuple(items)
    if not items:
        return {key: VolumeFile(content, mode) for key, content in data.items()}
    files = {}
    for item in items:
        if item.key in data:
            file_mode = mode if item.mode is None else item.mode
            files[item.path] = VolumeFile(data[item.key], file_mode)
        elif not optional:
            raise VolumeError(f"references non-existent {subject} key: {item.key}")
    return files


def _field_files(
    pod: Pod, source: DownwardApiProjection, mode: int, sources: VolumeSources
) -> dict[str, VolumeFile]:
    files = {}
    for item in source.items:
        try:
            text = _field_text(pod, item, sources)
        except (ConfigError, UnknownResourceError) as error:
            raise VolumeError(str(error)) from error
        files[item.path] = VolumeFile(text.encode(), mode if item.mode is None else item.mode)
    return files


def _field_text(pod: Pod, item: DownwardApiFile, sources: VolumeSources) -> str:
    if item.field_ref is not None:
        return field_value(pod, item.field_ref.field_path, sources.addresses)
    if item.resource_field_ref is not None:
        return resource_field_value(pod, item.resource_field_ref, sources.allocatable)
    raise VolumeError(f"netlab cannot tell the field of {item.path}")


def mount_failure(volume: str, error: object) -> str:
    """Return the text of event FailedMount."""
    return f'MountVolume.SetUp failed for volume "{volume}" : {error}'
