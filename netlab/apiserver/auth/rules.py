"""What rules allow, and whether some rules cover others.

Mirrors ``pkg/registry/rbac/validation`` (``policy_comparator.go``) and the evaluation helpers of
``pkg/apis/rbac/v1``. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain, islice, product
from operator import and_, or_
from typing import Final, TypeAlias

from netlab.api.rbac import PolicyRule
from netlab.apiserver.auth.authz import Access

ALL = "*"
EVERYTHING = (
    PolicyRule(verbs=(ALL,), api_groups=(ALL,), resources=(ALL,)),
    PolicyRule(verbs=(ALL,), non_resource_urls=(ALL,)),
)
"""What cluster-admin may."""

MOST_MISSING: Final = 5000
"""More rights that somebody lacks nobody reads; the default roles have some hundreds."""


def allows(rule: PolicyRule, access: Access) -> bool:
    """True when the rule allows what is asked."""
    if not _has(rule.verbs, access.verb):
        return False
    if access.path:
        return any(_matches_path(pattern, access.path) for pattern in rule.non_resource_urls)
    return (
        _has(rule.api_groups, access.group)
        and _has_resource(rule.resources, access.full_resource)
        and (not rule.resource_names or access.name in rule.resource_names)
    )


def uncovered(owner: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Return what of ``wanted`` the rules of ``owner`` do not give, as rules of one thing each.

    A few thousand of them at most: a rule of some kilobytes may stand for millions of things. That
    is also why they are not tried one by one; what the same rules of the owner name is looked at
    together.
    """
    missing: list[PolicyRule] = []
    for rule in wanted:
        gaps = chain(_missing_resources(owner, rule), _missing_paths(owner, rule))
        found = list(islice(gaps, MOST_MISSING - len(missing)))
        position = {verb: index for index, verb in enumerate(rule.verbs)}
        missing += sorted(found, key=lambda atom: position[atom.verbs[0]])
    return missing


def _missing_resources(owner: Sequence[PolicyRule], rule: PolicyRule) -> Iterator[PolicyRule]:
    groups, resources, names, verbs = (
        _givers(each.api_groups for each in owner),
        _givers(each.resources for each in owner),
        _givers(each.resource_names for each in owner),
        _givers(each.verbs for each in owner),
    )
    nameless = sum(1 << index for index, each in enumerate(owner) if not each.resource_names)
    axes = (
        {group: groups[ALL] | groups[group] for group in rule.api_groups},
        {each: _resource_givers(resources, each) for each in rule.resources},
        # what names nothing is about all names: only rules without names give that
        {name: nameless | names[name] for name in rule.resource_names} or {"": nameless},
        {verb: verbs[ALL] | verbs[verb] for verb in rule.verbs},
    )
    for block in _gaps(axes, (1 << len(owner)) - 1):
        for group, resource, name, verb in product(*block):
            yield PolicyRule(
                verbs=(verb,),
                api_groups=(group,),
                resources=(resource,),
                resource_names=(name,) if rule.resource_names else (),
            )


def _missing_paths(owner: Sequence[PolicyRule], rule: PolicyRule) -> Iterator[PolicyRule]:
    urls = _givers(each.non_resource_urls for each in owner)
    verbs = _givers(each.verbs for each in owner)
    axes = (
        {url: _path_givers(urls, url) for url in rule.non_resource_urls},
        {verb: verbs[ALL] | verbs[verb] for verb in rule.verbs},
    )
    for block in _gaps(axes, (1 << len(owner)) - 1):
        for url, verb in product(*block):
            yield PolicyRule(verbs=(verb,), non_resource_urls=(url,))


_Givers: TypeAlias = Counter[str]
"""Each value of one field -> the owner's rules that say it, one bit for each; 0 for others."""


def _givers(fields: Iterable[Iterable[str]]) -> _Givers:
    givers: _Givers = Counter()
    for index, values in enumerate(fields):
        for value in values:
            givers[value] |= 1 << index
    return givers


def _resource_givers(givers: _Givers, resource: str) -> int:
    _, slash, subresource = resource.partition("/")
    by_part = givers[f"{ALL}/{subresource}"] if slash else 0
    return givers[ALL] | givers[resource] | by_part


def _path_givers(givers: _Givers, path: str) -> int:
    found = (rules for pattern, rules in givers.items() if _matches_path(pattern, path))
    return reduce(or_, found, 0)


def _gaps(axes: Sequence[Mapping[str, int]], candidates: int) -> Iterator[tuple[list[str], ...]]:
    """Yield blocks (one list of values per axis) of which no candidate gives anything.

    axes: each value -> the rules that give it, one bit for each. candidates: the rules that are
    still in question. Values that the same candidates give are not told apart.
    """
    if not candidates:
        if all(axes):
            yield tuple(list(axis) for axis in axes)
        return
    if not axes or reduce(and_, (mask for axis in axes for mask in axis.values()), candidates):
        return  # one rule gives all of it
    alike: dict[int, list[str]] = {}
    for value, mask in axes[0].items():
        alike.setdefault(mask & candidates, []).append(value)
    for mask, values in alike.items():
        for rest in _gaps(axes[1:], mask):
            yield (values, *rest)


def compacted(atoms: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Join rules about one resource (and one name or none) by their verbs; others stay."""
    verbs: dict[PolicyRule, list[str]] = {}
    for atom in atoms:
        key = PolicyRule(
            api_groups=atom.api_groups,
            resources=atom.resources,
            resource_names=atom.resource_names,
            non_resource_urls=atom.non_resource_urls,
            verbs=atom.verbs if atom.non_resource_urls else (),
        )
        verbs.setdefault(key, []).extend(atom.verbs)
    return [
        PolicyRule(
            verbs=tuple(dict.fromkeys(each)),
            api_groups=key.api_groups,
            resources=key.resources,
            resource_names=key.resource_names,
            non_resource_urls=key.non_resource_urls,
        )
        for key, each in verbs.items()
    ]


def describe(rule: PolicyRule) -> str:
    """Return a rule as Kubernetes tells it: ``{APIGroups:[""], Resources:["pods"], …}``."""
    parts = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:{go_list(values)}" for name, values in parts if values) + "}"


def go_list(values: Iterable[str]) -> str:
    """Return texts as Go prints a list of quoted ones: ``["a" "b"]``."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def _has(allowed: Sequence[str], wanted: str) -> bool:
    return ALL in allowed or wanted in allowed


def _has_resource(allowed: Sequence[str], wanted: str) -> bool:
    if _has(allowed, wanted):
        return True
    _, slash, subresource = wanted.partition("/")
    return bool(slash) and f"{ALL}/{subresource}" in allowed


def _matches_path(pattern: str, path: str) -> bool:
    if pattern in (ALL, path):
        return True
    return pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL))
