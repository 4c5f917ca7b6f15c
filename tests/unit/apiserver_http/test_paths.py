import pytest

from netlab.api.kinds import DEPLOYMENT, NAMESPACE, NODE, POD, builtin_catalog
from netlab.apiserver.http.paths import Target, parse_target

CATALOG = builtin_catalog()
REVIEW = CATALOG.by_kind("authorization.k8s.io/v1", "SelfSubjectAccessReview")

ROWS = {
    "collection of all namespaces": ("/api/v1/pods", ("", "v1", "pods", POD, "", "", "")),
    "collection": ("/api/v1/namespaces/a/pods", ("", "v1", "pods", POD, "a", "", "")),
    "object": ("/api/v1/namespaces/a/pods/p", ("", "v1", "pods", POD, "a", "p", "")),
    "subresource": ("/api/v1/namespaces/a/pods/p/log", ("", "v1", "pods", POD, "a", "p", "log")),
    "trailing slash": ("/api/v1/namespaces/a/pods/", ("", "v1", "pods", POD, "a", "", "")),
    "named group": (
        "/apis/apps/v1/namespaces/a/deployments/d/scale",
        ("apps", "v1", "deployments", DEPLOYMENT, "a", "d", "scale"),
    ),
    "namespaces": ("/api/v1/namespaces", ("", "v1", "namespaces", NAMESPACE, "", "", "")),
    "one namespace": ("/api/v1/namespaces/a", ("", "v1", "namespaces", NAMESPACE, "", "a", "")),
    "namespace finalize": (
        "/api/v1/namespaces/a/finalize",
        ("", "v1", "namespaces", NAMESPACE, "", "a", "finalize"),
    ),
    "cluster scope": ("/api/v1/nodes/n", ("", "v1", "nodes", NODE, "", "n", "")),
    "escaped name": ("/api/v1/nodes/a%2eb", ("", "v1", "nodes", NODE, "", "a.b", "")),
    "not a stored kind": (
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", REVIEW, "", "", ""),
    ),
    "a kind that is not served": (
        "/apis/example.com/v1/things",
        ("example.com", "v1", "things", None, "", "", ""),
    ),
}


@pytest.mark.parametrize(("path", "expected"), ROWS.values(), ids=ROWS)
def test_a_path_points_at(path, expected):
    assert parse_target(CATALOG, path) == Target(*expected)


NOTHING = {
    "root": "/",
    "core version": "/api/v1",
    "group": "/apis/apps",
    "group version": "/apis/apps/v1",
    "health": "/healthz/ping",
    "namespace around a cluster kind": "/api/v1/namespaces/a/nodes/n",
    "too long": "/api/v1/namespaces/a/pods/p/log/more/x",
    "empty part": "/api/v1/namespaces//pods",
}


@pytest.mark.parametrize("path", NOTHING.values(), ids=NOTHING)
def test_a_path_points_at_no_resource(path):
    assert parse_target(CATALOG, path) is None
