"""What pods are configured with: variables, ConfigMaps, Secrets, volumes, claims, quotas."""

import json
import textwrap

import pytest

from tests.support.lab import Lab, eventually
from tests.support.pods import apply, container_state, get, wait_event, wait_phase, wait_ready

pytestmark = pytest.mark.e2e


def refused(lab: Lab, text: str) -> str:
    """Return what kubectl says about a manifest that must be refused."""
    done = lab.run(
        [str(lab.kubectl_path()), "create", "-f", "-"],
        check=False,
        stdin=textwrap.dedent(text),
    )
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_variables_from_everywhere(lab: Lab) -> None:
    lab.kubectl(
        "create", "configmap", "colors", "--from-literal=sky=blue", "--from-literal=sun=red"
    )
    lab.kubectl("create", "secret", "generic", "keys", "--from-literal=password=s3cret")
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: varied, labels: {app: v}}
        spec:
          restartPolicy: Never
          containers:
          - name: main
            image: busybox
            command: [env]
            envFrom: [{prefix: C_, configMapRef: {name: colors}}]
            env:
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
            - {name: BOTH, value: "$(C_sky) $(PASSWORD) $$(kept) $(unknown)"}
            resources: {limits: {memory: 32Mi}}
        """,
    )
    pod = wait_phase(lab, "varied", "Succeeded")
    lines = lab.kubectl("logs", "varied").splitlines()
    for expected in (
        "C_sky=blue",
        "C_sun=red",
        "PASSWORD=s3cret",
        "NODE=node0",
        f"ADDRESS={pod['status']['podIP']}",
        "MEMORY=32",
        "BOTH=blue s3cret $(kept) $(unknown)",
    ):
        assert expected in lines


def test_files_follow_their_config_map(lab: Lab) -> None:
    lab.kubectl("create", "configmap", "page", "--from-literal=index=one")
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: reader}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: main
            image: busybox
            command: [sleep, "600"]
            volumeMounts: [{name: page, mountPath: /page}]
          volumes:
          - name: page
            configMap: {name: page, defaultMode: 0440, items: [{key: index, path: deep/index.html}]}
        """,
    )
    wait_ready(lab, "reader")
    read = ("exec", "reader", "--", "cat", "/page/deep/index.html")
    assert lab.kubectl(*read) == "one"
    lab.kubectl("patch", "configmap", "page", "-p", '{"data":{"index":"two"}}')
    eventually(lambda: lab.kubectl(*read), lambda text: text == "two", within_s=10, what="new text")
    lab.kubectl("delete", "pod", "reader")


def test_a_missing_secret_holds_the_container_with_an_event(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: keyless}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: main
            image: busybox
            command: [sleep, "600"]
            env: [{name: P, valueFrom: {secretKeyRef: {name: nosuch, key: p}}}]
        """,
    )
    wait_event(lab, "keyless", "Failed", 'Error: secret "nosuch" not found')
    waiting = container_state(get(lab, "pod", "keyless"), "main")["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"
    lab.kubectl("create", "secret", "generic", "nosuch", "--from-literal=p=1")
    wait_ready(lab, "keyless")
    lab.kubectl("delete", "pod", "keyless")


def test_a_missing_volume_holds_the_pod_with_an_event(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: unmounted}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - {name: main, image: busybox, command: [sleep, "600"],
             volumeMounts: [{name: v, mountPath: /v}]}
          volumes: [{name: v, secret: {secretName: not-there}}]
        """,
    )
    text = 'MountVolume.SetUp failed for volume "v" : secret "not-there" not found'
    wait_event(lab, "unmounted", "FailedMount", text)
    lab.kubectl("delete", "pod", "unmounted")


def test_a_sub_path_cannot_leave_its_volume(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: escaping}
        spec:
          terminationGracePeriodSeconds: 0
          restartPolicy: Never
          initContainers:
          - {name: plant, image: busybox, command: [ln, -s, /etc, /v/door],
             volumeMounts: [{name: v, mountPath: /v}]}
          containers:
          - {name: main, image: busybox, command: [ls, /behind],
             volumeMounts: [{name: v, mountPath: /behind, subPath: door}]}
          volumes: [{name: v, emptyDir: {}}]
        """,
    )
    eventually(
        lambda: container_state(get(lab, "pod", "escaping"), "main")["state"],
        lambda state: "CreateContainerConfigError" in json.dumps(state),
        what="refusal",
    )
    lab.kubectl("delete", "pod", "escaping")


def test_a_claim_gets_a_volume_that_outlives_the_pod(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: data}
        spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
        """,
    )
    pod = """
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          terminationGracePeriodSeconds: 0
          restartPolicy: Never
          containers:
          - {{name: main, image: busybox, command: [sh, -c, "{script}"],
             volumeMounts: [{{name: v, mountPath: /v}}]}}
          volumes: [{{name: v, persistentVolumeClaim: {{claimName: data}}}}]
        """
    apply(lab, pod.format(name="writer", script="echo kept > /v/file"))
    wait_phase(lab, "writer", "Succeeded")
    assert " Bound " in lab.kubectl("get", "pvc", "data", "--no-headers")
    lab.kubectl("delete", "pod", "writer")
    apply(lab, pod.format(name="again", script="cat /v/file"))
    wait_phase(lab, "again", "Succeeded")
    assert lab.kubectl("logs", "again") == "kept\n"
    lab.kubectl("delete", "pod", "again")
    lab.kubectl("delete", "pvc", "data", timeout_s=30)
    eventually(
        lambda: lab.kubectl("get", "pv", "--no-headers", check=False),
        lambda text: text == "",
        what="the volume is deleted with its claim",
    )


