"""Admission of pods: account, token, tolerations, priority; and what the server warns of."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import POD, SERVICE_ACCOUNT
from netlab.api.kinds.priorityclass import PRIORITY_CLASS, SYSTEM_CLASSES, system_class
from netlab.api.pod_resources import qos_class
from netlab.apiserver.admission.service_account import ACCOUNT_MOUNT_PATH
from netlab.errors import ApiError


async def test_a_pod_gets_its_token(lab: Any):
    body = lab.pod("p", initContainers=[{"name": "i", "image": "busybox"}])
    spec = (await lab.create(POD, body))["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    sources = volume["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["volumeMounts"] == [
            {"name": volume["name"], "readOnly": True, "mountPath": ACCOUNT_MOUNT_PATH}
        ]


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounted"),
    [
        (None, None, True),
        (False, None, False),
        (None, False, False),
        (True, False, True),
        (False, True, False),
    ],
)
async def test_who_wants_no_token(lab: Any, of_pod: Any, of_account: Any, mounted: bool):
    account = {"metadata": {"name": "own"}}
    if of_account is not None:
        account["automountServiceAccountToken"] = of_account
    await lab.create(SERVICE_ACCOUNT, account)
    body = lab.pod("p", serviceAccountName="own")
    if of_pod is not None:
        body["spec"]["automountServiceAccountToken"] = of_pod
    assert ("volumes" in (await lab.create(POD, body))["spec"]) is mounted


async def test_a_mount_of_the_users_own_stays(lab: Any):
    mount = {"name": "mine", "mountPath": ACCOUNT_MOUNT_PATH}
    body = lab.pod("p", volumes=[{"name": "mine", "emptyDir": {}}])
    body["spec"]["containers"][0]["volumeMounts"] = [mount]
    spec = (await lab.create(POD, body))["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["mine"]
    assert spec["containers"][0]["volumeMounts"] == [mount]


async def test_an_unknown_account_is_refused(lab: Any):
    with pytest.raises(ApiError) as raised:
        await lab.create(POD, lab.pod("p", serviceAccountName="nobody"))
    assert raised.value.message == (
        'pods "p" is forbidden: error looking up service account default/nobody:'
        ' serviceaccount "nobody" not found'
    )


async def test_pull_secrets_come_from_the_account(lab: Any):
    account = {"metadata": {"name": "own"}, "imagePullSecrets": [{"name": "s"}]}
    await lab.create(SERVICE_ACCOUNT, account)
    spec = (await lab.create(POD, lab.pod("p", serviceAccountName="own")))["spec"]
    assert spec["imagePullSecrets"] == [{"name": "s"}]


async def test_tolerations(lab: Any):
    spec = (await lab.create(POD, lab.pod("p")))["spec"]
    assert [(each["key"], each["tolerationSeconds"]) for each in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]
    own = [{"operator": "Exists"}]
    spec = (await lab.create(POD, lab.pod("q", tolerations=own)))["spec"]
    assert spec["tolerations"] == own


async def test_priority(lab: Any):
    for name in SYSTEM_CLASSES:
        await lab.create(PRIORITY_CLASS, system_class(name))
    spec = (await lab.create(POD, lab.pod("p")))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    body = lab.pod("q", priorityClassName="system-node-critical")
    assert (await lab.create(POD, body))["spec"]["priority"] == 2000001000
    with pytest.raises(ApiError, match="no PriorityClass with name high was found"):
        await lab.create(POD, lab.pod("r", priorityClassName="high"))
    with pytest.raises(
        ApiError, match="the integer value of priority \\(5\\) must not be provided"
    ):
        await lab.create(POD, lab.pod("r", priority=5))


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        (
            [
                {
                    "limits": {"cpu": "1", "memory": "1Gi"},
                    "requests": {"cpu": "1000m", "memory": "1024Mi"},
                }
            ],
            "Guaranteed",
        ),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"requests": {"cpu": "100m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
    ],
    ids=["none", "limits", "equal", "less", "requests", "one of two", "zero"],
)
def test_quality_of_service(resources: Any, expected: str):
    containers = [{"name": str(n), "resources": each} for n, each in enumerate(resources)]
    assert qos_class({"containers": containers}) == expected


def pod_with(container: Any = None, **metadata: Any) -> Any:
    return {
        "metadata": {"name": "p", **metadata},
        "spec": {"containers": [{"name": "c", **(container or {})}]},
    }


def test_a_negative_grace_period_is_warned_of():
    pod = pod_with()
    assert list(POD.advice(pod)) == []
    pod["spec"]["terminationGracePeriodSeconds"] = -5
    assert list(POD.advice(pod)) == [
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be"
        " treated as 1"
    ]


@pytest.mark.parametrize(
    ("obj", "start"),
    [
        (pod_with(), None),
        (pod_with(name="a.b"), "metadata.name: this is used in the Pod's hostname"),
        (
            pod_with({"env": [{"name": "A"}, {"name": "A"}]}),
            'spec.containers[0].env[1]: hides previous definition of "A"',
        ),
        (
            pod_with({"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}),
            "spec.containers[0].ports[1]: duplicate port definition with"
            " spec.containers[0].ports[0]",
        ),
    ],
    ids=["fine", "name", "env", "port"],
)
def test_warnings(obj: Any, start: str | None):
    texts = list(POD.advice(obj))
    assert len(texts) == (0 if start is None else 1)
    assert all(text.startswith(start or "") for text in texts)
