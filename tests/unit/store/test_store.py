"""The store: durable before visible, no lost update, ordered watches, bounded queues."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from netlab.errors import ApiError, StorageError, is_expired
from netlab.store.log import Log
from netlab.store.records import Key
from netlab.store.store import StaleError, Store, open_store
from netlab.store.watch import Watcher

A = Key("pods", "shop", "a")
B = Key("pods", "bank", "b")


def encoder(value: object):
    return lambda revision: msgspec.json.encode({"rv": revision, "value": value})


async def put(store: Store, key: Key, value: object, *, deleted: bool = False) -> int:
    latest = store.latest(key)
    record, done = store.write(
        key, latest.revision if latest else 0, encoder(value), deleted=deleted
    )
    await done
    return record.revision


def taken(watcher: Watcher) -> list[tuple[str, str, int]]:
    events = []
    while (event := watcher.ready()) is not None:
        events.append((event.type, event.key.name, event.revision))
    return events


@pytest.fixture
async def store(tmp_path: Path):
    async with open_store(tmp_path / "store.db") as opened:
        yield opened


async def test_an_acknowledged_write_is_readable(store: Store):
    revision = await put(store, A, 1)
    record = store.get(A)
    assert record is not None
    assert record.revision == revision == store.revision == 1
    assert msgspec.json.decode(record.json) == {"rv": 1, "value": 1}


async def test_writes_of_one_turn_are_all_kept_in_order(store: Store, monkeypatch):
    lengths: list[int] = []
    append = Log.append
    monkeypatch.setattr(
        Log, "append", lambda log, rows: (lengths.append(len(rows)), append(log, rows))
    )
    keys = [Key("pods", "shop", f"p{number:03}") for number in range(107)]
    await asyncio.gather(*(put(store, key, number) for number, key in enumerate(keys)))
    assert lengths == [32, 32, 32, 8, 2, 1]
    found = [(key, record.revision) for key, record in store.records("pods", "shop")]
    assert found == [(key, revision) for revision, key in enumerate(keys, 1)]


async def test_a_queued_write_is_latest_but_not_visible(store: Store):
    _, done = store.write(A, 0, encoder(1))
    assert store.get(A) is None
    latest = store.latest(A)
    assert latest is not None
    assert latest.revision == 1
    assert [key for key, _ in store.latest_records("pods")] == [A]
    await done
    assert store.get(A) == latest


async def test_records_come_in_order(store: Store):
    for name in ("c", "a", "b"):
        await put(store, Key("pods", "shop", name), name)
    await put(store, B, "b")
    assert [f"{k.namespace}/{k.name}" for k, _ in store.records("pods", None)] == [
        "bank/b",
        "shop/a",
        "shop/b",
        "shop/c",
    ]
    assert [k.name for k, _ in store.records("pods", "shop")] == ["a", "b", "c"]
    assert store.count("pods") == 4


@pytest.mark.parametrize("expected", [0, 1, 3, 99])
async def test_a_stale_write_is_refused(store: Store, expected: int):
    await put(store, A, 1)
    await put(store, A, 2)
    with pytest.raises(StaleError):
        store.write(A, expected, encoder(3))
    assert store.revision == 2


async def test_no_update_is_lost_among_many_writers(store: Store):
    """Ten tasks count up one object; each reads, awaits elsewhere, writes, and retries."""
    await put(store, A, 0)

    async def count_up(times: int) -> None:
        for _ in range(times):
            while True:
                record = store.get(A)
                assert record is not None
                await asyncio.sleep(0)
                value = msgspec.json.decode(record.json)["value"]
                try:
                    _, done = store.write(A, record.revision, encoder(value + 1))
                except StaleError:
                    await asyncio.sleep(0)
                    continue
                await done
                break

    await asyncio.gather(*(count_up(5) for _ in range(10)))
    record = store.get(A)
    assert record is not None
    assert msgspec.json.decode(record.json)["value"] == 50
    assert record.revision == 51


async def test_a_write_may_rest_on_a_queued_one(store: Store):
    _, first = store.write(A, 0, encoder(1))
    _, second = store.write(A, 1, encoder(2))
    _, third = store.write(A, 2, encoder(2), deleted=True)
    assert store.latest(A) is None
    await asyncio.gather(first, second, third)
    assert store.get(A) is None
    assert store.revision == 3


async def test_concurrent_writes_share_commits(store: Store, monkeypatch: pytest.MonkeyPatch):
    batches: list[int] = []
    append = Log.append

    def counted(self: Log, rows) -> None:
        batches.append(len(rows))
        append(self, rows)

    monkeypatch.setattr(Log, "append", counted)
    writes = [store.write(Key("pods", "shop", f"p{i}"), 0, encoder(i))[1] for i in range(200)]
    await asyncio.gather(*writes)
    assert sum(batches) == 200
    assert len(batches) < 20


async def test_a_restart_loads_the_current_state(tmp_path: Path):
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        await put(store, A, 1)
        await put(store, A, 2)
        await put(store, B, 1)
        await put(store, B, 1, deleted=True)
    async with open_store(path) as store:
        assert [(key, record.revision) for key, record in store.records("pods", None)] == [(A, 2)]
        assert store.revision == 4
        assert await put(store, B, 2) == 5


async def test_queued_writes_are_committed_at_the_end(tmp_path: Path):
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        _, done = store.write(A, 0, encoder(1))
    assert done.done()
    async with open_store(path) as store:
        assert store.get(A) is not None


CRASHER = """
import asyncio, os, pathlib, sys
sys.path.insert(0, {root!r})
from netlab.store.records import Key
from netlab.store.store import open_store

