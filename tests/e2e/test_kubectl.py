"""The real kubectl, old and new, against a lab."""

from __future__ import annotations

import json

import pytest

from tests.support.client_tools import VERSIONS, kubectl_path
from tests.support.lab import Lab, eventually

pytestmark = pytest.mark.e2e

EXEC_SCRIPT = "cat; echo bad >&2; exit 3"

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {ns}, labels: {{app: web}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {{name: api, image: vfarcic/go-demo-2, ports: [{{containerPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {ns}}}
spec:
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: 8080}}]
"""


@pytest.fixture(params=VERSIONS, scope="module")
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def namespace(lab: Lab, version: str) -> str:
    """A namespace made by this kubectl's typed command: protobuf bodies from 1.32 on."""
    name = f"v{version.replace('.', '-')}"
    assert lab.kubectl("create", "ns", name, version=version) == f"namespace/{name} created\n"
    return name


def test_discovery(lab: Lab, version: str) -> None:
    printed = lab.kubectl("api-resources", version=version)
    for words in (["pods", "po", "true", "Pod"], ["replicasets", "rs", "ReplicaSet"]):
        assert any(all(word in line.split() for word in words) for line in printed.splitlines())
    assert "apps/v1\n" in lab.kubectl("api-versions", version=version)


def test_version_tells_the_servers(lab: Lab, version: str) -> None:
    info = json.loads(lab.kubectl("version", "-o", "json", version=version))
    assert info["serverVersion"]["minor"].startswith("36")


def test_apply_wait_scale_delete(lab: Lab, version: str, namespace: str) -> None:
    def kubectl(*arguments: str, stdin: str | None = None) -> str:
        return lab.kubectl("-n", namespace, *arguments, version=version, stdin=stdin)

    text = DEPLOYMENT.format(ns=namespace)
    made = kubectl("apply", "-f", "-", stdin=text)
    assert made == "deployment.apps/web created\nservice/web created\n"
    assert "deployment.apps/web unchanged" in kubectl("apply", "-f", "-", stdin=text)
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    generation = kubectl("get", "deployment/web", "-o", "jsonpath={.metadata.generation}")
    assert generation == "1"  # the controller's own notes are no change of what was asked for
    assert "deployment.apps/web scaled" in kubectl("scale", "deployment/web", "--replicas=3")
    eventually(
        lambda: kubectl("get", "pods", "--no-headers"),
        lambda printed: printed.count("1/1") == 3,
        what="three ready pods",
    )
    assert kubectl("label", "deployment/web", "tier=front").endswith("labeled\n")
    assert kubectl("annotate", "svc/web", "note=x").startswith("service/web annotate")
    patched = kubectl("patch", "svc", "web", "-p", '{"spec":{"ports":[{"port":80,"name":"http"}]}}')
    assert patched == "service/web patched\n"
    service = json.loads(kubectl("get", "svc", "web", "-o", "json"))
    assert service["spec"]["ports"] == [
        {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}
    ]
    described = kubectl("describe", "deployment", "web")
    assert "Replicas:               3 desired | 3 updated | 3 total | 3 available" in described
    assert 'deployment.apps "web" deleted' in kubectl("delete", "deployment", "web")
    eventually(
        lambda: kubectl("get", "pods,rs", "--no-headers"),
        lambda printed: printed == "",
        what="pods and ReplicaSets gone with their Deployment",
    )


def test_typed_create(lab: Lab, version: str, namespace: str) -> None:
    made = lab.kubectl(
        "-n", namespace, "create", "configmap", "settings", "--from-literal=color=blue",
        version=version,
    )  # fmt: skip
    assert made == "configmap/settings created\n"
    color = lab.kubectl(
        "-n", namespace, "get", "cm", "settings", "-o", "jsonpath={.data.color}", version=version
    )
    assert color == "blue"


def test_explain(lab: Lab, version: str) -> None:
    printed = lab.kubectl("explain", "pod.spec.containers.image", version=version)
    assert "image" in printed
    assert "<string>" in printed


def test_unknown_fields_are_refused(lab: Lab, version: str, namespace: str) -> None:
    wrong = DEPLOYMENT.format(ns=namespace).replace("replicas:", "replicaz:")
    path = lab.folder / f"wrong-{version}.yml"
    path.write_text(wrong)
    done = lab.run(
        [str(kubectl_path(version)), "create", "-f", str(path)],
        check=False,
    )
    assert done.returncode == 1
    assert "replicaz" in done.stderr


def test_logs_of_a_pod_that_has_ended(lab: Lab) -> None:
    lab.kubectl("run", "once", "--image=busybox", "--restart=Never", "--", "echo", "bye")
    lab.kubectl("wait", "pod/once", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")
    eventually(lambda: "_default_once_" in lab.node("ip", "netns").stdout, lambda left: not left)
    assert lab.kubectl("logs", "once") == "bye\n"
    assert lab.kubectl("logs", "once", "-f") == "bye\n"
    lab.kubectl("delete", "pod", "once")


def test_exec_and_logs(lab: Lab, version: str) -> None:
    name = f"shell-{version.replace('.', '-')}"
    lab.kubectl(
        "run", name, "--image=busybox", "--restart=Never", "--",
        "sh", "-c", "echo started; exec sleep 600", version=version,
    )  # fmt: skip
    lab.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=30s", version=version)
    assert lab.kubectl("logs", name, version=version) == "started\n"
    done = lab.run(
        [
            str(kubectl_path(version)),
            "exec",
            "-i",
            name,
            "--",
            "sh",
            "-c",
            "cat; echo bad >&2; exit 3",
        ],
        check=False,
        stdin="typed",
    )
    assert (done.stdout, done.returncode) == ("typed", 3)
    assert "bad" in done.stderr
    lab.kubectl("delete", "pod", name, "--now", version=version)


def test_anonymous_is_refused(lab: Lab) -> None:
    server = lab.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    done = lab.run(["curl", "-sk", f"{server}/api/v1/pods"])
    status = json.loads(done.stdout)
    assert (status["code"], status["reason"]) == (403, "Forbidden")
