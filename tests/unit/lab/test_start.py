"""What is left of a lab that could not be started."""

import pytest

from netlab.client.kubeconfig_file import merge_context
from netlab.config import LabConfig
from netlab.errors import UsageError
from netlab.lab import start
from netlab.lab.ledger import Ledger


def test_the_log_is_kept_among_roots_own_files(tmp_path, monkeypatch):
    """Not in /tmp, where another user could have put a link of that name."""
    log, temporary = tmp_path / "daemon.log", tmp_path / "tmp"
    log.write_text("why")
    temporary.mkdir()
    removed = []
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(start, "FAILED", tmp_path / "failed")
    monkeypatch.setattr(start, "_log_path", lambda config: log)
    monkeypatch.setattr(start, "remove_lab", removed.append)
    config = LabConfig(name="x")
    kept = start._give_up(config)
    assert (kept, kept.read_text()) == (tmp_path / "failed" / "x.log", "why")
    assert (tmp_path / "failed").stat().st_mode & 0o777 == 0o700
    assert removed == [config]
    assert list(temporary.iterdir()) == []


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A lab with keys; the kubeconfigs are ``broken`` (not one) and ``good``."""
    (tmp_path / "state" / "labs" / "x" / "pki").mkdir(parents=True)
    for name in ("ca.crt", "admin.crt", "admin.key"):
        (tmp_path / "state" / "labs" / "x" / "pki" / name).write_bytes(b"PEM")
    monkeypatch.setattr("netlab.config.STATE_ROOT", tmp_path / "state")
    monkeypatch.setattr(start, "kubeconfig_ledger", lambda config: Ledger(tmp_path / "ledger"))
    (tmp_path / "broken").write_text("[no kubeconfig]")
    merge_context(tmp_path / "good", "w", server="s", ca_pem=b"", cert_pem=b"", key_pem=b"")
    return LabConfig(name="x")


def merged(monkeypatch, config, *paths):
    told = []
    monkeypatch.setattr(start, "kubeconfig_paths", lambda: list(paths))
    return start._merge(config, told.append), [event.text for event in told]


def test_of_two_kubeconfigs_one_is_enough(lab, tmp_path, monkeypatch):
    good, broken = tmp_path / "good", tmp_path / "broken"
    written, (warning,) = merged(monkeypatch, lab, broken, good)
    assert written == [good]
    assert warning.startswith(f"{broken}: not a kubeconfig")
    assert "netlab-x" in good.read_text()


def test_without_any_kubeconfig_the_start_has_failed(lab, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="the lab runs, but "):
        merged(monkeypatch, lab, tmp_path / "broken")
