"""Endpoints that people write are mirrored into slices, and reach the proxy's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netlab.api.core import Endpoints, Service
from netlab.api.discovery import EndpointSlice
from netlab.api.kinds import ENDPOINT_SLICE, ENDPOINTS, SERVICE
from netlab.controllers.endpointslicemirroring import (
    LAST_APPLIED_ANNOTATION,
    LEADER_ANNOTATION,
    MANAGER,
    SKIP_LABEL,
    decide_mirrored_slices,
)
from netlab.net.ruleset import render_rule_set
from tests.support.control_plane import ControlPlane, control_plane
from tests.unit.proxy.objects import render

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MIRRORED = f"{MANAGED_BY}={MANAGER}"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path) as running:
        yield running


def service(**spec: Any) -> Any:
    return {"metadata": {"name": "db"}, "spec": {"ports": [{"name": "sql", "port": 3306}], **spec}}


def endpoints(*subsets: Any, **metadata: Any) -> Any:
    return {"metadata": {"name": "db", **metadata}, "subsets": list(subsets)}


def subset(*ready: str, not_ready: tuple[str, ...] = (), port: int = 3306) -> Any:
    found: Any = {"ports": [{"name": "sql", "port": port, "protocol": "TCP"}]}
    if ready:
        found["addresses"] = [{"ip": ip} for ip in ready]
    if not_ready:
        found["notReadyAddresses"] = [{"ip": ip} for ip in not_ready]
    return found


async def mirrored(plane: ControlPlane) -> list[Any]:
    listed = await plane.client.list(ENDPOINT_SLICE, "default", label_selector=MIRRORED)
    return list(listed.items)


async def test_hand_written_endpoints_reach_the_rules(plane: ControlPlane) -> None:
    made = await plane.client.create(SERVICE, "default", service())
    labels = {"team": "data"}
    annotations = {"note": "x", LAST_APPLIED_ANNOTATION: "{}"}
    body = endpoints(
        subset("192.0.2.7", not_ready=("192.0.2.8",)), labels=labels, annotations=annotations
    )
    written = await plane.client.create(ENDPOINTS, "default", body)
    (mirror,) = await plane.eventually(lambda: mirrored(plane))
    meta = mirror["metadata"]
    assert meta["name"].startswith("db-")
    assert meta["labels"] == {
        "team": "data",
        "kubernetes.io/service-name": "db",
        MANAGED_BY: MANAGER,
    }
    assert meta["annotations"] == {"note": "x"}
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Endpoints", written["metadata"]["uid"])
    assert [(e["addresses"], e["conditions"]["ready"]) for e in mirror["endpoints"]] == [
        (["192.0.2.7"], True),
        (["192.0.2.8"], False),
    ]
    rules = render_rule_set(render(made, mirror))
    assert "--to-destination 192.0.2.7:3306" in rules
    assert "192.0.2.8" not in rules


async def test_changes_are_followed_and_the_slice_is_kept(plane: ControlPlane) -> None:
    await plane.client.create(SERVICE, "default", service())
    await plane.client.create(ENDPOINTS, "default", endpoints(subset("192.0.2.7")))
    (before,) = await plane.eventually(lambda: mirrored(plane))
    change = {"subsets": [subset("192.0.2.9")], "metadata": {"labels": {"a": "b"}}}
    await plane.client.patch(ENDPOINTS, "default", "db", change)

    async def followed() -> Any:
        (now,) = await mirrored(plane)
        return now if now["endpoints"][0]["addresses"] == ["192.0.2.9"] else None

    after = await plane.eventually(followed)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["labels"]["a"] == "b"
    await plane.client.delete(ENDPOINT_SLICE, "default", after["metadata"]["name"])

    async def made_again() -> bool:
        now = await mirrored(plane)
        return bool(now) and now[0]["metadata"]["uid"] != after["metadata"]["uid"]

    await plane.eventually(made_again)


WITHOUT = {
    "the service gets a selector": (SERVICE, {"spec": {"selector": {"a": "b"}}}),
    "the skip label": (ENDPOINTS, {"metadata": {"labels": {SKIP_LABEL: "true"}}}),
    "a lock": (ENDPOINTS, {"metadata": {"annotations": {LEADER_ANNOTATION: "{}"}}}),
    "no addresses": (ENDPOINTS, {"subsets": []}),
}


@pytest.mark.parametrize(("kind", "patch"), WITHOUT.values(), ids=WITHOUT)
async def test_what_was_mirrored_goes(plane: ControlPlane, kind: Any, patch: Any) -> None:
    await plane.client.create(SERVICE, "default", service())
    await plane.client.create(ENDPOINTS, "default", endpoints(subset("192.0.2.7")))
    await plane.eventually(lambda: mirrored(plane))
    await plane.client.patch(kind, "default", "db", patch)

    async def gone() -> bool:
        return not await mirrored(plane)

    await plane.eventually(gone)


@pytest.mark.parametrize("kind", [SERVICE, ENDPOINTS], ids=["service", "endpoints"])
async def test_deleting_either_ends_the_mirror(plane: ControlPlane, kind: Any) -> None:
    await plane.client.create(SERVICE, "default", service())
    await plane.client.create(ENDPOINTS, "default", endpoints(subset("192.0.2.7")))
    await plane.eventually(lambda: mirrored(plane))
    await plane.client.delete(kind, "default", "db")

    async def gone() -> bool:
        return not await mirrored(plane)

    await plane.eventually(gone)


async def test_the_servers_own_slice_is_not_mirrored(plane: ControlPlane) -> None:
    listed = await plane.client.list(ENDPOINT_SLICE, "default")
    assert [each["metadata"]["name"] for each in listed.items] == ["kubernetes"]


def decide(*subsets: Any, slices: Any = (), **metadata: Any) -> Any:
    body = endpoints(*subsets, namespace="default", uid="e", **metadata)
    wanted = Service.parse(service())
    own = [EndpointSlice.parse(each) for each in slices]
    decision = decide_mirrored_slices(Endpoints.parse(body), wanted, own)
    return [action for burst in decision.actions for action in burst.actions]


def test_families_and_ports_have_slices_of_their_own() -> None:
    made = decide(subset("192.0.2.7", "2001:db8::7"), subset("192.0.2.8", port=3307))
    shown = [(c.obj["addressType"], c.obj["ports"][0]["port"]) for c in made]
    assert shown == [("IPv4", 3306), ("IPv6", 3306), ("IPv4", 3307)]


def test_a_thousand_addresses_of_a_subset() -> None:
    addresses = [f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(1003)]
    created, note = decide(subset(*addresses))
    assert len(created.obj["endpoints"]) == 1000
    assert (note.kind, note.reason) == (ENDPOINTS, "TooManyAddressesToMirror")
    assert note.message.endswith("3 addresses were skipped")


def test_what_is_right_is_not_written() -> None:
    (created,) = decide(subset("192.0.2.7"))
    stored = {**created.obj, "metadata": {**created.obj["metadata"], "name": "db-1", "uid": "s"}}
    assert decide(subset("192.0.2.7"), slices=[stored]) == []
