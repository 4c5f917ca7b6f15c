# ruff: noqa: E501 - manifests
"""The netlab command line against the real API server, beside the real kubectl.

Both tell the same story to a server of their own, and must print the same; then what only a real
server can show: TLS, exec over WebSocket with and without a terminal, watches, waits.
"""

import asyncio
import json
import os
import pty
import re
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import pytest

from netlab.api.kinds import POD
from netlab.command import run
from tests.support.api import ApiLab, api_lab
from tests.support.client_tools import kubectl_path

pytestmark = pytest.mark.system

TIMEOUT_S = 20.0
ROOT = Path(__file__).resolve().parents[2]
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
      containers: [{name: c, image: busybox, ports: [{containerPort: 80}], env: [{name: A, value: x}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
CHANGED = WEB.replace("replicas: 2", "replicas: 4").replace("{name: A, value: x}", "{name: B}")
WRONG_FIELDS = """
apiVersion: v1
kind: Service
metadata: {name: wrong}
spec:
  type: NodePort
  ports: [{port: 80, nodeport: 30080, protocol: tcp}]
"""
STORY = [
    ("create ns shop", ""),
    ("create -f -", WEB),
    ("create -f -", WEB),
    ("apply -f -", WEB),
    ("apply -f -", WEB),
    ("apply -f -", CHANGED),
    ("get deploy web -o jsonpath={.spec.replicas}{.spec.template.spec.containers[0].env}", ""),
    ("apply -f - -n shop", WEB),
    ("create -f -", WRONG_FIELDS),
    ("create -f - --validate=warn", WRONG_FIELDS),
    ("run p1 --image=busybox --labels=app=web -- sleep 1", ""),
    ("run p1 --image=busybox", ""),
    ("run Bad_Name --image=busybox", ""),
    ("get pods", ""),
    ("get pods -o wide", ""),
    ("get all", ""),
    ("get all -n shop", ""),
    ("get svc,ep,endpointslices -A", ""),
    ("get nodes", ""),
    ("scale --replicas=3 deploy/web", ""),
    ("scale --replicas=1 --current-replicas=9 deploy/web", ""),
    ("scale --replicas=1 --current-replicas=3 deploy/web", ""),
    ("label pod p1 tier=front", ""),
    ("label pod p1 tier=back", ""),
    ("annotate pod p1 note=hello", ""),
    ("expose deploy web --name=web2 --port=81 --type=NodePort --dry-run=client", ""),
    ("expose deploy web --name=web2 --port=81", ""),
    ("create configmap conf --from-literal=a=b", ""),
    ("create deployment d2 --image=nginx --replicas=2 --port=80", ""),
    ("create service nodeport np --tcp=80:8080 --node-port=30111", ""),
    ("create service nodeport np2 --tcp=80:8080 --node-port=30111", ""),
    ("get cm conf -o jsonpath={.data}", ""),
    ("describe deploy d2", ""),
    ("describe svc np", ""),
    ("describe ns shop", ""),
    ("describe pod p1", ""),
    ("describe pod p", ""),
    ("get nosuch", ""),
    ("get pod nosuch", ""),
    ("get pods --sort-by=.metadata.name -o name", ""),
    ("get pods --field-selector=spec.foo=bar", ""),
    ("get pods -l a=(", ""),
    ("api-resources", ""),
    ("api-versions", ""),
    ("explain deployment.spec.strategy", ""),
    ("wait --for=delete pod/nosuch", ""),
    ("delete deploy web d2", ""),
    ("delete svc --all", ""),
    ("delete pod p1 --force", ""),
    ("delete pod p1", ""),
    ("delete -f -", WEB),
    ("get pods", ""),
]
_AGES = re.compile(r"\b\d+(\.\d+)?[smh](\d+s)?\b")
_CHANGING = re.compile(
    r"\w{3}, \d\d \w{3} \d{4} [\d:]+ [-+]\d{4}|\b10\.(9|1[01])\d\.\d+\.\d+\b|127\.0\.0\.1:\d+"
    r"|kube-api-access-\w{5}|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b3[0-2]\d{3}/"
)


@dataclass
class Tool:
    """kubectl or netlab, with the lab's kubeconfig."""

    argv: list[str]
    folder: Path
    lab: ApiLab

    async def __call__(self, *words, stdin=b""):
        environment = {
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.folder / "config"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
        }
        argv = [*self.argv, *words]
        return await run(argv, timeout_s=TIMEOUT_S, stdin=stdin, env=environment, check=False)

    async def text(self, *words, stdin=b""):
        done = await self(*words, stdin=stdin)
        assert done.code == 0, (words, done.stderr.decode())
        return done.text()


def tool(folder, lab, argv):
    (folder / "config").write_text(lab.kubeconfig())
    return Tool(argv, folder, lab)


@pytest.fixture
async def netlab(tmp_path):
    async with api_lab(tmp_path) as lab:
        # Called by another name, so that both tools' hints name the same program.
        code = "import sys; from netlab.cli.main import run_command_line as run; "
        code += "sys.exit(run(sys.argv[1:], 'kubectl'))"
        yield tool(tmp_path, lab, [sys.executable, "-c", code])


async def tell(program):
    """What each step of the story printed, without what is new every time."""
    told = []
    for line, stdin in STORY:
        done = await program(*line.split(" "), stdin=stdin.encode())
        both = done.text() + "\0" + done.stderr.decode()
        both = _CHANGING.sub("*", _AGES.sub("*", both.replace(str(program.lab.port), "PORT")))
        told.append((line, done.code, re.sub(r"[ -]{2,}", "  ", both).split("\n")))
    return told


async def test_the_same_story_as_kubectl(netlab, tmp_path):
    found = kubectl_path("1.33")  # whose words netlab speaks
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (other / "bin" / "kubectl").symlink_to(found)
    async with api_lab(other) as lab:
        expected = await tell(tool(other, lab, [str(other / "bin" / "kubectl")]))
    found = await tell(netlab)
    assert [
        (mine, theirs) for mine, theirs in zip(found, expected, strict=True) if mine != theirs
    ] == []


async def test_logs_and_exec(netlab):
    await netlab.lab.make_pod("one")
    await netlab.lab.make_pod("two", "a", "b")
    assert await netlab.text("logs", "one") == "one\ntwo\n"
    assert (
        await netlab.text("logs", "two", "--all-containers", "--prefix", "-f")
        == ("[pod/two/a] one\n[pod/two/a] two\n[pod/two/b] one\n[pod/two/b] two\n")
        or netlab.lab.node.asked
    )
    done = await netlab("logs", "one", "--previous")
    assert (done.code, done.stderr) == (
        1,
        b'Error from server (BadRequest): previous terminated container "c" not found\n',
    )
    assert await netlab.text("exec", "one", "--", "echo", "hi") == "echo hi\n"
    done = await netlab("exec", "-i", "one", "--", "cat", stdin=b"data" * 50_000)
    assert done.stdout == b"cat\n" + b"data" * 50_000
    assert done.stderr == b"DATA" * 50_000
    done = await netlab("exec", "one", "--", "sh", "-c", "exit", "3")
    assert (done.code, done.stderr) == (3, b"command terminated with exit code 3\n")
    done = await netlab("exec", "two", "--", "missing")
    assert done.code == 1
    assert b"Defaulted container" in done.stderr
    assert b"no such file or directory" in done.stderr
    done = await netlab("exec", "two", "-c", "nosuch", "--", "ls")
    assert (done.code, b"nosuch" in done.stderr) == (1, True)


async def test_exec_with_a_terminal(netlab):
    await netlab.lab.make_pod("one")
    control, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    environment = {
        **os.environ,
        "KUBECONFIG": str(netlab.folder / "config"),
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        *netlab.argv, "exec", "-it", "one", "--", "sh",
        stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
    )  # fmt: skip
    os.close(terminal)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            shown = b""
            while b"sh\r\n" not in shown and b"sh\n" not in shown:
                shown += await asyncio.to_thread(os.read, control, 1024)
            os.write(control, b"\x03")  # raw: Ctrl-C goes to the container
            while b"\x03" not in shown:
                shown += await asyncio.to_thread(os.read, control, 1024)
            assert process.returncode is None
            await netlab.lab.node.processes[-1].close_stdin()
            assert await process.wait() == 0
        assert netlab.lab.node.processes[-1].sizes[0] == (80, 24)
        assert netlab.lab.node.asked[-1][-1] is True
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(control)


async def test_watch_and_wait(netlab):
    environment = {"KUBECONFIG": str(netlab.folder / "config"), "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *netlab.argv, "get", "pods", "-w", stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            pod = await netlab.lab.make_pod("one")
            header, row = [await process.stdout.readline() for _ in range(2)]
            assert header.split()[0] == b"NAME"
            assert row.split()[:3] == [b"one", b"0/1", b"Pending"]
            waiting = asyncio.create_task(
                netlab("wait", "--for=condition=Ready", "pod/one", "--timeout=10s")
            )
            await asyncio.sleep(0.5)
            pod["status"] = {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            await netlab.lab.local.update(POD, "default", pod, subresource="status")
            assert (await process.stdout.readline()).split()[2] == b"Running"
            assert (await waiting).stdout == b"pod/one condition met\n"
            gone = asyncio.create_task(netlab("delete", "pod", "one"))
            await asyncio.sleep(0.5)
            assert not gone.done()
            await netlab.lab.local.delete(POD, "default", "one", grace_period_s=0)
            assert (await gone).stdout == b'pod "one" deleted\n'
    finally:
        process.kill()
        await process.wait()
    done = await netlab("wait", "--for=condition=Ready", "node/node0", "--timeout=1s")
    assert done.stderr == b"error: timed out waiting for the condition on nodes/node0\n"


async def test_nobody_gets_in(netlab):
    config = json.loads(netlab.lab.kubeconfig())
    config["users"][0]["user"] = {}
    (netlab.folder / "config").write_text(json.dumps(config))
    done = await netlab("get", "pods")
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        'Error from server (Forbidden): pods is forbidden: User "system:anonymous" cannot list '
        'resource "pods" in API group "" in the namespace "default"\n'
    )
    config["users"][0]["user"] = {"token": "nobody's"}
    (netlab.folder / "config").write_text(json.dumps(config))
    done = await netlab("get", "pods")
    assert (done.code, done.stdout) == (1, b"")
    assert b"You must be logged in to the server" in done.stderr
    config["clusters"][0]["cluster"].pop("certificate-authority-data")
    (netlab.folder / "config").write_text(json.dumps(config))
    done = await netlab("get", "pods")
    assert b"Unable to connect to the server: tls: failed to verify certificate" in done.stderr
    assert (await netlab("get", "pods", "--insecure-skip-tls-verify")).code == 1


async def test_a_closed_pipe_is_quiet(netlab):
    for number in range(3):
        await netlab.lab.make_pod(f"pod-{number}")
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", '"$@" | head -1', "sh", *netlab.argv, "get", "pods", "-o", "yaml"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(netlab.folder / "config"), "PYTHONPATH": str(ROOT)},
    )
    out, err = await process.communicate()
    assert (out, err) == (b"apiVersion: v1\n", b"")
