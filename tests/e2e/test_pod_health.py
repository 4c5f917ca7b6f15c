"""Probes: what they are told decides who gets traffic and who is started anew."""

import pytest

from tests.support.lab import Lab, eventually
from tests.support.pods import apply, events_of, get, wait_event, wait_ready

pytestmark = pytest.mark.e2e

EVERY_SECOND = "periodSeconds: 1, failureThreshold: 1"


def endpoint_rules(lab: Lab, service: str) -> list[str]:
    """Return the rules of the node that lead to endpoints of a Service."""
    rules = lab.node("iptables-save", "-t", "nat").stdout.splitlines()
    return [rule for rule in rules if "DNAT" in rule and f'"default/{service}' in rule]


def pod_with_probe(name: str, probe: str, *, command: str = "sleep 600") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "{command}"]
    ports: [{{name: web, containerPort: 80}}]
    {probe}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80}}]
"""


def test_readiness_decides_who_is_in_the_rules(lab: Lab) -> None:
    probe = f"readinessProbe: {{exec: {{command: [test, -e, /ready]}}, {EVERY_SECOND}}}"
    apply(lab, pod_with_probe("fickle", probe))
    wait_event(lab, "fickle", "Unhealthy", "Readiness probe failed")
    assert endpoint_rules(lab, "fickle") == []
    slices = get(lab, "endpointslices", "-l", "kubernetes.io/service-name=fickle")["items"]
    conditions = slices[0]["endpoints"][0]["conditions"]
    assert (conditions["ready"], conditions["serving"]) == (False, False)
    lab.kubectl("exec", "fickle", "--", "touch", "/ready")
    wait_ready(lab, "fickle")
    eventually(lambda: endpoint_rules(lab, "fickle"), bool, what="a rule to the endpoint")
    lab.kubectl("exec", "fickle", "--", "rm", "/ready")
    eventually(lambda: endpoint_rules(lab, "fickle"), lambda r: not r, what="no rule any more")
    lab.kubectl("delete", "pod,svc", "fickle")


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        pytest.param("by-http", "httpGet: {path: /index.html, port: web}", id="httpGet"),
        pytest.param("by-tcp", "tcpSocket: {port: 80}", id="tcpSocket"),
        pytest.param("by-exec", "exec: {command: [wget, -q, -O-, '127.0.0.1']}", id="exec"),
    ],
)
def test_each_kind_of_probe(lab: Lab, name: str, probe: str) -> None:
    command = "echo ok > /index.html; exec httpd -f -p 80 -h /"
    apply(
        lab,
        pod_with_probe(name, f"readinessProbe: {{{probe}, periodSeconds: 1}}", command=command),
    )
    wait_ready(lab, name)
    lab.kubectl("delete", "pod,svc", name)


@pytest.mark.parametrize(
    ("name", "probe", "message"),
    [
        pytest.param(
            "refused",
            "httpGet: {path: /, port: 81}",
            "connect: connection refused",
            id="connection refused",
        ),
        pytest.param("absent", "httpGet: {path: /nosuch, port: 80}", "statuscode: 404", id="404"),
        pytest.param("no-tcp", "tcpSocket: {port: 81}", "connection refused", id="tcp refused"),
    ],
)
def test_a_failed_probe_says_what_it_met(lab: Lab, name: str, probe: str, message: str) -> None:
    command = "exec httpd -f -p 80 -h /"
    apply(
        lab,
        pod_with_probe(name, f"readinessProbe: {{{probe}, periodSeconds: 1}}", command=command),
    )
    wait_event(lab, name, "Unhealthy", message)
    assert "0/1" in lab.kubectl("get", "pod", name, "--no-headers")
    lab.kubectl("delete", "pod,svc", name)


def test_a_failing_liveness_probe_restarts_the_container(lab: Lab) -> None:
    probe = f"livenessProbe: {{exec: {{command: [test, -e, /alive]}}, {EVERY_SECOND}}}"
    apply(
        lab, pod_with_probe("mortal", probe, command="touch /alive; sleep 4; rm /alive; sleep 600")
    )
    eventually(
        lambda: get(lab, "pod", "mortal")["status"]["containerStatuses"][0]["restartCount"],
        lambda count: count >= 1,
        what="a restart",
        within_s=40,
    )
    seen = events_of(lab, "mortal")
    assert ("Killing", "Container main failed liveness probe, will be restarted") in seen
    lab.kubectl("delete", "pod,svc", "mortal")


def test_a_startup_probe_holds_the_others_back(lab: Lab) -> None:
    probe = (
        "startupProbe: {exec: {command: [test, -e, /up]}, periodSeconds: 1, failureThreshold: 30}\n"
        f"    livenessProbe: {{exec: {{command: [test, -e, /up]}}, {EVERY_SECOND}}}"
    )
    apply(lab, pod_with_probe("slow", probe, command="sleep 4; touch /up; sleep 600"))
    eventually(
        lambda: events_of(lab, "slow"), lambda s: any("Startup probe failed" in m for _, m in s)
    )
    status = get(lab, "pod", "slow")["status"]["containerStatuses"][0]
    assert (status["started"], status["ready"]) == (False, False)
    wait_ready(lab, "slow")
    assert get(lab, "pod", "slow")["status"]["containerStatuses"][0]["restartCount"] == 0
    lab.kubectl("delete", "pod,svc", "slow")


def test_describe_prints_probes_as_kubectl_does(lab: Lab) -> None:
    action = "httpGet: {path: /healthz, port: 81}"
    timing = "initialDelaySeconds: 5, periodSeconds: 15, timeoutSeconds: 5"
    probe = f"livenessProbe: {{{action}, {timing}}}"
    apply(lab, pod_with_probe("probed", probe))
    expected = "http-get http://:81/healthz delay=5s timeout=5s period=15s #success=1 #failure=3"
    assert expected in lab.kubectl("describe", "pod", "probed")
    assert expected in lab.netlab("describe", "pod", "probed")
    lab.kubectl("delete", "pod,svc", "probed")
