"""Rights over HTTPS and in the process: roles, bindings, escalation, nodes, nobody."""

import base64
import json

import jwt
import pytest

from netlab.api.kinds import (
    CONFIG_MAP,
    LEASE,
    NODE,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from netlab.api.kinds.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from netlab.apiserver.auth.authz import Access
from netlab.apiserver.auth.bootstrap_policy import cluster_roles
from netlab.apiserver.auth.reconciling import ensure_bootstrap_policy
from netlab.apiserver.identities import account_user, component_user, node_user
from netlab.apiserver.requests import UserInfo
from netlab.controllers.clusterroles import aggregated_rules
from netlab.errors import ApiError

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS_READER = [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]
NODE_READER = {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}
EVE = UserInfo("eve", groups=("devs", "system:authenticated"))
AS_EVE = {"Impersonate-User": "eve", "Impersonate-Group": "devs"}


def role(name, rules):
    return {"metadata": {"name": name}, "rules": rules}


def binding(name, role_name, *subjects, kind="Role"):
    ref = {"kind": kind, "name": role_name}
    return {"metadata": {"name": name}, "roleRef": ref, "subjects": list(subjects)}


def user(name):
    return {"kind": "User", "name": name}


async def refused(awaitable):
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value.code, caught.value.message


async def test_a_binding_gives_and_its_end_takes(lab):
    eve = lab.plane.client(EVE)
    assert (await refused(eve.list(POD, "default")))[0] == 403
    await lab.local.create(ROLE, "default", role("r", PODS_READER))
    await lab.local.create(ROLE_BINDING, "default", binding("b", "r", user("eve")))
    await eve.list(POD, "default")
    assert (await refused(eve.list(POD, "kube-system")))[0] == 403
    assert (await refused(eve.list(POD)))[0] == 403
    assert (await refused(eve.list(SECRET, "default")))[0] == 403
    await lab.local.delete(ROLE_BINDING, "default", "b")
    assert (await refused(eve.list(POD, "default")))[0] == 403


@pytest.mark.parametrize(
    ("subject", "who"),
    [
        ({"kind": "Group", "name": "devs"}, EVE),
        ({"kind": "ServiceAccount", "name": "sa", "namespace": "x"}, account_user("x", "sa")),
    ],
)
async def test_who_is_meant(lab, subject, who):
    name = binding("b", "view-nodes", subject, kind="ClusterRole")
    rules = [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"], "resourceNames": ["node0"]}
    ]
    await lab.local.create(CLUSTER_ROLE, None, role("view-nodes", rules))
    await lab.local.create(CLUSTER_ROLE_BINDING, None, name)
    client = lab.plane.client(who)
    await client.get(NODE, None, "node0")
    assert (await refused(client.list(NODE)))[0] == 403
    assert (await refused(lab.plane.client(UserInfo("devs")).get(NODE, None, "node0")))[0] == 403


async def test_nobody_gives_what_he_has_not(lab):
    manage = {"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"]}
    manage["verbs"] = ["create", "get", "update", "patch", "delete"]
    await lab.local.create(ROLE, "default", role("manager", [manage, *PODS_READER]))
    await lab.local.create(ROLE_BINDING, "default", binding("m", "manager", user("eve")))
    eve = lab.plane.client(EVE)
    await eve.create(ROLE, "default", role("fine", PODS_READER))
    rules = [
        {"verbs": ["get", "delete", "list"], "apiGroups": [""], "resources": ["pods", "secrets"]}
    ]
    code, message = await refused(eve.create(ROLE, "default", role("bad", rules)))
    assert code == 403
    assert message == (
        'roles.rbac.authorization.k8s.io "bad" is forbidden: user "eve" (groups=["devs" '
        '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "list"]}'
    )
    assert (await refused(eve.patch(ROLE, "default", "fine", {"rules": rules})))[0] == 403
    code, message = await refused(
        eve.create(ROLE_BINDING, "default", binding("c", "cluster-admin", kind="ClusterRole"))
    )
    assert code == 403
    assert '{NonResourceURLs:["*"], Verbs:["*"]}' in message
    assert await refused(eve.create(ROLE_BINDING, "default", binding("d", "gone"))) == (
        404,
        'roles.rbac.authorization.k8s.io "gone" not found',
    )
    await eve.create(ROLE_BINDING, "default", binding("e", "fine", user("bob")))
    await lab.plane.client(UserInfo("bob")).list(POD, "default")
    for verb, done in (
        ("escalate", eve.create(ROLE, "default", role("bad", rules))),
        ("bind", eve.create(ROLE_BINDING, "default", binding("f", "bad", user("bob")))),
    ):
        extra = {**manage, "verbs": [*manage["verbs"], verb]}
        await lab.local.patch(ROLE, "default", "manager", {"rules": [extra, *PODS_READER]})
        await done


