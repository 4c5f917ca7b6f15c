"""Files in /etc, volumes, and the way they are replaced."""

from __future__ import annotations

import gc
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netlab.api.core import ConfigMap, Secret
from netlab.api.pods import Pod
from netlab.api.volumes import Volume
from netlab.config import LabConfig
from netlab.errors import ContainerError
from netlab.kubelet.containers.environment import PodAddresses
from netlab.kubelet.files import (
    Resolver,
    etc_files,
    hosts_file,
    kernel_hostname,
    parse_resolv_conf,
    pod_hostname,
    pod_resolver,
    resolv_conf,
)
from netlab.kubelet.folders import NodeFolders
from netlab.kubelet.volumes.atomic_files import write_atomically, write_in_place
from netlab.kubelet.volumes.content import VolumeError, VolumeFile, VolumeSources, volume_files
from netlab.runtime.cri import PodIdentity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODE = Resolver(("192.0.2.53",), ("example.org",), ("timeout:1",))


def make_pod(name: str = "web", **spec: Any) -> Pod:
    return Pod.parse({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})


CLUSTER = (
    "search shop.svc.cluster.local svc.cluster.local cluster.local example.org\n"
    "nameserver 10.96.0.10\noptions ndots:5\n"
)
RESOLVERS: dict[str, tuple[dict[str, Any], str]] = {
    "cluster first": ({}, CLUSTER),
    "default": (
        {"dnsPolicy": "Default"},
        "search example.org\nnameserver 192.0.2.53\noptions timeout:1\n",
    ),
    "none": (
        {
            "dnsPolicy": "None",
            "dnsConfig": {
                "nameservers": ["192.0.2.1"],
                "searches": ["a.b"],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
            },
        },
        "search a.b\nnameserver 192.0.2.1\noptions ndots:2 edns0\n",
    ),
    "options are replaced": (
        {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}},
        CLUSTER.replace("ndots:5", "ndots:1"),
    ),
    "in the node's network": (
        {"hostNetwork": True},
        "search example.org\nnameserver 192.0.2.53\noptions timeout:1\n",
    ),
    "cluster names in the node's network": (
        {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
        CLUSTER,
    ),
    "nameservers come once and three at most": (
        {"dnsConfig": {"nameservers": ["10.96.0.10", "192.0.2.1", "192.0.2.2", "192.0.2.3"]}},
        CLUSTER.replace(
            "nameserver 10.96.0.10\n",
            "nameserver 10.96.0.10\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n",
        ),
    ),
    "a domain that is too long": ({"dnsConfig": {"searches": ["a" * 254]}}, CLUSTER),
}


@pytest.mark.parametrize("name", RESOLVERS)
def test_resolv_conf(name: str) -> None:
    spec, expected = RESOLVERS[name]
    resolver = pod_resolver(
        make_pod(**spec),
        cluster_dns="10.96.0.10",
        cluster_domain="cluster.local",
        node_resolver=NODE,
    )
    assert resolv_conf(resolver) == expected


