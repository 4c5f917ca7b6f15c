"""``stop_lab`` goes on past what it cannot undo, and says what that was."""

from pathlib import Path

import pytest
import yaml

from netlab.client.kubeconfig_file import merge_context
from netlab.config import LabConfig
from netlab.errors import NetworkError, UsageError
from netlab.lab import stop, turns
from netlab.lab.ledger import Ledger
from netlab.lab.process import RunningDaemon


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Labs x and y, whose contexts are in one kubeconfig; y runs. Returns it, and what went."""
    kubeconfig, ledger, removed = tmp_path / "config", Ledger(tmp_path / "ledger"), []
    monkeypatch.setattr(turns, "RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr(stop, "all_labs", lambda: ["x", "y"])
    monkeypatch.setattr(stop, "known_labs", lambda: ["x", "y"])
    monkeypatch.setattr(stop, "settings_or_guess", lambda name: LabConfig(name=name))
    monkeypatch.setattr(stop, "kubeconfig_ledger", lambda config: ledger)
    monkeypatch.setattr(
        stop, "running_daemon", lambda c: RunningDaemon(1) if c.name == "y" else None
    )
    monkeypatch.setattr(stop, "remove_lab", lambda config: removed.append(config.name))
    ledger.record("kubeconfig", str(kubeconfig))
    for name in ("netlab-y", "netlab-x"):
        merge_context(kubeconfig, name, server="s", ca_pem=b"", cert_pem=b"", key_pem=b"")
    return kubeconfig, removed


def test_the_lab_that_still_runs_becomes_the_current_one(machine):
    kubeconfig, removed = machine
    done = stop.stop_lab("x")
    assert (done.existed, done.problems, removed) == (True, (), ["x"])
    assert done.contexts == ((kubeconfig, "netlab-y"),)
    assert yaml.safe_load(kubeconfig.read_text())["current-context"] == "netlab-y"


def test_a_broken_kubeconfig_does_not_keep_the_lab(machine):
    kubeconfig, removed = machine
    kubeconfig.write_text("[not a kubeconfig]")
    (problem,) = stop.stop_lab("x").problems
    assert problem.startswith(f"context netlab-x stays in {kubeconfig}: ")
    assert removed == ["x"]


def test_without_the_list_the_usual_kubeconfig_is_looked_at(machine, tmp_path, monkeypatch):
    kubeconfig, _ = machine
    monkeypatch.setattr(stop, "kubeconfig_ledger", lambda config: Ledger(tmp_path / "none"))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    stop.stop_lab("x")
    names = [entry["name"] for entry in yaml.safe_load(kubeconfig.read_text())["contexts"]]
    assert names == ["netlab-y"]


def test_what_is_left_of_the_lab_is_told(machine, monkeypatch):
    def refuse(config):
        raise NetworkError("cni0: busy")

    monkeypatch.setattr(stop, "remove_lab", refuse)
    assert stop.stop_lab("x").problems == ("cni0: busy",)


def test_a_lab_that_is_not_there(machine, tmp_path: Path):
    _, removed = machine
    assert not stop.stop_lab("z").existed
    assert removed == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "X", "a" * 21])
def test_a_name_that_is_none(machine, name):
    with pytest.raises(UsageError, match="--name"):
        stop.stop_lab(name)
