import pytest

from netlab.apiserver.auth.authz import Access, allowed, forbidden, grants_of

COREDNS = ("system:serviceaccount:kube-system:coredns", ("system:authenticated",))
ADMIN = ("kubernetes-admin", ("system:masters", "system:authenticated"))
POD_USER = ("system:serviceaccount:default:default", ("system:authenticated",))
NOBODY = ("system:anonymous", ("system:unauthenticated",))

ROWS = {
    "admin may all": (ADMIN, Access("deletecollection", resource="pods", namespace="a"), True),
    "admin may paths": (ADMIN, Access("get", path="/logs"), True),
    "node may all": (
        ("system:node:node0", ("system:nodes",)),
        Access("patch", resource="pods", subresource="status", namespace="a", name="p"),
        True,
    ),
    "pod may discover": (POD_USER, Access("get", path="/apis/apps/v1"), True),
    "pod may not list": (POD_USER, Access("list", resource="pods", namespace="default"), False),
    "pod may ask about itself": (
        POD_USER,
        Access("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
        True,
    ),
    "pod may not ask about others": (
        POD_USER,
        Access("create", "authorization.k8s.io", "subjectaccessreviews"),
        False,
    ),
    "coredns watches slices": (
        COREDNS,
        Access("watch", "discovery.k8s.io", "endpointslices"),
        True,
    ),
    "coredns deletes nothing": (
        COREDNS,
        Access("delete", resource="pods", namespace="a", name="p"),
        False,
    ),
    "coredns reads no secrets": (COREDNS, Access("list", resource="secrets"), False),
    "coredns reads no pod logs": (
        COREDNS,
        Access("get", resource="pods", subresource="log", namespace="a", name="p"),
        False,
    ),
    "anybody asks for health": (NOBODY, Access("get", path="/readyz/ping"), True),
    "nobody asks for the version": (NOBODY, Access("get", path="/version"), False),
    "nobody discovers": (NOBODY, Access("get", path="/api"), False),
}


@pytest.mark.parametrize(("user", "access", "expected"), ROWS.values(), ids=ROWS)
def test_grants(user, access, expected):
    assert allowed(*user, access) is expected


WORDS = {
    "in a namespace": (
        Access("list", resource="pods", namespace="default"),
        'pods is forbidden: User "u" cannot list resource "pods" in API group "" '
        'in the namespace "default"',
    ),
    "at the cluster scope": (
        Access("list", resource="nodes"),
        'nodes is forbidden: User "u" cannot list resource "nodes" in API group "" '
        "at the cluster scope",
    ),
    "a subresource of one object": (
        Access("get", "apps", "deployments", "scale", "a", "d"),
        'deployments.apps "d" is forbidden: User "u" cannot get resource "deployments/scale" '
        'in API group "apps" in the namespace "a"',
    ),
    "a path": (Access("get", path="/logs"), 'forbidden: User "u" cannot get path "/logs"'),
}


@pytest.mark.parametrize(("access", "message"), WORDS.values(), ids=WORDS)
def test_forbidden_is_worded_as_kubernetes_does(access, message):
    error = forbidden("u", access)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)


def test_rules_of_a_pod_name_no_resource_but_reviews():
    resources = {name for grant in grants_of(*POD_USER) for name in grant.resources}
    assert resources == {
        "selfsubjectaccessreviews",
        "selfsubjectreviews",
        "selfsubjectrulesreviews",
    }
