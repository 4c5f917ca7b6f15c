"""Folders for claims: made, used again, made larger and removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from netlab.api.view import Object
from netlab.kubelet.volumes.provisioner import LocalPathProvisioner

OURS = {"volume.kubernetes.io/storage-provisioner": "netlab.io/local-path"}


async def settle() -> None:
    for _ in range(60):
        await asyncio.sleep(0)


def claim(annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    return {
        "metadata": {
            "name": "data",
            "annotations": OURS if annotations is None else annotations,
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "standard",
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeMode": "Filesystem",
            **spec,
        },
        "status": {"phase": "Pending"},
    }


@asynccontextmanager
async def provisioning(world: Any, folder: Path, **more: Any) -> AsyncIterator[Any]:
    body = {
        "metadata": {"name": "standard"},
        "provisioner": "netlab.io/local-path",
        "reclaimPolicy": "Delete",
    }
    await world.api.create(STORAGE_CLASS, None, body)
    provisioner = LocalPathProvisioner(
        client=world.api,
        informers=world.informers,
        clock=world.clock,
        folder=folder,
        node_name="node0",
        **more,
    )
    informing = asyncio.create_task(world.informers.run())
    task = asyncio.create_task(provisioner.run())
    await settle()
    try:
        yield world.api
    finally:
        task.cancel()
        informing.cancel()
        await asyncio.gather(task, informing, return_exceptions=True)


def volumes(api: Any) -> list[Object]:
    return [obj for key, obj in api.objects.items() if key[0] == "persistentvolumes"]


async def test_a_claim_gets_a_folder(world: Any, tmp_path: Path) -> None:
    folder = tmp_path / "persistent"
    async with provisioning(world, folder) as api:
        uid = (await api.create(PERSISTENT_VOLUME_CLAIM, "shop", claim()))["metadata"]["uid"]
        await settle()
        (volume,) = volumes(api)
        path = folder / f"pvc-{uid}_shop_data"
        assert volume["metadata"]["name"] == f"pvc-{uid}"
        assert volume["spec"]["local"]["path"] == str(path)
        assert volume["spec"]["claimRef"]["uid"] == uid
        assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        assert path.stat().st_mode & 0o777 == 0o777
        told = f"Successfully provisioned volume pvc-{uid}"
        assert ("ProvisioningSucceeded", told) in api.events()


NOT_OURS: dict[str, Object] = {
    "not marked": claim({}),
    "another provisioner": claim({"volume.kubernetes.io/storage-provisioner": "example.com/x"}),
    "another node": claim({**OURS, "volume.kubernetes.io/selected-node": "node1"}),
    "bound already": claim(volumeName="pv1"),
    "block device": claim(volumeMode="Block"),
    "selector": claim(selector={"matchLabels": {"a": "b"}}),
}


@pytest.mark.parametrize("name", NOT_OURS)
async def test_claims_that_get_none(world: Any, tmp_path: Path, name: str) -> None:
    async with provisioning(world, tmp_path / "p") as api:
        await api.create(PERSISTENT_VOLUME_CLAIM, "shop", NOT_OURS[name])
        await settle()
        assert volumes(api) == []
        assert not (tmp_path / "p").exists()


async def test_a_released_volume_goes_with_its_folder(world: Any, tmp_path: Path) -> None:
    folder = tmp_path / "persistent"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    async with provisioning(world, folder) as api:
        uid = (await api.create(PERSISTENT_VOLUME_CLAIM, "shop", claim()))["metadata"]["uid"]
        await settle()
        path = folder / f"pvc-{uid}_shop_data"
        (path / "file").write_text("x")
        (path / "link").symlink_to(elsewhere)
        released = {"status": {"phase": "Released"}}
        await api.patch(PERSISTENT_VOLUME, None, f"pvc-{uid}", released, subresource="status")
        await settle()
        (volume,) = volumes(api)  # it waits for the pv-protection controller only
        assert volume["metadata"]["deletionTimestamp"]
        assert list(folder.iterdir()) == []
        assert (elsewhere / "precious").exists()


async def test_a_folder_that_is_not_ours_is_never_removed(world: Any, tmp_path: Path) -> None:
    async with provisioning(world, tmp_path / "persistent") as api:
        precious = tmp_path / "precious"
        precious.mkdir()
        api.put(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {
                    "name": "forged",
                    "annotations": {"pv.kubernetes.io/provisioned-by": "netlab.io/local-path"},
                },
                "spec": {
                    "local": {"path": str(precious)},
                    "persistentVolumeReclaimPolicy": "Delete",
                },
                "status": {"phase": "Released"},
            },
        )
        await settle()
        assert precious.exists()
        assert "deletionTimestamp" not in volumes(api)[0]["metadata"]


async def test_a_larger_claim_is_written_down(world: Any, tmp_path: Path) -> None:
    async with provisioning(world, tmp_path / "persistent") as api:
        uid = (await api.create(PERSISTENT_VOLUME_CLAIM, "shop", claim()))["metadata"]["uid"]
        await settle()
        annotations = {**OURS, "pv.kubernetes.io/bind-completed": "yes"}
        api.put(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data", "namespace": "shop", "annotations": annotations},
                "spec": {
                    "volumeName": f"pvc-{uid}",
                    "resources": {"requests": {"storage": "3Gi"}},
                },
            }
        )
        await settle()
        assert volumes(api)[0]["spec"]["capacity"] == {"storage": "3Gi"}
