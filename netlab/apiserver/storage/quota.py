"""How much each namespace uses of what its ResourceQuotas count, and whether a write fits.

Mirrors the admission plugin ResourceQuota and the resource quota controller. In Kubernetes
admission charges a quota's status and the controller counts anew some time later. Here the totals
are an index over the stored objects, brought up to date with each write and built anew when writes
were refused, and the registry writes a quota's status together with the write that changes it. So
no two writes take the same last place, and what a pod held is free as soon as the pod has ended.
Pure.

What an object of a kind counts for, its descriptor says (``Kind.counting``). netlab keeps charging
a deleted pod until its kubelet has let go of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, TypeAlias

from netlab.api.catalog import Catalog
from netlab.api.field_errors import forbidden
from netlab.api.kinds import RESOURCE_QUOTA, Kind
from netlab.api.pod_resources import Amounts, minus, parse_amounts, plus
from netlab.api.quantities import Quantity, canonical
from netlab.api.quota import ResourceQuotaSpec
from netlab.api.view import UNREADABLE, Object

Selector: TypeAlias = tuple[tuple[str, str, tuple[str, ...]], ...]
"""The scopes of a quota as (scope, operator, values); an object must meet all of them."""

Stored: TypeAlias = Callable[[Kind[Any], str], Iterable[Object]]
"""(kind, namespace, "" for all) -> the objects, queued writes included."""

_ONE: Final = Quantity(Decimal(1))
_ZERO: Final = Quantity(Decimal(0))


def usage_of(kind: Kind[Any], obj: Object) -> Amounts:
    """Return what one object counts for, by the names a quota may bound."""
    usage: Amounts = {f"count/{kind.group_resource}": _ONE}
    return usage if kind.counting is None else usage | kind.counting.amounts(obj)


def matches(selector: Selector, kind: Kind[Any], obj: Object) -> bool:
    """Return whether a quota with these scopes counts the object."""
    if not selector:
        return True
    in_scope = None if kind.counting is None else kind.counting.in_scope
    return in_scope is not None and all(in_scope(obj, *each) for each in selector)


def selector_of(spec: ResourceQuotaSpec) -> Selector:
    """Return the scopes of a quota, however they are written."""
    found: set[tuple[str, str, tuple[str, ...]]]
    found = {(scope, "Exists", ()) for scope in spec.scopes}
    if spec.scope_selector is not None:
        found |= {
            (each.scope_name, each.operator, each.values)
            for each in spec.scope_selector.match_expressions
        }
    return tuple(sorted(found))


def _counted(selector: Selector, kind: Kind[Any], obj: Object) -> Amounts:
    """Return what a stored object counts for; nothing when it cannot be read."""
    try:
        return usage_of(kind, obj) if matches(selector, kind, obj) else {}
    except UNREADABLE:
        return {}


class Quotas:
    """The quotas of all namespaces and what is used of them. Nothing here awaits."""

    def __init__(self, stored: Stored, catalog: Catalog) -> None:
        self._stored = stored
        self._catalog = catalog
        self._specs: dict[str, dict[str, ResourceQuotaSpec]] | None = None
        self._totals: dict[str, dict[Selector, Amounts]] = {}

    def forget(self) -> None:
        """Read everything anew when it is next needed: queued writes were refused."""
        self._specs = None
        self._totals.clear()

    def recount(self) -> None:
        """Sum up anew when it is next needed: kinds came or went."""
        self._totals.clear()

    def bound(self, namespace: str) -> bool:
        """True when the namespace has a quota."""
        return bool(self._quotas(namespace))

    def _quotas(self, namespace: str) -> dict[str, ResourceQuotaSpec]:
        if self._specs is None:
            self._specs = {}
            for quota in self._stored(RESOURCE_QUOTA, ""):
                self._learn(quota)
        return self._specs.get(namespace, {})

    def _learn(self, quota: Object) -> None:
        metadata = quota["metadata"]
        found = ResourceQuotaSpec.parse_readable([quota.get("spec") or {}])
        if self._specs is not None and found:
            self._specs.setdefault(metadata["namespace"], {})[metadata["name"]] = found[0]

    def _total(self, namespace: str, selector: Selector) -> Amounts:
        totals = self._totals.setdefault(namespace, {})
        if selector not in totals:
            total: Amounts = {}
            for kind in self._counted():
                for obj in self._stored(kind, namespace):
                    total = plus(total, _counted(selector, kind, obj))
            totals[selector] = total
        return totals[selector]

    def _counted(self) -> Iterator[Kind[Any]]:
        return (kind for kind in self._catalog.stored() if kind.namespaced)

    def check(
        self, kind: Kind[Any], namespace: str, name: str, new: Object, old: Object | None
    ) -> None:
        """Check that the write fits into every quota of the namespace.

        Raises: ApiError Forbidden, worded as Kubernetes does.
        """
        quotas = self._quotas(namespace)
        if not quotas or (old is not None and kind.counting is None):
            return
        usage = usage_of(kind, new)
        if old is not None:
            usage = _growth(usage, usage_of(kind, old))
        for quota, spec in sorted(quotas.items()):
            selector = selector_of(spec)
            if not matches(selector, kind, new):
                continue
            hard = parse_amounts(spec.hard)
            missing = _missing(kind, new, hard) if old is None else ""
            if missing:
                raise forbidden(kind, name, f"failed quota: {quota}: must specify {missing}")
            wanted = {
                resource: amount
                for resource, amount in usage.items()
                if resource in hard and amount.value > 0
            }
            self._refuse_excess(kind, name, quota, wanted, hard, self._total(namespace, selector))

    def _refuse_excess(
        self,
        kind: Kind[Any],
        name: str,
        quota: str,
        wanted: Amounts,
        hard: Amounts,
        used: Amounts,
    ) -> None:
        over = [
            resource
            for resource, amount in sorted(wanted.items())
            if used.get(resource, _ZERO).value + amount.value > hard[resource].value
        ]
        if over:
            raise forbidden(
                kind,
                name,
                f"exceeded quota: {quota}, requested: {_listed(over, wanted)},"
                f" used: {_listed(over, used)}, limited: {_listed(over, hard)}",
            )

    def note(self, kind: Kind[Any], namespace: str, old: Object | None, new: Object | None) -> None:
        """Count a write that was queued; new is None for a removed object."""
        if kind is RESOURCE_QUOTA:
            self._note_quota(namespace, old, new)
        for selector, total in self._totals.get(namespace, {}).items():
            changed = total
            if old is not None:
                changed = minus(changed, _counted(selector, kind, old))
            if new is not None:
                changed = plus(changed, _counted(selector, kind, new))
            self._totals[namespace][selector] = changed

    def _note_quota(self, namespace: str, old: Object | None, new: Object | None) -> None:
        if self._specs is None:
            return
        if new is not None:
            self._learn(new)
        elif old is not None:
            self._specs.get(namespace, {}).pop(old["metadata"]["name"], None)
            if not self._specs.get(namespace):
                self._totals.pop(namespace, None)

    def statuses(self, namespace: str) -> Iterator[tuple[str, Object]]:
        """Yield the name and the status of each quota of the namespace, as it is now."""
        for name, spec in self._quotas(namespace).items():
            used = self._total(namespace, selector_of(spec))
            yield (
                name,
                {
                    "hard": {resource: canonical(amount) for resource, amount in spec.hard.items()},
                    "used": {resource: str(used.get(resource, _ZERO)) for resource in spec.hard},
                },
            )


def _missing(kind: Kind[Any], obj: Object, bounded: Iterable[str]) -> str:
    """What a new object must say because a quota bounds it, and does not."""
    if kind.counting is None or kind.counting.missing is None:
        return ""
    return kind.counting.missing(obj, bounded)


def _growth(new: Amounts, old: Amounts) -> Amounts:
    """What the new usage has more than the old."""
    more = minus(new, old)
    return {name: amount for name, amount in more.items() if amount.value > 0}


def _listed(names: Iterable[str], amounts: Amounts) -> str:
    return ",".join(f"{name}={amounts.get(name, _ZERO)}" for name in names)
