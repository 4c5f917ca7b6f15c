"""What is called wrong with a lab."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.lab import disk, health
from netlab.lab.health import LabHealth, NodeState, PartState
from netlab.lab.process import RunningDaemon

CONFIG = LabConfig(name="x", sandbox=True)


def node(name="node0", ready="True"):
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": "10.244.0.0/24"},
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "message": "says so"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        },
    }


def pod(name, ready, **status):
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "message": "not yet"}]
    return {"metadata": {"name": name}, "status": {"conditions": conditions, **status}}


@pytest.mark.parametrize(
    ("items", "problems"),
    [
        ([node()], ()),
        ([node(ready="False")], ("node node0: not ready: says so",)),
        ([], ("node node0: not ready: it is not registered",)),
        ([node("other")], ("node node0: not ready: it is not registered",)),
        (
            [{"metadata": {"name": "node0"}}],
            ("node node0: not ready: it has no condition Ready",),
        ),
    ],
)
def test_nodes(items, problems):
    found = LabHealth(CONFIG, 1, nodes=health._nodes(CONFIG, items))
    assert (found.problems, found.well) == (problems, not problems)


def test_system_pods():
    waiting = [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    pods = [
        pod("well", True),
        pod("done", False, phase="Succeeded"),
        pod("broken", False, containerStatuses=waiting),
        pod("slow", False),
        {"metadata": {"name": "new"}},
        {"metadata": {"name": "going", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ]
    assert [(part.name, part.message) for part in health._system_pods(pods)] == [
        ("pod kube-system/broken", "not ready: CrashLoopBackOff"),
        ("pod kube-system/slow", "not ready: not yet"),
        ("pod kube-system/new", "not ready: Pending"),
    ]


@pytest.mark.parametrize(("age_s", "wrong"), [(5, False), (39, False), (60, True)])
def test_a_lease_that_is_not_renewed_tells_that_nothing_is_written(age_s, wrong):
    renewed = datetime.now(UTC) - timedelta(seconds=age_s)
    lease = {"spec": {"renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
    client = SimpleNamespace(call=lambda method, path: lease)
    assert bool(list(health._lease(CONFIG, client))) == wrong


def test_a_missing_lease_comes_with_the_node():
    def call(method, path):
        raise ApiError(404, "NotFound", "no lease")

    assert list(health._lease(CONFIG, SimpleNamespace(call=call))) == []


def test_a_daemon_that_is_stopped_is_not_asked(monkeypatch):
    monkeypatch.setattr(health, "running_daemon", lambda config: RunningDaemon(42, stopped=True))
    monkeypatch.setattr(health, "_from_outside", lambda config: pytest.fail("was asked"))
    found = health.look_at(CONFIG)
    assert found.problems == ("daemon: process 42 is stopped; 'kill -CONT 42' lets it go on",)
    assert not found.well


def test_without_a_daemon_it_is_not_well(monkeypatch):
    monkeypatch.setattr(health, "running_daemon", lambda config: None)
    assert not health.look_at(CONFIG).well


def test_readyz_is_read():
    text = "[+]ping ok\n[+]kubelet ok\n[-]scheduler failed: reason withheld\nreadyz check failed\n"
    assert health._read_readyz(text) == [
        PartState("kubelet", healthy=True),
        PartState("scheduler", healthy=False, message="reason withheld"),
    ]
    assert LabHealth(CONFIG, 1, nodes=(NodeState("n", True, ""),)).well


@pytest.mark.parametrize(
    ("flags", "blocks", "inodes", "word"),
    [
        (0, 10_000, 10, ""),
        (1, 10_000, 10, "read-only"),
        (0, 0, 10, "no space"),
        (0, 10_000, 0, "inode"),
    ],
)
def test_the_disk(tmp_path, monkeypatch, flags, blocks, inodes, word):
    found = SimpleNamespace(
        f_flag=flags, f_bavail=blocks, f_frsize=4096, f_files=100, f_favail=inodes
    )
    monkeypatch.setattr(disk.os, "statvfs", lambda folder: found)
    problem = disk.disk_problem(tmp_path)
    assert word in problem
    assert bool(problem) == bool(word)