async def test_a_role_that_gathers_needs_an_administrator(lab):
    rules = [{"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"]}]
    await lab.local.create(CLUSTER_ROLE, None, role("maker", rules))
    given = binding("maker", "maker", user("eve"), kind="ClusterRole")
    await lab.local.create(CLUSTER_ROLE_BINDING, None, given)
    gathering = {
        **role("g", []),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    }
    code, message = await refused(lab.plane.client(EVE).create(CLUSTER_ROLE, None, gathering))
    assert code == 403
    assert message.endswith("must have cluster-admin privileges to use the aggregationRule")


async def test_what_roles_and_bindings_must_say(lab):
    await lab.local.create(CLUSTER_ROLE_BINDING, None, binding("b", "view", kind="ClusterRole"))
    change = {"roleRef": {"name": "edit"}}
    code, message = await refused(lab.local.patch(CLUSTER_ROLE_BINDING, None, "b", change))
    assert (code, message) == (
        422,
        'ClusterRoleBinding.rbac.authorization.k8s.io "b" is invalid: roleRef: Invalid value: '
        '{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"}: '
        "cannot change roleRef",
    )
    bad = role("r", [{"verbs": [], "apiGroups": [], "resources": []}])
    code, message = await refused(lab.local.create(ROLE, "default", bad))
    assert (code, message) == (
        422,
        'Role.rbac.authorization.k8s.io "r" is invalid: [rules[0].verbs: Required value: verbs '
        "must contain at least one value, rules[0].apiGroups: Required value: resource rules must "
        "supply at least one api group, rules[0].resources: Required value: resource rules must "
        "supply at least one resource]",
    )
    wrong = binding("w", "view", {"kind": "Robot", "name": "x"}, kind="Role")
    code, message = await refused(lab.local.create(CLUSTER_ROLE_BINDING, None, wrong))
    assert 'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"' in message
    assert 'subjects[0].kind: Unsupported value: "Robot"' in message


async def test_the_default_roles_are_made_and_mended(lab):
    view = await lab.local.get(CLUSTER_ROLE, None, "system:aggregate-to-view")
    before = view["metadata"]["resourceVersion"]
    await ensure_bootstrap_policy(lab.local)
    again = await lab.local.get(CLUSTER_ROLE, None, "system:aggregate-to-view")
    assert again["metadata"]["resourceVersion"] == before
    kept, *rest = view["rules"]
    added = {"verbs": ["get"], "apiGroups": ["x.io"], "resources": ["ys"]}
    await lab.local.patch(CLUSTER_ROLE, None, "system:aggregate-to-view", {"rules": [added, *rest]})
    await lab.local.delete(CLUSTER_ROLE_BINDING, None, "system:discovery")
    left = {"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}}
    await lab.local.patch(CLUSTER_ROLE, None, "edit", {**left, "aggregationRule": None})
    await ensure_bootstrap_policy(lab.local)
    mended = await lab.local.get(CLUSTER_ROLE, None, "system:aggregate-to-view")
    assert mended["rules"] == [added, *rest, kept]
    await lab.local.get(CLUSTER_ROLE_BINDING, None, "system:discovery")
    assert "aggregationRule" not in await lab.local.get(CLUSTER_ROLE, None, "edit")


def test_admin_gathers_what_edit_and_view_have():
    roles = {each["metadata"]["name"]: CLUSTER_ROLE.view.parse(each) for each in cluster_roles()}
    view = aggregated_rules(roles["view"], roles.values())
    assert view == roles["system:aggregate-to-view"].rules
    admin = aggregated_rules(roles["admin"], roles.values())
    assert set(roles["system:aggregate-to-admin"].rules) <= set(admin)


async def test_nobody_sees_what_is_public_and_no_more(lab):
    async with lab.session(lab.nobody) as http:
        for path in ("/version", "/healthz", "/livez", "/readyz"):
            assert (await http.get(path)).status == 200
        for path in ("/", "/api", "/apis", "/metrics", "/openapi/v3", "/nosuch"):
            status = await (await http.get(path)).json()
            assert (status["code"], status["message"]) == (
                403,
                f'forbidden: User "system:anonymous" cannot get path "{path}"',
            )
        status = await (await http.get("/api/v1/pods")).json()
        assert status["message"] == (
            'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group '
            '"" at the cluster scope'
        )
        wrong = await http.get("/version", headers={"Authorization": "Bearer nonsense"})
        assert (wrong.status, (await wrong.json())["message"]) == (401, "Unauthorized")


async def test_reviews(lab, http):
    reviews = "/apis/authorization.k8s.io/v1"
    await lab.local.create(ROLE, "default", role("r", PODS_READER))
    await lab.local.create(ROLE_BINDING, "default", binding("b", "r", user("eve")))
    ask = {"verb": "list", "resource": "pods", "namespace": "default"}

    async def post(path, spec, **more):
        return await (await http.post(f"{reviews}/{path}", json={"spec": spec}, **more)).json()

    answer = await post("selfsubjectaccessreviews", {"resourceAttributes": ask}, headers=AS_EVE)
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "b/default" of Role "r" to User "eve"',
    }
    other = {"user": "bob", "resourceAttributes": ask}
    assert (await post("subjectaccessreviews", other))["status"] == {"allowed": False}
    local = "namespaces/default/localsubjectaccessreviews"
    assert (await post(local, {**other, "user": "eve"}))["status"]["allowed"]
    assert (await post("subjectaccessreviews", {"resourceAttributes": ask}))["code"] == 422
    rules = await post("selfsubjectrulesreviews", {"namespace": "default"}, headers=AS_EVE)
    assert {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]} in rules["status"][
        "resourceRules"
    ]
    assert rules["status"]["nonResourceRules"]
    assert (await post("selfsubjectaccessreviews", {}))["message"] == (
        'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes: '
        "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be "
        "specified"
    )


