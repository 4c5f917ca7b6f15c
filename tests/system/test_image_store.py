"""The machine's image store with the real skopeo, umoci and docker-registry."""

import asyncio
import gzip
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from dataclasses import replace

import pytest

from netlab.clock import SystemClock
from netlab.errors import ImageError
from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.cri import RegistryCredentials
from netlab.runtime.image_store.archives import load_archive
from netlab.runtime.image_store.recipes import build_image
from netlab.runtime.image_store.registry import RegistryRules, pull_from_registry
from netlab.runtime.image_store.store import ImageStore
from netlab.runtime.images import Images
from netlab.runtime.reference import parse_reference
from tests.support.images import (
    busybox_layer,
    layer_blob,
    layer_tar,
    manifest_blob,
    special,
    write_archive,
    write_layout,
)
from tests.support.registry import HTPASSWD, free_port, running_registry

pytestmark = pytest.mark.system


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "store", SystemClock())


@pytest.fixture
def layout(tmp_path):
    return write_layout(
        tmp_path / "layout",
        layer_tar(("etc/motd", b"one\n"), ("etc/gone", b"x"), ("d/old", b"x")),
        layer_tar(("etc/.wh.gone", b""), ("d/.wh..wh..opq", b""), ("d/new", b"y"), ("late", b"z")),
        name="shop/web:1",
        Cmd=["/bin/sh", "-c", "echo hi"],
        Env=["A=b=c", "EMPTY="],
        User="1000:1000",
        WorkingDir="etc",
        StopSignal="3",
    )


def left_in(store):
    """Return what a store holds besides its locks and empty folders."""
    files = [path for path in store.root.rglob("*") if not path.is_dir() or path.is_symlink()]
    return sorted(path.name for path in files if path.name not in ("lock", "writers"))


def run(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, timeout=30)


def docker_archive(layout, path, name):
    target = f"docker-archive:{path}:{name}"
    run("skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:shop/web:1", target)
    return path


