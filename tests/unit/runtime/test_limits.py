"""Bounds as OCI resources and as files, and usage, for each version of control groups."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime.cgroups import Hierarchy
from netlab.runtime.cri import GroupUsage, LinuxResources
from netlab.runtime.limits import (
    bound_group,
    cpu_weight,
    group_files,
    oci_changes,
    oci_resources,
)
from netlab.runtime.usage import oom_kills, read_usage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = LinuxResources(
    cpu_shares=204, cpu_quota_us=20000, memory_limit_bytes=10 << 20, pids_limit=50
)


@pytest.fixture
def v1(tmp_path: Path) -> list[Hierarchy]:
    made = []
    for names in (["cpu"], ["cpuacct"], ["memory"], ["pids"], ["name=systemd"]):
        folder = tmp_path / names[0]
        folder.mkdir()
        made.append(Hierarchy(folder, frozenset(names)))
    return made


@pytest.fixture
def v2(tmp_path: Path) -> list[Hierarchy]:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    return [Hierarchy(tmp_path, frozenset())]


def test_as_oci_resources(v1: list[Hierarchy]) -> None:
    assert oci_resources(BOUNDS, v1) == {
        "cpu": {"shares": 204, "quota": 20000, "period": 100000},
        "memory": {"limit": 10 << 20},
        "pids": {"limit": 50},
    }
    assert oci_resources(LinuxResources(), v1) == {}


def test_version_2_kills_a_container_whole(v1: list[Hierarchy], v2: list[Hierarchy]) -> None:
    assert oci_resources(LinuxResources(), v2)["unified"] == {"memory.oom.group": "1"}
    assert "unified" not in oci_changes(BOUNDS, v2)
    hybrid = Hierarchy(v2[0].mount_point / "unified", frozenset())
    assert "unified" not in oci_resources(BOUNDS, [*v1, hybrid])


def test_controllers_the_machine_lacks_are_left_out(v1: list[Hierarchy]) -> None:
    cpu = [hierarchy for hierarchy in v1 if "cpu" in hierarchy.names]
    assert set(oci_resources(BOUNDS, cpu)) == {"cpu"}
    assert oci_resources(BOUNDS, []) == {}


def test_version_2_is_asked_for_its_controllers(v2: list[Hierarchy]) -> None:
    assert set(oci_resources(BOUNDS, v2)) == {"cpu", "memory", "pids", "unified"}


@pytest.mark.parametrize(
    ("names", "files"),
    [
        pytest.param(
            {"cpu"},
            {"cpu.shares": "204", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "20000"},
            id="cpu",
        ),
        pytest.param(
            {"memory"},
            {"memory.use_hierarchy": "1", "memory.limit_in_bytes": str(10 << 20)},
            id="memory",
        ),
        pytest.param({"pids"}, {"pids.max": "50"}, id="pids"),
        pytest.param({"name=systemd"}, {}, id="no controller"),
        pytest.param(
            set(),
            {
                "cpu.weight": "8",
                "cpu.max": "20000 100000",
                "memory.max": str(10 << 20),
                "pids.max": "50",
            },
            id="version 2",
        ),
    ],
)
def test_files_of_a_group(names: set[str], files: dict[str, str]) -> None:
    assert group_files(Hierarchy(Path("/x"), frozenset(names)), BOUNDS) == files


def test_no_bound_is_written_as_none() -> None:
    files = group_files(Hierarchy(Path("/x"), frozenset()), LinuxResources())
    assert files == {"cpu.max": "max 100000", "memory.max": "max", "pids.max": "max"}


def test_a_pods_group_is_made_where_its_controllers_are(v1: list[Hierarchy]) -> None:
    for hierarchy in v1:
        folder = hierarchy.mount_point / "netlab" / "lab" / "pod1"
        if "memory" in hierarchy.names:
            folder.mkdir(parents=True)
            (folder / "memory.limit_in_bytes").write_text("")
    bound_group(v1, "/netlab/lab/pod1", BOUNDS)
    memory = next(h.mount_point for h in v1 if "memory" in h.names) / "netlab/lab/pod1"
    assert (memory / "memory.limit_in_bytes").read_text() == str(10 << 20)
    assert not (memory / "memory.use_hierarchy").exists()  # this kernel has no such file
    systemd = next(h.mount_point for h in v1 if "name=systemd" in h.names)
    assert list(systemd.iterdir()) == []


def test_version_2_passes_controllers_on_before(v2: list[Hierarchy]) -> None:
    top = v2[0].mount_point
    for folder in (top / "netlab", top / "netlab/lab", top / "netlab/lab/pod1"):
        folder.mkdir()
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
        (folder / "cgroup.subtree_control").write_text("")
    (top / "netlab/lab/pod1/memory.max").write_text("max")
    bound_group(v2, "/netlab/lab/pod1", BOUNDS)
    for folder in (top, top / "netlab", top / "netlab/lab", top / "netlab/lab/pod1"):
        assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (top / "netlab/lab/pod1/memory.max").read_text() == str(10 << 20)


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_weights(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


def test_usage_of_version_1(v1: list[Hierarchy]) -> None:
    for hierarchy in v1:
        folder = hierarchy.mount_point / "g"
        folder.mkdir()
        if "cpuacct" in hierarchy.names:
            (folder / "cpuacct.usage").write_text("5000\n")
        if "memory" in hierarchy.names:
            (folder / "memory.usage_in_bytes").write_text("1000\n")
            (folder / "memory.stat").write_text("inactive_file 9\ntotal_inactive_file 300\n")
        if "pids" in hierarchy.names:
            (folder / "pids.current").write_text("3\n")
    assert read_usage(v1, "/g", NOW) == GroupUsage(NOW, 5000, 700, 3)


def test_usage_of_version_2(v2: list[Hierarchy]) -> None:
    folder = v2[0].mount_point / "g"
    folder.mkdir()
    (folder / "cpu.stat").write_text("usage_usec 5\nuser_usec 4\n")
    (folder / "memory.current").write_text("1000\n")
    (folder / "memory.stat").write_text("anon 1\ninactive_file 300\n")
    (folder / "pids.current").write_text("3\n")
    assert read_usage(v2, "/g", NOW) == GroupUsage(NOW, 5000, 700, 3)


def test_a_group_that_is_gone_uses_nothing(v1: list[Hierarchy], v2: list[Hierarchy]) -> None:
    assert read_usage(v1, "/g", NOW) is None
    assert read_usage(v2, "/g", NOW) is None


def test_there_is_no_swap_where_it_can_be_bounded(
    v1: list[Hierarchy], v2: list[Hierarchy], tmp_path: Path
) -> None:
    (tmp_path / "memory" / "memory.memsw.limit_in_bytes").write_text("0")
    for hierarchies in (v1, v2):
        assert oci_resources(BOUNDS, hierarchies)["memory"] == {
            "limit": 10 << 20,
            "swap": 10 << 20,
        }


def test_an_update_lifts_what_is_bounded_no_more(v1: list[Hierarchy], v2: list[Hierarchy]) -> None:
    bounds = LinuxResources(cpu_shares=99)
    assert oci_changes(bounds, v1) == {
        "cpu": {"shares": 99, "quota": -1, "period": 100000},
        "memory": {"limit": -1},
    }
    assert oci_changes(bounds, v2)["memory"] == {"limit": -1, "swap": -1}
    assert oci_changes(BOUNDS, v1) == oci_resources(BOUNDS, v1)
    assert oci_changes(bounds, []) == {}


def test_kills_for_want_of_memory(v1: list[Hierarchy], v2: list[Hierarchy]) -> None:
    for hierarchy, name, text in (
        (v1[2], "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        (v2[0], "memory.events", "low 0\nmax 9\noom 3\noom_kill 2\n"),
    ):
        folder = hierarchy.mount_point / "netlab" / "c"
        assert oom_kills([hierarchy], "/netlab/c") is None
        folder.mkdir(parents=True)
        (folder / name).write_text(text)
        assert oom_kills([hierarchy], "/netlab/c") == 2


def test_version_2_that_passes_nothing_on_bounds_nothing(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    (tmp_path / "cgroup.subtree_control").mkdir()
    hierarchies = [Hierarchy(tmp_path, frozenset())]
    bound_group(hierarchies, "/netlab/p", LinuxResources(cpu_shares=2))
    assert (tmp_path / "netlab" / "p").is_dir()
    with pytest.raises(ContainerError, match=r"memory\.max cannot be set: .*subtree_control"):
        bound_group(hierarchies, "/netlab/p", LinuxResources(memory_limit_bytes=1))
