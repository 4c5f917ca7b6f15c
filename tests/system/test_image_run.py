"""Containers of loaded images under the real runtime: what the image says is what runs."""

import pytest

from netlab.clock import SystemClock
from netlab.errors import ImageError
from netlab.runtime.engine import OciRuntime
from netlab.runtime.image_store.archives import load_archive
from netlab.runtime.image_store.registry import RegistryRules
from netlab.runtime.image_store.store import ImageStore
from tests.support.images import busybox_layer, layer_tar, write_layout
from tests.support.registry import running_registry
from tests.system.runtime_lab import lab_fixture, run_in, start, until_exited

pytestmark = pytest.mark.system

__all__ = ["lab_fixture"]


@pytest.fixture
def store(lab):
    return ImageStore(lab.base / "images", SystemClock())


def runtime_of(lab, store, **rules):
    return OciRuntime(
        run_dir=lab.run_dir,
        state_dir=lab.state_dir,
        lab_name=lab.name,
        clock=SystemClock(),
        images_root=store.root,
        registries=RegistryRules(**rules),
    )


async def test_the_images_config_is_honoured(lab, store):
    layout = write_layout(
        lab.base / "layout",
        busybox_layer(("data/file", b"from the image\n")),
        layer_tar(("bin/.wh.stat", b"")),
        name="app:1",
        Entrypoint=["/bin/sh", "-c"],
        Cmd=['id -u; pwd; echo "$GREETING"; cat file; ls /bin'],
        Env=["GREETING=hello = you", "PATH=/bin"],
        User="ana",
        WorkingDir="/data",
        Volumes={"/data": {}},
    )
    await load_archive(store, layout)
    async with runtime_of(lab, store) as runtime:
        (info,) = [image for image in await runtime.list_images() if not image.built_in]
        assert (info.user, info.pinned, info.names) == ("ana", True, ("docker.io/library/app:1",))
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container(image="app:1"))
        state = await until_exited(runtime, container)
        lines = [line.split(" ", 3)[3] for line in lab.log().splitlines()]
        assert state.exit_code == 0, lines
        assert lines[1:4] == ["/data", "hello = you", "from the image"]
        assert "cat" in lines
        assert "stat" not in lines
        assert lines[0] == "1234"


async def test_two_containers_write_apart_and_the_image_stays_as_it_was(lab, store):
    layout = write_layout(lab.base / "layout", busybox_layer(), name="app:1")
    (image,) = await load_archive(store, layout)
    async with runtime_of(lab, store) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        first, second = [
            await start(
                runtime, sandbox, lab.container("/bin/sleep", "60", name=name, image="app:1")
            )
            for name in ("one", "two")
        ]
        assert (await run_in(runtime, first, "/bin/sh", "-c", "echo x > /etc/passwd"))[0] == 0
        assert "ana" in (await run_in(runtime, second, "/bin/cat", "/etc/passwd"))[1]
        assert "ana" in (store.rootfs(image) / "etc/passwd").read_text()
        with pytest.raises(ImageError, match=r"in use by container one of pod default/web \(lab "):
            await runtime.remove_image(image.id)
        await runtime.remove_container(first)
        await runtime.remove_container(second)
        await runtime.remove_image(image.id)
        assert store.images() == ()


async def test_a_running_lab_sees_what_the_command_line_loads(lab, store):
    layout = write_layout(lab.base / "layout", busybox_layer(), name="late:1")
    async with runtime_of(lab, store, anywhere=False) as runtime:
        with pytest.raises(ImageError, match="sudo netlab image pull late:1"):
            await runtime.pull_image("late:1", policy="IfNotPresent")
        await load_archive(ImageStore(store.root, SystemClock()), layout)
        assert (await runtime.pull_image("late:1", policy="Always")).names


async def test_a_registry_on_the_nodes_own_loopback(lab, store):
    """``localhost`` is the node's, as on a VM: not that of the machine around it."""
    layout = write_layout(lab.base / "layout", busybox_layer(), name="web:1")
    with running_registry(lab.base, netns=lab.name) as registry:
        registry.push(f"{layout}:web:1", "web:1")
        name = f"localhost:{registry.port}/web:1"
        async with runtime_of(lab, store, anywhere=False, node_netns=lab.netns) as runtime:
            assert not (await runtime.pull_image(name, policy="Always")).built_in
        async with runtime_of(lab, ImageStore(lab.base / "other", SystemClock())) as runtime:
            with pytest.raises(ImageError, match="connection refused"):
                await runtime.pull_image(name, policy="Always")
