import stat
from pathlib import Path

import pytest
import yaml

from netlab.client.kubeconfig_file import (
    change_kubeconfig,
    kubeconfig_paths,
    merge_context,
    remove_context,
)
from netlab.errors import UsageError

OTHER = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work:6443"}}],
    "users": [{"name": "me", "user": {"token": "t"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
}


def _merge(path: Path, context: str = "netlab", server: str = "https://127.0.0.1:6443") -> None:
    merge_context(path, context, server=server, ca_pem=b"CA", cert_pem=b"CERT", key_pem=b"KEY")


def test_a_new_file_is_private_and_current(tmp_path: Path) -> None:
    path = tmp_path / "home" / ".kube" / "config"
    path.parent.parent.mkdir()
    _merge(path)
    config = yaml.safe_load(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config["current-context"] == "netlab"
    assert config["users"][0]["user"]["client-key-data"] == "S0VZ"
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]


def test_other_entries_stay_and_ours_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHER))
    _merge(path, server="https://127.0.0.1:1")
    _merge(path, server="https://127.0.0.1:2")
    config = yaml.safe_load(path.read_text())
    assert [cluster["name"] for cluster in config["clusters"]] == ["work", "netlab"]
    assert config["clusters"][1]["cluster"]["server"] == "https://127.0.0.1:2"
    assert config["users"][0]["user"] == {"token": "t"}


def test_removing_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHER))
    _merge(path)
    remove_context(path, "netlab")
    config = yaml.safe_load(path.read_text())
    assert [context["name"] for context in config["contexts"]] == ["work"]
    assert config["current-context"] == ""


def test_removing_the_last_entry_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config"
    _merge(path)
    remove_context(path, "netlab")
    assert not path.exists()
    remove_context(path, "netlab")


def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("a: [1\n")
    with pytest.raises(UsageError, match="not a kubeconfig"):
        _merge(path)
    assert path.read_text() == "a: [1\n"


def test_the_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/a/one:/b/two")
    assert kubeconfig_paths() == [Path("/a/one")]


def test_a_variable_without_a_path_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", ":")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert kubeconfig_paths() == [Path("/home/me/.kube/config")]


def test_the_lab_that_came_last_becomes_the_current_one(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHER))
    for name in ("netlab-a", "netlab-b", "netlab"):
        _merge(path, name)
    labs = ("netlab-a", "netlab-b", "netlab-gone")
    assert remove_context(path, "netlab", successors=labs) == "netlab-b"
    assert yaml.safe_load(path.read_text())["current-context"] == "netlab-b"
    assert remove_context(path, "netlab-a", successors=labs) == ""
    assert yaml.safe_load(path.read_text())["current-context"] == "netlab-b"
    assert remove_context(path, "netlab-b") == ""
    assert yaml.safe_load(path.read_text())["current-context"] == ""


@pytest.mark.parametrize("text", ["[1, 2]", "contexts: 5", "clusters: {a: b}", "\x00", "a: [1"])
def test_garbage_is_told_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError, match="not a kubeconfig"):
        _merge(path)
    with pytest.raises(UsageError, match="not a kubeconfig"):
        remove_context(path, "netlab")
    assert path.read_text() == text


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "config"
    real.write_text(yaml.safe_dump(OTHER))
    link.symlink_to(real)
    _merge(link)
    assert link.is_symlink()
    assert yaml.safe_load(real.read_text())["current-context"] == "netlab"


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.mkdir()
    with pytest.raises(UsageError, match="directory"):
        change_kubeconfig(path, lambda before: b"text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["config"]


def test_a_place_where_no_file_can_be_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "file" / "config"
    path.parent.write_text("not a folder")
    with pytest.raises(UsageError) as caught:
        _merge(path)
    assert str(caught.value) == f"{path}: cannot be changed: Not a directory"
