"""The patch that ``apply`` sends: what changed between the last manifest, this one and the object.

Mirrors ``CreateThreeWayMergePatch`` of apimachinery's ``strategicpatch``: fields that the last
manifest had and this one lacks are removed, fields that differ from the live object are set, all
others are left alone. Lists with a merge key are compared item by item, and their order is sent
along. Pure: three objects in, a patch out.

netlab knows the merge keys of the built-in kinds it serves by their place in the object; kinds
without such keys get a plain three-way merge patch.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    Object: TypeAlias = dict[str, Any]
    Path: TypeAlias = tuple[str, ...]

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "ownerReferences": "uid",
    "conditions": "type",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "secrets": "name",
}
_SET_LISTS = frozenset(("finalizers", "podCIDRs"))
_RETAIN_KEYS = frozenset(("strategy", "volumes", "resourceClaims"))
_BUILT_IN_GROUPS = frozenset(
    (
        "",
        "apps",
        "autoscaling",
        "batch",
        "policy",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    )
)


def has_merge_keys(group: str) -> bool:
    """True when objects of the API group are patched with strategic merge."""
    return group in _BUILT_IN_GROUPS


def three_way_merge(original: Mapping[str, Any], modified: Object, current: Object) -> Object:
    """Return the JSON merge patch (RFC 7386); empty when there is nothing to do."""
    changes = _json_diff(current, modified, deletions=False)
    return _combine(_json_deletions(original, modified), changes)


def three_way_strategic(original: Mapping[str, Any], modified: Object, current: Object) -> Object:
    """Return the strategic merge patch; empty when there is nothing to do.

    original: the last applied manifest, empty if unknown; modified: this one; current: the live
    object.
    """
    changes = _diff(current, modified, (), deletions=False, changes=True)
    removed = _diff(dict(original), modified, (), deletions=True, changes=False)
    return _combine(removed, changes)


def _json_diff(old: Mapping[str, Any], new: Mapping[str, Any], *, deletions: bool) -> Object:
    patch: Object = {}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            nested = _json_diff(old[key], value, deletions=deletions)
            if nested:
                patch[key] = nested
        elif value != old[key]:
            patch[key] = value
    if deletions:
        patch.update({key: None for key in old if key not in new})
    return patch


def _json_deletions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    patch: Object = {}
    for key, value in old.items():
        if key not in new:
            patch[key] = None
        elif isinstance(value, dict) and isinstance(new[key], dict):
            nested = _json_deletions(value, new[key])
            if nested:
                patch[key] = nested
    return patch


def _combine(first: Object, second: Object, path: Path = ()) -> Object:
    """Return both patches as one; ``second`` wins, items with the same key become one."""
    merged = dict(first)
    for key, value in second.items():
        known, here = merged.get(key), (*path, key)
        if isinstance(value, dict) and isinstance(known, dict):
            merged[key] = _combine(known, value, here)
        elif isinstance(value, list) and isinstance(known, list) and not key.startswith("$"):
            merged[key] = _combine_items(known, value, here)
        else:
            merged[key] = value
    return merged


def _combine_items(first: list[Any], second: list[Any], path: Path) -> list[Any]:
    key = _merge_key(path)
    if not key:
        return [*second, *(item for item in first if item not in second)]
    known = {item[key]: item for item in first}
    merged = [_combine(known.pop(item[key], {}), item, path) for item in second]
    return [*merged, *known.values()]


def _merge_key(path: Path) -> str:
    """Return the field that identifies the items of the list at ``path``; "" for atomic lists."""
    name = path[-1]
    if name == "ports":
        if path[-2:-1] and path[-2] in ("containers", "initContainers", "ephemeralContainers"):
            return "containerPort"
        return "port" if path == ("spec", "ports") else ""
    return _MERGE_KEYS.get(name, "")


def _diff(old: Object, new: Object, path: Path, *, deletions: bool, changes: bool) -> Object:
    patch: Object = {}
    for key in sorted(old):
        here = (*path, key)
        if key not in new:
            if deletions:
                patch[key] = None
            continue
        before, after = old[key], new[key]
        if isinstance(before, dict) and isinstance(after, dict):
            nested = _diff(before, after, here, deletions=deletions, changes=changes)
            if key in _RETAIN_KEYS and (nested or set(after) - set(before)):
                nested["$retainKeys"] = sorted(after)
            if nested:
                patch[key] = nested
        elif isinstance(before, list) and isinstance(after, list):
            patch.update(_diff_list(before, after, here, deletions=deletions, changes=changes))
        elif changes and not _same(before, after):
            patch[key] = after
    if changes:
        patch.update({key: value for key, value in new.items() if key not in old})
    return patch


def _same(one: Any, two: Any) -> bool:
    """True for equal values; JSON's true is not 1, as it would be for Python."""
    return bool(one == two) and isinstance(one, bool) == isinstance(two, bool)


def _diff_list(
    old: list[Any], new: list[Any], path: Path, *, deletions: bool, changes: bool
) -> Object:
    name = path[-1]
    if name in _SET_LISTS:
        return _diff_set(old, new, name, deletions=deletions, changes=changes)
    key = _merge_key(path)
    if not key or not all(isinstance(item, dict) and key in item for item in (*old, *new)):
        return {name: new} if changes and old != new else {}
    items = _diff_items(old, new, path, key, deletions=deletions, changes=changes)
    patch: Object = {}
    if items:
        patch[name] = items
    if items or not _same_order(old, new, key):
        patch[f"$setElementOrder/{name}"] = [{key: item[key]} for item in new]
    return patch


def _diff_items(
    old: Sequence[Object],
    new: Sequence[Object],
    path: Path,
    key: str,
    *,
    deletions: bool,
    changes: bool,
) -> list[Object]:
    before = {item[key]: item for item in old}
    items: list[Object] = []
    for item in new:
        known = before.get(item[key])
        if known is None:
            if changes:
                items.append(item)
            continue
        nested = _diff(known, item, path, deletions=deletions, changes=changes)
        if path[-1] in _RETAIN_KEYS and (nested or set(item) - set(known)):
            nested["$retainKeys"] = sorted(item)
        if nested:
            items.append({key: item[key], **nested})
    if deletions:
        kept = {item[key] for item in new}
        items += [{"$patch": "delete", key: value} for value in before if value not in kept]
    return items


def _same_order(old: Sequence[Object], new: Sequence[Object], key: str) -> bool:
    return [item[key] for item in old] == [item[key] for item in new]


def _diff_set(
    old: list[Any], new: list[Any], name: str, *, deletions: bool, changes: bool
) -> Object:
    patch: Object = {}
    added = [item for item in new if item not in old]
    removed = [item for item in old if item not in new]
    if changes and added:
        patch[name] = added
    if deletions and removed:
        patch[f"$deleteFromPrimitiveList/{name}"] = removed
    if patch or old != new:
        patch[f"$setElementOrder/{name}"] = new
    return patch
