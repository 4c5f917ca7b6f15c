"""What rules allow, and whether some rules cover others.

Mirrors ``pkg/registry/rbac/validation`` (``policy_comparator.go``) and the evaluation helpers of
``pkg/apis/rbac/v1``. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from netlab.api.rbac import PolicyRule
from netlab.apiserver.auth.authz import Access

ALL = "*"
EVERYTHING = (
    PolicyRule(verbs=(ALL,), api_groups=(ALL,), resources=(ALL,)),
    PolicyRule(verbs=(ALL,), non_resource_urls=(ALL,)),
)
"""What cluster-admin may."""


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
    """Return what of ``wanted`` the rules of ``owner`` do not give, as rules of one thing each."""
    return [
        atom
        for rule in wanted
        for atom in _atoms(rule)
        if not any(_covers(each, atom) for each in owner)
    ]


def _atoms(rule: PolicyRule) -> Iterator[PolicyRule]:
    """Break a rule into rules with one verb, one group, one resource and one name or path."""
    for group, resource, verb in product(rule.api_groups, rule.resources, rule.verbs):
        names: Iterable[tuple[str, ...]] = [(name,) for name in rule.resource_names] or [()]
        for each in names:
            yield PolicyRule(
                verbs=(verb,), api_groups=(group,), resources=(resource,), resource_names=each
            )
    for url, verb in product(rule.non_resource_urls, rule.verbs):
        yield PolicyRule(verbs=(verb,), non_resource_urls=(url,))


def _covers(owner: PolicyRule, atom: PolicyRule) -> bool:
    if not _has(owner.verbs, atom.verbs[0]):
        return False
    if atom.non_resource_urls:
        wanted = atom.non_resource_urls[0]
        return any(_matches_path(pattern, wanted) for pattern in owner.non_resource_urls)
    named = not owner.resource_names or (
        bool(atom.resource_names) and atom.resource_names[0] in owner.resource_names
    )
    return (
        named
        and _has(owner.api_groups, atom.api_groups[0])
        and _has_resource(owner.resources, atom.resources[0])
    )


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
