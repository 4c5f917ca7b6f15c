"""What the registry answers while the disk has not answered yet."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from netlab.api.kinds import CONFIG_MAP


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The disk syncs once the event is set."""
    go = threading.Event()
    sync = os.fdatasync

    def slow(descriptor: int) -> None:
        go.wait(5)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    return go


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0.001)


async def test_a_write_that_changes_nothing_waits_for_the_one_it_saw(
    lab: Any, disk: threading.Event
):
    creating = asyncio.create_task(lab.create(CONFIG_MAP, lab.config_map("c", a="1")))
    await settle()
    patching = asyncio.create_task(lab.patch(CONFIG_MAP, "c", {"data": {"a": "1"}}))
    await settle()
    assert not creating.done()
    assert not patching.done()
    disk.set()
    assert await patching == await creating


async def test_a_caller_that_gives_up_takes_nobody_with_him(lab: Any, disk: threading.Event):
    creating = asyncio.create_task(lab.create(CONFIG_MAP, lab.config_map("c", a="1")))
    await settle()
    patching = asyncio.create_task(lab.patch(CONFIG_MAP, "c", {"data": {"a": "1"}}))
    await settle()
    creating.cancel()
    await settle()
    disk.set()
    assert (await patching)["data"] == {"a": "1"}


async def test_reads_see_only_what_is_durable(lab: Any, disk: threading.Event):
    creating = asyncio.create_task(lab.create(CONFIG_MAP, lab.config_map("c")))
    await settle()
    assert await lab.names(CONFIG_MAP) == []
    disk.set()
    await creating
    assert await lab.names(CONFIG_MAP) == ["c"]
