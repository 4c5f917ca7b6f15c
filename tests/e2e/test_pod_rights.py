"""What a pod may do and see: users, capabilities, the host's namespaces and ports."""

import pytest

from tests.support.lab import Lab, eventually
from tests.support.pods import apply, wait_event, wait_phase, wait_ready

pytestmark = pytest.mark.e2e


def output_of(lab: Lab, name: str, script: str, pod: str = "", container: str = "") -> str:
    """Run a script in a pod with these fields and return what it printed.

    pod, container: further lines of the spec and of the container, as flow mappings' entries.
    """
    apply(
        lab,
        f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          restartPolicy: Never
          {pod}
          containers:
          - name: main
            image: busybox
            command: [sh, -c, '{script}']
            {container}
        """,
    )
    eventually(
        lambda: lab.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}"),
        lambda phase: phase in ("Succeeded", "Failed"),
        what=f"pod {name} ends",
    )
    return lab.kubectl("logs", name)


@pytest.mark.parametrize(
    ("name", "pod", "container", "script", "printed"),
    [
        pytest.param(
            "user",
            "securityContext: {runAsUser: 1001, runAsGroup: 1002, fsGroup: 1003}",
            "",
            "id -u; id -g; id -G",
            "1001\n1002\n1002 1003\n",
            id="user and groups",
        ),
        pytest.param(
            "no-caps",
            "",
            "securityContext: {capabilities: {drop: [ALL]}}",
            "grep CapEff /proc/self/status | cut -f2",
            "0000000000000000\n",
            id="no capabilities",
        ),
        pytest.param(
            "read-only",
            "",
            "securityContext: {readOnlyRootFilesystem: true}",
            "touch /x 2>&1 || true",
            "touch: /x: Read-only file system\n",
            id="read-only root",
        ),
        pytest.param(
            "no-new",
            "",
            "securityContext: {allowPrivilegeEscalation: false}",
            "grep NoNewPrivs /proc/self/status | cut -f2",
            "1\n",
            id="no privilege escalation",
        ),
        pytest.param(
            "filtered",
            "securityContext: {seccompProfile: {type: RuntimeDefault}}",
            "",
            "grep Seccomp: /proc/self/status | cut -f2",
            "2\n",
            id="seccomp",
        ),
        pytest.param(
            "named",
            "hostname: web\n          subdomain: shop",
            "",
            "hostname -f",
            "web.shop.default.svc.cluster.local\n",
            id="hostname and subdomain",
        ),
        pytest.param(
            "aliased",
            "hostAliases: [{ip: 10.9.8.7, hostnames: [far, away]}]",
            "",
            "grep 10.9.8.7 /etc/hosts",
            "10.9.8.7\tfar\taway\n",
            id="host aliases",
        ),
        pytest.param(
            "resolver",
            "dnsPolicy: None\n          dnsConfig: {nameservers: [10.1.1.1], searches: [a.b]}",
            "",
            "cat /etc/resolv.conf",
            "search a.b\nnameserver 10.1.1.1\n",
            id="dns policy None",
        ),
    ],
)
def test_a_container_is_what_its_spec_says(
    lab: Lab, name: str, pod: str, container: str, script: str, printed: str
) -> None:
    assert output_of(lab, name, script, pod, container) == printed


def test_a_pod_of_the_host_network_has_the_nodes_address(lab: Lab) -> None:
    printed = output_of(lab, "on-node", "ip -o -4 addr show; hostname", "hostNetwork: true")
    assert "10.100.199.200" in printed
    assert printed.endswith("node0\n")
    address = lab.kubectl("get", "pod", "on-node", "-o", "jsonpath={.status.podIP}")
    assert address == "10.100.199.200"


def test_shared_processes_have_pause_as_their_first(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: shared}
        spec:
          terminationGracePeriodSeconds: 0
          shareProcessNamespace: true
          containers: [{name: main, image: busybox, command: [sleep, "600"]}]
        """,
    )
    wait_ready(lab, "shared")
    assert "pause" in lab.kubectl("exec", "shared", "--", "cat", "/proc/1/cmdline")
    # a child whose parent ends first becomes pause's, which reaps it
    orphan = "(sh -c 'sleep 0.2' &) ; sleep 1; ps -o pid,stat | grep -c ' Z' || true"
    printed = lab.kubectl("exec", "shared", "--", "sh", "-c", orphan)
    assert printed.strip() == "0"
    lab.kubectl("delete", "pod", "shared")


def test_a_host_port_leads_to_the_pod_and_goes_with_it(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: porter}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: main
            image: busybox
            command: [sh, -c, "echo here > /index.html; exec httpd -f -p 80 -h /"]
            ports: [{containerPort: 80, hostPort: 8088}]
        """,
    )
    wait_ready(lab, "porter")
    for address in ("10.100.199.200", "127.0.0.1"):
        done = lab.node("curl", "-s", "--max-time", "5", f"http://{address}:8088/")
        assert done.stdout == "here\n"
    lab.kubectl("delete", "pod", "porter")
    eventually(
        lambda: lab.node("iptables-save").stdout,
        lambda rules: "8088" not in rules,
        what="no rule of the host port is left",
    )


def test_a_pod_that_must_not_be_root_does_not_start_as_root(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: rootless}
        spec:
          terminationGracePeriodSeconds: 0
          securityContext: {runAsNonRoot: true}
          containers: [{name: main, image: busybox, command: [sleep, "600"]}]
        """,
    )
    wait_event(lab, "rootless", "Failed", "container has runAsNonRoot and image will run as root")
    lab.kubectl("delete", "pod", "rootless")


def test_too_large_a_request_stays_pending(lab: Lab) -> None:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: huge}
        spec:
          containers: [{name: main, image: busybox, resources: {requests: {memory: 100Ti}}}]
        """,
    )
    wait_event(lab, "huge", "FailedScheduling", "1 Insufficient memory")
    lab.kubectl("delete", "pod", "huge")


def test_a_service_account_token_is_accepted(lab: Lab) -> None:
    token = "$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)"
    script = f'curl -sk -H "Authorization: Bearer {token}" https://$KUBERNETES_SERVICE_HOST/version'
    apply(
        lab,
        f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: caller}}
        spec:
          restartPolicy: Never
          securityContext: {{runAsUser: 1000}}
          containers: [{{name: main, image: netlab/tools, command: [sh, -c, {script!r}]}}]
        """,
    )
    wait_phase(lab, "caller", "Succeeded")
    assert '"gitVersion"' in lab.kubectl("logs", "caller")
