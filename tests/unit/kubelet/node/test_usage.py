"""Two readings of counters make rates."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from netlab.api.streams import ContainerUsage, NodeUsage
from netlab.clock import FakeClock
from netlab.kubelet.node.usage import NodeUsageMeter, Reading, node_usage, read_machine
from netlab.runtime.cri import ContainerPhase, ContainerState, GroupUsage, PodIdentity

START = datetime(2026, 1, 1, tzinfo=UTC)


def state(key):
    return ContainerState(
        id=key,
        sandbox_id="s",
        pod=PodIdentity("d", "web", "u"),
        name=f"name-{key}",
        attempt=0,
        image="i",
        image_id="i",
        phase=ContainerPhase.RUNNING,
        pid=1,
        created_at=START,
    )


def reading(after_s, groups, node=(0, 0)):
    at = START + timedelta(seconds=after_s)
    made = {key: GroupUsage(at, cpu_ns, memory) for key, (cpu_ns, memory) in groups.items()}
    return Reading(at, made, *node)


def test_rates_between_two_readings():
    before = reading(0, {"a": (1_000_000_000, 5), "gone": (1, 1), "s": (9, 9)}, (10_000, 1))
    now = reading(10, {"a": (3_000_000_000, 7), "new": (5, 5), "s": (99, 9)}, (50_000, 8))
    usage = node_usage(before, now, {key: state(key) for key in ("a", "new")})
    at = START + timedelta(seconds=10)
    assert usage == NodeUsage(
        at=at,
        window_s=10.0,
        cpu_nano_cores=4000,
        memory_bytes=8,
        containers=(ContainerUsage("d", "web", "name-a", at, 10.0, 200_000_000, 7),),
    )


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(None, None, id="no reading"),
        pytest.param(None, reading(0, {}), id="one reading"),
        pytest.param(reading(5, {}), reading(5, {}), id="the same moment"),
        pytest.param(reading(9, {}), reading(5, {}), id="the clock was set back"),
    ],
)
def test_too_few_readings(before, now):
    assert node_usage(before, now, {}) is None


def test_a_counter_that_fell_is_left_out():
    usage = node_usage(reading(0, {"a": (9, 1)}), reading(1, {"a": (1, 1)}), {"a": state("a")})
    assert usage is not None
    assert usage.containers == ()


class FakeRuntime:
    def __init__(self):
        self.asked = 0

    async def usage(self):
        self.asked += 1
        return {}


async def test_the_first_answer_comes_soon_and_later_ones_cost_nothing():
    clock, runtime = FakeClock(START), FakeRuntime()
    inventory = SimpleNamespace(snapshot=SimpleNamespace(pods={}))
    counters = iter([(0, 1), (2_000_000_000, 2)])
    meter = NodeUsageMeter(runtime, inventory, clock, read_node=lambda: next(counters))
    assert await meter.usage() is None
    await meter.take_reading()
    assert await meter.usage() is None
    await clock.advance(2)
    usage = await meter.usage()
    assert usage is not None
    assert (usage.cpu_nano_cores, usage.memory_bytes) == (1_000_000_000, 2)
    await clock.advance(2)
    assert await meter.usage() == usage
    assert runtime.asked == 2


async def test_a_new_container_is_told_without_waiting_for_the_next_round():
    clock = FakeClock(START)
    used = {"a": 0}

    class Runtime:
        async def usage(self):
            used["a"] += 1_000_000_000
            return {"a": GroupUsage(clock.now(), used["a"], 5)} if used["a"] > 2e9 else {}

    pods = {"u": SimpleNamespace(containers=(state("a"),))}
    inventory = SimpleNamespace(snapshot=SimpleNamespace(pods=pods))
    meter = NodeUsageMeter(Runtime(), inventory, clock, read_node=lambda: (0, 0))
    for _ in range(2):
        await meter.take_reading()
        await clock.advance(10)
    first = await meter.usage()
    await clock.advance(2)
    second = await meter.usage()
    assert first is not None
    assert second is not None
    assert first.containers == ()
    (told,) = second.containers
    assert (told.window_s, told.cpu_nano_cores) == (2.0, 500_000_000)


async def test_readings_that_come_together_are_one():
    runtime = FakeRuntime()
    meter = NodeUsageMeter(runtime, SimpleNamespace(), FakeClock(START), read_node=lambda: (0, 0))
    await asyncio.gather(meter.take_reading(), meter.take_reading())
    assert runtime.asked == 1


def test_this_machine_can_be_read():
    cpu_ns, memory_bytes = read_machine()
    assert cpu_ns > 0
    assert memory_bytes > 0