async def test_a_layout_folder_is_unpacked_with_its_whiteouts(store, layout):
    (image,) = await load_archive(store, layout)
    root = store.rootfs(image)
    assert image.names == ("docker.io/shop/web:1",)
    assert [path.name for path in (root / "etc").iterdir()] == ["motd"]
    assert [path.name for path in (root / "d").iterdir()] == ["new"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    assert image.size_bytes == len(b"one\n") + len("y") + len("z")
    process = store.config(image).process
    assert (list(process.cmd), dict(process.env)) == (
        ["/bin/sh", "-c", "echo hi"],
        {"A": "b=c", "EMPTY": ""},
    )
    assert (process.user, process.working_dir, process.stop_signal) == (
        "1000:1000",
        "/etc",
        "SIGQUIT",
    )


@pytest.mark.parametrize("packer", ["", "gzip", "bzip2", "xz", "zstd"])
async def test_archives_compressed_or_not(store, layout, tmp_path, packer):
    for path in (
        write_archive(layout, tmp_path / "oci.tar"),
        docker_archive(layout, tmp_path / "docker.tar", "shop/other:2"),
    ):
        if packer:
            path.write_bytes(run(packer, "-c", path).stdout)
        (image,) = await load_archive(store, path)
        assert (store.rootfs(image) / "late").read_text() == "z"
    assert {name for image in store.images() for name in image.names} == {
        "docker.io/shop/web:1",
        "docker.io/shop/other:2",
    }


async def test_a_stream_and_a_name_of_ones_own(store, layout, tmp_path):
    data = write_archive(layout, tmp_path / "a.tar").read_bytes()
    (image,) = await load_archive(store, io.BytesIO(gzip.compress(data)), name="mine")
    assert image.names == ("docker.io/library/mine:latest",)


async def test_a_pipe_and_a_file_name_with_a_colon(store, layout, tmp_path):
    odd = docker_archive(layout, tmp_path / "plain.tar", "x:1").rename(tmp_path / "a:b @0.tar")
    (image,) = await load_archive(store, odd)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = asyncio.create_task(asyncio.to_thread(pipe.write_bytes, odd.read_bytes()))
    assert [each.id for each in await load_archive(store, pipe)] == [image.id]
    await writing


async def test_several_images_in_one_archive(store, layout, tmp_path):
    write_layout(tmp_path / "two", layer_tar(("x", b"x")), name="two:1")
    shutil.copytree(tmp_path / "two" / "blobs", layout / "blobs", dirs_exist_ok=True)
    index = json.loads((layout / "index.json").read_text())
    index["manifests"] += json.loads((tmp_path / "two/index.json").read_text())["manifests"]
    (layout / "index.json").write_text(json.dumps(index))
    loaded = await load_archive(store, layout)
    assert [image.names[0] for image in loaded] == [
        "docker.io/shop/web:1",
        "docker.io/library/two:1",
    ]
    with pytest.raises(ImageError, match="2 images in it; a name fits only one"):
        await load_archive(store, layout, name="x")


async def test_a_newer_image_takes_the_name_and_prune_the_older_one(store, layout, tmp_path):
    (old,) = await load_archive(store, layout)
    newer = write_layout(tmp_path / "new", layer_tar(("x", b"x")), name="shop/web:1")
    (new,) = await load_archive(store, newer)
    assert [(image.id, image.names) for image in store.images()] == [
        (old.id, ()),
        (new.id, ("docker.io/shop/web:1",)),
    ]
    store.remove(old.hex[:12])
    assert not store.rootfs(old).exists()
    assert store.rootfs(new).exists()
    assert store.prune() == [new]
    assert left_in(store) == ["index.json"]


def _wrong_layer(folder):
    layer_blob(folder).write_bytes(gzip.compress(layer_tar(("evil", b"x"))))


def _wrong_manifest(folder):
    manifest = manifest_blob(folder)
    manifest.write_text(manifest.read_text() + " ")


def _missing_blob(folder):
    layer_blob(folder).unlink()


def _no_index(folder):
    (folder / "index.json").write_text("{")


def _no_images(folder):
    (folder / "index.json").write_text('{"manifests": []}')


def _absurd_digest(folder):
    entry = '{"manifests": [{"digest": "sha256:../../../etc/passwd", "mediaType": "x"}]}'
    (folder / "index.json").write_text(entry)


CORRUPTIONS = {
    "layer of another digest": (_wrong_layer, "[Dd]igest"),
    "manifest of another digest": (_wrong_manifest, "does not have that digest"),
    "missing blob": (_missing_blob, "no such file"),
    "index is not JSON": (_no_index, "index.json: "),
    "no image": (_no_images, "no image for linux/"),
    "digest with a path": (_absurd_digest, "digest"),
}


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
@pytest.mark.parametrize(("break_it", "cause"), CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
async def test_corrupt_archives_leave_nothing(store, layout, tmp_path, break_it, cause, packed):
    break_it(layout)
    source = write_archive(layout, tmp_path / "bad.tar") if packed else layout
    with pytest.raises(ImageError, match=cause) as refused:
        await load_archive(store, source)
    assert str(refused.value).startswith(f"load {source}: ")
    assert "\n" not in str(refused.value)
    assert left_in(store) == []


async def test_layers_that_are_not_what_the_config_says_are_refused(store, tmp_path):
    lying = write_layout(tmp_path / "l", layer_tar(("x", b"x")), diff_ids=["sha256:" + "0" * 64])
    with pytest.raises(ImageError, match=r"diffid mismatch|digest"):
        await load_archive(store, lying)
    assert left_in(store) == []


async def test_truncated_files_are_refused(store, layout, tmp_path):
    whole = write_archive(layout, tmp_path / "a.tar").read_bytes()
    for name, data in {
        "half.tar": whole[: len(whole) // 2],
        "half.tar.gz": gzip.compress(whole)[:-200],
        "text": b"not an archive\n" * 100,
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=f"load .*{name}: "):
            await load_archive(store, tmp_path / name)
    with pytest.raises(ImageError, match="No such file"):
        await load_archive(store, tmp_path / "none")
    assert left_in(store) == []


async def test_another_machines_image_is_refused(store, tmp_path):
    other = write_layout(tmp_path / "l", layer_tar(("x", b"x")), architecture="riscv64")
    with pytest.raises(ImageError, match="the image is for linux/riscv64; this machine is linux/"):
        await load_archive(store, other)
    assert left_in(store) == []


HOSTILE = {
    "dots": [("../../escaped", b"x")],
    "absolute": [("/escaped", b"x")],
    "through a symlink": [special("out", tarfile.SYMTYPE, link="OUTSIDE"), ("out/escaped", b"x")],
    "hard link": [special("grab", tarfile.LNKTYPE, link="OUTSIDE/victim")],
    "overwritten symlink": [
        special("f", tarfile.SYMTYPE, link="OUTSIDE/victim"),
        ("f", b"overwritten"),
    ],
    "whiteout of dots": [("d/x", b""), ("d/.wh...", b"")],
    "whiteout through a symlink": [
        special("out", tarfile.SYMTYPE, link="OUTSIDE"),
        ("out/.wh.victim", b""),
    ],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_layers_write_nothing_outside(store, tmp_path, entries):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("victim")
    placed = []
    for entry in entries:
        if isinstance(entry, tarfile.TarInfo):
            entry = special(
                entry.name, entry.type, link=entry.linkname.replace("OUTSIDE", str(outside))
            )
        placed.append(entry)
    before = {path for path in tmp_path.rglob("*") if store.root not in path.parents}
    source = write_layout(tmp_path / "source", layer_tar(*placed))
    before |= set(source.rglob("*")) | {source, store.root}
    try:
        (image,) = await load_archive(store, source)
    except ImageError:
        assert left_in(store) == []
    else:
        inside = [path for path in store.rootfs(image).rglob("*") if path.is_file()]
        assert all(path.stat().st_nlink == 1 for path in inside)
    after = {path for path in tmp_path.rglob("*") if store.root not in path.parents}
    assert after <= before
    assert (outside / "victim").read_text() == "victim"
    assert (outside / "victim").stat().st_nlink == 1


async def test_archive_members_with_hostile_names_are_not_written(store, layout, tmp_path):
    path = write_archive(layout, tmp_path / "a.tar")
    with tarfile.open(path, "a") as archive:
        for name in ("../up", "blobs/sha256/../../../up", "blobs/sha256/link"):
            member = tarfile.TarInfo(name)
            if name.endswith("link"):
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    await load_archive(store, path)
    assert not list(tmp_path.rglob("up"))


async def test_a_killed_load_leaves_no_image_and_the_next_sweep_cleans(store, layout):
    gone = store.root / "scratch" / "left"
    async with store.workspace() as work:
        gone.mkdir()
        (store.blobs / "sha256" / ("0" * 64)).write_bytes(b"half")
        assert work.folder.exists()
        store.sweep()
        assert gone.exists(), "nothing is swept while somebody loads"
    assert store.images() == ()
    store.sweep()
    assert left_in(store) == []
    assert not gone.exists()


async def test_two_stores_on_one_folder_see_each_other(store, layout):
    other = ImageStore(store.root, SystemClock())
    assert other.images() == ()
    await asyncio.gather(*(load_archive(store, layout, name=f"n:{at}") for at in range(4)))
    (image,) = other.images()
    assert len(image.names) == 4
    other.remove("n:0")
    assert store.find(parse_reference("n:0")) is None


async def test_an_image_under_a_mounted_overlay_is_in_use(store, layout, tmp_path):
    (image,) = await load_archive(store, layout)
    places = [tmp_path / name for name in ("upper", "work", "merged")]
    for place in places:
        place.mkdir()
    upper, work, merged = places
    options = f"lowerdir={store.rootfs(image)},upperdir={upper},workdir={work}"
    if run("mount", "-t", "overlay", "overlay", "-o", options, merged, check=False).returncode:
        pytest.skip("this file system cannot carry an overlay")
    try:
        with pytest.raises(ImageError, match=f"in use by a container at {merged}"):
            store.remove("shop/web:1")
        assert store.prune() == []
        assert store.remove("shop/web:1", force=True)[1] is not None
        assert (merged / "late").read_text() == "z", "its files stay while it is mounted"
    finally:
        run("umount", merged)
    store.sweep()
    assert left_in(store) == ["index.json"]


async def test_a_recipe_outside_the_tree(store, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "app.py").write_text("print(1)\n")
    text = 'description = "d"\nnames = ["ana/app"]\nroot = "python"\ncmd = ["/app.py"]\n'
    (folder / "image.toml").write_text(text + '[files]\n"/app.py" = "app.py"\n')
    (built,) = await build_image(store, folder, clock=SystemClock())
    assert built.names == ("docker.io/ana/app:latest",)
    (named,) = await build_image(store, folder, name="x:3", clock=SystemClock())
    assert named.names == ("docker.io/ana/app:latest", "docker.io/library/x:3")
    shutil.rmtree(folder)
    images = _images(store, tmp_path)
    unpacked = images.unpack("x:3")
    assert (unpacked.layers[0] / "app.py").read_text() == "print(1)\n"
    assert unpacked.id == built.id
    (folder := tmp_path / "bad").mkdir()
    for recipe, cause in {
        "": "image.toml",
        text + '[files]\n"/a" = "../../../etc/passwd"\n': "lies outside",
        text + '[files]\n"/a" = "none"\n': "No such file",
        "x": "image recipe",
    }.items():
        (folder / "image.toml").write_text(recipe)
        with pytest.raises(ImageError, match=cause):
            await build_image(store, folder, clock=SystemClock())


def _images(store, tmp_path, **rules):
    layers = tmp_path / "layers"
    built_in = BuiltInImages(images_dir=default_images_dir(), layers_dir=layers)
    return Images(built_in=built_in, layers_dir=layers, store=store, rules=RegistryRules(**rules))


async def test_the_stores_image_goes_before_the_built_in_one_of_that_very_name(
    store, layout, tmp_path
):
    await load_archive(store, layout, name="busybox:1.36")
    images = _images(store, tmp_path)
    assert not (await images.pull("busybox:1.36", policy="Always")).built_in
    assert (await images.pull("busybox:1.35", policy="Always")).built_in
    assert images.unpack("busybox:1.36").config.user == "1000:1000"


@pytest.fixture
def registry(tmp_path, layout):
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry") as running:
        yield running


async def test_pull_policies_against_a_registry(store, registry, layout, tmp_path):
    registry.push(f"{layout}:shop/web:1", "web:1")
    images = _images(store, tmp_path, anywhere=False)
    name = f"{registry.host}/web:1"
    with pytest.raises(ImageError) as never:
        await images.pull(name, policy="Never")
    assert never.value.reason == "ErrImageNeverPull"
    first, again = await asyncio.gather(images.pull(name), images.pull(name))
    assert first == again
    assert first.names[0].startswith(f"{registry.host}/web@sha256:")
    assert images.unpack(name).layers == (store.rootfs(store.images()[0]),)

    newer = write_layout(tmp_path / "new", busybox_layer(), name="web:1", Cmd=["/bin/sh"])
    registry.push(f"{newer}:web:1", "web:1")
    assert await images.pull(name, policy="IfNotPresent") == first
    second = await images.pull(name, policy="Always")
    assert second.id != first.id
    stamp = store.images()
    assert await images.pull(name, policy="Always") == second
    assert store.images() == stamp, "nothing is written when the digest is the same"
    pinned = await images.pull(first.names[0])
    assert pinned.id == first.id


async def test_what_a_registry_refuses(store, registry, tmp_path):
    images = _images(store, tmp_path)
    name = f"{registry.host}/none:1"
    with pytest.raises(ImageError) as unknown:
        await images.pull(name)
    assert str(unknown.value) == (
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
        f"{name}: not found"
    )
    closed = f"127.0.0.1:{free_port()}/x:1"
    with pytest.raises(ImageError, match=r"failed to do request: Head .*connection refused$"):
        await images.pull(closed)
    with pytest.raises(ImageError, match="not found"):
        await images.pull(f"{registry.host}/none@sha256:{'0' * 64}")
    assert left_in(store) == []


async def test_a_registry_that_asks_for_a_password(store, layout, tmp_path):
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry", logins=HTPASSWD) as registry:
        registry.flags = ["--dest-creds", "ana:secret"]
        registry.push(f"{layout}:shop/web:1", "web:1")
        images = _images(store, tmp_path)
        name = f"{registry.host}/web:1"
        right, wrong = RegistryCredentials("ana", "secret"), RegistryCredentials("ana", "no")
        for credentials in ((), (wrong,)):
            with pytest.raises(ImageError, match="pull access denied, repository does not exist"):
                await images.pull(name, credentials=credentials)
        assert (await images.pull(name, credentials=(wrong, right))).user == "1000:1000"
        # what one pod was let in for, another one may use: as in a cluster by default
        assert (await images.pull(name)).user == "1000:1000"


async def test_a_corrupt_registry_leaves_no_image(store, registry, layout, tmp_path):
    registry.push(f"{layout}:shop/web:1", "web:1")
    for data in (registry.folder / "data").rglob("data"):
        if data.stat().st_size and data.read_bytes()[:2] == b"\x1f\x8b":
            data.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(ImageError):
        await _images(store, tmp_path).pull(f"{registry.host}/web:1")
    assert left_in(store) == []


async def test_a_cancelled_pull_leaves_nothing(store, registry, layout, tmp_path):
    registry.push(f"{layout}:shop/web:1", "web:1")
    pulling = asyncio.create_task(_images(store, tmp_path).pull(f"{registry.host}/web:1"))
    while not list(store.root.glob("scratch/*")):
        await asyncio.sleep(0.001)
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert left_in(store) == []


async def test_a_sandboxed_lab_asks_no_other_registry(store, tmp_path):
    images = _images(store, tmp_path, anywhere=False)
    with pytest.raises(ImageError) as refused:
        await images.pull("shop/web:2")
    assert str(refused.value).endswith(
        "this lab asks only registries on its own loopback; load its archive, or run: "
        "sudo netlab image pull shop/web:2"
    )


async def test_a_pulled_image_that_may_not_be_asked_for_again_is_used(store, registry, layout):
    registry.push(f"{layout}:shop/web:1", "web:1")
    reference = parse_reference(f"{registry.host}/web:1")
    pulled = await pull_from_registry(store, reference, rules=RegistryRules())
    elsewhere = replace(reference, domain="registry.example")
    store.add_name(pulled, str(elsewhere))
    built_in = BuiltInImages(images_dir=default_images_dir(), layers_dir=store.root / "l")
    images = Images(
        built_in=built_in,
        layers_dir=store.root / "l",
        store=store,
        rules=RegistryRules(anywhere=False),
    )
    assert (await images.pull(str(elsewhere), policy="Always")).id == pulled.id
