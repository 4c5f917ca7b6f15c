"""Applies JSON patches (RFC 6902) within bounds, failing in Kubernetes' words.

Mirrors ``evanphx/json-patch`` as kube-apiserver uses it: its order of checks, its messages,
negative indices, ``-`` for the end of a list, and its bound on what ``copy`` may add. An operation
costs no more than the bytes that ask for it, but for ``copy``, which could double a value.

Pure. The object given is not changed; the result may share parts with the patch.

netlab leaves out: patches that replace the whole document by something that is no object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

MAX_COPIED_BYTES: Final = 3 * 1024 * 1024
"""What all ``copy`` operations of a patch may add together: the limit of a body, as upstream."""

_MISSING: Final = object()


class MalformedPatchError(ValueError):
    """The patch is no list of operations."""


class PatchFailedError(ValueError):
    """An operation does not fit the object; str() is evanphx/json-patch's message."""


def check_patch(patch: Any) -> list[Mapping[str, Any]]:
    """Return the operations.

    Raises: MalformedPatchError.
    """
    if not isinstance(patch, list):
        raise MalformedPatchError(
            f"json: cannot unmarshal {_json_kind(patch)} into Go value of type jsonpatch.Patch"
        )
    for operation in patch:
        if not isinstance(operation, dict):
            raise MalformedPatchError(
                f"json: cannot unmarshal {_json_kind(operation)} into Go value of type"
                " jsonpatch.Operation"
            )
    return patch


def apply_json_patch(obj: Any, patch: list[Mapping[str, Any]]) -> Any:
    """Return ``obj`` with the operations applied, in order.

    Raises: PatchFailedError with the first that fails.
    """
    document = _Document(_copy(obj))
    for operation in patch:
        document.apply(operation)
    return document.root