LONG = [f"{number:02}{'d' * 98}.example" for number in range(20)]
WARNINGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "within the limits": ({}, ()),
    "nameservers": (
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": list("abcd")}},
        (
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
            "nameserver line is: a b c",
        ),
    ),
    "domains": (
        {"dnsPolicy": "None", "dnsConfig": {"searches": [f"d{n}" for n in range(33)]}},
        (
            "Search Line limits were exceeded, some search paths have been omitted, the applied "
            "search line is: " + " ".join(f"d{n}" for n in range(32)),
        ),
    ),
    "characters": (
        {"dnsPolicy": "None", "dnsConfig": {"searches": LONG}},
        (
            "Search Line limits were exceeded, some search paths have been omitted, the applied "
            "search line is: " + " ".join(LONG[:18]),
        ),
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_beyond_the_limits_is_told(name: str) -> None:
    spec, expected = WARNINGS[name]
    found = etc_files(
        make_pod(**spec),
        config=LabConfig().node(),
        pod_ip="10.244.0.2",
        node_resolver=NODE,
        node_hosts="",
    )
    assert sorted(found.texts) == ["hostname", "hosts", "resolv.conf"]
    assert found.warnings == expected


def test_resolv_conf_is_read_as_the_c_library_does() -> None:
    text = "# x\nsearch a b.\nnameserver 192.0.2.1 # first\nsearch c\noptions ndots:1 edns0\n"
    assert parse_resolv_conf(text) == Resolver(("192.0.2.1",), ("c",), ("ndots:1", "edns0"))


def test_hosts_file() -> None:
    lines = hosts_file(make_pod(), pod_ip="10.244.0.2", cluster_domain="cluster.local").splitlines()
    assert lines[0] == "# Kubernetes-managed hosts file."
    assert lines[-1] == "10.244.0.2\tweb"


def test_hosts_file_with_a_subdomain() -> None:
    pod = make_pod(hostname="db-0", subdomain="db")
    text = hosts_file(pod, pod_ip="10.244.0.2", cluster_domain="cluster.local")
    assert text.endswith("10.244.0.2\tdb-0.db.shop.svc.cluster.local\tdb-0\n")


ALIASES = [{"ip": "192.0.2.7", "hostnames": ["a.remote", "b.remote"]}]


def test_hosts_file_with_aliases() -> None:
    pod = make_pod(hostAliases=ALIASES)
    text = hosts_file(pod, pod_ip="10.244.0.2", cluster_domain="cluster.local")
    assert text.endswith(
        "10.244.0.2\tweb\n\n# Entries added by HostAliases.\n192.0.2.7\ta.remote\tb.remote\n"
    )


def test_hosts_file_in_the_nodes_network() -> None:
    pod = make_pod(hostNetwork=True, hostAliases=ALIASES)
    text = hosts_file(
        pod, pod_ip="10.100.199.200", cluster_domain="c", node_hosts="127.0.0.1 localhost"
    )
    assert text == (
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"
        "\n# Entries added by HostAliases.\n192.0.2.7\ta.remote\tb.remote\n"
    )


KERNEL_NAMES: dict[str, tuple[dict[str, Any], str]] = {
    "plain": ({}, "web"),
    "full": ({"subdomain": "db", "setHostnameAsFQDN": True}, "web.db.shop.svc.cluster.local"),
    "not asked for": ({"subdomain": "db"}, "web"),
    "without a subdomain": ({"setHostnameAsFQDN": True}, "web"),
    "the node's": ({"hostNetwork": True, "setHostnameAsFQDN": True, "subdomain": "db"}, "node0"),
}


@pytest.mark.parametrize("name", KERNEL_NAMES)
def test_kernel_host_names(name: str) -> None:
    spec, expected = KERNEL_NAMES[name]
    found = kernel_hostname(make_pod(**spec), cluster_domain="cluster.local", node_name="node0")
    assert found == expected


def test_a_full_name_that_is_too_long_is_refused() -> None:
    pod = make_pod("w" * 40, subdomain="db", setHostnameAsFQDN=True)
    full = "w" * 40 + ".db.shop.svc.cluster.local"
    with pytest.raises(ContainerError) as caught:
        kernel_hostname(pod, cluster_domain="cluster.local")
    assert str(caught.value) == (
        f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
        f"(64 characters is the max, {len(full)} characters requested)"
    )


def test_host_names_end_at_63_characters() -> None:
    assert pod_hostname(make_pod("a" * 62 + "-b")) == "a" * 62
    assert pod_hostname(make_pod(hostname="own")) == "own"


def test_namespace_names_tell_the_pod_and_fit_a_file_name() -> None:
    folders = NodeFolders(Path("/run/x"), Path("/var/x"), "netlab_")
    identity = PodIdentity("n" * 63, "p" * 253, "12345678-9abc")
    assert len(folders.pod(identity).netns_name(1000)) < 255
    short = folders.pod(PodIdentity("default", "web", "12345678-9abc"))
    assert short.netns_name(0) == "netlab_default_web_12345678"
    assert short.netns_name(2) == "netlab_default_web_12345678_2"
    assert folders.owned_netns(["netlab_a", "netlab-b_a", "x"]) == ["netlab_a"]


def files(**texts: str) -> dict[str, VolumeFile]:
    return {name.replace("_", "/"): VolumeFile(t.encode(), 0o644) for name, t in texts.items()}


def test_files_are_replaced_all_at_once(tmp_path: Path) -> None:
    assert write_atomically(tmp_path, files(a="1", b="1", d_e="1"), NOW)
    first = (tmp_path / "..data").resolve()
    assert (tmp_path / "a").read_text() == "1"
    assert (tmp_path / "d" / "e").read_text() == "1"
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert not write_atomically(tmp_path, files(a="1", b="1", d_e="1"), NOW)
    assert (tmp_path / "..data").resolve() == first
    assert write_atomically(tmp_path, files(a="2", c="2"), NOW)
    assert not first.exists()
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("..")) == ["a", "c"]
    assert (tmp_path / "a").read_text() == "2"
    assert len(list(tmp_path.iterdir())) == 4


