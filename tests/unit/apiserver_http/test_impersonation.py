"""A request that asks to be somebody else is carried out as that user, or refused."""

import pytest

from netlab.apiserver.auth.impersonation import parse_impersonation
from netlab.errors import ApiError

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("headers", "groups", "needs"),
    [
        pytest.param(
            [("Impersonate-User", "jane")],
            ("system:authenticated",),
            ["users jane"],
            id="a user",
        ),
        pytest.param(
            [("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("impersonate-group", "b")],
            ("a", "b", "system:authenticated"),
            ["users jane", "groups a", "groups b"],
            id="a user with groups",
        ),
        pytest.param(
            [("Impersonate-User", "system:serviceaccount:shop:web")],
            ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
            ["serviceaccounts web"],
            id="a service account",
        ),
        pytest.param(
            [("Impersonate-User", "system:anonymous")],
            ("system:unauthenticated",),
            ["users system:anonymous"],
            id="nobody",
        ),
        pytest.param(
            [("Impersonate-User", "jane"), ("Impersonate-Uid", "7")],
            ("system:authenticated",),
            ["users jane", "uids 7"],
            id="a uid",
        ),
    ],
)
def test_who_is_meant(headers, groups, needs):
    found = parse_impersonation([("Accept", "*/*"), *headers])
    assert found.user.name == headers[0][1]
    assert found.user.groups == groups
    assert [f"{need.resource} {need.name}" for need in found.needs] == needs
    assert {need.verb for need in found.needs} == {"impersonate"}


def test_extra_values():
    found = parse_impersonation(
        [("Impersonate-User", "jane"), ("Impersonate-Extra-Example.com%2Fscope", "view")]
    )
    assert found.user.extra == {"example.com/scope": ("view",)}
    assert found.needs[1].full_resource == "userextras/example.com/scope"


def test_nobody_is_meant():
    assert parse_impersonation([("Accept", "*/*"), ("User-Agent", "kubectl")]) is None


def test_a_group_without_a_user():
    with pytest.raises(ApiError, match="without impersonating a user"):
        parse_impersonation([("Impersonate-Group", "system:masters")])


async def test_the_request_is_carried_out_as_that_user(http):
    headers = {"Impersonate-User": "jane"}
    seen = await (await http.post(REVIEW, json={}, headers=headers)).json()
    assert seen["status"]["userInfo"] == {"username": "jane", "groups": ["system:authenticated"]}
    refused = await http.get(MAPS, headers=headers)
    assert refused.status == 403
    assert 'User "jane" cannot list' in (await refused.json())["message"]


async def test_what_somebody_else_may_do(http):
    spec = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    mine = await (await http.post(ACCESS, json=spec)).json()
    hers = await (await http.post(ACCESS, json=spec, headers={"Impersonate-User": "jane"})).json()
    assert (mine["status"]["allowed"], hers["status"]["allowed"]) == (True, False)
