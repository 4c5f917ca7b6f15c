"""The real kubectl, in several versions, against the API server on loopback.

There are no controllers and no kubelet here: what kubectl asks is answered by the server alone, and
by a fake node for logs and exec.
"""

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from netlab.api.kinds import POD, SERVICE_ACCOUNT
from netlab.command import Completed, run
from tests.support.api import ApiLab, api_lab
from tests.support.client_tools import VERSIONS, kubectl_path

pytestmark = pytest.mark.system

TIMEOUT_S = 20.0

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: busybox, ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
POD_YAML = """
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {run: p1}}
spec: {nodeName: node0, containers: [{name: c, image: busybox}]}
"""


@dataclass
class Kubectl:
    """One version of kubectl with the lab's kubeconfig and an empty cache."""

    program: Path
    version: str
    folder: Path
    lab: ApiLab

    def argv(self, *arguments: str) -> list[str]:
        flags = (f"--kubeconfig={self.folder / 'config'}", f"--cache-dir={self.folder / 'cache'}")
        return [str(self.program), *flags, *arguments]

    async def raw(self, *arguments: str, stdin: str = "") -> Completed:
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"]}
        return await run(
            self.argv(*arguments),
            timeout_s=TIMEOUT_S,
            stdin=stdin.encode(),
            env=environment,
            check=False,
        )

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        done = await self.raw(*arguments, stdin=stdin)
        assert done.code == 0, (arguments, done.stderr.decode())
        return done.text().strip()

    async def fails(self, *arguments: str, stdin: str = "") -> str:
        done = await self.raw(*arguments, stdin=stdin)
        assert done.code != 0, (arguments, done.text())
        return done.stderr.decode().strip()


@pytest.fixture(params=VERSIONS)
async def kubectl(request, tmp_path):
    program = kubectl_path(request.param)
    async with api_lab(tmp_path) as lab:
        (tmp_path / "config").write_text(lab.kubeconfig())
        yield Kubectl(program, request.param, tmp_path, lab)


async def test_discovery_and_explain(kubectl):
    version = json.loads(await kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"].startswith("v1.36.2+netlab")
    names = (await kubectl("api-resources", "-o", "name")).splitlines()
    assert {"pods", "deployments.apps", "endpointslices.discovery.k8s.io"} <= set(names)
    assert (await kubectl("api-versions")).splitlines()[0] == "apps/v1"
    assert "List of containers belonging to the pod" in await kubectl(
        "explain", "pod.spec.containers"
    )
    flags = () if kubectl.version == "1.20" else ("--output=plaintext-openapiv2",)
    old_form = await kubectl("explain", "svc.spec", *flags)
    assert "clusterIP\t<string>" in old_form
    error = await kubectl.fails("get", "nosuch")
    assert error == 'error: the server doesn\'t have a resource type "nosuch"'


async def test_objects_live(kubectl):
    assert await kubectl("create", "-f", "-", stdin=WEB) == (
        "deployment.apps/web created\nservice/web created"
    )
    assert await kubectl("apply", "-f", "-", stdin=POD_YAML) == "pod/p1 created"
    assert await kubectl("apply", "-f", "-", stdin=POD_YAML) == "pod/p1 unchanged"
    labelled = POD_YAML.replace("run: p1", "run: p2")
    assert await kubectl("apply", "-f", "-", stdin=labelled) == "pod/p1 configured"
    assert await kubectl("scale", "deploy/web", "--replicas=3") == "deployment.apps/web scaled"
    await kubectl("scale", "--current-replicas=3", "--replicas=4", "deploy/web")
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "4"
    await kubectl("label", "pod", "p1", "a=b")
    await kubectl("annotate", "pod", "p1", "c=d")
    assert await kubectl("get", "pods", "-l", "a=b", "-o", "name") == "pod/p1"
    await kubectl("label", "pod", "p1", "a-")
    await kubectl("expose", "deployment", "web", "--name=web2", "--port=81")
    for patch_type, patch in (
        ("strategic", '{"metadata":{"labels":{"q":"1"}}}'),
        ("merge", '{"metadata":{"labels":{"q":"2"}}}'),
        ("json", '[{"op":"add","path":"/metadata/labels/q","value":"3"}]'),
    ):
        await kubectl("patch", "deploy", "web", f"--type={patch_type}", "-p", patch)
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.metadata.labels.q}") == "3"
    wide = (await kubectl("get", "pods", "-o", "wide")).splitlines()
    assert wide[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert await kubectl("delete", "deploy", "web") == 'deployment.apps "web" deleted' + (
        " from default namespace" if kubectl.version >= "1.34" else ""
    )
    await kubectl("delete", "pod", "p1", "--grace-period=0", "--force")
    assert "NotFound" in await kubectl.fails("get", "pod", "p1")


async def test_typed_commands(kubectl):
    """From 1.32 on kubectl sends these as protobuf."""
    await kubectl("create", "namespace", "n")
    await kubectl.lab.local.create(SERVICE_ACCOUNT, "n", {"metadata": {"name": "default"}})
    n = ("-n", "n")
    await kubectl("create", *n, "configmap", "c", "--from-literal=a=b")
    assert await kubectl("get", *n, "cm", "c", "-o", "jsonpath={.data}") == '{"a":"b"}'
    await kubectl("create", *n, "secret", "generic", "s", "--from-literal=a=b")
    assert await kubectl("get", *n, "secret", "s", "-o", "jsonpath={.data.a}") == "Yg=="
    await kubectl("create", *n, "deployment", "d", "--image=nginx", "--port=80", "--replicas=2")
    spec = json.loads(await kubectl("get", *n, "deploy", "d", "-o", "json"))["spec"]
    assert spec["replicas"] == 2
    assert spec["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP"}
    ]
    await kubectl("create", *n, "service", "nodeport", "np", "--tcp=80:8080", "--node-port=30080")
    assert (await kubectl("get", *n, "svc", "np", "-o", "jsonpath={.spec.ports[0].nodePort}")) == (
        "30080"
    )
    await kubectl("create", *n, "sa", "robot")
    if kubectl.version != "1.20":
        assert (await kubectl("create", *n, "token", "robot")).count(".") == 2
    assert await kubectl("auth", "can-i", "create", "pods") == "yes"
    if kubectl.version >= "1.28":
        assert "kubernetes-admin" in await kubectl("auth", "whoami")
    assert "[*]" in await kubectl("auth", "can-i", "--list")
    described = await kubectl("describe", *n, "svc", "np")
    assert "NodePort:                 80-8080  30080/TCP" in described


