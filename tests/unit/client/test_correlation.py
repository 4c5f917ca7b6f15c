"""Events are counted, combined and bounded as client-go does it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netlab.client.correlation import (
    BURST,
    COMBINED_PREFIX,
    REMEMBERED,
    Correlator,
    Occurrence,
    Told,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def occurrence(message: str = "it fell", **more: Any) -> Occurrence:
    base: dict[str, Any] = {
        "source": ("kubelet", "node0"),
        "about": ("Pod", "default", "web", "uid", "v1"),
        "part": "",
        "type": "Warning",
        "reason": "Fallen",
    }
    return Occurrence(**base | more, message=message)


class Recorder:
    """Writes all that is allowed, under ever new names."""

    def __init__(self) -> None:
        self.correlator = Correlator()
        self.events: dict[str, tuple[str, int]] = {}
        self.dropped = 0

    def tell(self, what: Occurrence, after_s: float = 0.0) -> None:
        now = NOW + timedelta(seconds=after_s)
        verdict = self.correlator.judge(what, now)
        if verdict is None:
            self.dropped += 1
            return
        if verdict.known is None:
            told = Told(f"e{len(self.events)}", 1, now)
            self.correlator.wrote(verdict.key, told, now)
        else:
            told = verdict.known
        self.events[told.name] = (verdict.message, told.count)


def test_the_same_again_is_counted() -> None:
    recorder = Recorder()
    for _ in range(5):
        recorder.tell(occurrence())
    assert recorder.events == {"e0": ("it fell", 5)}


DIFFERENT = {
    "message": {"message": "it stood up"},
    "reason": {"reason": "Risen"},
    "type": {"type": "Normal"},
    "part": {"part": "spec.containers{c}"},
    "object": {"about": ("Pod", "default", "db", "other", "v1")},
    "source": {"source": ("scheduler", "")},
}


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_something_else_is_an_event_of_its_own(change: dict[str, Any]) -> None:
    recorder = Recorder()
    recorder.tell(occurrence())
    recorder.tell(occurrence(**change))
    assert [count for _, count in recorder.events.values()] == [1, 1]


def test_ten_messages_alike_are_combined() -> None:
    recorder = Recorder()
    for number in range(15):
        recorder.tell(occurrence(f"fall {number}"))
    assert len(recorder.events) == 10
    assert recorder.events["e8"] == ("fall 8", 1)
    assert recorder.events["e9"] == (f"{COMBINED_PREFIX}fall 14", 6)


def test_a_pause_of_ten_minutes_begins_anew() -> None:
    recorder = Recorder()
    for number in range(9):
        recorder.tell(occurrence(f"fall {number}"))
    recorder.tell(occurrence("fall 9"), after_s=601)
    assert recorder.events["e9"] == ("fall 9", 1)


def test_a_source_may_tell_so_much_of_one_object_and_no_more() -> None:
    recorder = Recorder()
    for number in range(40):
        recorder.tell(occurrence(reason=f"Reason{number}"))
    assert (len(recorder.events), recorder.dropped) == (BURST, 40 - BURST)
    recorder.tell(occurrence(reason="Reason99"), after_s=299)
    assert recorder.dropped == 16
    recorder.tell(occurrence(reason="Reason99"), after_s=301)
    assert recorder.dropped == 16
    recorder.tell(occurrence(reason="Reason98"), after_s=302)
    assert recorder.dropped == 17


def test_others_are_not_bound_by_what_one_source_says_of_one_object() -> None:
    recorder = Recorder()
    for number in range(BURST + 5):
        recorder.tell(occurrence(reason=f"Reason{number}"))
    recorder.tell(occurrence(source=("scheduler", "")))
    recorder.tell(occurrence(about=("Pod", "default", "db", "other", "v1")))
    assert recorder.dropped == 5


def test_what_was_dropped_still_counts() -> None:
    recorder = Recorder()
    for _ in range(BURST + 5):
        recorder.tell(occurrence())
    recorder.tell(occurrence(), after_s=400)
    assert recorder.events["e0"] == ("it fell", BURST + 6)


def test_the_memory_is_bounded() -> None:
    recorder = Recorder()
    for number in range(3 * REMEMBERED):
        recorder.tell(occurrence(about=("Pod", "default", f"p{number}", f"{number}", "v1")))
    memories = (
        recorder.correlator._told,
        recorder.correlator._similar,
        recorder.correlator._buckets,
    )
    assert [len(memory) for memory in memories] == [REMEMBERED] * 3
    recorder.tell(occurrence(), after_s=3601)
    assert [len(memory) for memory in memories] == [1, 1, REMEMBERED]
