"""Strategic merge patches: merge patches that know which lists are really maps or sets.

Mirrors ``apimachinery/pkg/util/strategicpatch``. Which lists are merged, and by which key, comes
from the types' definitions (``patchStrategy``, ``patchMergeKey``). A patch may hold directives:

    $patch: replace | delete              on an object, or as an item of a merged list
    $retainKeys: [names]                  drop all other fields of the object
    $deleteFromPrimitiveList/FIELD        remove these values from a merged list of plain values
    $setElementOrder/FIELD                order of a merged list, which items of others adapt to

Source: strategic-merge-patch.md of kubernetes/community, contributors/devel/sig-api-machinery
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from netlab.api.definitions import Field, ShapeKind, fields_of, referenced
from netlab.api.field_errors import bad_request
from netlab.api.view import Object

PATCH: Final = "$patch"
RETAIN_KEYS: Final = "$retainKeys"
DELETE_FROM: Final = "$deleteFromPrimitiveList/"
SET_ORDER: Final = "$setElementOrder/"
_NO_FIELDS: Final[Mapping[str, Field]] = {}


def strategic_merge(definition: str, original: Object, patch: Mapping[str, Any]) -> Object:
    """Return ``original``, an object of the type ``definition``, with ``patch`` applied.

    Raises: ApiError 400 for a patch that breaks the rules of its directives.
    """
    return _merge_struct(_fields(definition), original, patch)


def _fields(definition: str) -> Mapping[str, Field]:
    return fields_of(definition) if definition else _NO_FIELDS


def _merge_struct(
    fields: Mapping[str, Field], original: Mapping[str, Any], patch: Mapping[str, Any]
) -> Object:
    directive = patch.get(PATCH)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != PATCH}
    if directive == "delete":
        return {}
    if directive is not None:
        raise bad_request(f"unknown patch type found: {directive}")
    merged = _retained(original, patch)
    ordered = [key.removeprefix(SET_ORDER) for key in patch if key.startswith(SET_ORDER)]
    # removals first: the result must not depend on the order in which JSON has the keys
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            _delete_values(merged, key.removeprefix(DELETE_FROM), value)
    for key, value in patch.items():
        if not key.startswith("$") and key not in ordered:
            _merge_field(fields.get(key), merged, key, value)
    for name in ordered:
        _merge_in_order(fields.get(name), merged, name, patch)
    return merged


def _retained(original: Mapping[str, Any], patch: Mapping[str, Any]) -> Object:
    """A copy of ``original``, cut down to the names in ``$retainKeys`` when there are any."""
    if RETAIN_KEYS not in patch:
        return dict(original)
    kept = patch[RETAIN_KEYS]
    if not isinstance(kept, list):
        raise bad_request("invalid patch format of retainKeys list")
    named = [key for key, value in patch.items() if not key.startswith("$") and value is not None]
    if any(key not in kept for key in named):
        raise bad_request("invalid patch format of retainKeys list")
    return {key: value for key, value in original.items() if key in kept}


def _merge_field(field: Field | None, merged: Object, key: str, value: Any) -> None:
    if value is None:
        merged.pop(key, None)
        return
    before = merged.get(key)
    if before is None or type(before) is not type(value):
        if not _has_directive(value):
            merged[key] = _clean(value)
    elif isinstance(value, dict):
        if field is not None and "replace" in field.strategies:
            merged[key] = value
        else:
            is_struct = field is not None and field.shape.kind is ShapeKind.STRUCT
            inner = _fields(referenced(field.shape)) if field and is_struct else _NO_FIELDS
            merged[key] = _merge_struct(inner, before, value)
    elif isinstance(value, list) and field is not None and "merge" in field.strategies:
        merged[key] = _merge_list(field, before, value)
    else:
        merged[key] = value


def _clean(value: Any) -> Any:
    """Return a value that is new in the object, without directives and nulls.

    A field whose object has a ``$patch`` vanishes: there is nothing it could apply to.
    """
    if isinstance(value, dict):
        return {
            key: _clean(item)
            for key, item in value.items()
            if item is not None and not key.startswith("$") and not _has_directive(item)
        }
    return _clean_item(value)


def _clean_item(value: Any) -> Any:
    """Return a new list or list item; in these, nested directives are only left out."""
    if isinstance(value, dict):
        return {
            key: _clean_item(item)
            for key, item in value.items()
            if item is not None and not key.startswith("$")
        }
    if isinstance(value, list):
        return [_clean_item(item) for item in value if not _has_directive(item)]
    return value


def _has_directive(value: Any) -> bool:
    return isinstance(value, dict) and PATCH in value


def _merge_list(field: Field, original: list[Any], patch: list[Any]) -> list[Any]:
    """Merge a list that is a set, or a map by its merge key.

    The items of the patch stand in its order; the others keep theirs (see ``_interleave``).
    """
    if field.merge_key is None:
        known = {_identity(item) for item in original}
        merged = original + [item for item in patch if _identity(item) not in known]
        return _interleave(merged, original, patch, None)
    kept, plain, replaced = _apply_item_directives(field.merge_key, original, patch)
    if replaced:
        return plain
    merged = _merge_items(field, field.merge_key, kept, plain)
    return _interleave(merged, kept, plain, field.merge_key)


def _apply_item_directives(
    merge_key: str, original: list[Any], patch: list[Any]
) -> tuple[list[Any], list[Any], bool]:
    """Return what is left of ``original``, the items to merge, and whether they replace it."""
    plain, gone, replaced = [], set(), False
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request("invalid patch format of a merged list: its items must be objects")
        directive = item.get(PATCH)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            gone.add(_identity(_key_of(item, merge_key)))
        elif directive == "replace":
            replaced = True
        else:
            raise bad_request(f"unknown patch type found: {directive}")
    kept = [item for item in original if _identity(item.get(merge_key)) not in gone]
    return kept, plain, replaced


def _merge_items(field: Field, merge_key: str, original: list[Any], patch: list[Any]) -> list[Any]:
    inner = _fields(referenced(field.shape))
    merged = list(original)
    places: dict[str, int] = {}
    for index, known in enumerate(merged):
        places.setdefault(_identity(known.get(merge_key)), index)
    for item in patch:
        key = _identity(_key_of(item, merge_key))
        place = places.get(key)
        if place is None:
            places[key] = len(merged)
            merged.append(_clean_item(item))
        else:
            merged[place] = _merge_struct(inner, merged[place], item)
    return merged


def _key_of(item: Mapping[str, Any], merge_key: str) -> Any:
    if item.get(merge_key) is None:
        shown = json.dumps(item, separators=(",", ":"))
        raise bad_request(f"map: {shown} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _identity(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def _delete_values(merged: Object, name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise bad_request("invalid patch format of primitive list")
    if isinstance(merged.get(name), list):
        gone = {_identity(value) for value in values}
        merged[name] = [item for item in merged[name] if _identity(item) not in gone]


def _merge_in_order(
    field: Field | None, merged: Object, name: str, patch: Mapping[str, Any]
) -> None:
    """Merge one list and give it the order of its ``$setElementOrder``."""
    order = patch[SET_ORDER + name]
    original, changes = merged.get(name), patch.get(name)
    if not isinstance(order, list):
        raise bad_request("invalid patch format of setElementOrder list")
    merge_key = field.merge_key if field else None
    if isinstance(changes, list):
        _check_order(changes, order, merge_key)
    if original is None and changes is None:
        return
    result = merged
    _merge_field(field, result, name, changes if changes is not None else original)
    if isinstance(result.get(name), list):
        before = original if isinstance(original, list) else []
        result[name] = _interleave(result[name], before, order, merge_key)


def _check_order(changes: list[Any], order: list[Any], merge_key: str | None) -> None:
    """Refuse a patch whose items do not stand in the order it asks for."""
    places = iter(_item_identity(entry, merge_key) for entry in order)
    for item in changes:
        if isinstance(item, dict) and (item.get(PATCH) == "delete" or merge_key not in item):
            continue
        # searching an iterator consumes it: later items must be found further on
        if _item_identity(item, merge_key) not in places:
            raise bad_request(
                f"The order in patch list:\n{json.dumps(changes)}\n doesn't match"
                f" $setElementOrder list:\n{json.dumps(order)}\n"
            )


def _item_identity(item: Any, merge_key: str | None) -> str:
    return _identity(item.get(merge_key) if merge_key and isinstance(item, dict) else item)


def _interleave(
    items: list[Any], original: list[Any], order: list[Any], merge_key: str | None
) -> list[Any]:
    """Put the items that ``order`` names into that order, and fit in the others.

    Others keep their order, and each stands before the first named item that followed it in
    ``original``; without such an item, at the end.
    """
    wanted = {_item_identity(entry, merge_key): place for place, entry in enumerate(order)}
    live = {_item_identity(entry, merge_key): place for place, entry in enumerate(original)}
    keyed = [(_item_identity(item, merge_key), item) for item in items]
    named = sorted((entry for entry in keyed if entry[0] in wanted), key=lambda e: wanted[e[0]])
    others = deque(entry for entry in keyed if entry[0] not in wanted)
    result: list[Any] = []
    for key, item in named:
        while others and _precedes(live.get(others[0][0]), live.get(key)):
            result.append(others.popleft()[1])
        result.append(item)
    return result + [item for _, item in others]


def _precedes(left: int | None, right: int | None) -> bool:
    return left is not None and right is not None and left < right
