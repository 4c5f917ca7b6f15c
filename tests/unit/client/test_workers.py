"""Workers retry ever more rarely, and say so once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from netlab.client.workers import REMIND_S, Workers
from netlab.clock import FakeClock
from netlab.errors import ApiError, HostError

Key = tuple[str, str]
KEY = ("default", "web")


@asynccontextmanager
async def working(
    clock: FakeClock, work: Callable[[Key], Awaitable[float | None]], **more: Any
) -> AsyncIterator[Workers[Key]]:
    workers: Workers[Key] = Workers("replicaset-controller", clock, work, **more)
    task = asyncio.create_task(workers.run())
    try:
        yield workers
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


FAULTS = {
    "refused": ApiError(403, "Forbidden", 'serviceaccount "x" not found'),
    "disk": OSError("disk full"),
    "host": HostError("no such tool"),
    "bug": RuntimeError("a bug"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_what_never_succeeds_neither_fills_the_log_nor_the_server(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    clock, tries = FakeClock(), 0

    async def fail(key: Key) -> None:
        nonlocal tries
        tries += 1
        raise fault

    async with working(clock, fail) as workers:
        workers.queue.add(KEY)
        await settle()
        for _ in range(3600):
            await clock.advance(1)
    assert 15 <= tries <= 21
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 1 + 3600 / REMIND_S
    assert str(fault) in warnings[0].getMessage()
    assert "default/web" in warnings[0].getMessage()


async def test_another_reason_is_news(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    reasons = iter(["one", "one", "two", "two", "one"])

    async def fail(key: Key) -> None:
        raise OSError(next(reasons, "last"))

    async with working(clock, fail) as workers:
        workers.queue.add(KEY)
        await settle()
        for _ in range(5):
            await clock.advance(0.1)
    texts = [r.getMessage().split(" (again")[0] for r in caplog.records]
    assert [text.rpartition(" ")[2] for text in texts][:3] == ["one", "two", "one"]


async def test_success_begins_anew() -> None:
    clock, results, tries = FakeClock(), iter([True, True, False]), 0

    async def work(key: Key) -> None:
        nonlocal tries
        tries += 1
        if next(results, False):
            raise OSError("not yet")

    async with working(clock, work) as workers:
        workers.queue.add(KEY)
        await settle()
        await clock.advance(1)
        assert tries == 3
        assert workers.queue._failures == {}
        await clock.advance(100)
        assert tries == 3


async def test_work_may_ask_to_come_back() -> None:
    clock, tries = FakeClock(), 0

    async def work(key: Key) -> float:
        nonlocal tries
        tries += 1
        return 10.0

    async with working(clock, work) as workers:
        workers.queue.add(KEY)
        await settle()
        await clock.advance(35)
        assert tries == 4


QUIET = {
    "conflict": ApiError(409, "Conflict", "changed"),
    "gone": ApiError(404, "NotFound", "gone"),
}


@pytest.mark.parametrize("fault", QUIET.values(), ids=QUIET.keys())
async def test_what_others_did_meanwhile_is_no_news(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()

    async def fail(key: Key) -> None:
        raise fault

    async with working(clock, fail) as workers:
        workers.queue.add(KEY)
        await settle()
        await clock.advance(1)
        assert workers.queue._failures
    assert not [r for r in caplog.records if r.levelno > logging.DEBUG]


async def test_a_namespace_that_goes_away_ends_the_work() -> None:
    clock = FakeClock()
    causes = {"causes": [{"reason": "NamespaceTerminating"}]}

    async def fail(key: Key) -> None:
        raise ApiError(403, "Forbidden", "it is being terminated", causes)

    async with working(clock, fail) as workers:
        workers.queue.add(KEY)
        await settle()
        assert workers.queue._failures == {}
        assert not workers.queue._timers


async def test_one_key_that_fails_does_not_hold_up_others() -> None:
    clock, done = FakeClock(), []

    async def work(key: Key) -> None:
        if key == KEY:
            raise RuntimeError("a bug")
        done.append(key)

    async with working(clock, work, count=1) as workers:
        for key in (KEY, ("default", "db"), ("", "node0")):
            workers.queue.add(key)
        await settle()
    assert done == [("default", "db"), ("", "node0")]
