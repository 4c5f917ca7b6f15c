"""Who gets in, and what they may do."""

import pytest

from netlab.api.kinds import POD, SERVICE_ACCOUNT
from netlab.client.https import HttpsClient
from netlab.errors import ApiError


async def token_of(lab, account, namespace="default"):
    answer = await lab.local.create_subresource(
        SERVICE_ACCOUNT, namespace, account, "token", {"spec": {}}
    )
    return answer["status"]["token"]


async def test_a_bad_token_is_refused_even_for_health(lab):
    async with lab.session(lab.nobody) as http:
        response = await http.get("/healthz", headers={"Authorization": "Bearer nonsense"})
        assert response.status == 401


async def test_a_pod_may_discover_but_not_list(lab):
    async with HttpsClient(lab.bearer(await token_of(lab, "default"))) as client:
        with pytest.raises(ApiError) as raised:
            await client.list(POD, "default")
    assert raised.value.message == (
        'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource '
        '"pods" in API group "" in the namespace "default"'
    )


async def test_coredns_may_list_pods(lab):
    for name in ("coredns",):
        await lab.local.create(SERVICE_ACCOUNT, "kube-system", {"metadata": {"name": name}})
    token = await token_of(lab, "coredns", "kube-system")
    async with HttpsClient(lab.bearer(token)) as client:
        assert (await client.list(POD)).items == []


async def review(http, group, resource, spec, kind):
    body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
    response = await http.post(f"/apis/{group}/v1/{resource}", json=body)
    assert response.status == 201
    return (await response.json())["status"]


async def test_whoami(http):
    status = await review(
        http, "authentication.k8s.io", "selfsubjectreviews", {}, "SelfSubjectReview"
    )
    assert status["userInfo"]["username"] == "kubernetes-admin"
    assert status["userInfo"]["groups"] == ["system:masters", "system:authenticated"]


async def test_can_i(lab, http):
    spec = {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}}
    asked = ("authorization.k8s.io", "selfsubjectaccessreviews", spec, "SelfSubjectAccessReview")
    assert await review(http, *asked) == {"allowed": True}
    async with lab.session(lab.nobody) as pod:
        pod.headers["Authorization"] = f"Bearer {await token_of(lab, 'default')}"
        assert await review(pod, *asked) == {"allowed": False}


async def test_a_token_review_knows_a_token(lab, http):
    asked = ("authentication.k8s.io", "tokenreviews")
    good = await review(http, *asked, {"token": await token_of(lab, "default")}, "TokenReview")
    assert good["authenticated"]
    assert good["user"]["username"] == "system:serviceaccount:default:default"
    bad = await review(http, *asked, {"token": "x"}, "TokenReview")
    assert bad == {"user": {}, "error": "invalid bearer token"}


async def test_a_review_without_attributes_is_refused(http):
    response = await http.post(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json={"spec": {}}
    )
    assert response.status == 422
