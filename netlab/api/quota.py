"""Views of what bounds a namespace: LimitRange and ResourceQuota.

Fields here are the fields netlab acts on (see ``view``). Amounts are canonical quantities.
"""

from __future__ import annotations

import msgspec

from netlab.api.meta import AnyObject
from netlab.api.view import View

field = msgspec.field


class LimitRangeItem(View, frozen=True, kw_only=True):
    """Bounds and defaults by resource name; type is Container, Pod or PersistentVolumeClaim."""

    type: str = ""
    max: dict[str, str] = {}
    min: dict[str, str] = {}
    default: dict[str, str] = {}
    default_request: dict[str, str] = {}
    max_limit_request_ratio: dict[str, str] = {}


class LimitRangeSpec(View, frozen=True, kw_only=True):
    """The bounds of a namespace."""

    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(AnyObject, frozen=True, kw_only=True):
    """Bounds and defaults for each object of a namespace."""

    spec: LimitRangeSpec = field(default_factory=LimitRangeSpec)


class ScopedSelectorRequirement(View, frozen=True, kw_only=True):
    """One requirement on a scope of a pod."""

    scope_name: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(View, frozen=True, kw_only=True):
    """Which pods a quota counts: those that meet all requirements."""

    match_expressions: tuple[ScopedSelectorRequirement, ...] = ()


class ResourceQuotaSpec(View, frozen=True, kw_only=True):
    """What all objects of a namespace together may use, by resource name."""

    hard: dict[str, str] = {}
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None


class ResourceQuotaStatus(View, frozen=True, kw_only=True):
    """The quota that is enforced, and what is used of it."""

    hard: dict[str, str] = {}
    used: dict[str, str] = {}


class ResourceQuota(AnyObject, frozen=True, kw_only=True):
    """A bound on what a namespace uses altogether."""

    spec: ResourceQuotaSpec = field(default_factory=ResourceQuotaSpec)
    status: ResourceQuotaStatus = field(default_factory=ResourceQuotaStatus)
