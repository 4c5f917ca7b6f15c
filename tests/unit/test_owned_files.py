"""Root writes into other people's folders with their rights only, and follows nobody's links."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from netlab.errors import UsageError
from netlab.owned_files import find_place, update_file

ALICE, MALLORY = 65534, 65533

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def write(path: Path, data: bytes = b"new") -> bytes | None:
    seen = []

    def rewrite(before: bytes | None) -> bytes:
        seen.append(before)
        return data

    update_file(path, rewrite, mode=0o600)
    return seen[0]


@pytest.fixture
def shared(monkeypatch):
    """A folder like /tmp: everybody may write into it. Alice called sudo."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="netlab-test-"))
    folder.chmod(0o1777)
    monkeypatch.setenv("SUDO_UID", str(ALICE))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def secret(shared):
    """A file that only root may touch."""
    path = shared / "secret"
    path.write_bytes(b"root's")
    path.chmod(0o600)
    return path


@pytest.fixture
def home(shared):
    folder = shared / "alice"
    folder.mkdir()
    os.chown(folder, ALICE, ALICE)
    return folder


def link(at: Path, to: Path, owner: int) -> None:
    at.symlink_to(to)
    os.chown(at, owner, owner, follow_symlinks=False)


def test_replaced_in_one_step_and_mode_kept(tmp_path):
    path = tmp_path / "config"
    assert write(path, b"one") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    assert write(path, b"two") == b"one"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o640)
    assert [entry.name for entry in tmp_path.iterdir()] == ["config"]


def test_none_leaves_and_nothing_removes(tmp_path):
    path = tmp_path / "config"
    update_file(path, lambda before: None, mode=0o600)
    assert not path.exists()
    write(path)
    update_file(path, lambda before: b"", mode=0o600)
    assert not path.exists()


def test_own_links_are_followed_to_where_the_file_is(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "config").symlink_to(tmp_path / "link" / ".." / "real" / "file")
    write(tmp_path / "config")
    assert (tmp_path / "real" / "file").read_bytes() == b"new"
    assert (tmp_path / "config").is_symlink()


def test_a_circle_of_links_and_things_that_are_no_files(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("a", "fifo", "folder"):
        with pytest.raises(OSError):
            write(tmp_path / name)
    with pytest.raises(OSError):
        find_place(Path("/"))


@needs_root
def test_in_a_home_everything_becomes_the_owners(home):
    write(home / ".kube" / "config")
    for path in (home / ".kube", home / ".kube" / "config"):
        assert (path.stat().st_uid, path.stat().st_gid) == (ALICE, path.parent.stat().st_gid)
    assert stat.S_IMODE((home / ".kube").stat().st_mode) == 0o700


@needs_root
@pytest.mark.parametrize("where", ["the file", "its folder", "a folder that is missing"])
def test_a_link_out_of_a_home_leads_no_further_than_its_owner(home, secret, where):
    if where == "the file":
        (home / ".kube").mkdir()
        link(home / ".kube" / "config", secret, ALICE)
    elif where == "its folder":
        (secret.parent / "roots").mkdir(mode=0o755)
        (secret.parent / "roots" / "config").write_bytes(b"root's")
        link(home / ".kube", secret.parent / "roots", ALICE)
    else:
        (secret.parent / "roots").mkdir(mode=0o755)
        link(home / ".kube", secret.parent / "roots" / "made", ALICE)
    before = {path: path.read_bytes() for path in secret.parent.rglob("*") if path.is_file()}
    with pytest.raises(PermissionError):
        write(home / ".kube" / "config")
    after = {path: path.read_bytes() for path in secret.parent.rglob("*") if path.is_file()}
    assert after == before
    assert secret.stat().st_uid == 0


@needs_root
def test_names_that_could_be_foreseen_are_not_written_through(home, secret):
    (home / ".kube").mkdir()
    os.chown(home / ".kube", ALICE, ALICE)
    for name in ("config.netlab-new", "config.new", "config.tmp", "config.lock"):
        link(home / ".kube" / name, secret, ALICE)
    write(home / ".kube" / "config")
    assert (secret.read_bytes(), secret.stat().st_uid) == (b"root's", 0)


@needs_root
@pytest.mark.parametrize("kind", ["link", "file", "folder", "link to a folder"])
def test_what_another_user_put_into_a_shared_folder_is_refused(shared, secret, kind):
    name = shared / "kubeconfig"
    path = name
    if kind == "link":
        link(name, secret, MALLORY)
    elif kind == "file":
        name.write_bytes(b"")
        os.chown(name, MALLORY, MALLORY)
    elif kind == "folder":
        name.mkdir()
        os.chown(name, MALLORY, MALLORY)
        path = name / "config"
    else:
        (shared / "roots").mkdir()
        link(name, shared / "roots", MALLORY)
        path = name / "config"
    with pytest.raises(UsageError, match=f"belongs to user .*{MALLORY}|belongs to user"):
        write(path)
    assert secret.read_bytes() == b"root's"
    assert not (shared / "roots" / "config").exists()


@needs_root
def test_a_folder_that_appears_meanwhile_is_refused(shared, monkeypatch):
    """Between looking and making, another user makes the folder."""
    from netlab import owned_files

    path = shared / "new" / "config"
    place = find_place(path)
    path.parent.mkdir()
    os.chown(path.parent, MALLORY, MALLORY)
    monkeypatch.setattr(owned_files, "find_place", lambda path: place)
    with pytest.raises(UsageError, match="belongs to user"):
        write(path)
    assert list(path.parent.iterdir()) == []


@needs_root
def test_the_rights_are_given_back(home, secret):
    write(home / "config")
    assert secret.read_bytes() == b"root's"
    write(secret, b"still root")
    assert secret.read_bytes() == b"still root"
