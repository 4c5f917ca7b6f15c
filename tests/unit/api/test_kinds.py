"""The table of kinds agrees with what Kubernetes v1.36 serves."""

import json
from pathlib import Path

import pytest

from netlab.api.kinds import builtin_kinds

GOLDEN = Path(__file__).parents[2] / "golden" / "discovery" / "resources-v1.36.json"
SERVED = {
    (entry["group"], entry["version"], entry["resource"]): entry
    for entry in json.loads(GOLDEN.read_text())
}


KINDS = [kind for kind in builtin_kinds() if kind.group != "metrics.k8s.io"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_kind_is_as_in_kubernetes(kind):
    entry = SERVED[kind.group, kind.version, kind.plural]
    assert (kind.kind, kind.namespaced) == (entry["kind"], entry["namespaced"])
    assert kind.singular == entry["singular"]
    assert kind.short_names == tuple(entry["short"])
    assert kind.categories == tuple(entry["categories"])
    assert set(kind.verbs) == set(entry["verbs"])
    assert {sub.name for sub in kind.subresources} <= set(entry["sub"])
