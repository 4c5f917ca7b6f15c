"""Views of the volumes of a pod, one per kind of source.

Fields here are the fields netlab acts on (see ``view``). Amounts are canonical quantities.
"""

from __future__ import annotations

import msgspec

from netlab.api.containers import ObjectFieldSelector, ResourceFieldSelector
from netlab.api.view import View

field = msgspec.field


class EmptyDirVolume(View, frozen=True, kw_only=True):
    """A folder that lives as long as the pod; medium Memory makes it a tmpfs of at most
    size_limit.
    """

    medium: str = ""
    size_limit: str = ""


class HostPathVolume(View, frozen=True, kw_only=True):
    """A path of the node; type says what must be there, or what is made."""

    path: str = ""
    type: str = ""


class PersistentVolumeClaimVolume(View, frozen=True, kw_only=True):
    """The volume that a claim of the pod's namespace is bound to."""

    claim_name: str = ""
    read_only: bool = False


class KeyToPath(View, frozen=True, kw_only=True):
    """Which file one key of a ConfigMap or Secret becomes; mode None means the volume's."""

    key: str = ""
    path: str = ""
    mode: int | None = None


class ConfigMapProjection(View, frozen=True, kw_only=True):
    """The keys of a ConfigMap as files; no items means all keys."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class SecretProjection(View, frozen=True, kw_only=True):
    """The keys of a Secret as files; no items means all keys."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardApiFile(View, frozen=True, kw_only=True):
    """One field of the pod, or one resource of a container, as a file."""

    path: str = ""
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardApiProjection(View, frozen=True, kw_only=True):
    """Fields of the pod as files."""

    items: tuple[DownwardApiFile, ...] = ()


class ServiceAccountTokenProjection(View, frozen=True, kw_only=True):
    """A token of the pod's service account; it is renewed before it expires."""

    path: str = ""
    audience: str = ""
    expiration_seconds: int = 3600


class VolumeProjection(View, frozen=True, kw_only=True):
    """One source of a projected volume; exactly one member is set."""

    config_map: ConfigMapProjection | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardApiProjection | None = field(name="downwardAPI", default=None)
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolume(View, frozen=True, kw_only=True):
    """Several sources in one folder."""

    sources: tuple[VolumeProjection, ...] = ()
    default_mode: int = 0o644


class ConfigMapVolume(ConfigMapProjection, frozen=True, kw_only=True):
    """A ConfigMap as a folder."""

    default_mode: int = 0o644


class SecretVolume(View, frozen=True, kw_only=True):
    """A Secret as a folder."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False
    default_mode: int = 0o644


class DownwardApiVolume(DownwardApiProjection, frozen=True, kw_only=True):
    """Fields of the pod as a folder."""

    default_mode: int = 0o644


class Volume(View, frozen=True, kw_only=True):
    """One volume of a pod; none of the members set means a kind that netlab cannot mount."""

    name: str = ""
    empty_dir: EmptyDirVolume | None = None
    host_path: HostPathVolume | None = None
    persistent_volume_claim: PersistentVolumeClaimVolume | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardApiVolume | None = field(name="downwardAPI", default=None)
    projected: ProjectedVolume | None = None
