"""What is left of a lab that could not be started."""

from netlab.config import LabConfig
from netlab.lab import start


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
