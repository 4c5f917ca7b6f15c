"""Real kubectls, old and new, and the Python client against the server's streams.

Processes run on this machine instead of in a container: what is looked at is the way from the
client to the node and back. Connections into a pod's own namespace are made for real.
"""

import asyncio
import hashlib
import os
import random
import re
import socket
import sys
import uuid

import pytest

from netlab.api.kinds import POD
from netlab.api.streams import STDERR, STDOUT
from netlab.command import run
from netlab.net.dialing import dial_localhost
from netlab.net.netns import create_netns, open_socket, remove_netns
from tests.support.api import FakeNode, api_lab
from tests.support.client_tools import VERSIONS, kubectl_path

pytestmark = pytest.mark.system

TIMEOUT_S = 20.0
BLOB = random.Random(1).randbytes(8 << 20)
DIGEST = hashlib.sha256(BLOB).hexdigest()


class LocalProcess:
    """A process on this machine that looks like one in a container."""

    def __init__(self, process):
        self._process = process
        self._output, self._open = asyncio.Queue(16), 2
        self._pumps = [
            asyncio.ensure_future(self._pump(channel, pipe))
            for channel, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr))
        ]

    async def _pump(self, channel, pipe):
        while data := await pipe.read(65536):
            await self._output.put((channel, data))
        await self._output.put(None)

    async def read(self):
        while self._open:
            piece = await self._output.get()
            if piece is not None:
                return piece
            self._open -= 1
        return None

    async def write_stdin(self, data):
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close_stdin(self):
        self._process.stdin.close()

    async def resize(self, columns, rows):
        pass

    async def wait(self):
        return await self._process.wait()

    async def close(self):
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class LocalNode(FakeNode):
    """Runs commands here; every pod listens on loopback."""

    async def exec(self, namespace, pod, container, argv, *, stdin, tty):
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=pipe if stdin else None, stdout=pipe, stderr=pipe
        )
        self.processes.append(LocalProcess(process))
        return self.processes[-1]


@pytest.fixture
async def lab(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.support.api.FakeNode", LocalNode)
    async with api_lab(tmp_path) as running:
        (tmp_path / "kubeconfig").write_text(running.kubeconfig())
        running.environment = {**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")}
        running.environment["HOME"] = str(tmp_path)
        pod = await running.make_pod("p")
        running_state = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
        pod["status"] = {"phase": "Running", "podIP": "10.244.0.5", **running_state}
        await running.local.update(POD, "default", pod, subresource="status")
        yield running


@pytest.fixture(params=VERSIONS)
def kubectl(request, lab):
    """Calls one kubectl; returns what it printed and its code."""
    program = str(kubectl_path(request.param))

    def call(*words, stdin=None):
        return run(
            [program, *words],
            stdin=stdin,
            env=lab.environment,
            timeout_s=TIMEOUT_S,
            check=False,
        )

    call.binary = program
    return call


async def test_exec(kubectl):
    done = await kubectl("exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.code) == (b"out\n", 3)
    assert done.stderr.startswith(b"err\n")


async def test_input_ends_and_comes_back_whole(kubectl):
    done = await kubectl("exec", "-i", "p", "--", "sha256sum", stdin=BLOB)
    assert done.stdout.split()[0].decode() == DIGEST
    done = await kubectl("exec", "-i", "p", "--", "cat", stdin=BLOB)
    assert hashlib.sha256(done.stdout).hexdigest() == DIGEST


async def test_copy_both_ways(kubectl, tmp_path):
    (tmp_path / "blob").write_bytes(BLOB)
    inside, back = tmp_path / "inside", tmp_path / "back"
    up = await kubectl("cp", str(tmp_path / "blob"), f"p:{inside}")
    assert (up.code, inside.read_bytes() == BLOB) == (0, True), up.stderr
    down = await kubectl("cp", f"p:{inside}", str(back))
    assert (down.code, back.read_bytes() == BLOB) == (0, True), down.stderr


async def _digest_server(reader, writer):
    """Answers the digest of what it got, only once the caller has sent all."""
    digest = hashlib.sha256(await reader.read())
    writer.write(digest.hexdigest().encode())
    writer.close()


async def _ask(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_port_forward(kubectl, lab):
    async with await asyncio.start_server(_digest_server, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            kubectl.binary, "port-forward", "pod/p", f":{target}", "--address=127.0.0.1",
            env=lab.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(TIMEOUT_S):
                told = (await process.stdout.readline()).decode()
                port = int(re.search(r":(\d+) ->", told)[1])
                pieces = [BLOB[: 1000 * number] for number in range(20)] + [BLOB]
                answers = await asyncio.gather(*(_ask(port, piece) for piece in pieces))
        finally:
            process.terminate()
            await process.communicate()
    assert [answer.decode() for answer in answers] == [
        hashlib.sha256(piece).hexdigest() for piece in pieces
    ]


PYTHON_CLIENT = """
import sys
from kubernetes import client, config
from kubernetes.stream import portforward, stream
config.load_kube_config()
api = client.CoreV1Api()
command = ["sh", "-c", "read line; echo got $line; exit 4"]
shell = stream(
    api.connect_get_namespaced_pod_exec, "p", "default", command=command,
    stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
)
shell.write_stdin("abc\\n")
shell.run_forever(timeout=10)
print(shell.read_stdout().strip(), shell.returncode)
forward = portforward(
    api.connect_get_namespaced_pod_portforward, "p", "default", ports=sys.argv[1] + ",1"
)
connection = forward.socket(int(sys.argv[1]))
connection.settimeout(10)
connection.sendall(b"hello")
print(connection.recv(100).decode())
"""


async def test_the_python_client(lab):
    async def shout(reader, writer):
        writer.write((await reader.read(100)).upper())
        writer.close()

    async with await asyncio.start_server(shout, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        done = await run(
            [sys.executable, "-W", "ignore", "-c", PYTHON_CLIENT, str(port)],
            env=lab.environment,
            timeout_s=TIMEOUT_S,
            check=False,
        )
    assert done.stdout.decode().splitlines() == ["got abc 4", "HELLO"], done.stderr


async def test_localhost_of_a_network_namespace():
    name = f"streams-{uuid.uuid4().hex[:8]}"
    netns = await create_netns(name)
    try:
        await run(["ip", "link", "set", "lo", "up"], netns=netns, timeout_s=5)
        listener = await open_socket(
            netns, socket.AF_INET, socket.SOCK_STREAM, bind=("127.0.0.1", 8080), backlog=1
        )
        stream = await dial_localhost(netns, 8080)
        stream.writer.close()
        listener.close()
        with pytest.raises(OSError, match="connect: connection refused IPv6"):
            await dial_localhost(netns, 81)
    finally:
        await remove_netns(name)
