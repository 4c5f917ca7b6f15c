"""The patches of apply, for what recorded commands do not show: removals, orders, sets."""

import pytest

from netlab.kubectl.three_way import has_merge_keys, three_way_merge, three_way_strategic


def pod(*containers, **meta):
    return {"metadata": meta, "spec": {"containers": list(containers)}}


A = {"name": "a", "image": "1"}
B = {"name": "b", "image": "1"}


@pytest.mark.parametrize(
    ("name", "original", "modified", "current", "expected"),
    [
        ("nothing changed", pod(A), pod(A), pod({**A, "default": True}), {}),
        ("field changed", pod(A), pod({**A, "image": "2"}), pod(A),
         {"spec": {"$setElementOrder/containers": [{"name": "a"}],
                   "containers": [{"name": "a", "image": "2"}]}}),
        ("item removed", pod(A, B), pod(A), pod(A, B),
         {"spec": {"$setElementOrder/containers": [{"name": "a"}],
                   "containers": [{"$patch": "delete", "name": "b"}]}}),
        ("item of others stays", pod(A), pod(A), pod(A, B),
         {"spec": {"$setElementOrder/containers": [{"name": "a"}]}}),
        ("item added", pod(A), pod(A, B), pod(A),
         {"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
                   "containers": [B]}}),
        ("changed and removed within one item",
         pod({**A, "env": [{"name": "x", "value": "1"}]}),
         pod({**A, "env": [{"name": "y", "value": "2"}]}),
         pod({**A, "env": [{"name": "x", "value": "1"}]}),
         {"spec": {"$setElementOrder/containers": [{"name": "a"}],
                   "containers": [{"name": "a", "$setElementOrder/env": [{"name": "y"}],
                                   "env": [{"name": "y", "value": "2"},
                                           {"name": "x", "$patch": "delete"}]}]}}),
        ("label removed", pod(labels={"x": "1", "y": "2"}), pod(labels={"x": "1"}),
         pod(labels={"x": "1", "y": "2", "z": "3"}), {"metadata": {"labels": {"y": None}}}),
        ("all labels removed", pod(labels={"x": "1"}), pod(), pod(labels={"x": "1"}),
         {"metadata": {"labels": None}}),
        ("drift is undone", pod(labels={"x": "1"}), pod(labels={"x": "1"}), pod(labels={"x": "9"}),
         {"metadata": {"labels": {"x": "1"}}}),
        ("atomic list", {"spec": {"args": ["a"]}}, {"spec": {"args": ["b"]}},
         {"spec": {"args": ["a"]}}, {"spec": {"args": ["b"]}}),
        ("set list", pod(finalizers=["a", "b"]), pod(finalizers=["b", "c"]),
         pod(finalizers=["a", "b"]),
         {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"],
                       "$setElementOrder/finalizers": ["b", "c"]}}),
        ("true is not 1", {"a": True}, {"a": True}, {"a": 1}, {"a": True}),
    ],
)  # fmt: skip
def test_strategic(name, original, modified, current, expected):
    assert three_way_strategic(original, modified, current) == expected


def test_strategy_keeps_only_its_new_keys():
    rolling = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    recreate = {"spec": {"strategy": {"type": "Recreate"}}}
    assert three_way_strategic({}, recreate, rolling) == {
        "spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}
    }


def test_merge_for_kinds_without_keys():
    original = {"spec": {"a": 1, "b": 1}}
    modified = {"spec": {"a": 2, "list": [1]}}
    current = {"spec": {"a": 1, "b": 1, "c": 1}}
    assert three_way_merge(original, modified, current) == {
        "spec": {"a": 2, "b": None, "list": [1]}
    }
    assert has_merge_keys("apps")
    assert not has_merge_keys("example.com")
