"""Makes and removes the folders behind PersistentVolumes: the provisioner ``netlab.io/local-path``.

Stands where kind and k3s have rancher's local-path-provisioner, and speaks the protocol of an
external provisioner (``sig-storage-lib-external-provisioner``): the binder marks a claim with our
name; we make a folder, then the volume that names the claim; the binder binds them. A volume of
ours that is Released with policy Delete is removed: first the folder, then the object. A claim that
was made larger, where its class allows it, gets its new size written down.

Every pass starts from what is there: a folder without a volume is used again, a volume without a
folder is only removed. The folder carries the volume's name, and that the claim's uid.

netlab leaves out quotas: the capacity is written down, as local-path does, and enforced by nobody.

Rules for callers: ``run`` is one task; it acts only for claims that are to be on its node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlab.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from netlab.api.storage_marks import (
    LOCAL_PATH,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    is_bound,
    names_claim,
)
from netlab.api.view import Object
from netlab.api.volume_match import storage_amount
from netlab.client.events import EventRecorder
from netlab.client.informer import wait_synced
from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.client.workers import Workers
from netlab.clock import Clock
from netlab.errors import ApiError, NetlabError, is_already_exists
from netlab.kubelet.volumes.removal import remove_volumes

log = logging.getLogger(__name__)

FOLDER_MODE = 0o777
"""As local-path makes it: containers that are not root write without an fsGroup too."""

LONGEST_DELAY_S = 60.0

HOSTNAME_LABEL = "kubernetes.io/hostname"


class LocalPathProvisioner:
    """Provisions volumes on one node.

    folder: where the volumes' folders are made. takes_immediate: also care for claims that no node
    was chosen for (volumeBindingMode Immediate); one node of a cluster does.
    """

    def __init__(
        self,
        *,
        client: Client,
        informers: SharedInformers,
        clock: Clock,
        folder: Path,
        node_name: str,
        takes_immediate: bool = True,
    ) -> None:
        self._client = client
        self._folder = folder
        self._node_name = node_name
        self._takes_immediate = takes_immediate
        self._events = EventRecorder(client, clock, component=LOCAL_PATH, host=node_name)
        self._workers: Workers[tuple[str, str, str]] = Workers(
            "provision", clock, self._process, longest_s=LONGEST_DELAY_S
        )
        self._queue = self._workers.queue
        self._claims = informers.of(PERSISTENT_VOLUME_CLAIM)
        self._volumes = informers.of(PERSISTENT_VOLUME)
        self._classes = informers.of(STORAGE_CLASS)
        self._claims.on_change(self._claim_changed)
        self._volumes.on_change(self._volume_changed)

    async def run(self) -> None:
        """Provision until cancelled."""
        informers = (self._claims, self._volumes, self._classes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events.run())
            await wait_synced(informers)
            tasks.create_task(self._workers.run())

    def _claim_changed(
        self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
    ) -> None:
        if new is not None:
            self._queue.add(("claim", new.metadata.namespace, new.metadata.name))

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        if new is not None and new.metadata.annotations.get(PROVISIONED_BY) == LOCAL_PATH:
            self._queue.add(("volume", "", new.metadata.name))

    async def _process(self, key: tuple[str, str, str]) -> None:
        what, namespace, name = key
        if what == "volume":
            volume = self._volumes.get("", name)
            if volume is not None and self._is_to_go(volume):
                await self._remove(volume)
            return
        claim = self._claims.get(namespace, name)
        if claim is None:
            return
        if is_bound(claim):
            await self._expand(claim)
        elif self._is_ours(claim):
            await self._provision(claim)

    def _is_ours(self, claim: PersistentVolumeClaim) -> bool:
        marks = claim.metadata.annotations
        if marks.get(STORAGE_PROVISIONER) != LOCAL_PATH or claim.spec.volume_name:
            return False
        if claim.metadata.deletion_timestamp is not None:
            return False
        node = marks.get(SELECTED_NODE, "")
        return node == self._node_name or (not node and self._takes_immediate)

    async def _provision(self, claim: PersistentVolumeClaim) -> None:
        name = f"pvc-{claim.metadata.uid}"
        if self._volumes.get("", name) is not None:
            return
        storage_class = self._classes.get("", claim.spec.storage_class_name or "")
        if storage_class is None or storage_class.provisioner != LOCAL_PATH:
            return
        why = _refusal(claim)
        if why is not None:
            text = f'failed to provision volume with StorageClass "{storage_class.metadata.name}": '
            self._tell(claim, "Warning", "ProvisioningFailed", text + why)
            return
        meta = claim.metadata
        text = (
            f'External provisioner is provisioning volume for claim "{meta.namespace}/{meta.name}"'
        )
        self._tell(claim, "Normal", "Provisioning", text)
        path = self._path(claim, name)
        _make_folder(path)
        body = volume_for(claim, storage_class, name=name, path=path, node_name=self._node_name)
        try:
            await self._client.create(PERSISTENT_VOLUME, None, body)
        except ApiError as error:
            if not is_already_exists(error):
                raise
            return
        text = f"Successfully provisioned volume {name}"
        self._tell(claim, "Normal", "ProvisioningSucceeded", text)

    def _path(self, claim: PersistentVolumeClaim, name: str) -> Path:
        meta = claim.metadata
        return self._folder / f"{name}_{meta.namespace}_{meta.name}"[:255]

    def _tell(self, claim: PersistentVolumeClaim, kind: str, reason: str, message: str) -> None:
        self._events.record(PERSISTENT_VOLUME_CLAIM, claim, kind, reason, message)

    def _is_to_go(self, volume: PersistentVolume) -> bool:
        return (
            volume.status.phase == "Released"
            and volume.spec.persistent_volume_reclaim_policy == "Delete"
            and volume.spec.local is not None
            and Path(volume.spec.local.path).parent == self._folder
        )

    async def _remove(self, volume: PersistentVolume) -> None:
        assert volume.spec.local is not None, "only folders of ours are removed"
        path = Path(volume.spec.local.path)
        try:
            await asyncio.to_thread(remove_volumes, path)
        except NetlabError as error:
            self._events.record(
                PERSISTENT_VOLUME, volume, "Warning", "VolumeFailedDelete", str(error)
            )
            raise
        meta = volume.metadata
        await self._client.delete(PERSISTENT_VOLUME, None, meta.name, uid=meta.uid)

    async def _expand(self, claim: PersistentVolumeClaim) -> None:
        volume = self._volumes.get("", claim.spec.volume_name)
        if volume is None or not names_claim(volume, claim):
            return
        if volume.metadata.annotations.get(PROVISIONED_BY) != LOCAL_PATH:
            return
        wanted = claim.spec.resources.requests.get("storage", "0")
        if storage_amount({"storage": wanted}) <= storage_amount(volume.spec.capacity):
            return
        patch = {
            "metadata": {"resourceVersion": volume.metadata.resource_version},
            "spec": {"capacity": {"storage": wanted}},
        }
        await self._client.patch(PERSISTENT_VOLUME, None, volume.metadata.name, patch)
        self._tell(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")


def _refusal(claim: PersistentVolumeClaim) -> str | None:
    if claim.spec.volume_mode != "Filesystem":
        return "block volume provisioning is not supported"
    if claim.spec.selector is not None:
        return "claim.Spec.Selector is not supported"
    return None


def _make_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(FOLDER_MODE)


def volume_for(
    claim: PersistentVolumeClaim,
    storage_class: StorageClass,
    *,
    name: str,
    path: Path,
    node_name: str,
) -> Object:
    """Return the volume to be made for a claim: a folder of one node, kept for that claim."""
    meta = claim.metadata
    requirement: Mapping[str, Any] = {
        "key": HOSTNAME_LABEL,
        "operator": "In",
        "values": [node_name],
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: LOCAL_PATH}},
        "spec": {
            "capacity": {"storage": claim.spec.resources.requests.get("storage", "0")},
            "accessModes": list(claim.spec.access_modes),
            "persistentVolumeReclaimPolicy": storage_class.reclaim_policy,
            "storageClassName": storage_class.metadata.name,
            "volumeMode": claim.spec.volume_mode,
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta.namespace,
                "name": meta.name,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            },
            "local": {"path": str(path)},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
            },
        },
    }
