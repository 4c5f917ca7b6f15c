"""Whole OCI specs against golden files. REWRITE_GOLDEN=1 rewrites them; review the difference."""

import json
import os
from pathlib import Path

import pytest

from netlab.runtime.cri import ContainerConfig, Mount, PodIdentity, SandboxConfig
from netlab.runtime.recipe import ImageConfig, UnpackedImage
from netlab.runtime.spec import (
    DEFAULT_CAPABILITIES,
    ContainerPlace,
    container_argv,
    container_env,
    container_spec,
    sandbox_spec,
)

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "runtime"
POD = PodIdentity("default", "web", "1111-2222")
SANDBOX = SandboxConfig(POD, 0, "web", Path("/run/netns/cni-web"))
SHARED = SandboxConfig(POD, 0, "web", Path("/run/netns/cni-web"), share_process_namespace=True)
PLACE = ContainerPlace(
    root=Path("/run/netlab/netlab/runtime/containers/c1/rootfs"),
    cgroup="/netlab/netlab/pod1111-2222/c1",
    pause_pid=42,
    shm=Path("/run/netlab/netlab/runtime/sandboxes/s1/shm"),
    hostname=Path("/run/netlab/netlab/runtime/sandboxes/s1/hostname"),
    empty=Path("/run/netlab/netlab/runtime/empty"),
)
IMAGE = UnpackedImage(
    id="sha256:0",
    config=ImageConfig(
        entrypoint=("/entry",), cmd=("serve",), env={"DB": "db"}, working_dir="/srv"
    ),
    layers=(Path("/l"),),
    binds=(Mount(Path("/usr/lib"), "/usr/lib", read_only=True),),
    hidden=("/usr/local",),
)
PLAIN = ContainerConfig("c", 0, "busybox", Path("/log"))
FULL = ContainerConfig(
    name="c",
    attempt=0,
    image="busybox",
    log_path=Path("/log"),
    command=("sh", "-c"),
    args=("sleep 1",),
    env={"DB": "go-demo-2-db", "X": "1"},
    working_dir="/work",
    mounts=(
        Mount(Path("/v/deep"), "/data/deep", read_only=True),
        Mount(Path("/v/data"), "/data"),
        Mount(Path("/pod/hosts"), "/etc/hosts"),
    ),
    tty=True,
)


def spec_of(config, sandbox):
    return container_spec(
        config, sandbox=sandbox, image=IMAGE, place=PLACE, capabilities=DEFAULT_CAPABILITIES
    )


SPECS = {
    "sandbox": lambda: sandbox_spec(SANDBOX, root=Path("/pause"), cgroup="/netlab/netlab/pod1/s1"),
    "container": lambda: spec_of(PLAIN, SANDBOX),
    "container-full": lambda: spec_of(FULL, SHARED),
}


@pytest.mark.parametrize("name", SPECS)
def test_whole_specs(name):
    text = json.dumps(SPECS[name](), indent=1) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


ARGV = {
    "image's own": ((), (), ["/entry", "serve"]),
    "args replace cmd": ((), ("x",), ["/entry", "x"]),
    "command replaces both": (("c",), (), ["c"]),
    "command and args": (("c",), ("x",), ["c", "x"]),
}


@pytest.mark.parametrize(("command", "args", "argv"), ARGV.values(), ids=ARGV.keys())
def test_argv(command, args, argv):
    config = ContainerConfig("c", 0, "i", Path("/log"), command=command, args=args)
    assert container_argv(config, IMAGE.config) == argv


def test_env_has_the_order_the_course_shows():
    env = container_env(FULL, IMAGE.config, hostname="web")
    assert list(env) == ["PATH", "HOSTNAME", "TERM", "DB", "X"]
    assert env["DB"] == "go-demo-2-db"


def test_capabilities_the_machine_lacks_are_not_asked_for():
    spec = container_spec(
        PLAIN, sandbox=SANDBOX, image=IMAGE, place=PLACE, capabilities={"CAP_KILL", "CAP_SYS_ADMIN"}
    )
    assert spec["process"]["capabilities"]["effective"] == ["CAP_KILL"]


def test_no_limit_is_raised():
    assert "rlimits" not in spec_of(FULL, SANDBOX)["process"]
