"""Patches change objects as the API server changes them.

The strategic merge cases were recorded from ``kubectl patch --local`` 1.33, which runs Kubernetes'
own implementation, for random pods and patches; directives and nulls that it leaves behind in new
values (the server prunes them) were removed.
"""

import copy
import json
import random
from pathlib import Path

import pytest

from netlab.api.kinds import DEPLOYMENT, POD, SERVICE
from netlab.api.patches import apply_patch, merge_patch
from netlab.errors import ApiError

GOLDEN = Path(__file__).parents[2] / "golden" / "patches" / "strategic-kubectl-1.33.json"
RECORDED = json.loads(GOLDEN.read_text())


def without_nulls(value):
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None and k[0] != "$"}
    if isinstance(value, list):
        items = [v for v in value if not (isinstance(v, dict) and "$patch" in v)]
        return [without_nulls(v) for v in items]
    return value


@pytest.mark.parametrize("case", RECORDED, ids=range(len(RECORDED)))
def test_strategic_merge_equals_kubernetes(case):
    before = copy.deepcopy(case)
    result = apply_patch(POD, case["original"], case["patch"], "strategic")
    assert without_nulls(result) == case["expected"]
    assert case == before, "neither the object nor the patch may change"


@pytest.mark.parametrize(
    ("kind", "original", "patch", "expected"),
    [
        pytest.param(
            SERVICE,
            {"spec": {"ports": [{"port": 80, "name": "a"}], "selector": {"x": "1"}}},
            {"spec": {"ports": [{"port": 81, "name": "b"}], "selector": {"x": None, "y": "2"}}},
            {
                "spec": {
                    "ports": [{"port": 81, "name": "b"}, {"port": 80, "name": "a"}],
                    "selector": {"y": "2"},
                }
            },
            id="ports by number",
        ),
        pytest.param(
            DEPLOYMENT,
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
            {"spec": {"strategy": {"type": "Recreate"}}},
            id="retainKeys",
        ),
        pytest.param(
            POD,
            {"spec": {"tolerations": [{"key": "a"}]}},
            {"spec": {"tolerations": [{"key": "b"}]}},
            {"spec": {"tolerations": [{"key": "b"}]}},
            id="a list without merge key is replaced",
        ),
        pytest.param(
            POD,
            {"metadata": {"finalizers": ["a/x", "b/x"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"]}},
            {"metadata": {"finalizers": ["b/x"]}},
            id="delete from a plain list",
        ),
        pytest.param(
            POD,
            {"metadata": {"annotations": {"a": "1"}}},
            {"metadata": {"annotations": {"$patch": "replace", "b": "2"}}},
            {"metadata": {"annotations": {"b": "2"}}},
            id="replace a map",
        ),
        pytest.param(
            POD,
            {"metadata": {}},
            {
                "metadata": {"labels": {"a": None, "b": "1"}},
                "spec": {"containers": [{"name": "a", "image": None}]},
            },
            {"metadata": {"labels": {"b": "1"}}, "spec": {"containers": [{"name": "a"}]}},
            id="nulls in what is new",
        ),
        pytest.param(
            POD,
            {"unknown": {"a": {"b": 1}}},
            {"unknown": {"a": {"c": 2}}},
            {"unknown": {"a": {"b": 1, "c": 2}}},
            id="unknown fields merge as maps",
        ),
    ],
)
def test_strategic_merge(kind, original, patch, expected):
    assert apply_patch(kind, original, patch, "strategic") == expected


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "does not contain declared merge key: name"),
        ({"spec": {"containers": ["x"]}}, "its items must be objects"),
        ({"spec": {"$patch": "foo"}}, "unknown patch type found: foo"),
        ({"spec": {"$retainKeys": ["a"], "b": 1}}, "invalid patch format of retainKeys list"),
        (
            {
                "spec": {
                    "containers": [{"name": "b"}, {"name": "a"}],
                    "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
                }
            },
            "doesn't match",
        ),
        ([], "cannot unmarshal array into Go value of type map"),
    ],
)
def test_bad_strategic_patches(patch, message):
    original = {"spec": {"containers": [{"name": "a"}]}}
    with pytest.raises(ApiError, match=message) as caught:
        apply_patch(POD, original, patch, "strategic")
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_examples_of_the_rfc(original, patch, expected):
    before = copy.deepcopy(original)
    assert apply_patch(POD, original, patch, "merge") == expected
    assert original == before


def random_object(source, depth=0):
    if depth == 3 or source.random() < 0.4:
        return source.choice(["x", 1, True, [1, {"a": 2}]])
    names = source.sample("abcd", source.randint(1, 3))
    return {name: random_object(source, depth + 1) for name in names}


def difference(old, new):
    """The merge patch that turns ``old`` into ``new``."""
    patch = dict.fromkeys(set(old) - set(new))
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict):
            patch[key] = difference(before if isinstance(before, dict) else {}, value)
        elif value != before or type(value) is not type(before):
            patch[key] = value
    return patch


def test_merge_patch_reaches_every_object():
    source = random.Random(7)
    for _ in range(500):
        old, new = {"r": random_object(source)}, {"r": random_object(source)}
        assert merge_patch(old, difference(old, new)) == new


def test_json_patch():
    original = {"spec": {"replicas": 1, "list": ["a", "b"]}}
    patch = [
        {"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
        {"op": "add", "path": "/spec/list/-", "value": "c"},
        {"op": "remove", "path": "/spec/list/0"},
    ]
    result = apply_patch(DEPLOYMENT, original, patch, "json")
    assert result == {"spec": {"replicas": 2, "list": ["b", "c"]}}
    assert original["spec"]["list"] == ["a", "b"]


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        pytest.param([{"op": "test", "path": "/a", "value": 2}], 422, id="test fails"),
        pytest.param([{"op": "remove", "path": "/x/y"}], 422, id="no such path"),
        pytest.param([{"op": "replace", "path": "", "value": []}], 422, id="no object left"),
        pytest.param([{"op": "foo", "path": "/a"}], 422, id="no such operation"),
        pytest.param([{"path": "/a"}], 422, id="no operation"),
        pytest.param([1], 400, id="no object"),
        pytest.param({}, 400, id="no list"),
        pytest.param([{"op": "remove", "path": "/a"}] * 10_001, 413, id="too many"),
    ],
)
def test_bad_json_patches(patch, code):
    with pytest.raises(ApiError) as caught:
        apply_patch(POD, {"a": 1}, patch, "json")
    assert caught.value.code == code
