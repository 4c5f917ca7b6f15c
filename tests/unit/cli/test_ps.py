"""What ``netlab ps`` prints: docker's columns and words, and the pause of each pod."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from netlab.cli.ps import choose, human_duration, state_of, status_of, table
from netlab.errors import UsageError
from netlab.runtime.cri import PodIdentity, SandboxConfig
from netlab.runtime.listing import ListedContainer, list_containers
from netlab.runtime.records import (
    ContainerRecord,
    Outcome,
    RuntimePaths,
    SandboxRecord,
    Started,
    write_record,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = "240241b6-f3ef-4de9-872d-6292d4efd5e1"

SPANS = {
    0.4: "Less than a second",
    1: "1 second",
    59: "59 seconds",
    60: "About a minute",
    119: "About a minute",
    120: "2 minutes",
    3540: "59 minutes",
    3600: "About an hour",
    7200: "2 hours",
    47 * 3600: "47 hours",
    48 * 3600: "2 days",
    14 * 86400: "2 weeks",
    60 * 86400: "2 months",
    800 * 86400: "2 years",
}


@pytest.mark.parametrize(("seconds", "words"), SPANS.items())
def test_durations_in_dockers_words(seconds, words):
    assert human_duration(timedelta(seconds=seconds)) == words


def listed(name, *, image="busybox", started=True, code=None, command=("sh",)):
    ended = NOW - timedelta(minutes=3)
    return ListedContainer(
        id=f"{len(name):x}" * 64,
        image=image,
        command=command,
        name=name,
        created_at=NOW - timedelta(hours=2),
        started_at=NOW - timedelta(seconds=7) if started else None,
        outcome=None if code is None else Outcome(exit_code=code, reason="", finished_at=ended),
    )


WEB = listed("k8s_api_go-demo-2-zvrvm_default_u_0", image="vfarcic/go-demo-2", command=("go-demo",))
LONG = listed("k8s_db_go-demo-2_default_u_0", command=("/entrypoint.sh", "mongod", "--x"))
DONE = listed("k8s_c_done_default_u_1", code=137)
NEW = listed("k8s_c_new_default_u_0", started=False)
ALL = [WEB, LONG, DONE, NEW]

STATES = {
    "runs": (WEB, "running", "Up 7 seconds"),
    "ended": (DONE, "exited", "Exited (137) 3 minutes ago"),
    "not started": (NEW, "created", "Created"),
}


@pytest.mark.parametrize(("one", "state", "words"), STATES.values(), ids=STATES.keys())
def test_where_a_container_is_in_its_life(one, state, words):
    assert (state_of(one), status_of(one, NOW)) == (state, words)


def test_the_table_is_dockers():
    head, first, second = table([WEB, LONG], NOW, whole=False)
    assert head.split("  ")[0] == "CONTAINER ID"
    assert " ".join(head.split()) == "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES"
    words = '222222222222 vfarcic/go-demo-2 "go-demo" 2 hours ago Up 7 seconds'
    assert " ".join(first.split()).replace(WEB.id[:12], "2" * 12) == f"{words} {WEB.name}"
    assert '"/entrypoint.sh mong…"' in second
    assert head.index("IMAGE") == first.index("vfarcic") == second.index("busybox")


def test_nothing_is_cut_off_when_asked():
    _, line = table([LONG], NOW, whole=True)
    assert line.startswith(f"{LONG.id} ")
    assert '"/entrypoint.sh mongod --x"' in line


CHOICES = {
    "what runs": ([], False, [WEB, LONG]),
    "all": ([], True, ALL),
    "the course's": (["name=go-demo*"], False, [WEB, LONG]),
    "two names": (["name=_api_", "name=_db_"], False, [WEB, LONG]),
    "a status": (["status=exited"], False, [DONE]),
    "an image and a name": (["ancestor=busybox", "name=new"], True, [NEW]),
    "nothing": (["name=nosuch"], True, []),
}


@pytest.mark.parametrize(("filters", "every", "found"), CHOICES.values(), ids=CHOICES.keys())
def test_filters(filters, every, found):
    assert choose(ALL, filters, every=every) == found


@pytest.mark.parametrize("word", ["nam=x", "name", "status=up", "name=("])
def test_an_unknown_filter_is_one_line(word):
    with pytest.raises(UsageError, match="--filter"):
        choose(ALL, [word], every=True)


def test_pods_come_with_their_pause(tmp_path: Path):
    paths = RuntimePaths(tmp_path / "run", tmp_path / "state")
    paths.make()
    pod = PodIdentity("default", "web", UID)
    config = SandboxConfig(pod, 2, "web", None)
    for folder, args in ((paths.sandbox("s1"), ["/pause", "-P"]), (paths.container("c1"), ["go"])):
        folder.mkdir()
        spec = msgspec.json.encode({"process": {"args": args}, "root": {}})
        (folder / "config.json").write_bytes(spec)
    write_record(
        paths.sandbox("s1") / "record.json",
        SandboxRecord(id="s1", config=config, cgroup="/g/s1", created_at=NOW),
    )
    later = NOW + timedelta(seconds=1)
    record = ContainerRecord(
        id="c1", sandbox_id="s1", namespace="default", pod_name="web", pod_uid=UID, name="api",
        attempt=3, image="img:1", image_id="sha256:0", log_path="/l", stop_signal="SIGTERM",
        stdin=False, tty=False, shares_processes=False, cgroup="/g/c1", created_at=later,
    )  # fmt: skip
    write_record(paths.container("c1") / "record.json", record)
    write_record(paths.container("c1") / "started.json", Started(later))
    api, pause = list_containers(tmp_path / "run", tmp_path / "state")
    assert (api.name, api.image, api.command, state_of(api)) == (
        f"k8s_api_web_default_{UID}_3",
        "img:1",
        ["go"],
        "running",
    )
    assert (pause.name, pause.command) == (f"k8s_POD_web_default_{UID}_2", ["/pause", "-P"])
    assert pause.image.startswith("registry.k8s.io/pause:")
    assert state_of(pause) == "exited"  # its pid is nobody's


def test_a_lab_that_has_nothing(tmp_path: Path):
    assert list_containers(tmp_path / "run", tmp_path / "state") == []
