"""Controllers that the runtime switched on for all groups are switched off again, used ones not."""

from pathlib import Path

import pytest

from netlab.runtime.cgroups import Hierarchy, disable_controllers, enabled_controllers


def group(folder: Path, controllers: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    return folder


def test_only_version_2_has_the_switch(tmp_path: Path) -> None:
    root = group(tmp_path, "memory pids\n")
    hierarchies = [
        Hierarchy(root, frozenset()),
        Hierarchy(root / "memory", frozenset({"memory"})),
        Hierarchy(root / "gone", frozenset()),
    ]
    assert enabled_controllers(hierarchies) == {root: {"memory", "pids"}}


@pytest.mark.parametrize(
    ("now", "before", "service", "written"),
    [
        pytest.param("cpu memory pids", "memory pids", "", "-cpu", id="added by the runtime"),
        pytest.param("memory", "memory pids", "", "memory", id="nothing was added"),
        pytest.param("cpu memory", "memory", "cpu", "cpu memory", id="used by a service"),
        pytest.param("cpu io memory", "memory", "cpu", "-io", id="one of them is used"),
    ],
)
def test_what_was_added_and_is_not_used_is_switched_off(
    tmp_path: Path, now: str, before: str, service: str, written: str
) -> None:
    root = group(tmp_path, now)
    group(root / "system.slice", service)
    disable_controllers(root, but=frozenset(before.split()))
    assert (root / "cgroup.subtree_control").read_text() == written
