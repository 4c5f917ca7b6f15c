"""Volumes: what files they hold, how large they may be, where their paths may lead."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netlab.api.containers import Container, VolumeMount
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolume
from netlab.api.volumes import EmptyDirVolume, HostPathVolume, Volume
from netlab.kubelet.containers.environment import PodAddresses
from netlab.kubelet.volumes.atomic_files import write_atomically
from netlab.kubelet.volumes.claims import volume_folder
from netlab.kubelet.volumes.content import (
    Token,
    VolumeError,
    VolumeFile,
    VolumeSources,
    common_user,
    needed_tokens,
    volume_files,
)
from netlab.kubelet.volumes.folders import disk_use_bytes
from netlab.kubelet.volumes.host_paths import ensure_host_path
from netlab.kubelet.volumes.ownership import give_to_group
from netlab.kubelet.volumes.paths import check_sub_path, open_beneath
from netlab.kubelet.volumes.sizes import excess_message, measured_volumes, tmpfs_bytes
from netlab.kubelet.volumes.sub_paths import show_sub_path, sub_path_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MI = 1024 * 1024


def pod(**spec: Any) -> Pod:
    return Pod.parse({"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec})


# -- files ------------------------------------------------------------------------------------

TOKEN_VOLUME = Volume.parse(
    {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
)
TOKEN_ROWS: dict[str, tuple[dict[str, Any], VolumeFile]] = {
    "nobody named": ({}, VolumeFile(b"jwt", 0o644)),
    "the pod's user owns it": (
        {"securityContext": {"runAsUser": 1000}},
        VolumeFile(b"jwt", 0o600, 1000),
    ),
    "fsGroup is let in later": ({"securityContext": {"fsGroup": 2000}}, VolumeFile(b"jwt", 0o600)),
    "different users": (
        {
            "containers": [
                {"name": "a", "securityContext": {"runAsUser": 1}},
                {"name": "b", "securityContext": {"runAsUser": 2}},
            ]
        },
        VolumeFile(b"jwt", 0o644),
    ),
}


@pytest.mark.parametrize("name", TOKEN_ROWS)
def test_who_reads_a_token(name: str) -> None:
    spec, expected = TOKEN_ROWS[name]
    spec = {"containers": [{"name": "a"}], **spec}
    token = Token("jwt", NOW, NOW + timedelta(hours=1))
    tokens = {needed_tokens(TOKEN_VOLUME)[0]: token}
    sources = VolumeSources({}, {}, tokens, PodAddresses("", ""))
    assert volume_files(pod(**spec), TOKEN_VOLUME, sources) == {"token": expected}


def test_a_common_user_needs_every_container_to_agree() -> None:
    own = {"name": "a", "securityContext": {"runAsUser": 7}}
    assert common_user(pod(containers=[own])) == 7
    assert common_user(pod(containers=[own, {"name": "b"}])) is None
    assert common_user(pod(containers=[own], securityContext={"runAsUser": 9})) == 7


def test_downward_files() -> None:
    volume = Volume.parse(
        {
            "name": "info",
            "downwardAPI": {
                "items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                    {
                        "path": "cpu",
                        "mode": 0o400,
                        "resourceFieldRef": {
                            "containerName": "a",
                            "resource": "limits.cpu",
                            "divisor": "1m",
                        },
                    },
                ]
            },
        }
    )
    sources = VolumeSources({}, {}, {}, PodAddresses("", ""), {"cpu": "2"})
    assert volume_files(pod(containers=[{"name": "a"}]), volume, sources) == {
        "labels": VolumeFile(b'app="web"', 0o644),
        "cpu": VolumeFile(b"2000", 0o400),
    }


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(VolumeError, match="cannot mount this kind"):
        volume_files(pod(), Volume(name="x"), VolumeSources({}, {}, {}, PodAddresses("", "")))


def test_a_key_takes_the_place_of_a_folder_that_a_sub_path_made(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"a": VolumeFile(b"1", 0o644)}, NOW)
    (tmp_path / "b").mkdir()
    write_atomically(tmp_path, {"a": VolumeFile(b"2", 0o644)}, NOW)
    assert (tmp_path / "b").is_dir()
    write_atomically(tmp_path, {"b": VolumeFile(b"3", 0o644)}, NOW)
    assert (tmp_path / "b").read_text() == "3"
    assert not (tmp_path / "a").exists()


# -- sizes ------------------------------------------------------------------------------------

LIMITED = {"name": "a", "resources": {"limits": {"memory": "64Mi"}}}
TMPFS_ROWS: dict[str, tuple[dict[str, Any], str, int]] = {
    "the node's memory": ({"containers": [{"name": "a"}]}, "", 1024 * MI),
    "sizeLimit": ({"containers": [{"name": "a"}]}, "10Mi", 10 * MI),
    "the containers' memory": ({"containers": [LIMITED, LIMITED]}, "", 128 * MI),
    "the least of them": ({"containers": [LIMITED]}, "1Gi", 64 * MI),
    "one without a limit": ({"containers": [LIMITED, {"name": "b"}]}, "", 1024 * MI),
    "the pod's memory": (
        {"containers": [{"name": "a"}], "resources": {"limits": {"memory": "32Mi"}}},
        "",
        32 * MI,
    ),
}


@pytest.mark.parametrize("name", TMPFS_ROWS)
def test_size_of_a_tmpfs(name: str) -> None:
    spec, limit, expected = TMPFS_ROWS[name]
    source = EmptyDirVolume(medium="Memory", size_limit=limit)
    assert tmpfs_bytes(pod(**spec), source, 1024 * MI) == expected


def test_a_pod_over_its_limit_is_evicted() -> None:
    volumes = [
        {"name": "free", "emptyDir": {}},
        {"name": "tight", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "memory", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}},
    ]
    subject = pod(volumes=volumes)
    assert measured_volumes(subject) == {"tight": MI}
    assert excess_message(subject, {"tight": MI}) is None
    message = 'Usage of EmptyDir volume "tight" exceeds the limit "1Mi". '
    assert excess_message(subject, {"tight": MI + 1}) == message


def test_disk_use_counts_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    once = disk_use_bytes(tmp_path)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "away").symlink_to("/usr")
    assert 100_000 <= once <= disk_use_bytes(tmp_path) < once + 50_000


# -- hostPath ---------------------------------------------------------------------------------


def host_path_error(path: Path, kind: str) -> str | None:
    try:
        ensure_host_path(HostPathVolume(path=str(path), type=kind))
    except VolumeError as error:
        return str(error)
    return None


def test_host_path_types(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    refused = {
        (folder, "File"): "a file",
        (folder, "FileOrCreate"): "a file",
        (folder, "Socket"): "a socket file",
        (folder, "CharDevice"): "a character device",
        (file, "Directory"): "a directory",
        (file, "DirectoryOrCreate"): "a directory",
        (file, "BlockDevice"): "a block device",
        (tmp_path / "none", "Directory"): "a directory",
        (tmp_path / "none", "File"): "a file",
    }
    for (path, kind), what in refused.items():
        message = f"hostPath type check failed: {path} is not {what}"
        assert host_path_error(path, kind) == message
    accepted = [
        (folder, ""),
        (file, ""),
        (folder, "Directory"),
        (file, "File"),
        (tmp_path / "socket", "Socket"),
        (Path("/dev/null"), "CharDevice"),
    ]
    for path, kind in accepted:
        assert host_path_error(path, kind) is None


def test_host_paths_are_made_where_the_type_asks_for_it(tmp_path: Path) -> None:
    assert host_path_error(tmp_path / "a" / "b", "DirectoryOrCreate") is None
    assert host_path_error(tmp_path / "c" / "d", "") is None
    assert host_path_error(tmp_path / "e", "FileOrCreate") is None
    assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "c" / "d").is_dir()
    assert (tmp_path / "e").is_file()
    with pytest.raises(FileNotFoundError):
        ensure_host_path(HostPathVolume(path=str(tmp_path / "f" / "g"), type="FileOrCreate"))


# -- ownership --------------------------------------------------------------------------------


def test_a_volume_is_given_to_the_group(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o700)
    (inner / "file").write_text("x")
    (inner / "file").chmod(0o600)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("secret")
    outside.chmod(0o600)
    (inner / "link").symlink_to(outside)
    give_to_group(tmp_path, os.getgid(), read_only=False)
    assert (inner / "file").stat().st_mode & 0o7777 == 0o660
    assert inner.stat().st_mode & 0o7777 == 0o2770
    assert outside.stat().st_mode & 0o777 == 0o600
    (inner / "file").chmod(0o600)
    give_to_group(tmp_path, os.getgid(), read_only=False, unless_owned=True)
    assert (inner / "file").stat().st_mode & 0o7777 == 0o600


def test_files_that_the_agent_writes_are_readable_by_the_group(tmp_path: Path) -> None:
    files = {"a": VolumeFile(b"1", 0o400)}
    assert write_atomically(tmp_path, files, NOW, group=os.getgid())
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o440
    assert not write_atomically(tmp_path, files, NOW, group=os.getgid())


# -- sub-paths --------------------------------------------------------------------------------


def opened(root: Path, path: str, *, make: bool = True) -> Path:
    with open_beneath(root, path, make_folders=make) as descriptor:
        return Path(f"/proc/self/fd/{descriptor}").readlink()


def test_sub_paths_are_made_like_their_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    assert opened(tmp_path, "a/b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o2775
    with pytest.raises(FileNotFoundError):
        opened(tmp_path, "c", make=False)


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert opened(tmp_path, "link/new") == tmp_path / "real" / "new"


ESCAPES = {
    "absolute link": ("link", "/etc"),
    "relative link": ("link", "../../../../etc"),
    "below a link": ("link/passwd", "/etc"),
    "new below a link": ("link/new-of-netlab", "/tmp"),
    "through proc": ("link", "/proc/self/root"),
    "dangling link": ("link", "/nowhere/at/all"),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_leads_out_of_a_volume(tmp_path: Path, name: str) -> None:
    path, target = ESCAPES[name]
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError):
        opened(tmp_path, path)
    assert not Path("/tmp/new-of-netlab").exists()
    mount = VolumeMount(name="data", mount_path="/data", sub_path=path)
    place = tmp_path / "place" / "0"
    with pytest.raises(VolumeError) as caught:
        show_sub_path(tmp_path, path, place, mount, Container(name="c"))
    expected = 'failed to create subPath directory for volumeMount "data" of container "c"'
    assert str(caught.value) == expected


def test_sub_path_expressions() -> None:
    def path(**fields: str) -> str:
        mount = VolumeMount(name="v", mount_path="/m", **fields)
        return sub_path_of(mount, {"POD": "web-1", "UP": "../..", "ROOT": "/etc"})

    assert path() == ""
    assert path(sub_path="$(POD)") == "$(POD)"
    assert path(sub_path_expr="logs/$(POD)") == "logs/web-1"
    for expression, message in {
        "$(NONE)/x": 'missing value for "NONE"',
        "$(UP)": "unable to provision SubPath `../..`: must not contain '..'",
        "$(ROOT)": "error SubPath `/etc` must not be an absolute path",
    }.items():
        with pytest.raises(VolumeError) as caught:
            path(sub_path_expr=expression)
        assert str(caught.value) == message


def test_plain_sub_paths_are_checked_too() -> None:
    check_sub_path("a/..b/c")
    with pytest.raises(ValueError):
        check_sub_path("a/../b")


# -- claims -----------------------------------------------------------------------------------


def volume(path: Path, node: str = "node0") -> PersistentVolume:
    requirement = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    terms = [{"matchExpressions": [requirement]}]
    return PersistentVolume.parse(
        {
            "metadata": {"name": "pv1"},
            "spec": {
                "local": {"path": str(path)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        }
    )


def test_the_folder_behind_a_claim(tmp_path: Path) -> None:
    labels = {"kubernetes.io/hostname": "node0"}
    assert volume_folder(volume(tmp_path), "node0", labels).path == tmp_path
    with pytest.raises(VolumeError) as caught:
        volume_folder(volume(tmp_path / "x"), "node0", labels)
    assert str(caught.value) == (
        'MountVolume.NewMounter initialization failed for volume "pv1" : '
        f'path "{tmp_path}/x" does not exist'
    )
    with pytest.raises(VolumeError, match="no matching NodeSelectorTerms"):
        volume_folder(volume(tmp_path, "node1"), "node0", labels)
