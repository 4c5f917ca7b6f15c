"""A container's last word."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netlab.api.containers import Container
from netlab.kubelet.status.termination_message import (
    message_file,
    termination_message,
    termination_mount,
)
from netlab.runtime.cri import ContainerPhase, ContainerState, PodIdentity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}


def ended(log: Path, code: int = 1, **more: Any) -> ContainerState:
    return ContainerState(
        id="c",
        sandbox_id="s",
        pod=PodIdentity("default", "web", "u"),
        name="main",
        attempt=0,
        image="i",
        image_id="i",
        phase=ContainerPhase.EXITED,
        pid=0,
        created_at=NOW,
        exit_code=code,
        log_path=log,
        **more,
    )


def log_lines(*lines: str) -> str:
    return "".join(f"2026-01-01T00:00:00.000000000Z stdout F {line}\n" for line in lines)


ROWS: dict[str, tuple[dict[str, Any], str | None, str, dict[str, Any], str]] = {
    "what was written": ({}, "bye", "", {}, "bye"),
    "nothing was written": ({}, "", log_lines("in the log"), {}, ""),
    "no file": ({}, None, "", {}, ""),
    "the last 4096 bytes": ({}, "a" + "b" * 4096, "", {}, "b" * 4096),
    "from the log": (FALLBACK, "", log_lines("one", "two"), {}, "one\ntwo\n"),
    "not from the log after success": (FALLBACK, "", log_lines("one"), {"code": 0}, ""),
    "not from the log of one that never ran": (
        FALLBACK,
        "",
        log_lines("one"),
        {"reason": "StartError", "message": "no such program"},
        "no such program",
    ),
    "the file comes before the log": (FALLBACK, "file", log_lines("log"), {}, "file"),
    "80 lines at most": (
        FALLBACK,
        "",
        log_lines(*(str(n) for n in range(100))),
        {},
        "".join(f"{n}\n" for n in range(20, 100)),
    ),
    "2048 bytes at most": (FALLBACK, "", log_lines("x" * 3000), {}, "x" * 2047 + "\n"),
    "the runtime's word first": ({}, "bye", "", {"message": "killed"}, "killed: bye"),
    "no path": ({"terminationMessagePath": ""}, "bye", "", {}, ""),
}


@pytest.mark.parametrize("name", ROWS)
def test_message(name: str, tmp_path: Path) -> None:
    fields, written, logged, state, expected = ROWS[name]
    log = tmp_path / "0.log"
    log.write_text(logged)
    if written is not None:
        message_file(log).write_text(written)
    container = Container.parse({"name": "main", **fields})
    assert termination_message(container, ended(log, **state), message_file(log)) == expected


def test_the_file_is_empty_and_anybody_may_write(tmp_path: Path) -> None:
    file = tmp_path / "main" / "0.message"
    file.parent.mkdir()
    file.write_text("of an earlier container")
    mount = termination_mount(Container.parse({"name": "main"}), file)
    assert mount is not None
    assert (mount.target, mount.source, mount.read_only) == ("/dev/termination-log", file, False)
    assert file.read_text() == ""
    assert file.stat().st_mode & 0o777 == 0o666


def test_no_path_means_no_file(tmp_path: Path) -> None:
    container = Container.parse({"name": "main", "terminationMessagePath": ""})
    assert termination_mount(container, tmp_path / "0.message") is None
