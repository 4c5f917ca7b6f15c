"""Informers list once, watch on from where they stood, and lose only what cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import CONFIG_MAP, LEASE, NODE, POD, Kind
from netlab.api.meta import AnyObject
from netlab.client.delays import FIRST_S, LONGEST_S, RESET_S, Backoff
from netlab.client.informer import Informer
from netlab.client.informers import SharedInformers
from netlab.client.interface import JsonList, WatchEvent
from netlab.clock import FakeClock
from netlab.errors import ApiError


def obj(name: str, version: int, **parts: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(version)}
    return {"metadata": meta, **parts}


class Server:
    """A server that says what a test puts in: lists, and one script of events for each watch."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.version = "10"
        self.asked: list[str] = []
        self.watches: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.failure: Exception | None = None

    async def list_json(self, kind: Kind[Any], *_: Any, **__: Any) -> JsonList:
        self.asked.append("list")
        if self.failure is not None:
            raise self.failure
        return JsonList([msgspec.json.encode(item) for item in self.items], self.version)

    async def watch(
        self, kind: Kind[Any], *_: Any, resource_version: str, **__: Any
    ) -> AsyncIterator[WatchEvent]:
        self.asked.append(f"watch {resource_version}")
        for step in await self.watches.get():
            if isinstance(step, Exception):
                raise step
            yield WatchEvent(step[0], msgspec.json.encode(step[1]))

    def tell(self, *steps: Any) -> None:
        """Script the next watch; it ends after the last step."""
        self.watches.put_nowait(list(steps))


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@asynccontextmanager
async def following(
    server: Server, clock: FakeClock, kind: Kind[Any] = CONFIG_MAP, **more: Any
) -> AsyncIterator[Informer[Any]]:
    informer: Informer[Any] = Informer(server, kind, clock, random=Random(1), **more)
    task = asyncio.create_task(informer.run())
    await settle()
    try:
        yield informer
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def versions(informer: Informer[Any]) -> dict[str, str]:
    return {o.metadata.name: o.metadata.resource_version for o in informer.list()}


BOOKMARK = ("BOOKMARK", {"metadata": {"resourceVersion": "40"}})


@pytest.mark.parametrize(
    ("steps", "resumed"),
    [
        pytest.param([("ADDED", obj("a", 11))], "watch 11", id="after an event"),
        pytest.param([("ADDED", obj("a", 11)), BOOKMARK], "watch 40", id="after a bookmark"),
        pytest.param([("DELETED", obj("b", 12))], "watch 12", id="after an end"),
        pytest.param(
            [("ADDED", obj("a", 11)), OSError("reset")], "watch 11", id="after a lost connection"
        ),
        pytest.param(
            [("ADDED", obj("a", 11)), ApiError(500, "InternalError", "oops")],
            "watch 11",
            id="after a fault of the server",
        ),
        pytest.param(
            [("ADDED", obj("a", 11, data={"k": 5}))], "watch 11", id="after one not readable"
        ),
    ],
)
async def test_a_watch_goes_on_from_where_it_stood(steps: list[Any], resumed: str) -> None:
    server, clock = Server(), FakeClock()
    server.items = [obj("b", 7)]
    async with following(server, clock):
        server.tell(*steps)
        await settle()
        await clock.advance(LONGEST_S)
        await settle()
        assert server.asked == ["list", "watch 10", resumed]


async def test_a_forgotten_version_is_listed_again_and_differences_are_told() -> None:
    server, clock = Server(), FakeClock()
    server.items = [obj("a", 1), obj("b", 2), obj("c", 3)]
    told: list[tuple[str, str]] = []
    async with following(server, clock) as informer:
        informer.on_change(
            lambda old, new: told.append(
                (old.metadata.name if old else "", new.metadata.name if new else "")
            )
        )
        told.clear()
        server.items = [obj("a", 1), obj("b", 22), obj("d", 23)]
        server.version = "23"
        server.tell(ApiError(410, "Expired", "too old resource version"))
        await settle()
        assert sorted(told) == [("", "d"), ("b", "b"), ("c", "")]
        assert server.asked == ["list", "watch 10", "list", "watch 23"]


async def test_a_server_that_is_away_is_asked_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, clock = Server(), FakeClock()
    server.failure = OSError("connection refused")
    async with following(server, clock) as informer:
        for _ in range(6000):
            await clock.advance(0.1)
        assert 10 <= len(server.asked) <= 22  # ten minutes; 3,000 with a fixed delay of 0.2 s
        server.failure = None
        await clock.advance(2 * LONGEST_S)
        assert informer.synced.is_set()
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


async def test_a_watch_that_ends_at_once_is_no_busy_loop() -> None:
    server, clock = Server(), FakeClock()
    async with following(server, clock):
        for _ in range(1000):
            server.tell()
        await settle()
        assert len(server.asked) == 2


def test_delays_double_with_jitter_and_begin_anew_after_a_quiet_time() -> None:
    clock = FakeClock()
    backoff = Backoff(clock, Random(3))
    delays = [backoff.next_s() for _ in range(10)]
    for number, delay in enumerate(delays):
        base = min(FIRST_S * 2**number, LONGEST_S)
        assert base <= delay <= 2 * base
    assert len({round(delay / FIRST_S, 3) for delay in delays[6:]}) == 4  # no two alike
    asyncio.run(clock.advance(RESET_S + 1))
    assert backoff.next_s() <= 2 * FIRST_S