class _Document:
    """A document that is being patched, and what copying has added to it."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._copied_bytes = 0
        self._verbs: dict[str, Callable[[Mapping[str, Any], str], None]] = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "copy": self._copy,
            "test": self._test,
        }

    def apply(self, operation: Mapping[str, Any]) -> None:
        name = operation.get("op")
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            shown = name if isinstance(name, str) else "unknown"
            raise PatchFailedError(f"Unexpected kind: {shown}")
        path = operation.get("path")
        if not isinstance(path, str):
            raise PatchFailedError(
                f"{name} operation failed to decode path: operation missing path field:"
                " missing value"
            )
        verb(operation, path)

    def _add(self, operation: Mapping[str, Any], path: str) -> None:
        value = _value(operation, "add")
        if path == "":
            self.root = value
            return
        holder, key = self._holder(path)
        if holder is None:
            raise _missing(f'add operation does not apply: doc is missing path: "{path}"')
        _insert(holder, key, value, f"error in add for path: '{path}'")

    def _remove(self, operation: Mapping[str, Any], path: str) -> None:
        holder, key = self._holder(path)
        if holder is None:
            raise _missing(f'remove operation does not apply: doc is missing path: "{path}"')
        _delete(holder, key, f"error in remove for path: '{path}'")

    def _replace(self, operation: Mapping[str, Any], path: str) -> None:
        value = _value(operation, "replace")
        if path == "":
            self.root = value
            return
        holder, key = self._holder(path)
        if holder is None:
            raise _missing(f"replace operation does not apply: doc is missing path: {path}")
        if _find(holder, key) is _MISSING:
            raise _missing(f"replace operation does not apply: doc is missing key: {path}")
        if isinstance(holder, list):
            holder[_index(key, len(holder))] = value
        else:
            holder[key] = value

    def _move(self, operation: Mapping[str, Any], path: str) -> None:
        source = _source(operation, "move")
        holder, key = self._holder(source)
        if holder is None:
            raise _missing(f"move operation does not apply: doc is missing from path: {source}")
        value = _find(holder, key)
        if value is _MISSING:
            raise _missing(f"error in move for path: '{key}': Unable to get nonexistent key: {key}")
        _delete(holder, key, f"error in move for path: '{key}'")
        target, name = self._holder(path)
        if target is None:
            raise _missing(
                f"move operation does not apply: doc is missing destination path: {path}"
            )
        _insert(target, name, value, f"error in move for path: '{path}'")

    def _copy(self, operation: Mapping[str, Any], path: str) -> None:
        source = _source(operation, "copy")
        holder, key = self._holder(source)
        if holder is None:
            raise _missing(f'copy operation does not apply: doc is missing from path: "{source}"')
        value = _find(holder, key)
        if value is _MISSING:
            raise _missing(
                f"error in copy for from: '{source}': Unable to get nonexistent key: {key}"
            )
        target, name = self._holder(path)
        if target is None:
            raise _missing(
                f'copy operation does not apply: doc is missing destination path: "{path}"'
            )
        written = msgspec.json.encode(value)
        self._copied_bytes += len(written)
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise PatchFailedError(
                "Unable to complete the copy, the accumulated size increase of copy is"
                f" {self._copied_bytes}, exceeding the limit {MAX_COPIED_BYTES}"
            )
        _insert(target, name, msgspec.json.decode(written), "error while adding value during copy")

    def _test(self, operation: Mapping[str, Any], path: str) -> None:
        wanted = operation.get("value")
        if path == "":
            found: Any = self.root
        else:
            holder, key = self._holder(path)
            if holder is None:
                raise _missing(f"test operation does not apply: is missing path: {path}")
            found = _find(holder, key)
        if not _equal(None if found is _MISSING else found, wanted):
            raise PatchFailedError(f"testing path {path} failed: test failed")

    def _holder(self, path: str) -> tuple[Any, str]:
        """Return the object or list that holds what ``path`` names, and the last step.

        None when there is no such holder.
        """
        steps = path.split("/")
        if len(steps) < 2:
            return None, ""
        current = self.root
        for step in steps[1:-1]:
            current = _find(current, _unescape(step))
            if not isinstance(current, dict | list):
                return None, ""
        return current, _unescape(steps[-1])


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _value(operation: Mapping[str, Any], name: str) -> Any:
    if "value" not in operation:
        raise _missing(f"error in {name}: operation missing value field")
    return operation["value"]


def _source(operation: Mapping[str, Any], name: str) -> str:
    source = operation.get("from")
    if not isinstance(source, str):
        raise _missing(f"{name} operation failed to decode from: operation, missing from field")
    return source


def _missing(text: str) -> PatchFailedError:
    return PatchFailedError(f"{text}: missing value")


def _index(key: str, length: int) -> int:
    """Return a list's index; below zero counts from the end.

    Raises: PatchFailedError.
    """
    try:
        place = int(key)
    except ValueError:
        raise PatchFailedError(f'strconv.Atoi: parsing "{key}": invalid syntax') from None
    if not -length <= place < length:
        raise PatchFailedError(f"Unable to access invalid index: {place}: invalid index referenced")
    return place + length if place < 0 else place


def _find(holder: Any, key: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(key, _MISSING)
    try:
        return holder[_index(key, len(holder))]
    except PatchFailedError:
        return _MISSING


def _insert(holder: Any, key: str, value: Any, where: str) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    elif key == "-":
        holder.append(value)
    else:
        try:
            # one past the end is a place to add at
            holder.insert(_index(key, len(holder) + 1), value)
        except PatchFailedError as error:
            raise PatchFailedError(f"{where}: {error}") from None


def _delete(holder: Any, key: str, where: str) -> None:
    if isinstance(holder, dict):
        if key not in holder:
            raise _missing(f"{where}: Unable to remove nonexistent key: {key}")
        del holder[key]
        return
    try:
        del holder[_index(key, len(holder))]
    except PatchFailedError as error:
        raise PatchFailedError(f"{where}: {error}") from None


def _equal(left: Any, right: Any) -> bool:
    """Compare as JSON: true is not 1, but 1.0 is 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _copy(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    for types, name in (((int, float), "number"), (str, "string"), (list, "array")):
        if isinstance(value, types):
            return name
    return "null" if value is None else "object"
