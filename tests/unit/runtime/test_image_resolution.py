"""Which image a name means, and when a registry is asked: no program runs here."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from netlab.errors import ImageError
from netlab.runtime import images as module
from netlab.runtime.builtin import BuiltInImages
from netlab.runtime.image_store.records import StoredImage, content_digest
from netlab.runtime.image_store.registry import RegistryRules
from netlab.runtime.image_store.store import ImageStore
from netlab.runtime.images import Images

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECIPE = 'description = "d"\nnames = ["busybox", "ana/own"]\nroot = "busybox"\n'
TAGS = '[stands_for.busybox]\nversions = ["1.36.0-1"]\n'


class Still:
    """A clock that stands."""

    def now(self):
        return NOW


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "store", Still())


@pytest.fixture
def pulled(monkeypatch):
    """What was asked of registries; each gives an image at once."""
    asked = []

    async def pull(store, reference, *, rules, credentials=()):
        asked.append((str(reference), tuple(credentials)))
        await asyncio.sleep(0)
        return store.put(stored(len(asked) + 100, str(reference), "pulled"))[0]

    monkeypatch.setattr(module, "pull_from_registry", pull)
    return asked


def stored(number, name, source="loaded"):
    return StoredImage(
        id=f"sha256:{number:064x}", source=source, size_bytes=1, added_at=NOW, names=(name,)
    )


def images_of(tmp_path, store, *, anywhere=True):
    folder = tmp_path / "images" / "busybox"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image.toml").write_text(RECIPE + TAGS)
    built_in = BuiltInImages(
        images_dir=folder.parent, layers_dir=tmp_path / "l", packages_dir=tmp_path / "packages"
    )
    rules = RegistryRules(anywhere=anywhere)
    return Images(built_in=built_in, layers_dir=tmp_path / "l", store=store, rules=rules)


WEB, HOST = "docker.io/library/web:1", "localhost:5000/web:1"

POLICIES = {
    "present, not asked": ("pulled", WEB, "IfNotPresent", True, 0),
    "pulled is asked for again": ("pulled", WEB, "Always", True, 1),
    "loaded by hand is not": ("loaded", WEB, "Always", True, 0),
    "built by hand is not": ("built", WEB, "Always", True, 0),
    "a sandboxed lab cannot ask": ("pulled", WEB, "Always", False, 0),
    "but its own loopback": ("pulled", HOST, "Always", False, 1),
    "never": ("pulled", WEB, "Never", True, 0),
}


@pytest.mark.parametrize(
    ("source", "name", "policy", "anywhere", "asked"), POLICIES.values(), ids=POLICIES.keys()
)
async def test_pull_policies(tmp_path, store, pulled, source, name, policy, anywhere, asked):
    store.put(stored(1, name, source))
    await images_of(tmp_path, store, anywhere=anywhere).pull(name, policy=policy)
    assert len(pulled) == asked


async def test_many_pods_wait_for_one_pull(tmp_path, store, pulled):
    images = images_of(tmp_path, store)
    found = await asyncio.gather(*(images.pull("web:1") for _ in range(10)))
    assert len({each.id for each in found}) == 1
    assert [name for name, _ in pulled] == [WEB]


async def test_never_means_never(tmp_path, store, pulled):
    with pytest.raises(ImageError, match="not present with pull policy of Never") as failed:
        await images_of(tmp_path, store).pull("web:1", policy="Never")
    assert (failed.value.reason, pulled) == ("ErrImageNeverPull", [])


async def test_built_in_images_are_never_asked_for(tmp_path, store, pulled):
    images = images_of(tmp_path, store, anywhere=False)
    for policy in ("Always", "IfNotPresent", "Never"):
        assert (await images.pull("busybox:1.36", policy=policy)).built_in
    assert pulled == []


async def test_the_store_goes_first_for_that_very_name(tmp_path, store, pulled):
    store.put(stored(1, "docker.io/library/busybox:1.36"))
    images = images_of(tmp_path, store)
    assert not images.find("busybox:1.36").built_in
    assert images.find("busybox:1.36.1").built_in
    assert [image.built_in for image in images.present()] == [False, True]


async def test_the_refusal_tells_what_to_type(tmp_path, store, pulled):
    images = images_of(tmp_path, store, anywhere=False)
    with pytest.raises(ImageError) as refused:
        await images.pull("busybos:1")
    text = str(refused.value)
    assert text.startswith('failed to pull and unpack image "docker.io/library/busybos:1": ')
    assert text.endswith("run: sudo netlab image pull busybos:1; netlab itself has busybox")
    assert (refused.value.reason, pulled, "\n" in text) == ("ErrImagePull", [], False)


async def test_the_refusal_of_a_tag_tells_those_there_are(tmp_path, store, pulled):
    tagged = tmp_path / "images" / "own"
    tagged.mkdir(parents=True)
    tags = '\n[tags."v0.2.0"]\n[tags."v0.1.0"]\n'
    (tagged / "image.toml").write_text(
        RECIPE.replace('"busybox", "ana/own"', '"ana/tagged"') + tags
    )
    with pytest.raises(ImageError) as refused:
        await images_of(tmp_path, store, anywhere=False).pull("ana/tagged:v9")
    name = "docker.io/ana/tagged:v9"
    assert str(refused.value) == (
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
        f"{name}: not found; netlab itself has ana/tagged with tag v0.1.0, v0.2.0"
    )
    assert (refused.value.reason, pulled) == ("ErrImagePull", [])


async def test_a_tag_that_no_version_has_is_asked_of_the_registry_or_not_found(
    tmp_path, store, pulled
):
    with pytest.raises(ImageError, match=r'"docker.io/library/busybox:1.99": .*: not found'):
        await images_of(tmp_path, store, anywhere=False).pull("busybox:1.99")
    assert not (await images_of(tmp_path, store).pull("busybox:1.99")).built_in
    assert [name for name, _ in pulled] == ["docker.io/library/busybox:1.99"]


async def test_an_invalid_name(tmp_path, store):
    with pytest.raises(ImageError) as refused:
        await images_of(tmp_path, store).pull("Web")
    assert refused.value.reason == "InvalidImageName"


def test_what_a_container_needs_of_a_stored_image(tmp_path, store):
    config = json.dumps({"config": {"User": "ana", "Entrypoint": ["/a"]}}).encode()
    image = StoredImage(
        id=content_digest(config), source="loaded", size_bytes=1, added_at=NOW, names=(WEB,)
    )
    store.put(image)
    store.blob_path(image.id).write_bytes(config)
    unpacked = images_of(tmp_path, store).unpack("web:1")
    assert (unpacked.id, unpacked.layers) == (image.id, (store.rootfs(image),))
    assert (unpacked.config.user, unpacked.config.entrypoint) == ("ana", ("/a",))
    with pytest.raises(ImageError, match="not found"):
        images_of(tmp_path, store).unpack("gone:1")


def test_removing_what_is_gone_or_built_in_is_fine(tmp_path, store):
    store.put(stored(1, WEB))
    images = images_of(tmp_path, store)
    for identifier in (images.find(WEB).id, "sha256:none", images.find("busybox").id):
        images.remove(identifier)
    assert [image.built_in for image in images.present()] == [True]