async def main():
    async with open_store(pathlib.Path({path!r})) as store:
        for i in range(10_000):
            _, done = store.write(Key("pods", "shop", f"p{{i:05}}"), 0, lambda rv: b'{{}}')
            await done
            os.write(1, b"%d\\n" % i)

asyncio.run(main())
"""


async def test_acknowledged_writes_survive_kill_9(tmp_path: Path):
    path = tmp_path / "store.db"
    root = str(Path(__file__).parents[3])
    code = CRASHER.format(root=root, path=str(path))
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.kill()
        rest = process.stdout.read().splitlines()
    acknowledged = 50 + sum(1 for line in rest if line)
    async with open_store(path) as store:
        names = [key.name for key, _ in store.records("pods", None)]
    assert names[:acknowledged] == [f"p{i:05}" for i in range(acknowledged)]
    assert len(names) <= acknowledged + 1  # one may be durable that nobody was told of


class Breaking:
    """Lets ``Log.append`` fail while ``broken``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broken = False
        append = Log.append

        def failing(log: Log, rows) -> None:
            if self.broken:
                raise StorageError("store x: write: no space left on the disk; nothing was saved")
            append(log, rows)

        monkeypatch.setattr(Log, "append", failing)


async def test_a_refused_write_leaves_no_trace(store: Store, monkeypatch: pytest.MonkeyPatch):
    disk = Breaking(monkeypatch)
    await put(store, A, 1)
    watcher = store.watch_from_now("pods", None)
    disk.broken = True
    _, first = store.write(A, 1, encoder(2))
    _, second = store.write(A, 2, encoder(3))
    _, other = store.write(B, 0, encoder(1))
    outcomes = await asyncio.gather(first, second, other, return_exceptions=True)
    assert all(isinstance(outcome, StorageError) for outcome in outcomes)
    assert store.epoch == 1
    assert store.latest(A) == store.get(A)
    assert store.latest(B) is None
    assert taken(watcher) == []
    disk.broken = False
    await put(store, A, 4)
    assert [event[:2] for event in taken(watcher)] == [("MODIFIED", "a")]


async def test_a_refused_write_leaves_the_one_before_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    disk = Breaking(monkeypatch)
    _, first = store.write(A, 0, encoder(1))
    await asyncio.sleep(0)  # now in the log, not durable yet
    disk.broken = True
    _, second = store.write(A, 1, encoder(2))
    with pytest.raises(StorageError):
        await second
    latest = store.latest(A)
    assert latest is not None
    assert latest.revision == 1
    await first
    assert store.get(A) == latest


