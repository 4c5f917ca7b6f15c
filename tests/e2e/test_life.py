"""Labs come and go: side by side, killed, interrupted, and without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.lab import REPOSITORY, Lab, eventually, new_lab
from tests.support.traces import NOTHING, host_state, traces_of

pytestmark = pytest.mark.e2e

KILL_MOMENTS_S = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.3, 1.7, 2.5)


@pytest.mark.parametrize("moment_s", KILL_MOMENTS_S)
def test_a_kill_at_any_moment_leaves_no_trace(tmp_path: Path, moment_s: float) -> None:
    """``up`` and its daemon are killed with SIGKILL, then ``down`` cleans up."""
    before = host_state()
    lab = new_lab(tmp_path)
    argv = [sys.executable, "-P", "-m", "netlab", "up", "--sandbox", "--name", lab.name]
    process = subprocess.Popen(
        argv,
        env=lab.environment,
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(moment_s)
    if moment_s > 1.5:
        with contextlib.suppress(AssertionError):
            lab.kubectl("create", "-f", "scenarios/00-demo/go-demo-2.yml")
    with contextlib.suppress(OSError, ValueError):
        os.kill(lab.daemon_pid(), signal.SIGKILL)
    process.kill()
    process.wait()
    lab.down()
    # a daemon that was only just being started sees that its lab is gone, and ends
    eventually(lambda: traces_of(lab.name), lambda traces: traces == NOTHING, within_s=5)
    assert host_state() == before
    assert not lab.kubeconfig.exists()


def test_two_labs_side_by_side(tmp_path: Path) -> None:
    one, two = new_lab(tmp_path / "one"), new_lab(tmp_path / "two")
    try:
        one.up()
        two.up()
        one.kubectl("create", "ns", "only-in-one")
        assert "only-in-one" in one.kubectl("get", "ns")
        assert "only-in-one" not in two.kubectl("get", "ns")
        found = json.loads(two.netlab("status", "--name", two.name, "-o", "json"))
        assert found["running"]
        assert all(component["healthy"] for component in found["components"])
        assert found["nodes"][0]["ready"]
    finally:
        one.down()
        two.down()
    assert traces_of(one.name) == traces_of(two.name) == NOTHING


def test_up_again_is_harmless_and_other_settings_are_refused(unstarted_lab: Lab) -> None:
    unstarted_lab.up()
    pid = unstarted_lab.daemon_pid()
    assert "running already" in unstarted_lab.up()
    assert unstarted_lab.daemon_pid() == pid
    argv = [sys.executable, "-P", "-m", "netlab", "up", "--sandbox", "--name", unstarted_lab.name]
    done = unstarted_lab.run([*argv, "--pod-cidr", "10.10.0.0/16"], check=False)
    assert done.returncode == 1
    assert "exists with other settings" in done.stderr


def test_two_ups_at_the_same_time_agree_on_one_lab(unstarted_lab: Lab) -> None:
    with ThreadPoolExecutor(2) as threads:
        said = [one.result() for one in [threads.submit(unstarted_lab.up) for _ in range(2)]]
    assert all("Ready after" in each for each in said)
    assert "kube-dns" in unstarted_lab.kubectl("get", "svc", "-n", "kube-system")


def test_down_after_somebody_removed_the_run_folder(unstarted_lab: Lab) -> None:
    unstarted_lab.up()
    # what is mounted there stays, as it would for anybody who removes the folder
    shutil.rmtree(f"/run/netlab/{unstarted_lab.name}", ignore_errors=True)
    unstarted_lab.down()
    assert traces_of(unstarted_lab.name) == NOTHING


DAMAGES = {
    "settings emptied": lambda state, run: (state / "config.json").write_bytes(b""),
    "settings truncated": lambda state, run: os.truncate(state / "config.json", 40),
    "settings gone": lambda state, run: (state / "config.json").unlink(),
    "settings and ledger": lambda state, run: (
        (state / "config.json").write_bytes(b""),
        (run / "ledger.jsonl").write_bytes(b"\xff\n{"),
    ),
    "lock": lambda state, run: Path(f"{run}.lock").write_bytes(b"\xff"),
    "lock gone": lambda state, run: Path(f"{run}.lock").unlink(),
    "everything": lambda state, run: [
        (shutil.rmtree(folder, ignore_errors=True), Path(f"{run}.lock").unlink(missing_ok=True))
        for folder in (state, run)
    ],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_down_goes_by_what_the_kernel_shows(tmp_path: Path, damage: str) -> None:
    before = host_state()
    lab = new_lab(tmp_path)
    lab.up()
    DAMAGES[damage](Path("/var/lib/netlab/labs") / lab.name, Path("/run/netlab") / lab.name)
    assert 'Deleted lab "' in lab.netlab("down", "--name", lab.name)
    eventually(lambda: traces_of(lab.name), lambda traces: traces == NOTHING, within_s=5)
    assert host_state() == before
    assert not lab.kubeconfig.exists()


def test_records_that_were_emptied_cost_their_pods_and_nothing_else(unstarted_lab: Lab) -> None:
    unstarted_lab.up()
    unstarted_lab.kubectl("create", "configmap", "kept")
    os.kill(unstarted_lab.daemon_pid(), signal.SIGKILL)
    for record in Path("/run/netlab", unstarted_lab.name, "runtime").rglob("record.json"):
        record.write_bytes(b"")
    unstarted_lab.up()
    eventually(lambda: _problems(unstarted_lab), lambda found: found == [])
    assert "kept" in unstarted_lab.kubectl("get", "configmap", "kept")


def test_a_daemon_that_is_stopped_is_told_at_once(unstarted_lab: Lab) -> None:
    unstarted_lab.up()
    pid = unstarted_lab.daemon_pid()
    os.kill(pid, signal.SIGSTOP)
    began_s = time.monotonic()
    for verb in (["status"], ["up", "--sandbox"]):
        done = unstarted_lab.run(
            [*unstarted_lab.netlab_argv(), *verb, "--name", unstarted_lab.name], check=False
        )
        assert done.returncode == 1
        assert f"process {pid} is stopped; 'kill -CONT {pid}' lets it go on" in (
            done.stdout + done.stderr
        )
        assert "Ready" not in done.stdout
    assert time.monotonic() - began_s < 10
    unstarted_lab.down()  # it does not hear SIGTERM either


def _problems(lab: Lab) -> list[str]:
    done = lab.run([*lab.netlab_argv(), "status", "--name", lab.name, "-o", "json"], check=False)
    found = json.loads(done.stdout)
    assert done.returncode == int(not found["healthy"])
    return list(found["problems"])


def test_status_tells_what_a_user_would_call_wrong(unstarted_lab: Lab) -> None:
    unstarted_lab.up()
    assert _problems(unstarted_lab) == []
    unstarted_lab.kubectl("-n", "kube-system", "run", "broken", "--image=no/such:1")
    eventually(lambda: _problems(unstarted_lab), lambda found: "kube-system/broken" in str(found))
    unstarted_lab.kubectl("-n", "kube-system", "delete", "pod", "broken", "--now")
    unstarted_lab.kubectl("-n", "kube-system", "scale", "deployment", "--all", "--replicas=0")
    eventually(lambda: _problems(unstarted_lab), lambda found: "dns: no answer" in str(found))
    unstarted_lab.run(["umount", "-l", f"/run/netns/netlab-{unstarted_lab.name}"])
    Path(f"/run/netns/netlab-{unstarted_lab.name}").unlink()
    (gone,) = (each for each in _problems(unstarted_lab) if each.startswith("sandbox"))
    assert "is gone" in gone


def test_commands_at_the_same_time_take_turns(tmp_path: Path) -> None:
    lab = new_lab(tmp_path)
    up, down = ["up", "--sandbox", "--name", lab.name], ["down", "--name", lab.name]
    for commands in ([up, down], [down, up, down], [up, up, down, down], [up, down, up]):
        running = [lab.start_netlab(*words) for words in commands]
        for process in running:
            _, errors = process.communicate(timeout=120)
            assert (process.returncode, errors) == (0, "")
        lab.down()
        assert traces_of(lab.name) == NOTHING


def test_the_lab_that_is_left_becomes_the_current_one(tmp_path: Path) -> None:
    one, two = new_lab(tmp_path), new_lab(tmp_path)
    try:
        one.up()
        two.up()
        said = two.netlab("down", "--name", two.name)
        assert f"Set kubectl context to '{one.context}' in {one.kubeconfig}" in said
        assert "node0" in one.netlab("get", "nodes")
    finally:
        one.down()
        two.down()


def test_kubectl_on_the_node_speaks_to_its_own_lab(unstarted_lab: Lab) -> None:
    unstarted_lab.up()
    unstarted_lab.kubectl("config", "unset", "current-context")
    said = unstarted_lab.node("kubectl", "config", "current-context").stdout
    assert said == f"{unstarted_lab.context}\n"
    assert "node0 " in unstarted_lab.node("kubectl", "get", "nodes").stdout


def test_the_settings_are_used(unstarted_lab: Lab) -> None:
    unstarted_lab.up(
        "--node-name", "vm", "--node-ip", "192.168.33.10", "--pod-cidr", "172.17.0.0/16",
        "--service-cidr", "10.3.240.0/20",
    )  # fmt: skip
    node = json.loads(unstarted_lab.kubectl("get", "node", "vm", "-o", "json"))
    assert {"type": "InternalIP", "address": "192.168.33.10"} in node["status"]["addresses"]
    assert "10.3.240.1 " in unstarted_lab.kubectl("get", "svc", "kubernetes")
    pods = unstarted_lab.kubectl("get", "pods", "-A", "-o", "wide", "--no-headers")
    assert " 172.17.0." in pods
    assert unstarted_lab.node("hostname").stdout == "vm\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["--name", "Upper"], ["--name", "lower-case"], id="name"),
        pytest.param(["--node-ip", "300.1.1.1"], ["--node-ip"], id="address"),
        pytest.param(["--pod-cidr", "10.96.0.0/16"], ["overlaps"], id="overlap"),
        pytest.param(["--pod-cidr", "10.244.0.1/16"], ["--pod-cidr", "host bits"], id="host bits"),
        pytest.param(["--api-port", "0"], ["--api-port"], id="port"),
        pytest.param(["--nonsense"], ["--nonsense"], id="flag"),
    ],
)
def test_bad_flags_are_one_clear_line(tmp_path: Path, flags: list[str], words: list[str]) -> None:
    lab = new_lab(tmp_path)
    argv = [sys.executable, "-P", "-m", "netlab", "up", "--sandbox", "--name", lab.name, *flags]
    done = lab.run(argv, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert traces_of(lab.name) == NOTHING


def test_a_port_in_use_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    lab = new_lab(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        argv = [sys.executable, "-P", "-m", "netlab", "up", "--sandbox", "--name", lab.name]
        done = lab.run([*argv, "--api-port", port], check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: --api-port {port}: in use on 127.0.0.1; choose another port\n"
    assert traces_of(lab.name) == NOTHING


def test_without_root(tmp_path: Path) -> None:
    lab = new_lab(tmp_path)
    tmp_path.chmod(0o755)
    argv = [sys.executable, "-P", "-m", "netlab", "up", "--sandbox", "--name", lab.name]
    done = lab.run(["setpriv", "--reuid=65534", "--clear-groups", *argv], check=False)
    assert done.returncode == 1
    assert "sudo" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_shows_a_lab_and_leaves_nothing(tmp_path: Path) -> None:
    lab = Lab("demo", tmp_path)
    printed = lab.netlab("demo", timeout_s=120)
    assert "hello, world!" in printed
    assert 'Deleted lab "demo"' in printed
    assert traces_of("demo") == NOTHING
