"""``netlab down`` goes on past what it cannot undo, and says what that was."""

from pathlib import Path
from types import SimpleNamespace

from netlab.cli import down
from netlab.config import LabConfig
from netlab.errors import NetworkError


def with_lab(monkeypatch, kubeconfig, removed, error=None):
    """A lab whose context was merged into ``kubeconfig``."""
    entries = [SimpleNamespace(name=str(kubeconfig))]
    ledger = SimpleNamespace(newest_first=lambda: entries)

    def remove_lab(config):
        removed.append(config.name)
        if error:
            raise error

    monkeypatch.setattr(down, "_config", lambda name: LabConfig(name=name))
    monkeypatch.setattr(down, "kubeconfig_ledger", lambda config: ledger)
    monkeypatch.setattr(down, "remove_lab", remove_lab)


def test_a_broken_kubeconfig_does_not_keep_the_lab(tmp_path: Path, monkeypatch):
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text("[not a kubeconfig]")
    removed = []
    with_lab(monkeypatch, kubeconfig, removed)
    (problem,) = down._remove("x")
    assert problem.startswith(f"context {LabConfig(name='x').context} stays in {kubeconfig}: ")
    assert removed == ["x"]


def test_what_is_left_of_the_lab_is_told(tmp_path: Path, monkeypatch):
    with_lab(monkeypatch, tmp_path / "none", [], NetworkError("cni0: busy"))
    assert down._remove("x") == ["cni0: busy"]
