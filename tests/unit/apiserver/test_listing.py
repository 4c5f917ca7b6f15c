"""Lists: order, selectors, pages that stay consistent, versions."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import CONFIG_MAP, NAMESPACE, POD
from netlab.apiserver.registry.listing import decode_token, encode_token
from netlab.apiserver.requests import ListOptions
from netlab.errors import ApiError
from netlab.store.records import Key


async def fill(lab: Any, *names: str, namespace: str = "default") -> None:
    for name in names:
        body = lab.config_map(name)
        body["metadata"]["labels"] = {"first": name[0]}
        await lab.create(CONFIG_MAP, body, namespace)


async def test_all_namespaces_in_order(lab: Any):
    await lab.create(NAMESPACE, {"metadata": {"name": "alpha"}})
    await fill(lab, "c", "a")
    await fill(lab, "b", namespace="alpha")
    assert await lab.names(CONFIG_MAP) == ["b", "a", "c"]
    assert await lab.names(CONFIG_MAP, "default") == ["a", "c"]
    assert await lab.names(CONFIG_MAP, "nowhere") == []


async def test_the_lists_version_is_the_stores(lab: Any):
    await fill(lab, "a")
    await lab.create(POD, lab.pod("p"))
    result = await lab.registry.list(CONFIG_MAP, None, ListOptions())
    assert result.resource_version == str(lab.store.revision) == "4"
    assert (result.continue_token, result.remaining) == ("", None)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"label_selector": "first=a"}, ["a1", "a2"]),
        ({"label_selector": "first!=a"}, ["b1"]),
        ({"field_selector": "metadata.name=b1"}, ["b1"]),
        ({"field_selector": "metadata.name=zz"}, []),
        ({"field_selector": "metadata.name!=b1"}, ["a1", "a2"]),
        ({"label_selector": "first=a", "field_selector": "metadata.name=a2"}, ["a2"]),
        ({"label_selector": "first=b", "field_selector": "metadata.name=a2"}, []),
    ],
    ids=str,
)
async def test_selectors(lab: Any, options: Any, names: list[str]):
    await fill(lab, "a1", "a2", "b1")
    assert await lab.names(CONFIG_MAP, **options) == names
    assert await lab.names(CONFIG_MAP, "default", **options) == names


async def test_pods_by_node(lab: Any):
    await lab.create(POD, lab.pod("p", nodeName="node0"))
    await lab.create(POD, lab.pod("q"))
    assert await lab.names(POD, field_selector="spec.nodeName=node0") == ["p"]
    assert await lab.names(POD, field_selector="spec.nodeName=") == ["q"]


async def pages(lab: Any, **options: Any) -> list[list[str]]:
    found = []
    token = ""
    while True:
        result = await lab.registry.list(
            CONFIG_MAP, None, ListOptions(continue_token=token, **options)
        )
        found.append([item.object["metadata"]["name"] for item in result.items])
        token = result.continue_token
        if not token:
            return found


async def test_pages(lab: Any):
    await fill(lab, "a", "b", "c", "d", "e")
    assert await pages(lab, limit=2) == [["a", "b"], ["c", "d"], ["e"]]
    assert await pages(lab, limit=5) == [["a", "b", "c", "d", "e"]]
    assert await pages(lab, limit=1, label_selector="first in (b, d)") == [["b"], ["d"]]


async def test_the_first_page_tells_how_many_remain(lab: Any):
    await fill(lab, "a", "b", "c")
    result = await lab.registry.list(CONFIG_MAP, None, ListOptions(limit=1))
    assert result.remaining == 2
    options = ListOptions(limit=1, label_selector="first")
    assert (await lab.registry.list(CONFIG_MAP, None, options)).remaining is None


async def test_pages_are_of_one_moment(lab: Any):
    await fill(lab, "a", "b", "c", "d")
    first = await lab.registry.list(CONFIG_MAP, None, ListOptions(limit=2))
    await lab.delete(CONFIG_MAP, "c")
    await fill(lab, "aa", "bb", "e")
    await lab.patch(CONFIG_MAP, "d", {"data": {"x": "y"}})
    options = ListOptions(limit=9, continue_token=first.continue_token)
    rest = await lab.registry.list(CONFIG_MAP, None, options)
    assert [item.object["metadata"]["name"] for item in rest.items] == ["c", "d"]
    assert "data" not in rest.items[1].object
    assert rest.resource_version == first.resource_version


async def test_a_page_of_a_forgotten_moment(lab: Any):
    await fill(lab, "a", "b")
    token = encode_token(1, Key("configmaps", "default", "a"))
    lab.store._log.compact(2)
    with pytest.raises(ApiError) as raised:
        await lab.registry.list(CONFIG_MAP, None, ListOptions(continue_token=token))
    assert (raised.value.code, raised.value.reason) == (410, "Expired")
    assert "The provided continue parameter is too old" in raised.value.message


def test_tokens():
    token = encode_token(42, Key("pods", "shop", "web"))
    assert decode_token(token) == (42, ("shop", "web"))
    for bad in ("x", "%%%", "e30"):
        with pytest.raises(ApiError, match="continue key is not valid"):
            decode_token(bad)


async def test_an_exact_version(lab: Any):
    await fill(lab, "a", "b")
    await lab.delete(CONFIG_MAP, "a")
    exact = {"resource_version": "3", "resource_version_match": "Exact"}
    assert await lab.names(CONFIG_MAP, **exact) == ["a"]
    newer = {"resource_version": "3", "resource_version_match": "NotOlderThan"}
    assert await lab.names(CONFIG_MAP, **newer) == ["b"]
    assert await lab.names(CONFIG_MAP, resource_version="0") == ["b"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({"label_selector": "a=="}, 0, ""),
        ({"label_selector": "a in b"}, 400, ""),
        ({"field_selector": "spec.x=1"}, 400, '"spec.x" is not a known field selector'),
        ({"resource_version": "9" * 5000}, 400, "invalid syntax"),
        ({"resource_version": "abc"}, 400, 'resourceVersion: Invalid value: "abc"'),
        ({"resource_version": "99"}, 504, "Too large resource version: 99, current: 2"),
        ({"resource_version_match": "Exact"}, 422, "is forbidden unless resourceVersion"),
        ({"resource_version": "1", "resource_version_match": "x"}, 422, "Unsupported value"),
        ({"continue_token": "%", "resource_version": "1"}, 400, "specifying resource version"),
    ],
    ids=str,
)
async def test_refused(lab: Any, options: Any, code: int, message: str):
    if not code:
        assert await lab.names(CONFIG_MAP, **options) == []
        return
    with pytest.raises(ApiError) as raised:
        await lab.names(CONFIG_MAP, **options)
    assert raised.value.code == code
    assert message in raised.value.message
