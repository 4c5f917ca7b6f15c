"""JSON patches: what they do, and in whose words they fail."""

import pytest

from netlab.api.json_patch import MAX_COPIED_BYTES, PatchFailedError, apply_json_patch, check_patch

DOCUMENT = {"a": {"b": [1, 2], "c/d": "e", "m~n": None}, "t": True, "n": 1}

GOOD = {
    "add to a list": ({"op": "add", "path": "/a/b/1", "value": 9}, "a.b", [1, 9, 2]),
    "add at the end": ({"op": "add", "path": "/a/b/-", "value": 9}, "a.b", [1, 2, 9]),
    "add past the end": ({"op": "add", "path": "/a/b/2", "value": 9}, "a.b", [1, 2, 9]),
    "add a field": ({"op": "add", "path": "/x", "value": None}, "x", None),
    "escapes": ({"op": "replace", "path": "/a/c~1d", "value": 1}, "a.c/d", 1),
    "replace a null": ({"op": "replace", "path": "/a/m~0n", "value": 1}, "a.m~n", 1),
    "remove from the end": ({"op": "remove", "path": "/a/b/-1"}, "a.b", [1]),
    "move": ({"op": "move", "from": "/a/b/0", "path": "/x"}, "x", 1),
    "copy": ({"op": "copy", "from": "/a/b", "path": "/x"}, "x", [1, 2]),
    "test": ({"op": "test", "path": "/n", "value": 1.0}, "n", 1),
    "test what is absent": ({"op": "test", "path": "/zz", "value": None}, "n", 1),
}


@pytest.mark.parametrize(("operation", "path", "value"), GOOD.values(), ids=GOOD)
def test_operations(operation, path, value):
    patched = apply_json_patch(DOCUMENT, check_patch([operation]))
    for step in path.split("."):
        patched = patched[step]
    assert patched == value
    assert DOCUMENT["a"]["b"] == [1, 2]


BAD = {
    "test": ({"op": "test", "path": "/n", "value": 2}, "testing path /n failed: test failed"),
    "test of a type": (
        {"op": "test", "path": "/t", "value": 1},
        "testing path /t failed: test failed",
    ),
    "add": (
        {"op": "add", "path": "/x/y", "value": 1},
        'add operation does not apply: doc is missing path: "/x/y": missing value',
    ),
    "add without value": (
        {"op": "add", "path": "/x"},
        "error in add: operation missing value field: missing value",
    ),
    "add to a list": (
        {"op": "add", "path": "/a/b/7", "value": 1},
        "error in add for path: '/a/b/7': Unable to access invalid index: 7: "
        "invalid index referenced",
    ),
    "remove": (
        {"op": "remove", "path": "/x"},
        "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
    ),
    "replace": (
        {"op": "replace", "path": "/x", "value": 1},
        "replace operation does not apply: doc is missing key: /x: missing value",
    ),
    "move": (
        {"op": "move", "from": "/x/y", "path": "/z"},
        "move operation does not apply: doc is missing from path: /x/y: missing value",
    ),
    "unknown": ({"op": "x", "path": ""}, "Unexpected kind: x"),
    "no path": (
        {"op": "remove"},
        "remove operation failed to decode path: operation missing path field: missing value",
    ),
    "index": (
        {"op": "remove", "path": "/a/b/x"},
        "error in remove for path: '/a/b/x': strconv.Atoi: parsing \"x\": invalid syntax",
    ),
}


@pytest.mark.parametrize(("operation", "message"), BAD.values(), ids=BAD)
def test_failures(operation, message):
    with pytest.raises(PatchFailedError) as caught:
        apply_json_patch(DOCUMENT, check_patch([operation]))
    assert str(caught.value) == message


def test_copies_may_not_grow_for_ever():
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{i}"} for i in range(40)]
    with pytest.raises(PatchFailedError, match="accumulated size increase of copy is") as caught:
        apply_json_patch({"a": {"x": "y" * 1000}}, doubling)
    assert str(caught.value).endswith(f"exceeding the limit {MAX_COPIED_BYTES}")


def test_a_copy_is_independent():
    patch = [
        {"op": "copy", "from": "/a", "path": "/x"},
        {"op": "add", "path": "/x/b/-", "value": 3},
    ]
    assert apply_json_patch(DOCUMENT, patch)["a"] == DOCUMENT["a"]
