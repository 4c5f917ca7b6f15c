"""exec, attach, cp, port-forward and proxy with every kubectl: SPDY and WebSocket."""

import hashlib
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.client_tools import VERSIONS
from tests.support.lab import Lab, eventually
from tests.support.pods import apply, wait_phase, wait_ready

pytestmark = pytest.mark.e2e

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def pod(lab: Lab) -> str:
    apply(
        lab,
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: streams, labels: {app: streams}}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: web
            image: busybox
            command: [sh, -c, "mkdir /s; echo hello > /s/index.html; exec httpd -f -p 80 -h /s"]
            ports: [{name: http, containerPort: 80}]
          - {name: echo, image: busybox, command: [nc, -ll, -p, "7", -e, cat]}
          - name: reader
            image: busybox
            stdin: true
            command: [sh, -c, "while read x; do echo got $x; done"]
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: streams}
        spec:
          selector: {app: streams}
          ports: [{name: web, port: 8080, targetPort: http}]
        """,
    )
    wait_ready(lab, "streams")
    return "streams"


@contextmanager
def forwarding(lab: Lab, *words: str, version: str = "") -> Iterator[int]:
    """Run ``kubectl port-forward`` and give the local port it chose."""
    process = lab.start(["port-forward", *words], version=version)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> ", line)
        assert match, line + (process.stderr.read() if process.stderr and not line else "")
        yield int(match[1])
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.parametrize("version", VERSIONS)
def test_exec_carries_all_streams_and_the_exit_code(lab: Lab, pod: str, version: str) -> None:
    done = lab.run(
        [
            str(lab.kubectl_path(version)), "exec", "-i", pod, "-c", "web", "--",
            "sh", "-c", "cat; echo bad >&2; exit 3",
        ],
        check=False,
        stdin="typed\n" * 1000,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("typed\n" * 1000, 3)
    assert "bad" in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_port_forward(lab: Lab, pod: str, version: str) -> None:
    with forwarding(lab, f"pod/{pod}", ":80", version=version) as port:
        for _ in range(3):
            with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.read() == b"hello\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_port_forward_carries_megabytes_both_ways(lab: Lab, pod: str, version: str) -> None:
    sent = os.urandom(8 * MEGABYTE)
    with (
        forwarding(lab, pod, ":7", version=version) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        received = exchange(connection, sent)
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


def exchange(connection: socket.socket, sent: bytes) -> bytes:
    """Send and receive at the same time until as much came back as was sent."""
    received = bytearray()
    connection.setblocking(False)
    at, deadline = 0, time.monotonic() + 60
    while len(received) < len(sent) and time.monotonic() < deadline:
        moved = False
        if at < len(sent):
            try:
                at += connection.send(sent[at : at + 65536])
                moved = True
            except BlockingIOError:
                pass
        try:
            data = connection.recv(65536)
            assert data, "the connection was closed too early"
            received += data
            moved = True
        except BlockingIOError:
            pass
        if not moved:
            time.sleep(0.001)
    return bytes(received)


def test_port_forward_to_a_service_finds_the_pods_port(lab: Lab, pod: str) -> None:
    with (
        forwarding(lab, "svc/streams", ":8080") as port,
        urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer,
    ):
        assert answer.read() == b"hello\n"


def test_port_forward_to_a_port_nobody_listens_on_says_so(lab: Lab, pod: str) -> None:
    process = lab.start(["port-forward", pod, ":9"])
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(re.findall(r":(\d+) ->", line)[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            assert connection.recv(10) == b""
    finally:
        time.sleep(0.5)
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert "connection refused" in errors.lower()


@pytest.mark.parametrize("version", VERSIONS)
def test_cp_both_ways(lab: Lab, pod: str, version: str) -> None:
    folder = lab.folder / f"cp-{version}"
    (folder / "site").mkdir(parents=True)
    content = os.urandom(3 * MEGABYTE)
    (folder / "site" / "data").write_bytes(content)
    target = f"/tmp/in-{version}"
    lab.kubectl("cp", str(folder / "site"), f"{pod}:{target}", "-c", "web", version=version)
    lab.kubectl("cp", f"{pod}:{target}/data", str(folder / "back"), "-c", "web", version=version)
    assert (folder / "back").read_bytes() == content


@pytest.mark.parametrize("version", VERSIONS)
def test_attach_talks_to_the_containers_own_process(lab: Lab, pod: str, version: str) -> None:
    process = lab.start(
        ["attach", "-i", pod, "-c", "reader"], version=version, stdin=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        word = f"v{version}"
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        while line and word not in line:
            line = process.stdout.readline()
        assert line == f"got {word}\n"
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.parametrize("version", VERSIONS)
def test_run_attached_and_removed(lab: Lab, version: str) -> None:
    name = f"once-{version.replace('.', '-')}"
    done = lab.run(
        [
            str(lab.kubectl_path(version)), "run", name, "-i", "--rm", "--restart=Never",
            "--image=busybox", "--", "cat",
        ],
        stdin="through and back\n",
    )  # fmt: skip
    assert "through and back" in done.stdout
    assert lab.kubectl("get", "pod", name, "--ignore-not-found") == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_terminal_is_one_and_has_a_size(lab: Lab, pod: str, version: str) -> None:
    # kubectl tells the size once the streams stand; a program that asks at once may be faster
    asks = "sh -c 'sleep 1; stty size'"
    script = f"stty rows 33 cols 99; {lab.kubectl_path(version)} exec -it {pod} -c web -- {asks}"
    done = lab.run(["script", "-qec", script, "/dev/null"])
    assert "33 99" in done.stdout


def test_logs_by_label_and_of_all_containers(lab: Lab) -> None:
    lab.kubectl("run", "talker", "--image=busybox", "--labels=talks=yes", "--restart=Never", "--",
                "sh", "-c", "echo one; echo two; echo three")  # fmt: skip
    wait_phase(lab, "talker", "Succeeded")
    assert lab.kubectl("logs", "-l", "talks=yes", "--all-containers") == "one\ntwo\nthree\n"
    assert lab.kubectl("logs", "talker", "--tail=1") == "three\n"
    assert lab.kubectl("logs", "talker", "--limit-bytes=5") == "one\nt"
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z one\n", lab.kubectl("logs", "talker", "--timestamps"))
    lab.kubectl("delete", "pod", "talker")


def test_the_api_proxies_to_pods_and_services(lab: Lab, pod: str) -> None:
    base = "/api/v1/namespaces/default"
    assert lab.kubectl("get", "--raw", f"{base}/services/streams:web/proxy/") == "hello\n"
    assert lab.kubectl("get", "--raw", f"{base}/pods/{pod}:80/proxy/index.html") == "hello\n"


def test_kubectl_proxy(lab: Lab, pod: str) -> None:
    process = lab.start(["proxy", "--port=0"])
    try:
        assert process.stdout is not None
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", process.stdout.readline())[0])
        path = "/api/v1/namespaces/default/services/streams:web/proxy/"
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            assert answer.read() == b"hello\n"
        with urlopen(f"http://127.0.0.1:{port}/api/v1/namespaces/default", timeout=10) as answer:
            assert json.load(answer)["kind"] == "Namespace"
    finally:
        process.terminate()
        process.communicate(timeout=10)


class TestNetlab:
    """The same with netlab in kubectl's place."""

    def test_port_forward(self, lab: Lab, pod: str) -> None:
        process = lab.start_netlab("port-forward", f"pod/{pod}", ":80")
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = int(re.findall(r"127\.0\.0\.1:(\d+) -> 80", line)[0])
            with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.read() == b"hello\n"
        finally:
            process.terminate()
            process.communicate(timeout=10)

    def test_cp(self, lab: Lab, pod: str, tmp_path: Path) -> None:
        content = os.urandom(MEGABYTE)
        (tmp_path / "there").write_bytes(content)
        lab.netlab("cp", str(tmp_path / "there"), f"{pod}:/tmp/by-netlab", "-c", "web")
        lab.netlab("cp", f"{pod}:/tmp/by-netlab", str(tmp_path / "back"), "-c", "web")
        assert (tmp_path / "back").read_bytes() == content

    def test_a_hostile_archive_writes_nothing_outside_its_target(
        self, lab: Lab, pod: str, tmp_path: Path
    ) -> None:
        # a link that leads out of the target, beside a plain file
        lab.kubectl(
            "exec", pod, "-c", "web", "--",
            "sh", "-c", "mkdir -p /evil && ln -sf /tmp /evil/door && echo good > /evil/plain",
        )  # fmt: skip
        target = tmp_path / "target"
        lab.netlab("cp", f"{pod}:/evil", str(target), "-c", "web", check=False)
        assert not (target / "door").is_symlink()
        assert (target / "plain").read_text() == "good\n"

    def test_run_attached(self, lab: Lab) -> None:
        done = lab.run(
            [*lab.netlab_argv(), "run", "mine", "-i", "--rm", "--restart=Never", "--image=busybox",
             "--", "cat"],
            stdin="back again\n",
        )  # fmt: skip
        assert "back again" in done.stdout
        assert 'pod "mine" deleted' in done.stdout

    def test_top(self, lab: Lab, pod: str) -> None:
        printed = eventually(
            lambda: lab.netlab("top", "pod", pod, check=False),
            lambda text: "Mi" in text,
            what="usage of the pod",
            within_s=40,
        )
        assert re.search(rf"^{pod} +\d+m +\d+Mi", printed, re.MULTILINE)
        assert re.search(r"^node0 +\d+m +\d+% +\d+Mi +\d+%", lab.kubectl("top", "node"), re.M)