async def test_impersonation_is_a_right_like_others(lab, http):
    rules = [
        {
            "verbs": ["impersonate"],
            "apiGroups": [""],
            "resources": ["users"],
            "resourceNames": ["bob"],
        }
    ]
    await lab.local.create(CLUSTER_ROLE, None, role("actor", rules))
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    given = binding("actor", "actor", account, kind="ClusterRole")
    await lab.local.create(CLUSTER_ROLE_BINDING, None, given)
    token = await lab.local.create_subresource(
        SERVICE_ACCOUNT, "default", "default", "token", {"spec": {}}
    )
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    bearer = {"Authorization": f"Bearer {token['status']['token']}"}
    async with lab.session(lab.nobody) as pod:
        answer = await pod.post(whoami, json={}, headers={"Impersonate-User": "bob", **bearer})
        assert (await answer.json())["status"]["userInfo"]["username"] == "bob"
        for headers, thing in (
            ({"Impersonate-User": "alice"}, 'users "alice"'),
            ({"Impersonate-User": "bob", "Impersonate-Group": "g"}, 'groups "g"'),
            ({"Impersonate-User": "bob", "Impersonate-Uid": "u"}, 'uids.authentication.k8s.io "u"'),
            (
                {"Impersonate-User": "bob", "Impersonate-Extra-k": "v"},
                'userextras.authentication.k8s.io "v"',
            ),
        ):
            status = await (await pod.post(whoami, json={}, headers={**headers, **bearer})).json()
            assert status["code"] == 403
            assert status["message"].startswith(
                f'{thing} is forbidden: User "system:serviceaccount:'
            )


@pytest.fixture
async def nodes(lab):
    """node0 with pod p, which needs Secret s; node1; Secret t that nobody needs."""
    await lab.local.create(NODE, None, {"metadata": {"name": "node1"}})
    for name in ("s", "t"):
        await lab.local.create(SECRET, "default", {"metadata": {"name": name}})
    volume = {"name": "v", "secret": {"secretName": "s"}}
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [volume], "nodeName": "node0"}
    await lab.local.create(POD, "default", {"metadata": {"name": "p"}, "spec": spec})
    return lab, lab.plane.client(node_user("node0")), lab.plane.client(node_user("node1"))


async def test_a_node_reads_what_its_pods_need(nodes):
    lab, own, other = nodes
    await own.get(SECRET, "default", "s")
    for client, name in ((other, "s"), (own, "t")):
        code, message = await refused(client.get(SECRET, "default", name))
        assert code == 403
        assert "no relationship found between node" in message
    assert (await refused(own.list(SECRET, "default")))[0] == 403
    assert (await refused(own.create(CONFIG_MAP, "default", {"metadata": {"name": "x"}})))[0] == 403
    await own.list(SERVICE, None)
    await lab.local.delete(POD, "default", "p", grace_period_s=0)
    assert (await refused(own.get(SECRET, "default", "s")))[0] == 403


