"""A lab in the machine's own network; the machine is played by a network namespace of the test."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.lab import Lab, eventually, new_lab
from tests.support.traces import NOTHING, traces_of

pytestmark = pytest.mark.e2e

STATE = (
    ["ip", "-o", "link"],
    ["ip", "-o", "-4", "address"],
    ["ip", "-4", "route", "show", "table", "all"],
    ["iptables-save"],
    ["sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet"],
    ["sysctl", "net.bridge.bridge-nf-call-iptables"],
)


class Machine:
    """A network namespace with one link, 192.168.77.2/24, a default route and a rule of its own."""

    def __init__(self) -> None:
        self.name = f"test-host-{secrets.token_hex(3)}"
        for line in (
            f"ip netns add {self.name}",
            f"ip -n {self.name} link set lo up",
            f"ip -n {self.name} link add uplink type veth peer name other",
            f"ip -n {self.name} address add 192.168.77.2/24 dev uplink",
            f"ip -n {self.name} link set uplink up",
            f"ip -n {self.name} link set other up",
            f"ip -n {self.name} route add default via 192.168.77.1",
        ):
            subprocess.run(line.split(), check=True, capture_output=True)
        self.run("iptables", "-A", "FORWARD", "-s", "192.0.2.1", "-j", "ACCEPT")

    def run(self, *argv: str) -> str:
        full = ["nsenter", f"--net=/run/netns/{self.name}", *argv]
        return subprocess.run(full, check=True, capture_output=True, text=True).stdout

    def state(self) -> list[list[str]]:
        seen = []
        for argv in STATE:
            lines = self.run(*argv).splitlines()
            # counters and times are not state
            seen.append(sorted(line.split(" [")[0] for line in lines if not line.startswith("#")))
        return seen

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.remove()


class HostLab(Lab):
    """A lab whose commands all run on the machine."""

    machine: Machine

    def run(self, argv, **more):  # type: ignore[no-untyped-def]
        return super().run(["nsenter", f"--net=/run/netns/{self.machine.name}", *argv], **more)


@pytest.fixture
def host_lab(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostLab]:
    made = HostLab(new_lab(tmp_path_factory.mktemp("lab")).name, tmp_path_factory.mktemp("home"))
    made.machine = machine
    yield made
    made.down()
    assert traces_of(made.name) == NOTHING


def test_services_work_and_the_machine_is_as_before(machine: Machine, host_lab: HostLab) -> None:
    before = machine.state()
    host_lab.netlab("up", "--name", host_lab.name)
    host_lab.kubectl("create", "-f", "scenarios/00-demo/go-demo-2.yml")
    for target in ("127.0.0.1:30080", "10.100.199.200:30080", "192.168.77.2:30080"):
        eventually(
            lambda target=target: (
                host_lab.run(  # type: ignore[misc]
                    ["curl", "-s", "--max-time", "2", f"http://{target}/demo/hello"], check=False
                ).stdout
            ),
            lambda printed: printed == "hello, world!\n",
            what=f"an answer on {target}",
        )
    assert "ACCEPT" in machine.run("iptables", "-S", "FORWARD")
    host_lab.down()
    assert machine.state() == before


def test_an_address_the_machine_has_is_used(machine: Machine, host_lab: HostLab) -> None:
    before = machine.state()
    host_lab.netlab("up", "--name", host_lab.name, "--node-ip", "192.168.77.2")
    assert "netlab0" not in machine.run("ip", "-br", "link")
    assert "192.168.77.2" in host_lab.kubectl("get", "nodes", "-o", "wide")
    host_lab.down()
    assert machine.state() == before


def test_the_route_to_services_goes_where_there_was_none(
    machine: Machine, host_lab: HostLab
) -> None:
    machine.run("ip", "route", "del", "default")
    before = machine.state()
    host_lab.netlab("up", "--name", host_lab.name, "--node-ip", "192.168.77.2")
    assert "10.96.0.0/12 dev uplink" in machine.run("ip", "route")
    host_lab.down()
    assert machine.state() == before


def test_a_range_in_use_is_refused(machine: Machine, host_lab: HostLab) -> None:
    machine.run("ip", "route", "add", "10.244.3.0/24", "dev", "uplink")
    argv = [sys.executable, "-P", "-m", "netlab", "up", "--name", host_lab.name]
    done = host_lab.run(argv, check=False)
    assert done.returncode == 1
    assert "10.244.3.0/24 dev uplink" in done.stderr
    assert "--pod-cidr" in done.stderr


def test_a_second_lab_on_the_machine_is_refused(
    machine: Machine, host_lab: HostLab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host_lab.netlab("up", "--name", host_lab.name)
    other = new_lab(tmp_path_factory.mktemp("other"))
    done = host_lab.run(
        [sys.executable, "-P", "-m", "netlab", "up", "--name", other.name], check=False
    )
    assert done.returncode == 1
    assert f"lab '{host_lab.name}' already uses this machine's own network" in done.stderr


def test_a_sandbox_has_a_way_out_when_asked_for(machine: Machine, host_lab: HostLab) -> None:
    """The internet is another namespace, behind the machine's uplink; FORWARD drops by default."""
    internet = f"{machine.name}-net"
    for line in (
        f"ip netns add {internet}",
        f"ip -n {machine.name} link set other netns {internet}",
        f"ip -n {internet} address add 192.168.77.1/24 dev other",
        f"ip -n {internet} address add 1.1.1.1/32 dev other",
        f"ip -n {internet} link set other up",
    ):
        subprocess.run(line.split(), check=True, capture_output=True)
    try:
        machine.run("iptables", "-P", "FORWARD", "DROP")
        before = machine.state()
        up = ["up", "--sandbox", "--name", host_lab.name]
        host_lab.netlab(*up, "--internet")
        host_lab.kubectl("run", "p", "--image=busybox", "--", "sleep", "600")
        host_lab.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=30s")
        for _ in range(2):
            answered = host_lab.kubectl("exec", "p", "--", "ping", "-c", "1", "-W", "3", "1.1.1.1")
            assert "1 packets received" in answered
            # once more with a daemon that finds all of it there
            subprocess.run(["kill", "-9", str(host_lab.daemon_pid())], check=True)
            host_lab.netlab(*up, "--internet")
        saved = machine.run("iptables-save")
        assert saved.count(f"netlab way out of {host_lab.name}") == 3
        host_lab.down()
        assert machine.state() == before
        assert "no way out" in host_lab.netlab(*up)
        shell = ["shell", "--name", host_lab.name, "--", "ip", "route", "get", "1.1.1.1"]
        answered = host_lab.run([*host_lab.netlab_argv(), *shell], check=False)
        assert answered.returncode != 0
    finally:
        subprocess.run(["ip", "netns", "del", internet], check=True)
