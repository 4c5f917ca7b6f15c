"""Images that are not netlab's own: from a registry, with and without a password, from archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import busybox_layer, write_archive, write_layout
from tests.support.lab import Lab
from tests.support.pods import apply, wait_event, wait_phase
from tests.support.registry import HTPASSWD, Registry, running_registry

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = write_layout(
        tmp_path_factory.mktemp("image"),
        busybox_layer(),
        name="app:1",
        Entrypoint=["/bin/sh", "-c"],
        Cmd=['echo "$GREETING from $(id -u) in $(pwd)"'],
        Env=["GREETING=hello", "PATH=/bin"],
        User="ana",
        WorkingDir="/etc",
    )
    return folder


@pytest.fixture(scope="module")
def registry(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on the loopback of the lab's node, which lets nobody in without a password."""
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(folder, netns=lab.context, logins=HTPASSWD) as running:
        running.flags = ["--dest-creds", "ana:secret"]
        yield running


@pytest.fixture(scope="module", autouse=True)
def _forget_images(lab: Lab, registry: Registry) -> Iterator[None]:
    """Take out of the machine's store what these tests put there."""
    yield
    for name in (f"{registry.host}/team/app:1", f"e2e-{lab.name}:1"):
        lab.netlab("image", "rm", "--force", name, check=False)


def pod(name: str, image: str, *, secret: str = "") -> str:
    secrets = f"imagePullSecrets: [{{name: {secret}}}]" if secret else ""
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          restartPolicy: Never
          {secrets}
          containers: [{{name: main, image: "{image}"}}]
        """


def test_a_registry_asks_for_a_password_and_gets_it_from_a_secret(
    lab: Lab, registry: Registry, layout: Path
) -> None:
    registry.push(f"{layout}:app:1", "team/app:1")
    image = f"{registry.host}/team/app:1"
    apply(lab, pod("locked-out", image))
    wait_event(lab, "locked-out", "Failed", "Failed to pull image")
    lab.kubectl("delete", "pod", "locked-out", "--now")
    lab.kubectl(
        "create", "secret", "docker-registry", "door", f"--docker-server={registry.host}",
        "--docker-username=ana", "--docker-password=secret",
    )  # fmt: skip
    apply(lab, pod("let-in", image, secret="door"))
    wait_phase(lab, "let-in", "Succeeded")
    assert lab.kubectl("logs", "let-in") == "hello from 1234 in /etc\n"
    wait_event(lab, "let-in", "Pulled", "Successfully pulled image")


def test_an_image_that_is_nowhere_says_so(lab: Lab, registry: Registry) -> None:
    apply(lab, pod("nowhere", f"{registry.host}/team/nosuch:1", secret="door"))
    wait_event(lab, "nowhere", "Failed", "not found")
    assert "ErrImagePull" in lab.kubectl(
        "get", "pod", "nowhere", "--no-headers"
    ) or "ImagePullBackOff" in lab.kubectl("get", "pod", "nowhere", "--no-headers")
    lab.kubectl("delete", "pod", "nowhere", "--now")


def test_a_tag_that_nobody_made_is_not_found_and_a_real_one_runs(lab: Lab) -> None:
    apply(lab, pod("wrong", "busybox:1.161"))
    name = "docker.io/library/busybox:1.161"
    words = f'failed to resolve reference "{name}": {name}: not found'
    wait_event(lab, "wrong", "Failed", words)
    wait_event(lab, "wrong", "Failed", "ImagePullBackOff")
    lab.kubectl("set", "image", "pod/wrong", "main=busybox:1.36.1")
    wait_phase(lab, "wrong", "Succeeded")
    lab.kubectl("delete", "pod", "wrong", "--now")


def test_containers_are_listed_with_the_pause_of_their_pod(lab: Lab) -> None:
    manifest = pod("listed", "busybox:1.36").replace(
        "name: main,", "name: main, args: [sleep, '99'],"
    )
    apply(lab, manifest)
    wait_phase(lab, "listed", "Running")
    uid = lab.kubectl("get", "pod", "listed", "-o", "jsonpath={.metadata.uid}")
    lines = lab.netlab("ps", "--name", lab.name, "--filter", "name=_listed_").splitlines()
    assert lines[0].split() == [
        "CONTAINER",
        "ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ]
    assert [line.split()[-1] for line in lines[1:]] == [
        f"k8s_main_listed_default_{uid}_0",
        f"k8s_POD_listed_default_{uid}_0",
    ]
    assert '"sleep 99"' in lines[1]
    assert "registry.k8s.io/pause:" in lines[2]
    lab.kubectl("delete", "pod", "listed", "--now")


def test_a_sandboxed_lab_asks_no_registry_elsewhere(lab: Lab) -> None:
    apply(lab, pod("outside", "registry.example.com/app:1"))
    wait_event(lab, "outside", "Failed", "netlab image pull")
    lab.kubectl("delete", "pod", "outside", "--now")


def test_an_archive_is_loaded_while_the_lab_runs(lab: Lab, layout: Path, tmp_path: Path) -> None:
    archive = write_archive(layout, tmp_path / "app.tar")
    name = f"e2e-{lab.name}:1"
    assert name in lab.netlab("image", "load", str(archive), "--name", name)
    apply(lab, pod("loaded", name))
    wait_phase(lab, "loaded", "Succeeded")
    assert lab.kubectl("logs", "loaded") == "hello from 1234 in /etc\n"
    assert name.partition(":")[0] in lab.netlab("image", "ls")


def test_a_broken_archive_leaves_nothing(lab: Lab, layout: Path, tmp_path: Path) -> None:
    archive = write_archive(layout, tmp_path / "broken.tar")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    before = lab.netlab("image", "ls")
    done = lab.run([*lab.netlab_argv(), "image", "load", str(archive)], check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert lab.netlab("image", "ls") == before
