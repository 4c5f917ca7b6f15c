"""Rules: what they allow, what they cover, and the words of a refusal. No server."""

import pytest

from netlab.api.rbac import PolicyRule
from netlab.apiserver.auth.authz import Access, forbidden
from netlab.apiserver.auth.rules import (
    EVERYTHING,
    MOST_MISSING,
    allows,
    compacted,
    describe,
    uncovered,
)


def rule(verbs, groups="", resources="", names="", urls=""):
    def split(text):
        return tuple("" if word == "core" else word for word in text.split())

    return PolicyRule(
        verbs=split(verbs),
        api_groups=split(groups),
        resources=split(resources),
        resource_names=split(names),
        non_resource_urls=split(urls),
    )


ROWS = {
    "verb": (rule("get", "core", "pods"), Access("list", resource="pods"), False),
    "all": (EVERYTHING[0], Access("x", "y", "z", "w"), True),
    "all is no path": (EVERYTHING[0], Access("get", path="/x"), False),
    "group": (rule("get", "apps", "pods"), Access("get", resource="pods"), False),
    "subresource is not the resource": (
        rule("get", "core", "pods"),
        Access("get", resource="pods", subresource="log"),
        False,
    ),
    "any with that subresource": (
        rule("get", "*", "*/scale"),
        Access("get", "apps", "deployments", "scale"),
        True,
    ),
    "name": (rule("get", "core", "pods", "a"), Access("get", resource="pods", name="a"), True),
    "other name": (
        rule("get", "core", "pods", "a"),
        Access("get", resource="pods", name="b"),
        False,
    ),
    "a list has no name": (
        rule("list", "core", "pods", "a"),
        Access("list", resource="pods"),
        False,
    ),
    "path": (rule("get", urls="/healthz"), Access("get", path="/healthz"), True),
    "path below": (rule("get", urls="/healthz"), Access("get", path="/healthz/x"), False),
    "path with star": (rule("get", urls="/api/*"), Access("get", path="/api/v1"), True),
}


@pytest.mark.parametrize(("given", "access", "expected"), ROWS.values(), ids=ROWS)
def test_what_a_rule_allows(given, access, expected):
    assert allows(given, access) is expected


COVERS = {
    "the same": ([rule("get", "core", "pods")], [rule("get", "core", "pods")], []),
    "from two rules": (
        [rule("get", "core", "pods"), rule("list", "core", "pods")],
        [rule("get list", "core", "pods")],
        [],
    ),
    "everything": ([*EVERYTHING], [rule("a b", "c d", "e/f", "g"), rule("get", urls="/x")], []),
    "a verb too many": (
        [rule("get", "core", "pods")],
        [rule("get list watch", "core", "pods")],
        ['{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}'],
    ),
    "all names by one": (
        [rule("get", "core", "pods", "a")],
        [rule("get", "core", "pods")],
        ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'],
    ),
    "one name by all": ([rule("get", "core", "pods")], [rule("get", "core", "pods", "a")], []),
    "a star by names": (
        [rule("get list", "core", "pods")],
        [rule("*", "core", "pods", "a")],
        ['{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["*"]}'],
    ),
    "paths": (
        [rule("get", urls="/api/*")],
        [rule("get", urls="/api/v1 /x")],
        ['{NonResourceURLs:["/x"], Verbs:["get"]}'],
    ),
    "all names by an empty one": (
        [PolicyRule(verbs=("get",), api_groups=("",), resources=("pods",), resource_names=("",))],
        [rule("get", "core", "pods")],
        ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'],
    ),
    "some of a block": (
        [rule("get list", "core", "pods secrets"), rule("*", "apps", "secrets")],
        [rule("get delete list", "core apps", "pods secrets")],
        [
            '{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "delete" "list"]}',
            '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
            '{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}',
        ],
    ),
    "a subresource": ([rule("get", "*", "*/scale")], [rule("get", "apps", "x/scale")], []),
}


@pytest.mark.parametrize(("owned", "wanted", "missing"), COVERS.values(), ids=COVERS)
def test_what_rules_cover(owned, wanted, missing):
    assert [describe(each) for each in compacted(uncovered(owned, wanted))] == missing


@pytest.mark.parametrize(
    "owned", [[], [*EVERYTHING], [rule("v0", "g0", "r0"), rule("v1", "*", "*")]]
)
def test_a_rule_that_stands_for_a_billion_things(owned):
    wanted = PolicyRule(
        verbs=tuple(f"v{i}" for i in range(1000)),
        api_groups=tuple(f"g{i}" for i in range(1000)),
        resources=tuple(f"r{i}" for i in range(1000)),
    )
    missing = uncovered(owned, [wanted, wanted])
    assert len(missing) == (0 if owned == [*EVERYTHING] else MOST_MISSING)


MESSAGES = {
    "named": (
        Access("get", resource="pods", namespace="a", name="p"),
        'pods "p" is forbidden: User "u" cannot get resource "pods" in API group "" '
        'in the namespace "a"',
    ),
    "subresource": (
        Access("create", resource="pods", subresource="exec", namespace="a", name="p"),
        'pods "p" is forbidden: User "u" cannot create resource "pods/exec" in API group "" '
        'in the namespace "a"',
    ),
    "cluster": (
        Access("list", "apps", "deployments"),
        'deployments.apps is forbidden: User "u" cannot list resource "deployments" '
        'in API group "apps" at the cluster scope',
    ),
    "path": (Access("get", path="/x"), 'forbidden: User "u" cannot get path "/x"'),
}


@pytest.mark.parametrize(("access", "message"), MESSAGES.values(), ids=MESSAGES)
def test_the_words_of_a_refusal(access, message):
    error = forbidden("u", access)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)