async def test_a_node_writes_what_is_its_own(nodes):
    _, own, other = nodes
    change = {"status": {"phase": "Running"}}
    await own.patch(POD, "default", "p", change, subresource="status")
    code, message = await refused(other.patch(POD, "default", "p", change, subresource="status"))
    assert (code, message) == (
        403,
        'pods "p" is forbidden: node "node1" can only update pod status for pods with '
        "spec.nodeName set to itself",
    )
    labels = {"metadata": {"labels": {"a": "b"}}}
    await own.patch(NODE, None, "node0", labels)
    code, message = await refused(own.patch(NODE, None, "node1", labels))
    assert code == 403
    reserved = {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}}
    code, message = await refused(own.patch(NODE, None, "node0", reserved))
    assert message == (
        'nodes "node0" is forbidden: node "node0" is not allowed to modify labels: '
        "node-restriction.kubernetes.io/x"
    )
    taints = {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
    code, message = await refused(own.patch(NODE, None, "node0", taints))
    assert message.endswith('node "node0" is not allowed to modify taints')
    mirror = {"metadata": {"name": "m"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    code, message = await refused(own.create(POD, "default", mirror))
    assert "can only create mirror pods" in message
    assert (await refused(other.delete(POD, "default", "p")))[0] == 403
    lease = {"metadata": {"name": "node0"}, "spec": {"holderIdentity": "node0"}}
    await own.create(LEASE, "kube-node-lease", lease)
    assert (await refused(other.patch(LEASE, "kube-node-lease", "node0", lease)))[0] == 403
    assert (await refused(own.create(LEASE, "default", lease)))[0] == 403


def reading(**volume):
    return {"volumes": [{"name": "v", **volume}]}


def projecting(**source):
    return reading(projected={"sources": [source]})


def env_from(**source):
    return {"containers": [{"name": "c", "image": "i", "envFrom": [source]}]}


REFERRED = {
    "account": ({"serviceAccountName": "default"}, "a service account"),
    "old name": ({"serviceAccount": "default"}, "a service account"),
    "volume": (reading(secret={"secretName": "t"}), "secrets"),
    "projection": (projecting(secret={"name": "t"}), "secrets"),
    "pull secret": ({"imagePullSecrets": [{"name": "t"}]}, "secrets"),
    "environment": (env_from(secretRef={"name": "t"}), "secrets"),
    "configmap": (env_from(configMapRef={"name": "t"}), "configmaps"),
    "claim": (reading(persistentVolumeClaim={"claimName": "t"}), "persistentvolumeclaims"),
}


@pytest.mark.parametrize(("spec", "referred"), REFERRED.values(), ids=REFERRED)
async def test_a_mirror_pod_refers_to_nothing(nodes, spec, referred):
    lab, own, _ = nodes
    await lab.local.delete(POD, "default", "p", grace_period_s=0)
    node = await lab.local.get(NODE, None, "node0")
    code, message = await refused(own.create(POD, "default", mirror_pod(node, **spec)))
    assert (code, message) == (
        403,
        f'pods "m" is forbidden: node "node0" can not create pods that reference {referred}',
    )
    assert (await refused(own.get(SECRET, "default", "t")))[0] == 403


def mirror_pod(node, **spec):
    meta = node["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta["uid"]}
    return {
        "metadata": {
            "name": "m",
            "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {"nodeName": "node0", "containers": [{"name": "c", "image": "i"}], **spec},
    }


OWNERS = {
    "none": ([], "with an owner reference set to itself"),
    "another": ([{"kind": "Pod"}], "with an owner reference set to itself"),
    "no controller": ([{"controller": False}], "with a controller owner reference set to itself"),
    "blocking": ([{"blockOwnerDeletion": True}], "must not set blockOwnerDeletion"),
    "two": ([{}, {"name": "x", "controller": False}], "with a single owner reference"),
    "an earlier one": ([{"uid": "x"}], "UID mismatch: expected x got "),
}


@pytest.mark.parametrize(("changes", "said"), OWNERS.values(), ids=OWNERS)
async def test_a_mirror_pod_is_its_nodes(nodes, changes, said):
    lab, own, _ = nodes
    pod = mirror_pod(await lab.local.get(NODE, None, "node0"))
    (owner,) = pod["metadata"]["ownerReferences"]
    pod["metadata"]["ownerReferences"] = [{**owner, **change} for change in changes]
    code, message = await refused(own.create(POD, "default", pod))
    assert (code, said in message) == (403, True)


async def test_a_node_creates_its_mirror_pod_and_stays(nodes):
    lab, own, _ = nodes
    node = await lab.local.get(NODE, None, "node0")
    made = await own.create(POD, "default", mirror_pod(node))
    assert made["spec"].get("serviceAccountName") is None
    gone = {"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone"}
    change = {"metadata": {"ownerReferences": [gone]}}
    code, message = await refused(own.patch(NODE, None, "node0", change))
    assert (code, message) == (
        403,
        'nodes "node0" is forbidden: node "node0" is not allowed to modify ownerReferences',
    )


INTO_PODS = {
    "exec": "exec?command=id&stdout=1",
    "attach": "attach?stdout=1",
    "port-forward": "portforward?ports=80",
}


@pytest.mark.parametrize("path", INTO_PODS.values(), ids=INTO_PODS)
async def test_reading_a_pod_runs_nothing_in_it(lab, http, path):
    await lab.make_pod("p")
    part = f"pods/{path.partition('?')[0]}"
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", part]}]
    await lab.local.create(ROLE, "default", role("r", rules))
    await lab.local.create(ROLE_BINDING, "default", binding("b", "r", user("eve")))
    url = f"/api/v1/namespaces/default/pods/p/{path}"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    response = await http.get(url, headers={**AS_EVE, **upgrade})
    said = (await response.json())["message"]
    assert (response.status, f'cannot create resource "{part}"' in said) == (403, True)
    change = {"rules": [{**rules[0], "verbs": ["get", "create"]}]}
    await lab.local.patch(ROLE, "default", "r", change)
    assert (await http.get(url, headers={**AS_EVE})).status == 400  # no upgrade: it got so far


async def test_a_node_gets_tokens_for_its_pods_only(nodes):
    lab, own, other = nodes
    uid = (await lab.local.get(POD, "default", "p"))["metadata"]["uid"]
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}

    def ask(client, **bound):
        body = {"spec": {"boundObjectRef": bound} if bound else {}}
        return client.create_subresource(SERVICE_ACCOUNT, "default", "default", "token", body)

    assert (await ask(own, **ref))["status"]["token"]
    assert (await refused(ask(own)))[1].endswith("node requested token not bound to a pod")
    assert (await refused(ask(own, **{**ref, "uid": "x"})))[0] == 403
    assert (await refused(ask(other, **ref)))[0] == 403


COMPONENTS = {
    "scheduler binds": (
        component_user("kube-scheduler"),
        ("create", "", "pods", "binding"),
        True,
    ),
    "scheduler reads no secrets": (
        component_user("kube-scheduler"),
        ("get", "", "secrets", ""),
        False,
    ),
    "proxy watches slices": (
        component_user("kube-proxy"),
        ("watch", "discovery.k8s.io", "endpointslices", ""),
        True,
    ),
    "proxy writes no services": (
        component_user("kube-proxy"),
        ("update", "", "services", ""),
        False,
    ),
    "coredns watches pods": (
        account_user("kube-system", "coredns"),
        ("watch", "", "pods", ""),
        True,
    ),
    "a default account does nothing": (
        account_user("default", "default"),
        ("list", "", "pods", ""),
        False,
    ),
    "the manager deletes pods": (
        component_user("kube-controller-manager"),
        ("delete", "", "pods", ""),
        True,
    ),
}


@pytest.mark.parametrize(("who", "asked", "allowed"), COMPONENTS.values(), ids=COMPONENTS)
async def test_what_components_may(lab, who, asked, allowed):
    verb, group, resource, subresource = asked
    access = Access(verb, group, resource, subresource, namespace="default")
    assert lab.plane.authorizer.allows(who, access) is allowed


async def test_metrics_tell_what_happened(lab, http):
    await http.get("/api/v1/namespaces/default/pods")
    await http.get("/api/v1/namespaces/default/pods/none")
    text = await (await http.get("/metrics")).text()
    assert (
        'apiserver_request_total{code="200",group="",resource="pods",scope="namespace",'
        'subresource="",verb="LIST",version="v1"} 1.0'
    ) in text
    assert 'resource="pods",scope="resource",subresource="",verb="GET"' in text
    assert 'apiserver_storage_objects{resource="namespaces"} 4.0' in text
    assert "process_resident_memory_bytes" in text


async def test_others_can_check_tokens(lab, http):
    made = await lab.local.create_subresource(
        SERVICE_ACCOUNT, "default", "default", "token", {"spec": {}}
    )
    discovered = await (await http.get("/.well-known/openid-configuration")).json()
    assert discovered["issuer"] == "https://kubernetes.default.svc.cluster.local"
    answer = await http.get("/openid/v1/jwks")
    assert answer.content_type == "application/jwk-set+json"
    key = jwt.PyJWK((await answer.json(content_type=None))["keys"][0])
    token = made["status"]["token"]
    head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert head["kid"] == key.key_id
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=discovered["issuer"])
    assert claims["sub"] == "system:serviceaccount:default:default"
