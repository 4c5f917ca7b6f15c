"""Packets: pods, Services, names, and what tcpdump, dig and pymongo see of them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.lab import REPOSITORY, Lab, eventually

pytestmark = pytest.mark.e2e

FRESH = "fresh.default.svc.cluster.local"
SYSTEM = Path(REPOSITORY, "scenarios/00-demo/go-demo-2.yml")


@pytest.fixture(scope="module")
def system(lab: Lab) -> Lab:
    """A lab in which the demo's API and database run."""
    lab.kubectl("create", "-f", str(SYSTEM))
    eventually(
        lambda: lab.kubectl("get", "pods", "--no-headers"),
        lambda printed: printed.count("1/1") == 3,
        what="three ready pods",
    )
    lab.kubectl("run", "client", "--image=busybox", "--", "sleep", "3600")
    lab.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=30s")
    return lab


def _jsonpath(lab: Lab, *arguments: str) -> str:
    return lab.kubectl("get", *arguments[:-1], "-o", f"jsonpath={arguments[-1]}")


def _pod_netns(lab: Lab, pod: str) -> str:
    names = lab.run(["ip", "netns", "list"]).stdout.split()
    return next(n for n in names if n.startswith(f"{lab.context}_") and pod in n)


def test_every_way_in(system: Lab) -> None:
    pod_ip = _jsonpath(system, "pods", "-l", "type=api", "{.items[0].status.podIP}")
    cluster_ip = _jsonpath(system, "svc", "go-demo-2-api", "{.spec.clusterIP}")
    for target in (
        f"{pod_ip}:8080",
        f"{cluster_ip}:8080",
        "10.100.199.200:30080",
        "127.0.0.1:30080",
    ):
        answer = system.node("curl", "-s", "--max-time", "5", f"http://{target}/demo/hello")
        assert answer.stdout == "hello, world!\n", target


def test_tcpdump_sees_the_destination_change(system: Lab) -> None:
    """The client's packet leaves for the ClusterIP and arrives at a pod's address."""
    cluster_ip = _jsonpath(system, "svc", "go-demo-2-api", "{.spec.clusterIP}")
    captures = [
        subprocess.Popen(
            [*prefix, "timeout", "8", "tcpdump", "-nn", "-l", "-i", link, "-c", "1",
             "tcp dst port 8080 and tcp[tcpflags] == tcp-syn"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for prefix, link in (
            (["ip", "netns", "exec", _pod_netns(system, "client")], "eth0"),
            *(
                (["ip", "netns", "exec", _pod_netns(system, pod)], "eth0")
                for pod in _jsonpath(
                    system, "pods", "-l", "type=api", "{.items[*].metadata.name}"
                ).split()
            ),
        )
    ]  # fmt: skip
    for capture in captures:
        assert capture.stderr is not None
        while "listening on" not in capture.stderr.readline():
            pass
    system.kubectl("exec", "client", "--", "wget", "-q", "-O", "-", f"{cluster_ip}:8080/demo/hello")
    time.sleep(0.5)
    seen = []
    for capture in captures:
        capture.terminate()
        seen.append(capture.communicate(timeout=10)[0])
    assert f"> {cluster_ip}.8080" in seen[0]
    arrived = re.findall(r"(10\.244\.0\.\d+)\.\d+ > (10\.244\.0\.\d+)\.8080", "".join(seen[1:]))
    assert len(arrived) == 1
    client_ip = _jsonpath(system, "pod", "client", "{.status.podIP}")
    assert arrived[0][0] == client_ip  # a pod's own address is not masqueraded


def test_dig_asks_the_cluster_dns(system: Lab) -> None:
    cluster_ip = _jsonpath(system, "svc", "go-demo-2-api", "{.spec.clusterIP}")
    asked = system.node("dig", "+short", "@10.96.0.10", "go-demo-2-api.default.svc.cluster.local")
    assert asked.stdout == f"{cluster_ip}\n"
    ptr = system.node("dig", "+short", "@10.96.0.10", "-x", cluster_ip)
    assert ptr.stdout == "go-demo-2-api.default.svc.cluster.local.\n"
    missing = system.node("dig", "@10.96.0.10", "nothing.default.svc.cluster.local")
    assert "status: NXDOMAIN" in missing.stdout
    outside = system.node("dig", "+tries=1", "+time=4", "@10.96.0.10", "example.com")
    assert "status: SERVFAIL" in outside.stdout  # a sandbox has no resolver to ask


def test_a_new_service_is_answered_at_once(system: Lab) -> None:
    system.kubectl("create", "service", "clusterip", "fresh", "--tcp=80:8080")
    cluster_ip = _jsonpath(system, "svc", "fresh", "{.spec.clusterIP}")
    eventually(
        lambda: system.node("dig", "+short", "@10.96.0.10", FRESH).stdout,
        lambda printed: printed == f"{cluster_ip}\n",
        within_s=3,
    )


def test_a_service_without_endpoints_refuses(system: Lab) -> None:
    system.kubectl("create", "service", "clusterip", "nobody", "--tcp=80:8080")
    cluster_ip = _jsonpath(system, "svc", "nobody", "{.spec.clusterIP}")
    time.sleep(0.5)
    asked = system.node("curl", "-sS", "--max-time", "5", f"http://{cluster_ip}/", check=False)
    assert asked.returncode == 7
    assert "refused" in asked.stderr or "connect to" in asked.stderr


def test_the_kubernetes_service_answers_in_a_pod(system: Lab) -> None:
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    printed = system.kubectl("exec", "client", "--", "sh", "-c", f"wc -c < {token}; env | sort")
    assert int(printed.split()[0]) > 100
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1" in printed
    namespace = _pod_netns(system, "client")
    pod_token = system.kubectl("exec", "client", "--", "cat", token)
    asked = system.run(
        ["ip", "netns", "exec", namespace, "curl", "-sk", "--max-time", "5",
         "-H", f"Authorization: Bearer {pod_token.strip()}", "https://10.96.0.1/api/v1/pods"]
    )  # fmt: skip
    assert 'cannot list resource \\"pods\\"' in asked.stdout  # known, but without rights


def test_pymongo_through_the_service(system: Lab) -> None:
    cluster_ip = _jsonpath(system, "svc", "go-demo-2-db", "{.spec.clusterIP}")
    script = (
        "import pymongo, sys\n"
        f"db = pymongo.MongoClient('{cluster_ip}', serverSelectionTimeoutMS=5000).shop\n"
        "db.people.insert_many([{'name': 'ada', 'n': i} for i in range(250)])\n"
        "print(db.people.count_documents({'name': 'ada'}), len(list(db.people.find())))\n"
    )
    done = system.node(sys.executable, "-c", script)
    assert done.stdout == "250 250\n"


def test_a_hairpin_reaches_the_pod_itself(system: Lab) -> None:
    system.kubectl("run", "echo", "--image=vfarcic/go-demo-2", "--port=8080")
    system.kubectl("expose", "pod", "echo", "--port=80", "--target-port=8080")
    system.kubectl("wait", "--for=condition=Ready", "pod/echo", "--timeout=30s")
    answer = eventually(
        lambda: system.run(
            ["ip", "netns", "exec", _pod_netns(system, "_echo_"), "curl", "-s", "--max-time", "2",
             f"http://{_jsonpath(system, 'svc', 'echo', '{.spec.clusterIP}')}/demo/hello"],
            check=False,
        ).stdout,
        lambda printed: printed != "",
    )  # fmt: skip
    assert answer == "hello, world!\n"
