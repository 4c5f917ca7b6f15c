"""What systemd is told of a lab, and that nothing is told where it does not run."""

from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from click.testing import CliRunner

from netlab.cli.up import up
from netlab.config import LabConfig
from netlab.errors import HostError
from netlab.lab import units
from netlab.lab.settings import up_flags, wanted_config


class Systemd:
    """Answers systemctl and systemd-run. active: units; refuses: programs that fail."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.active: set[str] = set()
        self.refuses: set[str] = set()

    def run(self, argv: list[str]) -> int:
        self.asked.append(argv)
        if "is-active" in argv:
            return 0 if argv[-1] in self.active else 3
        return 1 if argv[0] in self.refuses else 0


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    made = Systemd()
    monkeypatch.setattr(units, "BOOTED", tmp_path)
    monkeypatch.setattr(units, "UNIT_FOLDER", tmp_path)
    monkeypatch.setattr(units.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(units, "_run", made.run)
    return made


def test_the_daemon_gets_a_scope_that_ends_before_the_pods_do(systemd: Systemd) -> None:
    prefix = units.own_scope("a")
    pods = systemd.asked[-1]
    assert prefix[:2] == ["systemd-run", "--scope"]
    assert "--property=After=netlab-a-pods.service" in prefix
    assert prefix[-1] == "--"
    assert "--unit=netlab-a-pods.service" in pods
    assert any(word.endswith("-m netlab.lab.shutdown a") for word in pods)


def test_the_pods_of_a_killed_daemon_are_known_already(systemd: Systemd) -> None:
    systemd.active = {"netlab-a-pods.service"}
    assert units.own_scope("a")
    assert [argv[0] for argv in systemd.asked] == ["systemctl"]


def test_a_systemd_that_refuses_leaves_the_daemon_where_it_is(systemd: Systemd) -> None:
    systemd.refuses = {"systemd-run"}
    assert units.own_scope("a") == []


def test_without_systemd_nothing_is_asked(systemd: Systemd, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(units, "BOOTED", tmp_path / "not here")
    assert units.own_scope("a") == []
    units.forget_pods("a")
    units.forget_boot("a")
    assert systemd.asked == []
    with pytest.raises(HostError, match="--at-boot needs systemd"):
        units.need_systemd()


def test_a_start_at_boot_is_enabled_and_forgotten(systemd: Systemd) -> None:
    path = units.start_at_boot(LabConfig(name="a", sandbox=True))
    assert "netlab up --quiet --name a --sandbox" in path.read_text()
    assert systemd.asked[-1][-2:] == ["enable", "netlab-a.service"]
    units.forget_boot("a")
    assert not path.exists()
    assert ["systemctl", "--quiet", "disable", "netlab-a.service"] in systemd.asked


@pytest.mark.parametrize(
    "config",
    [
        LabConfig(),
        LabConfig(name="b", sandbox=True, registries="loopback", api_port=7000),
        LabConfig(
            node_name="vm", node_address=IPv4Interface("192.168.1.2/16"),
            pod_cidr=IPv4Network("10.1.0.0/16"), service_cidr=IPv4Network("10.2.0.0/16"),
        ),
    ],
    ids=["defaults", "sandbox", "addresses"],
)  # fmt: skip
def test_the_flags_ask_for_the_settings(config: LabConfig) -> None:
    words = up.make_context("up", up_flags(config)).params
    words.pop("quiet")
    words.pop("at_boot")
    assert wanted_config(**words) == config


def test_at_boot_is_refused_before_anything_is_made(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(units, "BOOTED", tmp_path / "not here")
    done = CliRunner().invoke(up, ["--at-boot"])
    assert isinstance(done.exception, HostError)