@pytest.mark.parametrize(
    ("error", "at_least"),
    [
        (ApiError(429, "TooManyRequests", "busy", {"retryAfterSeconds": 45}), 45),
        (ApiError(503, "ServiceUnavailable", "", {"retryAfterSeconds": 50}), 50),
        (ApiError(403, "Forbidden", "", {"retryAfterSeconds": 50}), 0),
        (OSError(), 0),
    ],
)
def test_a_server_that_asks_for_time_is_given_it(error: Exception, at_least: float) -> None:
    delay = Backoff(FakeClock(), Random(1)).next_s(error)
    assert at_least <= delay <= max(at_least, 2 * FIRST_S)


BAD_TIME = {"spec": {"renewTime": "1-01-01T00:00:05.000000Z"}}
UNREADABLE = {
    "a time that is none": (LEASE, BAD_TIME),
    "a condition's time": (
        NODE,
        {"status": {"conditions": [{"type": "R", "status": "T", "lastTransitionTime": "1-1-1"}]}},
    ),
    "a list for a mapping": (POD, {"spec": []}),
    "a number for a text": (CONFIG_MAP, {"data": {"k": 5}}),
    "labels that are none": (CONFIG_MAP, {"metadata": {"name": "bad", "labels": 5}}),
}


@pytest.mark.parametrize(("kind", "parts"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read_costs_only_itself(
    kind: Kind[Any], parts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    server, clock = Server(), FakeClock()
    told: list[tuple[str, str]] = []

    def unreadable(kind: Kind[Any], identity: AnyObject, why: str) -> None:
        told.append((identity.metadata.name, why))

    bad = obj("bad", 9) | parts
    bad["metadata"] = obj("bad", 9)["metadata"] | parts.get("metadata", {})
    server.items = [obj("a", 1), bad, obj("z", 3)]
    async with following(server, clock, kind, unreadable=unreadable) as informer:
        assert informer.synced.is_set()
        assert versions(informer) == {"a": "1", "z": "3"}
        server.tell(("MODIFIED", bad), ("MODIFIED", obj("z", 11)))
        await settle()
        assert versions(informer) == {"a": "1", "z": "11"}
    assert [name for name, _ in told] == ["bad"]  # the same version is told once
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1


async def test_a_version_that_cannot_be_read_leaves_the_one_before() -> None:
    server, clock = Server(), FakeClock()
    server.items = [obj("a", 1, data={"k": "v"})]
    async with following(server, clock) as informer:
        server.tell(("MODIFIED", obj("a", 11, data={"k": 5})))
        await settle()
        assert versions(informer) == {"a": "1"}
        # a new list with it does not take it for deleted either
        server.items = [obj("a", 11, data={"k": 5})]
        server.tell(ApiError(410, "Expired", "too old"))
        await settle()
        assert versions(informer) == {"a": "1"}
        server.tell(("MODIFIED", obj("a", 12, data={"k": "w"})))
        await settle()
        assert versions(informer) == {"a": "12"}


async def test_bytes_that_are_no_object_at_all_are_passed_over() -> None:
    server, clock = Server(), FakeClock()
    async with following(server, clock) as informer:
        server.tell(("ADDED", [1]), ("ADDED", {"metadata": 7}), ("ADDED", obj("a", 11)))
        await settle()
        assert versions(informer) == {"a": "11"}


def failing(old: Any, new: Any) -> None:
    raise RuntimeError("a handler's fault")


async def test_faulty_handlers_and_indexes_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    server, clock = Server(), FakeClock()
    server.items = [obj("a", 1)]
    index: dict[str, Callable[[Any], Any]] = {"bad": lambda o: [o.nothing]}
    async with following(server, clock, index=index) as informer:
        seen: list[str] = []
        informer.on_change(failing)
        informer.on_change(lambda old, new: seen.append(new.metadata.resource_version))
        server.tell(("MODIFIED", obj("a", 11)))
        await settle()
        assert seen == ["1", "11"]
        assert informer.by_index("bad", "x") == []
    assert caplog.records


# shared ------------------------------------------------------------------------------------------


def by_name(o: AnyObject) -> tuple[str]:
    return (o.metadata.name,)


async def test_one_informer_serves_all_who_ask_for_the_same() -> None:
    server = Server()
    server.items = [obj("a", 1)]
    informers = SharedInformers(server, FakeClock())
    first = informers.of(CONFIG_MAP)
    task = asyncio.create_task(informers.run())
    await settle()
    second = informers.of(CONFIG_MAP, index={"name": by_name})
    assert first is second
    assert [o.metadata.name for o in second.by_index("name", "a")] == ["a"]
    assert informers.of(CONFIG_MAP, field_selector="metadata.name=a") is not first
    with pytest.raises(ValueError, match="two index functions are named name"):
        informers.of(CONFIG_MAP, index={"name": lambda o: ()})
    await settle()
    assert server.asked.count("list") == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_borrowed_informer_ends_with_its_last_borrower() -> None:
    server = Server()
    informers = SharedInformers(server, FakeClock())
    task = asyncio.create_task(informers.run())
    await settle()
    first = informers.borrow(CONFIG_MAP, namespace="default", name="a")
    assert informers.borrow(CONFIG_MAP, namespace="default", name="a") is first
    informers.release(CONFIG_MAP, namespace="default", name="a")
    assert informers.borrow(CONFIG_MAP, namespace="default", name="a") is first
    for _ in range(2):
        informers.release(CONFIG_MAP, namespace="default", name="a")
    again = informers.borrow(CONFIG_MAP, namespace="default", name="a")
    assert again is not first
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
