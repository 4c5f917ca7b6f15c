"""Whatever the API server accepts and stores, it can read back: views, tables, lists, watches.

One object that could be written but not read once ended a lab for good. The objects are made from
the types' own definitions, with values that validation and conversion are likely to disagree on.
"""

import asyncio
import inspect
import typing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netlab.api.definitions import ShapeKind, definition_of, fields_of
from netlab.api.kinds import NAMESPACE, POD, SERVICE_ACCOUNT, builtin_catalog
from netlab.apiserver.http.negotiation import Output
from netlab.apiserver.http.rendering import EventRenderer, Form, render_list
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import DeleteOptions, ListOptions, WatchOptions, WriteOptions
from netlab.clock import FakeClock
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.store.store import open_store
from tests.unit.api.test_validation import BASE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = builtin_catalog().stored()
TABLE = Form(Output(shape="Table", version="v1"), NOW)
EXAMPLES = 15

TIMES = [
    "0001-01-01T00:00:05Z",
    "0001-01-01T00:00:05.000000Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "0999-12-31T23:59:59.123456789Z",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59.999999Z",
    "0000-01-01T00:00:00Z",
    "2024-02-29T23:59:60Z",
    "2023-02-29T00:00:00Z",
    "2024-01-01T00:00:00.5Z",
    "2024-01-01t00:00:00z",
    "20240101T000000Z",
    "2024-W01-1T00:00:00Z",
    "2024-01-01T00:00:00+05:30:15",
    "2024-01-01T24:00:00Z",
    "",
]
QUANTITIES = [
    "1", "0", "-1", "500m", "1e3", "1E", "1Ei", "9" * 40, "9" * 5000, "1e-99999", "1e99999", ".5",
    "0.0000000000001", "+1", "1.5Gi", "Ki", "", 1, -1, 1.5, 10**30, 2**63, 1e300, True, "١",
]  # fmt: skip
INTEGERS = [0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**63, 10**25, 1.0, "1"]
TEXTS = [
    "", "a", "A", "a" * 300, "a/b", "a.b", "é", "\0", "\ufffe", "None", "10.0.0.1", "010.0.0.1",
    "1.2.3.4.5", "::", "::ffff:10.0.0.1", "fe80::1%eth0", "10.96.0.5", "10.0.0.0/33", "10.0.0.1/08",
    "TCP", "ClusterIP", "ExternalName", "NodePort", "LoadBalancer", "Always", "5s", "1h", "-1",
    "kubernetes.io/x", "IPv6", "Exists", "In", "99999999999999999999", "١", " ", "a\nb",
]  # fmt: skip


def scalars(kind: ShapeKind) -> st.SearchStrategy[Any]:
    match kind:
        case ShapeKind.TIME | ShapeKind.MICRO_TIME:
            return st.sampled_from(TIMES)
        case ShapeKind.QUANTITY:
            return st.sampled_from(QUANTITIES)
        case ShapeKind.INT32 | ShapeKind.INT64 | ShapeKind.FLOAT:
            return st.sampled_from(INTEGERS)
        case ShapeKind.INT_OR_STRING:
            return st.sampled_from([*INTEGERS, *TEXTS, "50%", "101%", "-5%"])
        case ShapeKind.BOOL:
            return st.sampled_from([True, False, 1, "true"])
        case ShapeKind.BYTES:
            return st.sampled_from(["", "YQ==", "YR==", "Y\nQ==", "YQ", "=", "é", "YQ==YQ=="])
        case ShapeKind.ANY:
            return st.sampled_from([None, {}, {"a": 10**19}, [[]], "x", 1e308])
        case _:
            return st.sampled_from(TEXTS)


