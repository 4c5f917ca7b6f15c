"""Volumes that need the kernel: tmpfs, sub-paths, owners, and that nothing is left of them."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from netlab.api.containers import Container, VolumeMount
from netlab.errors import ContainerError
from netlab.kubelet.folders import NodeFolders, PodFolders
from netlab.kubelet.volumes.atomic_files import write_atomically
from netlab.kubelet.volumes.content import VolumeError, VolumeFile
from netlab.kubelet.volumes.ownership import give_to_group
from netlab.kubelet.volumes.place import ensure_place
from netlab.kubelet.volumes.removal import remove_volumes
from netlab.kubelet.volumes.sub_paths import show_sub_path
from netlab.runtime.cri import PodIdentity
from netlab.runtime.mounts import mount_tmpfs, mounts_below, unmount

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTAINER = Container(name="c")


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A folder of its own; whatever a failed test has mounted there is taken away."""
    yield tmp_path
    left = mounts_below(tmp_path)
    for point in left:
        unmount(point)
    assert left == []


def folders(base: Path) -> PodFolders:
    node = NodeFolders(base / "run", base / "state", "netlab-test_")
    return node.pod(PodIdentity("shop", "web", uuid.uuid4().hex))


def show(volume: Path, path: str, place: Path) -> None:
    show_sub_path(volume, path, place, VolumeMount(name="v", mount_path="/m"), CONTAINER)


def test_a_tmpfs_has_the_size_and_mode_asked_for(base: Path) -> None:
    target = folders(base).memory_dir("cache")
    target.mkdir(parents=True)
    mount_tmpfs(target, size_bytes=1024 * 1024, mode=0o777)
    assert target.stat().st_mode & 0o777 == 0o777
    with pytest.raises(OSError, match="No space left"):
        (target / "file").write_bytes(b"x" * 2 * 1024 * 1024)
    unmount(target)


def test_nothing_of_a_pod_is_left_and_nothing_else_is_touched(base: Path) -> None:
    host = base / "host"
    (host / "deep").mkdir(parents=True)
    (host / "precious").write_text("x")
    pod = folders(base)
    memory = pod.memory_dir("cache")
    memory.mkdir(parents=True)
    mount_tmpfs(memory)
    show(host, "deep", pod.sub_path("c", 0))
    show(host, "precious", pod.sub_path("c", 1))
    show(host, "made/here", pod.sub_path("c", 2))
    (pod.sub_path("c", 2) / "written").write_text("through the mount")
    pod.empty_dir("scratch").mkdir(parents=True)
    (pod.empty_dir("scratch") / "link").symlink_to(host)
    pod.remove()
    pod.remove()
    assert mounts_below(base) == []
    assert pod.node.known_uids() == set()
    assert (host / "precious").read_text() == "x"
    assert (host / "made" / "here" / "written").exists()


def test_a_second_start_shows_the_sub_path_anew(base: Path) -> None:
    volume, pod = base / "volume", folders(base)
    volume.mkdir()
    place = pod.sub_path("c", 0)
    show(volume, "a", place)
    (volume / "a").rmdir()
    (volume / "a").write_text("now a file")
    show(volume, "a", place)
    assert place.read_text() == "now a file"
    assert len(mounts_below(place)) == 1
    pod.remove()


def test_what_is_shown_stays_when_its_name_is_exchanged(base: Path) -> None:
    volume, pod = base / "volume", folders(base)
    (volume / "a").mkdir(parents=True)
    place = pod.sub_path("c", 0)
    show(volume, "a", place)
    (volume / "a").rename(volume / "b")
    (volume / "a").symlink_to("/etc")
    (place / "file").write_text("x")
    assert (volume / "b" / "file").exists()
    with pytest.raises(VolumeError):
        show(volume, "a", place)
    pod.remove()
    assert Path("/etc/passwd").exists()


def test_a_mounted_file_of_a_config_volume_stays_old(base: Path) -> None:
    volume, pod = base / "volume", folders(base)
    write_atomically(volume, {"a": VolumeFile(b"old", 0o644)}, NOW)
    place = pod.sub_path("c", 0)
    show(volume, "a", place)
    write_atomically(volume, {"a": VolumeFile(b"new", 0o644)}, NOW)
    assert ((volume / "a").read_bytes(), place.read_bytes()) == (b"new", b"old")
    pod.remove()


def test_removal_refuses_while_something_is_mounted(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, folder = base / "host", base / "volumes"
    host.mkdir()
    (host / "precious").touch()
    show(host, ".", folder / "place")
    with monkeypatch.context() as patch:
        patch.setattr("netlab.kubelet.volumes.removal.unmount", lambda point: None)
        with pytest.raises(ContainerError, match="still mounted"):
            remove_volumes(folder)
    assert (host / "precious").exists()
    remove_volumes(folder)
    assert (host / "precious").exists()
    assert not folder.exists()


def test_a_group_reads_and_writes_its_volume(base: Path) -> None:
    volume = base / "volume"
    (volume / "inner").mkdir(parents=True)
    (volume / "inner" / "file").write_text("x")
    (volume / "inner" / "file").chmod(0o600)
    give_to_group(volume, 12345, read_only=False)
    write = "echo more >> inner/file && mkdir inner/new && touch inner/new/file"
    argv = ["setpriv", "--reuid=1000", "--regid=1000", "--groups=12345", "sh", "-c", write]
    subprocess.run(argv, cwd=volume, check=True, timeout=10)
    assert (volume / "inner" / "new").stat().st_gid == 12345
    assert (volume / "inner" / "new" / "file").stat().st_gid == 12345


def test_a_private_token_is_its_users(base: Path) -> None:
    files = {"token": VolumeFile(b"jwt", 0o600, 1000)}
    write_atomically(base / "v", files, NOW, group=2000)
    status = (base / "v" / "token").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1000, 2000, 0o640)
    assert not write_atomically(base / "v", files, NOW, group=2000)


def test_programs_run_from_the_place_of_volumes(base: Path) -> None:
    closed = base / "run"
    closed.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(closed)], check=True, timeout=10
    )
    place = closed / "volumes"
    ensure_place(place)
    ensure_place(place)
    script = place / "script"
    script.write_text("#!/bin/sh\nexit 7\n")
    script.chmod(0o755)
    assert subprocess.run([str(script)], check=False, timeout=10).returncode == 7
    assert len(mounts_below(place)) == 1
    assert not os.statvfs(place).f_flag & os.ST_NOEXEC
    unmount(place)
    unmount(closed)
