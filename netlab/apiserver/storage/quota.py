"""How much each namespace uses of what its ResourceQuotas count, and whether a write fits.

Mirrors the admission plugin ResourceQuota, the evaluators of ``pkg/quota/v1`` and the resource
quota controller. In Kubernetes admission charges a quota's status and the controller counts anew
some time later. Here the totals are an index over the stored objects, brought up to date with each
write and built anew when writes were refused, and the registry writes a quota's status together
with the write that changes it. So no two writes take the same last place, and what a pod held is
free as soon as the pod has ended. Pure.

netlab leaves out the scopes CrossNamespacePodAffinity and VolumeAttributesClass (no object matches
them), and keeps charging a deleted pod until its kubelet has let go of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from netlab.api.field_errors import forbidden
from netlab.api.kinds import (
    KINDS,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    SERVICE,
    Kind,
)
from netlab.api.pod_resources import (
    Amounts,
    minus,
    parse_amounts,
    plus,
    pod_limits,
    pod_requests,
    qos_class,
)
from netlab.api.pods import PodSpec
from netlab.api.quantities import Quantity, canonical, parse_quantity
from netlab.api.quota import ResourceQuotaSpec
from netlab.api.view import Object

Selector: TypeAlias = tuple[tuple[str, str, tuple[str, ...]], ...]
"""The scopes of a quota as (scope, operator, values); an object must meet all of them."""

Stored: TypeAlias = Callable[[Kind[Any], str], Iterable[Object]]
"""(kind, namespace, "" for all) -> the objects, queued writes included."""

_ONE: Final = Quantity(Decimal(1))
_ZERO: Final = Quantity(Decimal(0))
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
# A pod must write these for each container when a quota counts them: an early decision of
# Kubernetes that it keeps.
_MUST_BE_WRITTEN: Final = frozenset(
    f"{part}{name}" for part in ("", "requests.", "limits.") for name in ("cpu", "memory")
)
_BY_NAME: Final = frozenset({"configmaps", "secrets", "resourcequotas"})
_COUNTED: Final = tuple(kind for kind in KINDS if kind.namespaced)
_WITH_AMOUNTS: Final = (POD, SERVICE, PERSISTENT_VOLUME_CLAIM)


def usage_of(kind: Kind[Any], obj: Object) -> Amounts:
    """Return what one object counts for, by the names a quota may bound."""
    usage: Amounts = {f"count/{kind.group_resource}": _ONE}
    if kind.group_resource in _BY_NAME:
        usage[kind.group_resource] = _ONE
    spec = obj.get("spec") or {}
    if kind is POD:
        usage |= _pod_usage(obj)
    elif kind is SERVICE:
        usage |= _service_usage(spec)
    elif kind is PERSISTENT_VOLUME_CLAIM:
        usage |= _claim_usage(obj)
    return usage


def _pod_usage(pod: Object) -> Amounts:
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    found = PodSpec.parse_readable([pod.get("spec") or {}])
    if not found:
        return {"pods": _ONE}  # one that cannot be read counts, but nobody knows its amounts
    return _amounts_usage(pod_requests(found[0]), pod_limits(found[0]))


def _amounts_usage(requests: Amounts, limits: Amounts) -> Amounts:
    usage: Amounts = {"pods": _ONE}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            usage[name] = amount
        usage[f"requests.{name}"] = amount
    return usage | {f"limits.{name}": limits[name] for name in _COMPUTE if name in limits}


def _service_usage(spec: Mapping[str, Any]) -> Amounts:
    usage: Amounts = {"services": _ONE}
    ports = spec.get("ports") or ()
    count = len(ports)
    if spec.get("type") == "LoadBalancer":
        usage["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            count = sum(1 for port in ports if port.get("nodePort"))
    elif spec.get("type") != "NodePort":
        return usage
    return usage | {"services.nodeports": Quantity(Decimal(count))}


def _claim_usage(claim: Object) -> Amounts:
    spec = claim.get("spec") or {}
    usage: Amounts = {"persistentvolumeclaims": _ONE}
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is not None:
        usage["requests.storage"] = parse_quantity(storage)
    name = spec.get("storageClassName")
    if name:
        prefix = f"{name}.storageclass.storage.k8s.io/"
        usage |= {prefix + resource: amount for resource, amount in usage.items()}
    return usage


def matches(selector: Selector, kind: Kind[Any], obj: Object) -> bool:
    """Return whether a quota with these scopes counts the object; scopes are about pods."""
    if not selector:
        return True
    spec = obj.get("spec") or {}
    return kind is POD and all(_in_scope(*each, spec) for each in selector)


def _in_scope(scope: str, operator: str, values: tuple[str, ...], spec: Mapping[str, Any]) -> bool:
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos_class(spec) == "BestEffort") == (scope == "BestEffort")
    if scope != "PriorityClass":
        return False
    name = spec.get("priorityClassName") or ""
    if operator == "In":
        return name in values
    if operator == "NotIn":
        return name not in values
    return bool(name) == (operator == "Exists")


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


class Quotas:
    """The quotas of all namespaces and what is used of them. Nothing here awaits."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._specs: dict[str, dict[str, ResourceQuotaSpec]] | None = None
        self._totals: dict[str, dict[Selector, Amounts]] = {}

    def forget(self) -> None:
        """Read everything anew when it is next needed: queued writes were refused."""
        self._specs = None
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
            for kind in _COUNTED:
                for obj in self._stored(kind, namespace):
                    if matches(selector, kind, obj):
                        total = plus(total, usage_of(kind, obj))
            totals[selector] = total
        return totals[selector]

    def check(
        self, kind: Kind[Any], namespace: str, name: str, new: Object, old: Object | None
    ) -> None:
        """Check that the write fits into every quota of the namespace.

        Raises: ApiError Forbidden, worded as Kubernetes does.
        """
        quotas = self._quotas(namespace)
        if not quotas or (old is not None and kind not in _WITH_AMOUNTS):
            return
        usage = usage_of(kind, new)
        if old is not None:
            usage = _growth(usage, usage_of(kind, old))
        for quota, spec in sorted(quotas.items()):
            selector = selector_of(spec)
            if not matches(selector, kind, new):
                continue
            hard = parse_amounts(spec.hard)
            if kind is POD and old is None:
                missing = missing_amounts(new.get("spec") or {}, hard)
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
            if old is not None and matches(selector, kind, old):
                changed = minus(changed, usage_of(kind, old))
            if new is not None and matches(selector, kind, new):
                changed = plus(changed, usage_of(kind, new))
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


def _growth(new: Amounts, old: Amounts) -> Amounts:
    """What the new usage has more than the old."""
    more = minus(new, old)
    return {name: amount for name, amount in more.items() if amount.value > 0}


def missing_amounts(spec: Mapping[str, Any], hard: Iterable[str]) -> str:
    """Return which bounded amounts the containers of a pod leave out: ``cpu for: a,b; …``."""
    needed = sorted(_MUST_BE_WRITTEN.intersection(hard))
    view = PodSpec.parse(dict(spec))
    missing: dict[str, set[str]] = {}
    for container in (*view.containers, *view.init_containers):
        given = _amounts_usage(
            parse_amounts(container.resources.requests), parse_amounts(container.resources.limits)
        )
        for name in needed:
            if name not in given:
                missing.setdefault(name, set()).add(container.name)
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def _listed(names: Iterable[str], amounts: Amounts) -> str:
    return ",".join(f"{name}={amounts.get(name, _ZERO)}" for name in names)