BAD = {
    "unknown field": (
        POD_YAML.replace("name: c,", "nam: c,"),
        'Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" '
        'cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].nam"',
    ),
    "bad name": (
        POD_YAML.replace("name: p1", "name: P_1"),
        'The Pod "P_1" is invalid: metadata.name: Invalid value: "P_1": a lowercase RFC 1123 '
        "subdomain must consist of",
    ),
    "unknown kind": (
        POD_YAML.replace("kind: Pod", "kind: Pot"),
        'no matches for kind "Pot" in version "v1"',
    ),
}

BAD_IN_1_20 = {
    "unknown field": (
        BAD["unknown field"][0],
        'unknown field "nam" in io.k8s.api.core.v1.Container',
    ),
}


async def test_bad_input(kubectl):
    # 1.20 checks fields itself, against the server's OpenAPI v2
    expected = {**BAD, **BAD_IN_1_20} if kubectl.version == "1.20" else BAD
    for text, message in expected.values():
        assert message in await kubectl.fails("create", "-f", "-", stdin=text)
    if kubectl.version == "1.20":
        return
    error = await kubectl.fails("apply", "--server-side", "-f", "-", stdin=POD_YAML)
    assert "server-side apply is not served by this version of netlab" in error


async def test_watch_and_wait(kubectl):
    lab = kubectl.lab
    await lab.make_pod("p1")
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(kubectl("wait", "--for=condition=Ready", "pod/p1"))
        watching = await asyncio.create_subprocess_exec(
            *kubectl.argv("get", "pods", "-w"), stdout=asyncio.subprocess.PIPE
        )
        assert watching.stdout is not None
        first = [await watching.stdout.readline() for _ in range(2)]
        assert first[0].split()[:3] == [b"NAME", b"READY", b"STATUS"]
        await lab.local.patch(
            POD, "default", "p1", {"status": ready}, patch_type="merge", subresource="status"
        )
        async with asyncio.timeout(TIMEOUT_S):
            changed = await watching.stdout.readline()
        assert changed.split()[:3] == [b"p1", b"0/1", b"Running"]
        watching.send_signal(signal.SIGTERM)
        await watching.wait()
    assert waiting.result() == "pod/p1 condition met"


async def test_logs_and_exec(kubectl):
    await kubectl.lab.make_pod("p1")
    assert await kubectl("logs", "p1") == "one\ntwo"
    assert "previous terminated container" in await kubectl.fails("logs", "p1", "--previous")
    assert await kubectl("exec", "p1", "--", "echo", "hi") == "echo hi"
    assert "data" in await kubectl("exec", "-i", "p1", "--", "cat", stdin="data")
    done = await kubectl.raw("exec", "p1", "--", "exit", "3")
    assert done.code == 3
    error = await kubectl.fails("exec", "p1", "--", "missing")
    assert "exec missing: no such file or directory" in error
