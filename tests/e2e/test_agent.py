"""A node in a process of its own: killed, missed, started again, and nothing of it lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import REPOSITORY, Lab, eventually

pytestmark = pytest.mark.e2e

PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx}]}
"""


class Agent:
    """The agent of node0 of a lab, as a process."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.kubeconfig = Path(f"/var/lib/netlab/labs/{lab.name}/pki/nodes/node0/kubeconfig")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [*self.lab.netlab_argv(), "agent", "--name", self.lab.name]
        self.process = subprocess.Popen(
            [*argv, "--kubeconfig", str(self.kubeconfig), "--node-name", "node0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.lab.environment,
            cwd=REPOSITORY,
        )

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=20)


@pytest.fixture(name="agent")
def agent_fixture(unstarted_lab: Lab) -> Iterator[Agent]:
    said = unstarted_lab.up("--no-node")
    assert "netlab agent --name" in said
    made = Agent(unstarted_lab)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.kill()
            made.process.wait()


def ready(lab: Lab) -> str:
    nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    found = [c["status"] for n in nodes for c in n["status"]["conditions"] if c["type"] == "Ready"]
    return found[0] if found else ""


def containers(lab: Lab) -> dict[str, tuple[str, str, int]]:
    """(container id, address, restarts) by name of the pod."""
    pods = json.loads(lab.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]: (
            pod["status"]["containerStatuses"][0]["containerID"],
            pod["status"]["podIP"],
            pod["status"]["containerStatuses"][0]["restartCount"],
        )
        for pod in pods
    }


def test_a_node_comes_and_goes_and_keeps_its_pods(agent: Agent) -> None:
    lab = agent.lab
    assert json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"] == []
    agent.start()
    eventually(lambda: ready(lab), lambda seen: seen == "True", within_s=90, what="Ready")
    lab.kubectl("apply", "-f", "-", stdin=PODS)
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout_s=150)
    before = containers(lab)
    assert len(before) == 3
    pod = next(iter(before))
    assert lab.kubectl("exec", pod, "--", "echo", "through the agent") == "through the agent\n"
    assert lab.node("curl", "-s", "-m", "5", f"http://{before[pod][1]}").returncode == 0

    agent.end(signal.SIGKILL)
    told = lab.run([str(lab.kubectl_path()), "logs", pod], check=False)
    assert "connection refused" in told.stderr
    # its pods go on working meanwhile
    assert lab.node("curl", "-s", "-m", "5", f"http://{before[pod][1]}").returncode == 0
    eventually(lambda: ready(lab), lambda seen: seen == "Unknown", within_s=120, what="NotReady")

    agent.start()
    eventually(lambda: ready(lab), lambda seen: seen == "True", within_s=90, what="Ready again")
    assert containers(lab) == before
    assert lab.kubectl("exec", pod, "--", "echo", "again") == "again\n"

    second = lab.run(
        [*lab.netlab_argv(), "agent", "--name", lab.name, "--kubeconfig", str(agent.kubeconfig)],
        check=False,
    )
    assert second.returncode == 1
    assert "an agent of it runs already" in second.stderr

    agent.end(signal.SIGTERM)
    assert lab.node("curl", "-s", "-m", "5", f"http://{before[pod][1]}").returncode == 0


def test_the_api_server_goes_away_and_comes_back(agent: Agent) -> None:
    lab = agent.lab
    agent.start()
    eventually(lambda: ready(lab), lambda seen: seen == "True", within_s=90, what="Ready")
    lab.kubectl("apply", "-f", "-", stdin=PODS)
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout_s=150)
    before = containers(lab)
    os.kill(lab.daemon_pid(), signal.SIGKILL)
    address = next(iter(before.values()))[1]
    # without ``netlab shell``, which wants the daemon
    lab.run(["ip", "netns", "exec", lab.context, "curl", "-s", "-m", "5", f"http://{address}"])
    lab.up("--no-node")
    assert agent.process is not None
    assert agent.process.poll() is None
    assert containers(lab) == before
    # the agent goes on where it stood: a new pod is made
    lab.kubectl("scale", "deployment/web", "--replicas=4")
    eventually(
        lambda: lab.kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"),
        lambda seen: seen == "4",
        within_s=120,
        what="a fourth pod",
    )
    assert before.items() <= containers(lab).items()