class SlowDisk:
    """Holds ``fdatasync`` back until ``go``; may let it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.error: OSError | None = None
        sync = os.fdatasync

        def slow(descriptor: int) -> None:
            self.go.wait(5)
            if self.error is not None:
                raise self.error
            sync(descriptor)

        monkeypatch.setattr(os, "fdatasync", slow)


async def test_nothing_is_acknowledged_or_seen_before_the_sync(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    disk = SlowDisk(monkeypatch)
    watcher = store.watch_from_now("pods", None)
    _, done = store.write(A, 0, encoder(1))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not done.done()
    assert store.get(A) is None
    assert store.revision == 0
    assert taken(watcher) == []
    disk.go.set()
    await done
    assert taken(watcher) == [("ADDED", "a", 1)]


async def test_a_failing_sync_ends_all_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        await put(store, A, 1)
        disk = SlowDisk(monkeypatch)
        disk.error = OSError(5, "Input/output error")
        _, first = store.write(A, 1, encoder(2))
        _, second = store.write(B, 0, encoder(2))
        disk.go.set()
        for done in (first, second):
            with pytest.raises(StorageError, match="sync: Input/output error"):
                await done
        disk.error = None
        _, third = store.write(B, 0, encoder(3))
        with pytest.raises(StorageError):
            await third
        assert store.revision == 1
        assert store.latest(B) is None


async def test_settled_waits_for_the_queued_write(store: Store, monkeypatch: pytest.MonkeyPatch):
    disk = Breaking(monkeypatch)
    await store.settled(A)
    store.write(A, 0, encoder(1))
    await store.settled(A)
    assert store.get(A) is not None
    disk.broken = True
    _, done = store.write(A, 1, encoder(2))
    with pytest.raises(StorageError):
        await store.settled(A)
    assert done.done()


# watching -----------------------------------------------------------------------------------------


async def test_events_are_told_after_commit_in_order(store: Store):
    watcher = store.watch_from_now("pods", None)
    writes = [
        store.write(A, 0, encoder(1))[1],
        store.write(B, 0, encoder(1))[1],
        store.write(A, 1, encoder(2))[1],
        store.write(A, 3, encoder(2), deleted=True)[1],
        store.write(Key("services", "shop", "s"), 0, encoder(1))[1],
    ]
    assert taken(watcher) == []
    await asyncio.gather(*writes)
    assert taken(watcher) == [
        ("ADDED", "a", 1),
        ("ADDED", "b", 2),
        ("MODIFIED", "a", 3),
        ("DELETED", "a", 4),
    ]


async def test_an_event_holds_both_states(store: Store):
    watcher = store.watch_from_now("pods", None)
    await put(store, A, 1)
    await put(store, A, 2)
    added, modified = watcher.ready(), watcher.ready()
    assert added is not None
    assert modified is not None
    assert added.previous is None
    assert modified.previous == added.item
    assert modified.item.object["value"] == 2


async def test_a_namespace_is_watched_alone(store: Store):
    watcher = store.watch_from_now("pods", "bank")
    await put(store, A, 1)
    await put(store, B, 1)
    assert taken(watcher) == [("ADDED", "b", 2)]


async def test_a_watch_begins_in_the_past(store: Store):
    for value in range(3):
        await put(store, A, value)
    await put(store, A, 3, deleted=True)
    await put(store, B, 1)
    watcher = await store.watch("pods", None, 1)
    await put(store, B, 2)
    assert taken(watcher) == [
        ("MODIFIED", "a", 2),
        ("MODIFIED", "a", 3),
        ("DELETED", "a", 4),
        ("ADDED", "b", 5),
        ("MODIFIED", "b", 6),
    ]


async def test_what_happens_while_the_past_is_read_comes_after_it(store: Store):
    await put(store, A, 1)
    await put(store, A, 2)
    starting = asyncio.create_task(store.watch("pods", None, 1))
    await asyncio.sleep(0)
    await put(store, A, 3)
    watcher = await starting
    assert [event[2] for event in taken(watcher)] == [2, 3]


async def test_a_watch_sees_deletions_from_before_a_restart(tmp_path: Path):
    async with open_store(tmp_path / "s.db") as store:
        await put(store, A, 1)
        await put(store, A, 1, deleted=True)
    async with open_store(tmp_path / "s.db") as store:
        watcher = await store.watch("pods", None, 1)
        assert taken(watcher) == [("DELETED", "a", 2)]


async def test_a_watch_too_far_back_is_refused(tmp_path: Path):
    async with open_store(tmp_path / "s.db", history=10) as store:
        for value in range(60):
            await put(store, A, value)
        assert store.horizon >= 40
        with pytest.raises(ApiError, match=r"too old resource version: 5 \(\d+\)") as raised:
            await store.watch("pods", None, 5)
        assert raised.value.code == 410
        assert store._watchers["pods"] == []
        with pytest.raises(ApiError, match="too old"):
            await store.records_at("pods", None, 5)
        watcher = await store.watch("pods", None, store.horizon)
        assert len(taken(watcher)) == store.revision - store.horizon


async def test_history_on_disk_is_bounded(tmp_path: Path):
    path = tmp_path / "s.db"
    async with open_store(path, history=20) as store:
        for value in range(300):
            await put(store, A, value)
    with sqlite3.connect(path) as db:
        (count,) = db.execute("SELECT count(*) FROM log").fetchone()
    db.close()
    assert count <= 45


async def test_a_slow_watcher_is_ended_and_writers_go_on(tmp_path: Path):
    async with open_store(tmp_path / "s.db", queue_length=5) as store:
        slow, quick = store.watch_from_now("pods", None), store.watch_from_now("pods", None)
        for value in range(8):
            await put(store, A, value)
            assert len(taken(quick)) == 1
        with pytest.raises(ApiError) as raised:
            slow.ready()
        assert is_expired(raised.value)
        assert store._watchers["pods"] == [quick]


async def test_waiting_ends_with_an_event(store: Store):
    watcher = store.watch_from_now("pods", None)
    waiting = asyncio.create_task(watcher.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    await put(store, A, 1)
    await waiting
    assert taken(watcher) == [("ADDED", "a", 1)]
    watcher.close()
    watcher.close()
    await put(store, A, 2)
    assert taken(watcher) == []


async def test_the_end_of_the_store_ends_watches(tmp_path: Path):
    async with open_store(tmp_path / "s.db") as store:
        watcher = store.watch_from_now("pods", None)
        waiting = asyncio.create_task(watcher.wait())
        await asyncio.sleep(0)
    await waiting
    with pytest.raises(ApiError):
        watcher.ready()


async def test_the_state_at_a_revision(store: Store):
    await put(store, A, 1)
    await put(store, B, 1)
    await put(store, A, 2)
    await put(store, B, 1, deleted=True)

    async def at(revision: int, namespace: str | None = None) -> list[tuple[str, int]]:
        found = await store.records_at("pods", namespace, revision)
        return [(key.name, record.revision) for key, record in found]

    assert await at(1) == [("a", 1)]
    assert await at(2) == [("b", 2), ("a", 1)]
    assert await at(3) == [("b", 2), ("a", 3)]
    assert await at(3, "shop") == [("a", 3)]
    assert await at(4) == [("a", 3)]


async def test_batches_that_wait_share_the_next_sync(store: Store, monkeypatch: pytest.MonkeyPatch):
    disk = SlowDisk(monkeypatch)
    writes = []
    for number in range(5):
        writes.append(store.write(Key("pods", "shop", str(number)), 0, encoder(number))[1])
        await asyncio.sleep(0.001)  # each in a batch of its own
    disk.go.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*writes)
    assert store.count("pods") == 5


@pytest.mark.parametrize("tail", [b"", b"\xff" * 5000], ids=["cut", "garbage"])
async def test_acknowledged_writes_survive_power_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: bytes
):
    """What a disk may hold after power loss: the log up to the last sync, then anything."""
    path, wal = tmp_path / "store.db", tmp_path / "store.db-wal"
    synced: list[bytes] = []
    sync = os.fdatasync

    def recording(descriptor: int) -> None:
        synced.append(wal.read_bytes())
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", recording)
    async with open_store(path) as store:
        acknowledged = []
        for value in range(30):
            acknowledged.append(await put(store, A, value))
            after_last_sync = synced[-1]
        store.write(B, 0, encoder("never acknowledged"))
        store._append()
        lost = tmp_path / "lost.db"
        lost.write_bytes(path.read_bytes())
        (tmp_path / "lost.db-wal").write_bytes(after_last_sync + tail)
    async with open_store(lost) as store:
        record = store.get(A)
        assert record is not None
        assert record.revision == acknowledged[-1]
