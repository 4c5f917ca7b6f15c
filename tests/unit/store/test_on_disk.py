"""Kinds of which only the revision is in memory read like all others."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from netlab.errors import StorageError
from netlab.store.records import Key, Record
from netlab.store.store import Store, open_store


def key(name: str, namespace: str = "default") -> Key:
    return Key("events", namespace, name)


async def put(store: Store, where: Key, text: str) -> int:
    latest = store.latest(where)

    def encode(revision: int) -> bytes:
        return msgspec.json.encode({"text": text, "revision": revision})

    record, done = store.write(where, latest.revision if latest else 0, encode)
    await done
    return record.revision


def text_of(record: Record | None) -> str:
    assert record is not None
    return str(msgspec.json.decode(record.json)["text"])


async def test_objects_are_read_from_the_file(tmp_path: Path) -> None:
    async with open_store(tmp_path / "s.db", on_disk={"events"}) as store:
        for name in ("b", "a", "c"):
            await put(store, key(name), name)
        await put(store, key("a"), "changed")
        record = store.get(key("a"))
        assert record is not None
        assert record._source == store._read_json  # not the bytes themselves
        assert text_of(record) == "changed"
        assert text_of(store.latest(key("a"))) == "changed"
        assert [text_of(found) for _, found in store.records("events", None)] == [
            "changed",
            "b",
            "c",
        ]
        assert store.count("events") == 3


async def test_they_are_there_after_a_restart(tmp_path: Path) -> None:
    async with open_store(tmp_path / "s.db", on_disk={"events"}) as store:
        await put(store, key("a"), "one")
        await put(store, Key("pods", "default", "p"), "pod")
    async with open_store(tmp_path / "s.db", on_disk={"events"}) as store:
        assert text_of(store.get(key("a"))) == "one"
        record = store.get(Key("pods", "default", "p"))
        assert record is not None
        assert isinstance(record._source, bytes)


async def test_a_watch_tells_states_before_and_after(tmp_path: Path) -> None:
    async with open_store(tmp_path / "s.db", on_disk={"events"}) as store:
        await put(store, key("a"), "one")
        watcher = store.watch_from_now("events", None)
        await put(store, key("a"), "two")
        event = watcher.ready()
        assert event is not None
        assert event.type == "MODIFIED"
        assert event.item.object["text"] == "two"
        assert event.previous is not None
        assert event.previous.object["text"] == "one"
        watcher.close()


async def test_the_newest_version_outlives_compaction(tmp_path: Path) -> None:
    async with open_store(tmp_path / "s.db", history=5, on_disk={"events"}) as store:
        first = await put(store, key("a"), "one")
        for number in range(20):
            await put(store, key("busy"), str(number))
        assert store.horizon > first
        assert text_of(store.get(key("a"))) == "one"
        assert text_of(store.get(key("busy"))) == "19"


async def test_a_version_that_is_gone_is_an_error_of_the_store(tmp_path: Path) -> None:
    async with open_store(tmp_path / "s.db", history=5, on_disk={"events"}) as store:
        await put(store, key("a"), "one")
        old = store.get(key("a"))
        assert old is not None
        for number in range(20):
            await put(store, key("a"), str(number))
        with pytest.raises(StorageError, match="is not there any more"):
            _ = old.json
