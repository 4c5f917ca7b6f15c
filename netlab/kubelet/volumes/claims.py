"""Finds the folder behind a pod's PersistentVolumeClaim.

Mirrors the kubelet's ``desired_state_of_world_populator`` (is the claim bound, and to this volume?)
and ``pkg/volume/local``, with their wording. Only volumes that are folders of this node can be
mounted: ``hostPath`` and ``local``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netlab.api.kinds import NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim
from netlab.api.volume_affinity import volume_fits_node
from netlab.api.volumes import PersistentVolumeClaimVolume
from netlab.client.interface import Client
from netlab.errors import ApiError
from netlab.kubelet.volumes.content import VolumeError
from netlab.kubelet.volumes.host_paths import ensure_host_path


class ClaimError(Exception):
    """A claim cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class ClaimedFolder:
    """What is behind a claim. managed: the cluster looks after its owner (local volumes, not
    hostPath).
    """

    path: Path
    managed: bool


async def claimed_volume(
    client: Client, namespace: str, source: PersistentVolumeClaimVolume
) -> PersistentVolume:
    """Return the volume that the claim is bound to.

    Raises: ClaimError.
    """
    try:
        found = await client.get(PERSISTENT_VOLUME_CLAIM, namespace, source.claim_name)
    except ApiError as error:
        raise ClaimError(f"failed to fetch PVC from API server: {error}") from error
    claim = PersistentVolumeClaim.parse(found)
    if claim.metadata.deletion_timestamp is not None:
        raise ClaimError("PVC is being deleted")
    if claim.status.phase != "Bound" or not claim.spec.volume_name:
        raise ClaimError("PVC is not bound")
    try:
        found = await client.get(PERSISTENT_VOLUME, None, claim.spec.volume_name)
    except ApiError as error:
        raise ClaimError(
            f"failed to fetch PV {claim.spec.volume_name} from API server: {error}"
        ) from error
    volume = PersistentVolume.parse(found)
    owner = volume.spec.claim_ref
    if owner is None or owner.uid != claim.metadata.uid:
        raise ClaimError(f"PV {volume.metadata.name} is not bound to this claim")
    return volume


def claim_failure(namespace: str, volume: str, claim: str, error: object) -> str:
    """Return the text of event FailedMount for a claim that cannot be used."""
    return (
        f"Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], "
        f"failed to process volumes=[{volume}]: error processing PVC {namespace}/{claim}: {error}"
    )


async def node_labels(client: Client, node_name: str) -> Mapping[str, str]:
    """Return the labels of a node.

    Raises: ApiError.
    """
    node = await client.get(NODE, None, node_name)
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    return labels


def volume_folder(
    volume: PersistentVolume, node_name: str, labels: Mapping[str, str]
) -> ClaimedFolder:
    """Return the folder of a volume on the node with these labels.

    Raises: VolumeError with the whole text of event FailedMount; OSError.
    """
    name = volume.metadata.name
    if not volume_fits_node(volume, node_name, labels):
        raise VolumeError(
            f'MountVolume.NodeAffinity check failed for volume "{name}" : '
            "no matching NodeSelectorTerms"
        )
    if volume.spec.host_path is not None:
        try:
            return ClaimedFolder(ensure_host_path(volume.spec.host_path), managed=False)
        except VolumeError as error:
            text = f'MountVolume.SetUp failed for volume "{name}" : {error}'
            raise VolumeError(text) from error
    if volume.spec.local is not None:
        path = Path(volume.spec.local.path)
        if not path.exists():
            raise VolumeError(
                f'MountVolume.NewMounter initialization failed for volume "{name}" : '
                f'path "{path}" does not exist'
            )
        return ClaimedFolder(path, managed=True)
    raise VolumeError(
        f'MountVolume.SetUp failed for volume "{name}" : netlab cannot mount this kind of volume'
    )
