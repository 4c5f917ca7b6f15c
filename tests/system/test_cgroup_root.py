"""What labs switch on in the topmost control group of version 2, and that the last one undoes it.

A group of the test's own plays the topmost one.
"""

import os
import secrets

import pytest

from netlab.runtime.cgroup_root import claim_root, release_root
from netlab.runtime.cgroups import Hierarchy, host_hierarchies

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(name="top")
def top_fixture():
    unified = [h for h in host_hierarchies() if not h.names]
    if not unified:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    top = unified[0].mount_point / f"nl{secrets.token_hex(4)}"
    top.mkdir()
    if not (top / "cgroup.controllers").read_text().split():
        top.rmdir()
        pytest.skip("cgroup v2 passes no controller on")
    yield top
    for folder in sorted(top.rglob("*/"), reverse=True):
        folder.rmdir()
    top.rmdir()


def passed_on(top):
    return (top / "cgroup.subtree_control").read_text().split()


def switch_on(top):
    name = (top / "cgroup.controllers").read_text().split()[0]
    (top / "cgroup.subtree_control").write_text(f"+{name}")
    return name


def test_the_last_lab_switches_off_what_was_off(top):
    hierarchies = [Hierarchy(top, frozenset())]
    claim_root(hierarchies)
    first, second = top / "netlab" / "one", top / "netlab" / "two"
    first.mkdir()
    switch_on(top)
    claim_root(hierarchies)
    second.mkdir()
    first.rmdir()
    release_root(hierarchies)
    assert passed_on(top) != []
    second.rmdir()
    release_root(hierarchies)
    assert passed_on(top) == []
    assert not (top / "netlab").exists()
    release_root(hierarchies)


def test_what_was_on_stays_on(top):
    name = switch_on(top)
    hierarchies = [Hierarchy(top, frozenset())]
    claim_root(hierarchies)
    release_root(hierarchies)
    assert passed_on(top) == [name]


def test_what_another_group_passes_on_by_now_stays(top):
    hierarchies = [Hierarchy(top, frozenset())]
    claim_root(hierarchies)
    name = switch_on(top)
    other = top / "service"
    other.mkdir()
    (other / "cgroup.subtree_control").write_text(f"+{name}")
    release_root(hierarchies)
    assert passed_on(top) == [name]
