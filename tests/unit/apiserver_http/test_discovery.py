"""Discovery against what kube-apiserver v1.36 answers (tests/golden/discovery)."""

import json
from pathlib import Path

import pytest

from netlab.api.kinds import builtin_catalog
from netlab.apiserver.discovery.documents import (
    Document,
    aggregated,
    api_group,
    api_group_list,
    api_resource_list,
    api_versions,
    resources,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "discovery" / "resources-v1.36.json"
ITEMS = resources(builtin_catalog())


def golden():
    return {
        (line["group"], line["version"], line["resource"]): line
        for line in json.loads(GOLDEN.read_text())
    }


MIRRORED = [item for item in ITEMS if item.group != "metrics.k8s.io"]


@pytest.mark.parametrize("item", MIRRORED, ids=lambda item: item.plural)
def test_a_resource_is_told_as_kubernetes_tells_it(item):
    expected = golden()[(item.group, item.version, item.plural)]
    assert (item.kind, item.namespaced, item.singular) == (
        expected["kind"],
        expected["namespaced"],
        expected["singular"],
    )
    assert list(item.short_names) == expected["short"]
    assert list(item.categories) == expected["categories"]
    assert sorted(item.verbs) == sorted(expected["verbs"])
    assert {sub.name for sub in item.subresources} <= set(expected["sub"])


def test_aggregated_discovery_splits_the_core_group_from_the_others():
    core = aggregated(ITEMS, core=True, version="v2")
    named = aggregated(ITEMS, core=False, version="v2beta1")
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert named["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert [group["metadata"].get("name") for group in core["items"]] == [None]
    assert [group["metadata"]["name"] for group in named["items"]] == [
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "discovery.k8s.io",
        "metrics.k8s.io",
    ]


def test_an_aggregated_resource_has_its_subresources():
    core = aggregated(ITEMS, core=True, version="v2")
    listed = {line["resource"]: line for line in core["items"][0]["versions"][0]["resources"]}
    assert listed["pods"]["scope"] == "Namespaced"
    assert listed["nodes"]["scope"] == "Cluster"
    subresources = {line["subresource"]: line for line in listed["pods"]["subresources"]}
    assert subresources["eviction"]["responseKind"] == {
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
    }
    assert subresources["status"]["responseKind"]["kind"] == "Pod"


def test_the_plain_list_names_subresources_with_a_slash():
    listed = api_resource_list(ITEMS, "apps", "v1")
    assert listed["groupVersion"] == "apps/v1"
    lines = {line["name"]: line for line in listed["resources"]}
    assert lines["deployments"]["shortNames"] == ["deploy"]
    assert lines["deployments/scale"] == {
        "name": "deployments/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }


def test_groups():
    assert api_versions("10.0.0.1:6443")["versions"] == ["v1"]
    groups = {group["name"]: group for group in api_group_list(ITEMS)["groups"]}
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert api_group(ITEMS, "apps")["kind"] == "APIGroup"
    assert api_group(ITEMS, "nosuch") is None
    assert api_resource_list(ITEMS, "apps", "v9") is None


def test_the_etag_follows_the_content():
    assert Document.of({"a": 1}).etag == Document.of({"a": 1}).etag
    assert Document.of({"a": 1}).etag != Document.of({"a": 2}).etag
