"""Whole OCI specs against golden files. REWRITE_GOLDEN=1 rewrites them; review the difference."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from netlab.runtime.capabilities import DEFAULT_CAPABILITIES
from netlab.runtime.cri import (
    ContainerConfig,
    ContainerSecurity,
    Mount,
    PodIdentity,
    SandboxConfig,
)
from netlab.runtime.recipe import ImageConfig, UnpackedImage
from netlab.runtime.spec import (
    ContainerPlace,
    ProcessRights,
    container_argv,
    container_env,
    container_spec,
    exec_process,
    sandbox_spec,
)
from netlab.runtime.users import ProcessUser

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


RIGHTS = ProcessRights(
    user=ProcessUser(0, 0), capabilities=sorted(DEFAULT_CAPABILITIES), resources={}
)
BOUND = ProcessRights(
    user=ProcessUser(1001, 1002, (1003,)),
    capabilities=["CAP_KILL"],
    resources={"memory": {"limit": 16 << 20}, "cpu": {"shares": 204}},
    oom_score_adj=999,
    seccomp={"defaultAction": "SCMP_ACT_ALLOW"},
)
HOST = SandboxConfig(
    POD, 0, "node0", None, host_network=True, host_pid=True, host_ipc=True, uid=65535
)


def spec_of(config, sandbox, rights=RIGHTS, **place):
    where = dataclasses.replace(PLACE, **place)
    return container_spec(config, sandbox=sandbox, image=IMAGE, place=where, rights=rights)


def with_security(**security):
    return dataclasses.replace(PLAIN, security=ContainerSecurity(**security))


def namespaces(spec):
    return {entry["type"]: entry.get("path", "") for entry in spec["linux"]["namespaces"]}


SPECS = {
    "sandbox": lambda: sandbox_spec(SANDBOX, root=Path("/pause"), cgroup="/netlab/netlab/pod1/s1"),
    "container": lambda: spec_of(PLAIN, SANDBOX),
    "container-full": lambda: spec_of(FULL, SHARED),
    "container-bound": lambda: spec_of(PLAIN, SANDBOX, BOUND),
    "container-privileged": lambda: spec_of(with_security(privileged=True), HOST, shm=None),
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


EXECS = {
    "a pipe": (False, ["PATH=/bin", "TERM=dumb", "A=TERM"]),
    "a terminal": (True, ["PATH=/bin", "A=TERM", "TERM=xterm"]),
}


@pytest.mark.parametrize(("tty", "env"), EXECS.values(), ids=EXECS.keys())
def test_an_exec_is_its_containers_process_but_for_command_and_terminal(tty, env):
    process = spec_of(FULL, SANDBOX, BOUND)["process"]
    process = {**process, "env": ["PATH=/bin", "TERM=dumb", "A=TERM"], "rlimits": ["x"]}
    made = exec_process(process, ("sh", "-c", "x"), tty=tty)
    assert made == {**process, "args": ["sh", "-c", "x"], "env": env, "terminal": tty}
    assert made["user"] == {"uid": 1001, "gid": 1002, "additionalGids": [1003]}
    assert made["oomScoreAdj"] == 999
    assert set(made["capabilities"]) == {
        "bounding", "effective", "permitted", "inheritable", "ambient",
    }  # fmt: skip


def test_env_has_the_order_the_course_shows():
    env = container_env(FULL, IMAGE.config, hostname="web")
    assert list(env) == ["PATH", "HOSTNAME", "TERM", "DB", "X"]
    assert env["DB"] == "go-demo-2-db"


def test_who_is_not_root_has_no_effective_capabilities():
    capabilities = spec_of(PLAIN, SANDBOX, BOUND)["process"]["capabilities"]
    assert capabilities == {
        "bounding": ["CAP_KILL"],
        "effective": [],
        "permitted": [],
        "inheritable": [],
        "ambient": [],
    }


def test_a_pod_of_the_host_joins_nothing_of_its_own():
    assert namespaces(spec_of(PLAIN, HOST)).keys() == {"mount", "cgroup", "uts"}
    pause = sandbox_spec(HOST, root=Path("/p"), cgroup="/g")
    assert namespaces(pause).keys() == {"mount", "uts"}
    assert pause["hostname"] == "node0"


def test_the_host_network_of_a_sandboxed_lab_is_its_nodes():
    config = dataclasses.replace(HOST, netns=Path("/run/netns/lab"), host_pid=False, host_ipc=False)
    assert namespaces(spec_of(PLAIN, config))["network"] == "/run/netns/lab"


def test_a_debugging_container_joins_its_targets_processes():
    assert namespaces(spec_of(PLAIN, SANDBOX, target_pid=77))["pid"] == "/proc/77/ns/pid"


@pytest.mark.parametrize(
    ("security", "look", "expected"),
    [
        pytest.param({"read_only_root": True}, ("root", "readonly"), True, id="read-only root"),
        pytest.param(
            {"no_new_privileges": True}, ("process", "noNewPrivileges"), True, id="no new rights"
        ),
        pytest.param({"unmasked_proc": True}, ("linux", "maskedPaths"), None, id="unmasked proc"),
        pytest.param({"privileged": True}, ("linux", "readonlyPaths"), None, id="privileged"),
    ],
)
def test_rights(security, look, expected):
    spec = spec_of(with_security(**security), SANDBOX)
    assert spec[look[0]].get(look[1]) == expected


def test_shared_mounts_make_the_root_shared_too():
    mount = Mount(Path("/v"), "/v", propagation="rslave")
    spec = spec_of(dataclasses.replace(PLAIN, mounts=(mount,)), SANDBOX)
    assert spec["linux"]["rootfsPropagation"] == "rslave"
    assert [m["options"] for m in spec["mounts"] if m["destination"] == "/v"] == [
        ["rbind", "rslave", "rw"]
    ]


def test_no_limit_is_raised():
    assert "rlimits" not in spec_of(FULL, SANDBOX)["process"]
