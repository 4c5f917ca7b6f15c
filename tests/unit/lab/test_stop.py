"""``netlab down`` goes on past what it cannot undo, and says what that was."""

from pathlib import Path
from types import SimpleNamespace

from netlab.config import LabConfig
from netlab.errors import NetworkError
from netlab.lab import stop


def with_lab(monkeypatch, kubeconfig, removed, error=None):
    """A lab whose context was merged into ``kubeconfig``."""
    entries = [SimpleNamespace(name=str(kubeconfig))]
    ledger = SimpleNamespace(newest_first=lambda: entries)

    def remove_lab(config):
        removed.append(config.name)
        if error:
            raise error

    monkeypatch.setattr(stop, "_config", lambda name: LabConfig(name=name))
    monkeypatch.setattr(stop, "kubeconfig_ledger", lambda config: ledger)
    monkeypatch.setattr(stop, "remove_lab", remove_lab)


def test_a_broken_kubeconfig_does_not_keep_the_lab(tmp_path: Path, monkeypatch):
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text("[not a kubeconfig]")
    removed = []
    with_lab(monkeypatch, kubeconfig, removed)
    (problem,) = stop.stop_lab("x").problems
    assert problem.startswith(f"context {LabConfig(name='x').context} stays in {kubeconfig}: ")
    assert removed == ["x"]


def test_what_is_left_of_the_lab_is_told(tmp_path: Path, monkeypatch):
    with_lab(monkeypatch, tmp_path / "none", [], NetworkError("cni0: busy"))
    assert stop.stop_lab("x").problems == ("cni0: busy",)
