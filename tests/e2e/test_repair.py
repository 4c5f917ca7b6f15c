"""What somebody breaks by hand is mended, and what is killed comes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import pytest

from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.e2e


def _status(lab: Lab, pod: str) -> dict:
    return json.loads(lab.kubectl("get", "pod", pod, "-o", "json"))["status"]


def _netns(lab: Lab, pod: str) -> str:
    names = lab.run(["ip", "netns", "list"]).stdout.split()
    return next(n for n in names if n.startswith(f"{lab.context}_") and pod in n)


@pytest.fixture(scope="module")
def victim(lab: Lab) -> Lab:
    lab.kubectl("run", "victim", "--image=vfarcic/go-demo-2", "--port=8080")
    lab.kubectl("expose", "pod", "victim", "--port=80", "--target-port=8080")
    lab.kubectl("wait", "--for=condition=Ready", "pod/victim", "--timeout=30s")
    return lab


def _curl_service(lab: Lab) -> str:
    address = lab.kubectl("get", "svc", "victim", "-o", "jsonpath={.spec.clusterIP}")
    return lab.node(
        "curl", "-s", "--max-time", "2", f"http://{address}/demo/hello", check=False
    ).stdout


def _wait_for_answer(lab: Lab) -> None:
    eventually(lambda: _curl_service(lab), lambda seen: seen == "hello, world!\n", within_s=20)


def test_a_flushed_nat_table_is_written_again(victim: Lab) -> None:
    _wait_for_answer(victim)
    victim.node("iptables", "-t", "nat", "-F")
    victim.node("iptables", "-t", "nat", "-X", check=False)  # some are back already
    _wait_for_answer(victim)


def test_a_killed_container_is_started_again(victim: Lab) -> None:
    before = _status(victim, "victim")["containerStatuses"][0]
    inside = victim.run(["ip", "netns", "pids", _netns(victim, "victim")]).stdout.split()
    for pid in inside:
        words = victim.run(["cat", f"/proc/{pid}/cmdline"], check=False).stdout
        if not words.startswith("/pause"):
            with contextlib.suppress(ProcessLookupError):  # gone with the container's process 1
                os.kill(int(pid), signal.SIGKILL)
    after = eventually(
        lambda: _status(victim, "victim")["containerStatuses"][0],
        lambda status: status["restartCount"] > before["restartCount"] and status["ready"],
    )
    assert after["lastState"]["terminated"]["exitCode"] == 137
    _wait_for_answer(victim)


def test_a_killed_pause_process_gives_a_new_sandbox(victim: Lab) -> None:
    count = _status(victim, "victim")["containerStatuses"][0]["restartCount"]
    for pid in victim.run(["ip", "netns", "pids", _netns(victim, "victim")]).stdout.split():
        words = victim.run(["cat", f"/proc/{pid}/cmdline"], check=False).stdout
        if words.startswith("/pause"):
            os.kill(int(pid), signal.SIGKILL)
    eventually(
        lambda: _status(victim, "victim")["containerStatuses"][0],
        lambda status: status["restartCount"] > count and status["ready"],
    )
    _wait_for_answer(victim)


def test_a_deleted_veth_is_made_again(victim: Lab) -> None:
    address = _status(victim, "victim")["podIP"]
    victim.run(["ip", "-n", _netns(victim, "victim"), "link", "del", "eth0"])
    _wait_for_answer(victim)
    assert _status(victim, "victim")["podIP"] == address


def test_pods_survive_a_killed_daemon(victim: Lab) -> None:
    before = _status(victim, "victim")["containerStatuses"][0]
    pid = victim.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    victim.up()
    assert victim.daemon_pid() != pid
    after = _status(victim, "victim")["containerStatuses"][0]
    assert after["containerID"] == before["containerID"]
    assert after["restartCount"] == before["restartCount"]
    _wait_for_answer(victim)
    assert victim.kubectl("get", "pod", "victim", "--no-headers").split()[1] == "1/1"


def test_an_unknown_image_backs_off(lab: Lab) -> None:
    lab.kubectl("run", "typo", "--image=nginxx:9")
    eventually(
        lambda: lab.kubectl("get", "pod", "typo", "--no-headers").split()[2],
        lambda word: word == "ImagePullBackOff",
    )
    described = lab.kubectl("describe", "pod", "typo")
    assert 'Failed to pull image "nginxx:9"' in described
    lab.kubectl("delete", "pod", "typo", "--now")


def test_a_crashing_container_backs_off(lab: Lab) -> None:
    lab.kubectl("run", "crash", "--image=busybox", "--", "sh", "-c", "echo bye; exit 2")
    eventually(
        lambda: lab.kubectl("get", "pod", "crash", "--no-headers").split()[2],
        lambda word: word == "CrashLoopBackOff",
    )
    status = _status(lab, "crash")["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 2
    assert lab.kubectl("logs", "crash", "--previous") == "bye\n"
    lab.kubectl("delete", "pod", "crash", "--now")


@pytest.mark.parametrize(
    "harm",
    [
        "ip link set cni0 down",
        "ip addr flush dev cni0",
        "ip route flush dev cni0",
        "ip link set netlab0 down",
        "ip addr flush dev netlab0",
        "ip link set lo down",
        "sysctl -w net.ipv4.ip_forward=0",
        "sysctl -w net.ipv4.conf.all.route_localnet=0",
    ],
)
def test_the_nodes_links_and_parameters_come_back(victim: Lab, harm: str) -> None:
    _wait_for_answer(victim)
    before = _network_of(victim)
    victim.node(*harm.split())
    eventually(lambda: _network_of(victim), lambda seen: seen == before)
    _wait_for_answer(victim)


def _network_of(lab: Lab) -> list[str]:
    """The node's addresses, routes and parameters; a link that is down has no routes."""
    forward = lab.node("sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet").stdout
    routes = lab.node("ip", "-4", "route").stdout
    addresses = lab.node("ip", "-o", "-4", "addr").stdout
    return sorted([*forward.splitlines(), *routes.splitlines(), *addresses.splitlines()])
