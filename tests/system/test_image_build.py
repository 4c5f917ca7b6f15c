"""Images from Dockerfiles, built and run: what comes into them, and what never leaves its place."""

import os
from pathlib import Path

import pytest

from netlab.clock import SystemClock
from netlab.errors import ImageError
from netlab.runtime.dockerfile.building import BuildRequest, build_dockerfile
from netlab.runtime.engine import OciRuntime
from netlab.runtime.image_store.store import ImageStore
from netlab.runtime.mounts import mounts_below
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
    run_in,
    start,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(name="build")
def build_fixture(lab):
    """Return what builds a Dockerfile's text in a folder of the lab, as app:1."""
    store = ImageStore(lab.base / "images", SystemClock())
    context = lab.base / "context"
    context.mkdir()

    async def build(text, name="app:1", **arguments):
        (context / "Dockerfile").write_text(text)
        said = []
        request = BuildRequest(context, context / "Dockerfile", [name], arguments)
        try:
            await build_dockerfile(store, request, clock=SystemClock(), progress=said.append)
        finally:
            assert mounts_below(lab.base / "images") == []
            assert not list((store.root / "scratch").iterdir())
        return said

    build.context, build.store = context, store
    return build


def runtime_of(lab):
    return OciRuntime(
        run_dir=lab.run_dir,
        state_dir=lab.state_dir,
        lab_name=lab.name,
        clock=SystemClock(),
        images_root=lab.base / "images",
    )


async def shell(lab, *scripts, image="app:1"):
    """Return what scripts print in a container of an image."""
    async with runtime_of(lab) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99", image=image))
        outputs = [(await run_in(runtime, container, "sh", "-c", each))[1] for each in scripts]
        await runtime.remove_sandbox(sandbox)
        return outputs


async def test_files_commands_and_settings_come_into_the_image(lab, build):
    (build.context / "sub").mkdir()
    (build.context / "sub" / "in.txt").write_text("in\n")
    (build.context / "run.sh").write_text("#!/bin/sh\necho run\n")
    (build.context / "run.sh").chmod(0o755)
    (build.context / "secret.key").write_text("s")
    (build.context / ".dockerignore").write_text("*.key\nDockerfile\n")
    said = await build(
        "FROM busybox:1.36\nARG WHO=nobody\nWORKDIR /srv\nENV NAME=ana\nCOPY . .\n"
        "COPY --chown=1000:1000 run.sh /usr/local/bin/go\n"
        "RUN echo $WHO $NAME > who; rm /etc/shells; echo told\nUSER 1000\n",
        WHO="me",
    )
    assert said == ["told"]
    seen = await shell(
        lab,
        "pwd; id -u; echo $NAME $WHO",
        "cat who; cat sub/in.txt; ls -a",
        "go; stat -c '%u:%g %a' /usr/local/bin/go /srv/run.sh",
        "test -e /etc/shells || echo gone",
    )
    assert seen == [
        "/srv\n1000\nana\n",
        "me ana\nin\n.\n..\n.dockerignore\nrun.sh\nsub\nwho\n",
        "run\n1000:1000 755\n0:0 755\n",
        "gone\n",
    ]


async def test_stages_and_images_built_on_one_another(lab, build):
    await build(
        "FROM busybox AS maker\nRUN mkdir /out && echo made > /out/file && ln -s file /out/link\n"
        "FROM alpine:3.19\nCOPY --from=maker /out /data\nRUN echo first > /data/first\n"
    )
    await build("FROM app:1\nRUN rm /data/first; echo second > /data/second\n", "app:2")
    seen = await shell(lab, "ls /data; cat /data/link; head -n1 /etc/os-release", image="app:2")
    assert seen == ['file\nlink\nsecond\nmade\nNAME="Alpine Linux"\n']
    assert await shell(lab, "ls /data") == ["file\nfirst\nlink\n"]


async def test_a_command_sees_nothing_of_the_machine(lab, build):
    (lab.base / "outside").write_text("secret")
    said = await build(
        f"FROM busybox\nRUN cat {lab.base}/outside /etc/shadow 2>&1; ip -o link | wc -l;"
        " ip route; ls /proc | grep -c '^[0-9]'; grep -E 'CapEff|Seccomp:' /proc/self/status;"
        " mount -t tmpfs x /mnt 2>&1; hostname\n"
    )
    assert not any("secret" in line or "root:" in line for line in said)
    assert "CapEff:\t00000000a80425fb" in said
    assert "Seccomp:\t2" in said
    assert said[-1] == "build"
    assert any("ermi" in line and "mount" in line for line in said)  # Operation not permitted


ESCAPES = {
    "upwards": ("COPY ../../etc/shadow /x", "COPY ../../etc/shadow: lies outside the build's"),
    "upwards, in the middle": ("COPY a/../../x /x", "COPY a/../../x: lies outside"),
    "a link to a file": ("COPY shadow /x", "COPY shadow: lies outside the build's folder"),
    "a link to a folder": ("COPY etc /x", "COPY etc: lies outside the build's folder"),
    "through a link": ("COPY etc/shadow /x", "COPY etc/shadow: lies outside the build's folder"),
    "a pattern through a link": ("COPY etc/shado* /x/", "lies outside the build's folder"),
    "missing": ("COPY nosuch /x", "COPY nosuch: not found in the build's folder"),
    "left out": ("COPY left.out /x", "COPY left.out: not found in the build's folder"),
    "a fifo": ("COPY fifo /x", "COPY fifo: neither file, folder nor link"),
    "no such owner": ("COPY --chown=nosuch a /x", "unable to find user nosuch"),
    "a failing command": ("RUN exit 3", "RUN exit 3: ended with code 3"),
    "no such program": ('RUN ["nosuch"]', "executable file not found in $PATH"),
}  # fmt: skip


@pytest.mark.parametrize("row", ESCAPES)
async def test_what_fails_leaves_no_image(lab, build, row):
    line, cause = ESCAPES[row]
    (build.context / "a").write_text("a")
    (build.context / "left.out").write_text("a")
    (build.context / ".dockerignore").write_text("left.out\n")
    (build.context / "shadow").symlink_to("/etc/shadow")
    (build.context / "etc").symlink_to("/etc")
    os.mkfifo(build.context / "fifo")
    with pytest.raises(ImageError) as refused:
        await build(f"FROM busybox\nRUN echo half > /done\n{line}\n")
    assert cause in str(refused.value)
    assert str(refused.value).startswith("Dockerfile:3: ")
    assert "\n" not in str(refused.value)
    assert build.store.images() == ()
    assert not list((build.store.root / "rootfs").iterdir())


async def test_links_of_an_image_do_not_lead_to_the_host(lab, build):
    target = lab.base / "host"
    target.mkdir()
    (build.context / "a").write_text("a")
    await build(
        f"FROM busybox\nRUN mkdir -p {target} && ln -s {target} /way && ln -s {target}/f /file\n"
        "COPY a /way/inner/a\nCOPY a /file\n"
    )
    assert list(target.iterdir()) == []
    assert await shell(lab, f"cat {target}/inner/a; test -L /file || cat /file") == ["aa"]
    assert not Path("/way").exists()