def values(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    if shape.kind is ShapeKind.STRUCT:
        return structs(shape.definition, depth + 1)
    if shape.kind is ShapeKind.LIST:
        return st.lists(values(shape.item, depth), max_size=2)
    if shape.kind is ShapeKind.MAP:
        return st.dictionaries(st.sampled_from(TEXTS), values(shape.item, depth), max_size=2)
    return scalars(shape.kind)


@st.composite
def structs(draw: Any, definition: str, depth: int = 0) -> Any:
    fields = list(fields_of(definition).values())
    if depth > 5 or not fields:
        return {}
    most = 4 if depth < 3 else 2
    chosen = draw(st.lists(st.sampled_from(fields), max_size=most, unique_by=lambda f: f.name))
    return {field.name: draw(values(field.shape, depth)) for field in chosen}


def merged(base: Any, drawn: Any, draw: Any) -> Any:
    """The base with drawn parts in it; where both are objects or lists, mostly inside of both."""
    if isinstance(base, dict) and isinstance(drawn, dict):
        result = dict(base)
        for key, value in drawn.items():
            result[key] = merged(base[key], value, draw) if key in base else value
        return result
    if isinstance(base, list) and isinstance(drawn, list) and base and drawn:
        return [merged(base[0], drawn[0], draw), *base[1:], *drawn[1:]]
    return drawn


@st.composite
def objects(draw: Any, kind: Any) -> Any:
    """A good object with some odd values, so that a part of them is accepted."""
    base = msgspec.json.decode(msgspec.json.encode(BASE.get(kind, {})))
    base.setdefault("metadata", {})["name"] = "x1"
    drawn = draw(structs(definition_of(kind)))
    drawn.pop("apiVersion", None)
    drawn.pop("kind", None)
    for field in ("name", "namespace", "resourceVersion", "generateName"):
        if isinstance(drawn.get("metadata"), dict):
            drawn["metadata"].pop(field, None)
    return merged(base, drawn, draw)


async def reads_back(registry: Registry, kind: Any, namespace: str | None, stored: Any) -> None:
    kind.view.parse(stored)
    listed = await registry.list(kind, namespace, ListOptions(label_selector="!nothing"))
    assert listed.items
    render_list(kind, listed, TABLE)
    await registry.list(kind, None, ListOptions(field_selector="metadata.name=x1"))
    async with await registry.watch(kind, namespace, WatchOptions()) as watch:
        renderer = EventRenderer(kind, TABLE)
        renderer.line(await anext(watch), NOW)
    if "scale" in kind.subresources:
        await registry.get(kind, namespace, "x1", subresource="scale")


async def store_and_read(kind: Any, bodies: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "store.db") as store:
            registry = Registry(store, LabConfig(), FakeClock(), random=Random(7))
            await registry.create(NAMESPACE, None, {"metadata": {"name": "a"}}, WriteOptions())
            account = {"metadata": {"name": "default"}}
            await registry.create(SERVICE_ACCOUNT, "a", account, WriteOptions())
            await write_all(registry, kind, bodies)


async def write_all(registry: Registry, kind: Any, bodies: list[Any]) -> None:
    namespace = "a" if kind.namespaced else None
    created, *changes = bodies
    try:
        await registry.create(kind, namespace, created, WriteOptions())
    except ApiError as error:
        if error.code >= 500:
            raise
        return
    for subresource, body in zip(("", "status"), changes, strict=True):
        item = await registry.get(kind, namespace, "x1")
        await reads_back(registry, kind, namespace, item.object)
        if subresource and subresource not in kind.subresources:
            continue
        try:
            await registry.patch(
                kind, namespace, "x1", body, "merge", WriteOptions(), subresource=subresource
            )
        except ApiError as error:
            if error.code >= 500:
                raise
    item = await registry.get(kind, namespace, "x1")
    await reads_back(registry, kind, namespace, item.object)
    await registry.delete(kind, namespace, "x1", DeleteOptions(grace_period_s=0))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_what_is_accepted_reads_back(kind: Any):
    three = st.tuples(objects(kind), objects(kind), objects(kind))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(three)
    def check(bodies: Any) -> None:
        asyncio.run(store_and_read(kind, list(bodies)))

    check()


@pytest.mark.parametrize("text", TIMES)
async def test_a_time_is_refused_or_reads_back(lab: Any, text: str):
    pod = lab.pod("p")
    await lab.create(POD, pod)
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": text}
    try:
        await lab.patch(POD, "p", {"status": {"conditions": [condition]}}, subresource="status")
    except ApiError as error:
        if error.code != 400:
            raise
        return
    view = POD.view.parse(await lab.get(POD, "p"))
    moment = view.status.conditions[0].last_transition_time
    assert moment is None or moment.tzinfo is not None


def required_fields(view: Any, seen: set[Any]) -> list[str]:
    """The fields that a view cannot do without, those of the views inside it included."""
    found = []
    for part in typing.get_args(view):
        found += required_fields(part, seen)
    if inspect.isclass(view) and issubclass(view, msgspec.Struct) and view not in seen:
        seen.add(view)
        for field in msgspec.structs.fields(view):
            found += [f"{view.__name__}.{field.name}"] if field.required else []
            found += required_fields(field.type, seen)
    return found


def test_no_view_insists_on_a_field():
    """What Go keeps by value may be missing: only validation says what must be there."""
    seen: set[Any] = set()
    assert [name for kind in KINDS for name in required_fields(kind.view, seen)] == []
    assert len(seen) > 100