def test_a_quota_refuses_what_is_too_much(lab: Lab) -> None:
    lab.kubectl("create", "namespace", "small")
    lab.kubectl("-n", "small", "create", "quota", "few", "--hard=pods=1")
    eventually(
        lambda: get(lab, "quota", "few", "-n", "small").get("status", {}).get("hard"),
        bool,
        what="the quota is enforced",
    )
    lab.kubectl("-n", "small", "run", "first", "--image=busybox", "--", "sleep", "600")
    message = refused(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: second, namespace: small}
        spec: {containers: [{name: main, image: busybox}]}
        """,
    )
    assert (
        'pods "second" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, '
        "limited: pods=1" in message
    )
    assert "pods: 1/1" in lab.kubectl("-n", "small", "get", "quota", "few")
    lab.kubectl("delete", "namespace", "small", timeout_s=60)


def test_a_limit_range_gives_defaults_and_bounds(lab: Lab) -> None:
    lab.kubectl("create", "namespace", "ranged")
    apply(
        lab,
        """
        apiVersion: v1
        kind: LimitRange
        metadata: {name: bounds, namespace: ranged}
        spec:
          limits:
          - type: Container
            default: {memory: 64Mi, cpu: 200m}
            defaultRequest: {memory: 32Mi}
            max: {memory: 128Mi}
        """,
    )
    lab.kubectl("-n", "ranged", "run", "plain", "--image=busybox", "--", "sleep", "600")
    resources = get(lab, "pod", "plain", "-n", "ranged")["spec"]["containers"][0]["resources"]
    assert resources == {
        "limits": {"cpu": "200m", "memory": "64Mi"},
        "requests": {"cpu": "200m", "memory": "32Mi"},
    }
    message = refused(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: large, namespace: ranged}
        spec: {containers: [{name: main, image: busybox, resources: {limits: {memory: 1Gi}}}]}
        """,
    )
    assert "maximum memory usage per Container is 128Mi, but limit is 1Gi" in message
    lab.kubectl("delete", "namespace", "ranged", timeout_s=60)


BOUNDS_AND_STORAGE = """
apiVersion: v1
kind: LimitRange
metadata: {name: bounds, namespace: described}
spec: {limits: [{type: Container, default: {memory: 64Mi}, max: {memory: 128Mi}}]}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: few, namespace: described}
spec: {hard: {pods: "3"}, scopes: [NotBestEffort]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: described}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: user, namespace: described}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: busybox, command: [sleep, "600"], volumeMounts: [{name: d, mountPath: /d}]}
  volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]
"""


def test_netlab_describes_bounds_and_storage_as_kubectl_does(lab: Lab) -> None:
    lab.kubectl("create", "namespace", "described")
    apply(lab, BOUNDS_AND_STORAGE)
    lab.kubectl("-n", "described", "wait", "--for=condition=Ready", "pod/user", "--timeout=30s")
    for kind in ("limitrange", "quota", "pvc", "pv", "storageclass"):
        words = ("describe", kind, "-n", "described", "--show-events=false")
        assert lab.netlab(*words) == lab.kubectl(*words, version="1.33"), kind
    assert "Resource Limits" in lab.netlab("describe", "namespace", "described")
    lab.kubectl("delete", "namespace", "described", timeout_s=60)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            "containers: [{name: a, image: b, ports: [{containerPort: 70000}]}]",
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 "
            "and 65535, inclusive",
            id="port",
        ),
        pytest.param(
            "containers: [{name: a, image: b, livenessProbe: {periodSeconds: 1}}]",
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            id="probe without a handler",
        ),
        pytest.param(
            "containers: [{name: a, image: b, resources: {limits: {memory: 1Mi}, requests: "
            "{memory: 2Mi}}}]",
            'spec.containers[0].resources.requests: Invalid value: "2Mi": must be less than or '
            "equal to memory limit of 1Mi",
            id="request above limit",
        ),
        pytest.param(
            "containers: [{name: a, image: b, volumeMounts: [{name: v, mountPath: /v, subPath: "
            "../x}]}], volumes: [{name: v, emptyDir: {}}]",
            'spec.containers[0].volumeMounts.subPath: Invalid value: "../x": must not contain '
            "'..'",
            id="path that leaves the volume",
        ),
    ],
)
def test_invalid_fields_are_refused_in_kubernetes_words(lab: Lab, spec: str, message: str) -> None:
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: bad}}\nspec: {{{spec}}}\n"
    assert message in refused(lab, text)
