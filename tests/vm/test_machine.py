"""A lab in the network of a whole machine: the README's session, systemd, nothing left behind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, eventually
from tests.support.patience import patience
from tests.support.traces import NOTHING, host_state, traces_of

UNIT_FOLDER = Path("/etc/systemd/system")
LOGIND = Path("/etc/systemd/logind.conf.d/netlab-test.conf")


def output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def machine_state() -> dict[str, object]:
    """Everything of the machine that a lab in its network could leave changed."""
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        **host_state(),
        "mounts": sorted(m for m in mounts if "netlab" in m or "netns" in m),
        "controllers": Path("/sys/fs/cgroup/cgroup.subtree_control").read_text().split(),
        "groups": sorted(p.name for p in Path("/sys/fs/cgroup").iterdir() if p.is_dir()),
        "units": sorted(path.name for path in UNIT_FOLDER.rglob("netlab*")),
        "running": output(
            "systemctl", "list-units", "--plain", "--no-legend", "netlab-*[0-9].scope"
        ),
        "run": sorted(path.name for path in Path("/run").glob("net*")),
        "legacy": [
            line
            for line in output("iptables-legacy-save").splitlines()
            if not line.startswith(("#", ":"))
        ],
    }


@pytest.fixture
def machine_lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab to be; when it has gone the machine is what it was."""
    # loads the modules and makes the chains that come with the first rule of each kind
    output("iptables", "-t", "nat", "-S")
    output("iptables", "-S")
    before = machine_state()
    made = Lab("vm", tmp_path)
    try:
        yield made
    finally:
        made.down()
    assert traces_of(made.name) == NOTHING
    assert machine_state() == before


def curl(address: str) -> str:
    argv = ["curl", "-s", "--max-time", "5", f"http://{address}/demo/hello"]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


def test_doctor_is_content_with_a_fresh_machine() -> None:
    done = subprocess.run(["netlab", "doctor"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "This machine can run netlab." in done.stdout


def test_the_session_of_the_readme(machine_lab: Lab) -> None:
    lab = machine_lab
    lab.netlab("up", "--name", lab.name)
    lab.kubectl("create", "-f", "scenarios/00-demo/go-demo-2.yml")
    lab.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=300s", timeout_s=320)
    pods = lab.kubectl("get", "pods", "-l", "type=api", "-o", "jsonpath={.items[*].status.podIP}")
    service = lab.kubectl("get", "service", "go-demo-2-api", "-o", "jsonpath={.spec.clusterIP}")
    for target in (f"{pods.split()[0]}:8080", f"{service}:8080", "127.0.0.1:30080"):
        printed = eventually(
            lambda target=target: curl(target),  # type: ignore[misc]
            lambda text: text == "hello, world!\n",
            what=f"an answer of {target}",
        )
        assert printed == "hello, world!\n"
    assert "default_go-demo-2-api" in output("ip", "netns")
    assert "go-demo-2-api" in output("iptables", "-t", "nat", "-S")
    name = "go-demo-2-api.default.svc.cluster.local"
    assert output("dig", "+short", "@10.96.0.10", name).strip() == service
    assert "10.244.0.0/24" in output("ip", "route")
    assert lab.netlab("doctor")


def test_a_daemon_outlives_the_login_it_was_started_from(machine_lab: Lab) -> None:
    LOGIND.parent.mkdir(exist_ok=True)
    LOGIND.write_text("[Login]\nKillUserProcesses=yes\nKillExcludeUsers=\n")
    output("systemctl", "restart", "systemd-logind")
    try:
        output(
            *("systemd-run", "--wait", "--collect", "--quiet", "-p", "PAMName=login"),
            *("-p", "User=root", f"--setenv=KUBECONFIG={machine_lab.kubeconfig}"),
            *(*machine_lab.netlab_argv(), "up", "--sandbox", "--name", machine_lab.name),
        )
        eventually(
            lambda: output("loginctl", "list-sessions", "--no-legend"),
            lambda text: not text.strip(),
            what="the login is over",
        )
    finally:
        LOGIND.unlink()
        output("systemctl", "restart", "systemd-logind")
    pid = machine_lab.daemon_pid()
    assert f"netlab-{machine_lab.name}-" in Path(f"/proc/{pid}/cgroup").read_text()
    assert "node0" in machine_lab.kubectl("get", "nodes")


def test_a_shutdown_ends_the_daemon_and_then_the_pods_at_once(machine_lab: Lab) -> None:
    lab = machine_lab
    lab.up()
    lab.kubectl(
        "run",
        "stubborn",
        "--image=busybox",
        "--",
        "sh",
        "-c",
        "trap '' TERM; sleep 999 & wait; sleep 999",
    )
    lab.kubectl("wait", "--for=condition=Ready", "pod/stubborn", "--timeout=300s", timeout_s=320)
    pid = lab.daemon_pid()
    scope = Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("/")[2]
    pods = f"netlab-{lab.name}-pods.service"
    # what comes after another unit ends before it
    assert pods in output("systemctl", "show", "-p", "After", scope).split("=")[1].split()
    begun = time.monotonic()
    output("systemctl", "stop", scope)
    output("systemctl", "stop", pods)
    assert time.monotonic() - begun < 10 * patience()
    assert traces_of(lab.name)["processes"] == []


def test_a_killed_daemon_comes_back_beside_its_pods_unit(machine_lab: Lab) -> None:
    lab = machine_lab
    lab.up()
    Path("/proc", str(lab.daemon_pid()))
    subprocess.run(["kill", "-9", str(lab.daemon_pid())], check=True)
    lab.up()
    assert "node0" in lab.kubectl("get", "nodes")


def test_a_lab_that_starts_at_every_boot(machine_lab: Lab) -> None:
    lab = machine_lab
    lab.up("--at-boot")
    unit = f"netlab-{lab.name}.service"
    assert output("systemctl", "is-enabled", unit).strip() == "enabled"
    # as a reboot ends it
    for each in (f"netlab-{lab.name}-{'*'}.scope", f"netlab-{lab.name}-pods.service"):
        output("systemctl", "stop", each)
    output("systemctl", "start", unit)
    assert "node0" in lab.kubectl("get", "nodes")


def test_rules_go_with_the_lab_when_the_iptables_was_switched_meanwhile(machine_lab: Lab) -> None:
    now = Path("/etc/alternatives/iptables").readlink().name
    other = "iptables-legacy" if now == "iptables-nft" else "iptables-nft"
    machine_lab.netlab("up", "--name", machine_lab.name)
    try:
        output("update-alternatives", "--set", "iptables", f"/usr/sbin/{other}")
        machine_lab.down()
    finally:
        output("update-alternatives", "--set", "iptables", f"/usr/sbin/{now}")