def test_an_empty_volume_is_written_once(tmp_path: Path) -> None:
    assert write_atomically(tmp_path, {}, NOW)
    assert not write_atomically(tmp_path, {}, NOW)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"key": VolumeFile(b"x", 0o666)}, NOW)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o666


SOURCES = VolumeSources(
    {"settings": ConfigMap.parse({"data": {"a": "1"}, "binaryData": {"b": "AP8="}})},
    {"password": Secret.parse({"data": {"key": "c2VjcmV0"}})},
    {},
    PodAddresses("", "10.100.199.200"),
)

VOLUMES: dict[str, tuple[dict[str, Any], Any]] = {
    "config map": (
        {"configMap": {"name": "settings"}},
        {"a": VolumeFile(b"1", 0o644), "b": VolumeFile(b"\x00\xff", 0o644)},
    ),
    "items and modes": (
        {
            "configMap": {
                "name": "settings",
                "defaultMode": 0o400,
                "items": [{"key": "a", "path": "x/y"}, {"key": "b", "path": "b", "mode": 0o600}],
            }
        },
        {"x/y": VolumeFile(b"1", 0o400), "b": VolumeFile(b"\x00\xff", 0o600)},
    ),
    "secret": ({"secret": {"secretName": "password"}}, {"key": VolumeFile(b"secret", 0o644)}),
    "optional": ({"configMap": {"name": "none", "optional": True}}, {}),
    "downward": (
        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"n": VolumeFile(b"web", 0o644)},
    ),
    "missing config map": ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
    "missing secret": ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
    "missing key": (
        {"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}},
        "references non-existent configmap settings key: z",
    ),
    "unknown kind": ({"nfs": {}}, "netlab cannot mount this kind of volume"),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(name: str) -> None:
    source, expected = VOLUMES[name]
    volume = Volume.parse({"name": "v", **source})
    if isinstance(expected, str):
        with pytest.raises(VolumeError) as caught:
            volume_files(make_pod(), volume, SOURCES)
        assert str(caught.value) == expected
    else:
        assert volume_files(make_pod(), volume, SOURCES) == expected


@pytest.mark.parametrize(
    "held", [None, b"", b"\xff\xfe no text", b"127.0.0.1 web\n\n", b"x" * 5000]
)
def test_a_file_that_a_container_has_spoilt_is_written_anew_in_place(tmp_path, held):
    file = tmp_path / "hosts"
    if held is not None:
        file.write_bytes(held)
    before = file.stat().st_ino if held is not None else None
    write_in_place(file, b"127.0.0.1 web\n")
    assert file.read_bytes() == b"127.0.0.1 web\n"
    assert before in (None, file.stat().st_ino)


def test_a_file_that_is_right_is_not_written(tmp_path):
    file = tmp_path / "hosts"
    file.write_bytes(b"127.0.0.1 web\n")
    before = file.stat().st_mtime_ns
    write_in_place(file, b"127.0.0.1 web\n")
    assert file.stat().st_mtime_ns == before


def test_only_the_folders_of_that_uid_are_removed(tmp_path: Path) -> None:
    folders = NodeFolders(tmp_path / "run", tmp_path / "state", "pods-")
    logs = tmp_path / "state" / "pods"
    for name in ("shop_web_1-a", "shop_web-1_11-a", "shop_web_1-b"):
        (logs / name / "main").mkdir(parents=True)
    folders.remove_uid("*")
    folders.remove_uid("1-a")
    assert sorted(entry.name for entry in logs.iterdir()) == ["shop_web-1_11-a", "shop_web_1-b"]
    assert folders.known_uids() == {"11-a", "1-b"}


def test_removing_pods_leaves_no_compiled_patterns(tmp_path: Path) -> None:
    folders = NodeFolders(tmp_path / "run", tmp_path / "state", "pods-")
    (tmp_path / "state" / "pods").mkdir(parents=True)
    folders.remove_uid("first")
    gc.collect()
    before = sum(isinstance(each, re.Pattern) for each in gc.get_objects())
    for number in range(50):
        folders.remove_uid(f"uid-{number}")
    gc.collect()
    assert sum(isinstance(each, re.Pattern) for each in gc.get_objects()) == before
