"""A whole API server on loopback: real store, registry, TLS; a fake node."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from netlab.api.kinds import NODE, POD, SERVICE_ACCOUNT
from netlab.api.streams import STDERR, STDOUT, ByteStream
from netlab.apiserver.assembly import assemble
from netlab.apiserver.auth.pki import ensure_pki
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.requests import SYSTEM_USER
from netlab.apiserver.streams.kubelets import Door
from netlab.client.https import Endpoint
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.kubelet.server.auth import Gatekeeper
from netlab.kubelet.server.serving import KubeletServer
from netlab.kubelet.server.tls import server_context
from netlab.store.store import open_store


class FakeProcess:
    """Echoes its input on stdout, upper-cased on stderr; ends with the number in its argv."""

    def __init__(self, argv, stdin):
        self.argv, self.closed, self.sizes = argv, False, []
        self._output = asyncio.Queue()
        self._output.put_nowait((STDOUT, " ".join(argv).encode() + b"\n"))
        if not stdin:
            self._output.put_nowait(None)

    async def read(self):
        return await self._output.get()

    async def write_stdin(self, data):
        self._output.put_nowait((STDOUT, data))
        self._output.put_nowait((STDERR, data.upper()))

    async def close_stdin(self):
        self._output.put_nowait(None)

    async def resize(self, columns, rows):
        self.sizes.append((columns, rows))

    async def wait(self):
        last = self.argv[-1]
        return int(last) if last.isdigit() else 0

    async def close(self):
        self.closed = True
        self._output.put_nowait(None)


class FakeNode:
    """A NodeConnection."""

    def __init__(self):
        self.asked, self.processes, self.figures = [], [], None

    async def logs(self, namespace, pod, container, options):
        self.asked.append((namespace, pod, container, options))
        if options.previous:
            raise ApiError(
                400, "BadRequest", f'previous terminated container "{container}" not found'
            )
        yield b"one\n"
        yield b"two\n"

    async def exec(self, namespace, pod, container, argv, *, stdin, tty):
        self.asked.append((namespace, pod, container, tuple(argv), stdin, tty))
        if argv[0] == "missing":
            raise ApiError(500, "InternalError", "exec missing: no such file or directory")
        process = FakeProcess(argv, stdin)
        self.processes.append(process)
        return process

    async def attach(self, namespace, pod, container, *, stdin, tty):
        self.asked.append((namespace, pod, container, stdin, tty))
        process = FakeProcess(["attached", "7"], stdin)
        self.processes.append(process)
        return process

    async def dial_pod(self, namespace, pod, port, *, uid):
        self.asked.append((namespace, pod, port))
        try:
            return await dial_loopback("127.0.0.1", port)
        except OSError as error:
            raise ApiError(500, "InternalError", f"error forwarding port {port}") from error

    async def usage(self):
        return self.figures


async def dial_loopback(address, port):
    """Connect to loopback, whatever the address."""
    return ByteStream(*await asyncio.open_connection("127.0.0.1", port))


class FakeDesk:
    """What a kubelet's server knows besides."""

    def __init__(self, node, client, logs_root):
        self.client = client
        self.connection, self.logs_root, self.is_healthy = node, logs_root, True
        self.told_reading = (None, {})

    def configuration(self):
        return {"kind": "KubeletConfiguration", "port": 10250}

    async def pods(self):
        listed = await self.client.list(POD, None, field_selector="spec.nodeName=node0")
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": listed.items}

    async def running_pods(self):
        return await self.pods()

    def uids(self):
        return {("default", "web"): "uid-web"}

    def reading(self):
        return self.told_reading

    def sandboxes(self):
        return 3

    def probe_counts(self):
        return {("c", "default", "web", "Liveness", "failed"): 2}

    def healthy(self):
        return self.is_healthy


class Reviews:
    """The API server's word, for a kubelet in the same process."""

    def __init__(self, plane):
        self._plane = plane

    async def create(self, kind, namespace, obj, /):
        return await self._plane.server.review(kind, obj, SYSTEM_USER)


class ApiLab:
    """The server and ways to talk to it."""

    def __init__(self, plane, pki, port, node):
        self.plane, self.pki, self.port, self.node = plane, pki, port, node
        self.url = f"https://127.0.0.1:{port}"
        ca, cert, key = pki.admin_credentials()
        self.admin = Endpoint(url=self.url, ca_pem=ca, cert_pem=cert, key_pem=key)
        self.nobody = Endpoint(url=self.url, ca_pem=ca)
        self.local = plane.client(SYSTEM_USER)

    def kubeconfig(self):
        """The admin's kubeconfig, as JSON (which is YAML)."""
        ca, cert, key = (base64.b64encode(pem).decode() for pem in self.pki.admin_credentials())
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "netlab",
                "clusters": [
                    {
                        "name": "netlab",
                        "cluster": {"server": self.url, "certificate-authority-data": ca},
                    }
                ],
                "users": [
                    {
                        "name": "admin",
                        "user": {"client-certificate-data": cert, "client-key-data": key},
                    }
                ],
                "contexts": [{"name": "netlab", "context": {"cluster": "netlab", "user": "admin"}}],
            }
        )

    def bearer(self, token):
        return Endpoint(url=self.url, ca_pem=self.pki.ca_pem, token=token)

    @asynccontextmanager
    async def session(self, endpoint=None) -> AsyncIterator[aiohttp.ClientSession]:
        context = (endpoint or self.admin).context()
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(self.url, connector=connector) as session:
            yield session

    async def make_pod(self, name, *containers, node="node0"):
        spec = {"containers": [{"name": c, "image": "busybox"} for c in containers or ("c",)]}
        if node:
            spec["nodeName"] = node
        return await self.local.create(POD, "default", {"metadata": {"name": name}, "spec": spec})


@asynccontextmanager
async def api_lab(folder: Path) -> AsyncIterator[ApiLab]:
    """Run an API server on a free port of loopback, with its store and keys in ``folder``."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    port = sock.getsockname()[1]
    kubelet = socket.socket()
    kubelet.bind(("127.0.0.1", 0))
    kubelet.listen()
    config, clock, node = LabConfig(api_port=port), SystemClock(), FakeNode()
    pki = ensure_pki(folder / "pki", config, clock.now())
    async with open_store(folder / "store.db") as store:
        door = Door(dial_loopback, pki.kubelet_context())
        plane = assemble(store, config, pki, clock, door=door)
        lab = ApiLab(plane, pki, port, node)
        await ensure_system_objects(lab.local, config)
        await lab.local.create(SERVICE_ACCOUNT, "default", {"metadata": {"name": "default"}})
        await lab.local.create(NODE, None, node_object(kubelet.getsockname()[1]))
        credentials = pki.node_credentials("node0", config.node_ip, clock.now())
        own = pki.directory / "nodes" / "node0"
        tls = server_context(own / "kubelet.crt", own / "kubelet.key", credentials.ca_pem)
        lab.desk = FakeDesk(node, lab.local, folder)
        gatekeeper = Gatekeeper(Reviews(plane), clock)
        server = KubeletServer("node0", lab.desk, gatekeeper, clock)
        lab.kubelet_server, lab.pki_address = server, config.node_ip
        lab.kubelet_url = f"https://127.0.0.1:{kubelet.getsockname()[1]}"
        async with plane.server.serve([sock]), server.serve(kubelet, tls):
            yield lab


def node_object(port):
    """A Node whose kubelet listens on that port."""
    return {
        "metadata": {"name": "node0"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.100.199.200"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }
