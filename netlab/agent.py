"""One node as a process of its own: kubelet, proxy and pod network over HTTPS.

Started by ``netlab agent --kubeconfig FILE --node-name NAME``; stands where the kubelet and
kube-proxy of a Kubernetes node stand. What the node is (addresses, folders, namespace) stands in
the config of the lab, or in a file. The kubeconfig may hold a user for each part, in contexts
called ``kubelet``, ``kube-proxy`` and ``local-path-provisioner``; a part without one uses the
current context.

At its start the agent introduces itself to the API server. What no waiting mends (an authority that
is not the server's, a certificate that is refused, a name that a living node has) ends it with one
line; a server that is away, or in need, is waited for, ever more rarely. Later on every part waits
by itself, and nothing that runs is touched meanwhile. On SIGTERM, and after a crash, pods run on:
the next agent of the node adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop
from cryptography import x509

from netlab.api.core import Node
from netlab.api.discovery import Lease
from netlab.api.kinds import LEASE, NODE
from netlab.client.delays import Backoff
from netlab.client.https import Endpoint, HttpsClient
from netlab.client.informers import SharedInformers
from netlab.client.kubeconfig import load_config, resolve
from netlab.clock import Clock, SystemClock
from netlab.config import NodeConfig
from netlab.errors import ApiError, HostError, UsageError, is_not_found
from netlab.kubelet.node.objects import LEASE_DURATION_S, LEASE_NAMESPACE
from netlab.kubelet.server.tls import ensure_self_signed, server_context
from netlab.lab.process import agent_lock
from netlab.net.host import NetworkHost
from netlab.net.sysctl import SysctlRecorder
from netlab.node import NodeClients, NodeComponents, build_node

log = logging.getLogger("netlab.agent")

PARTS = ("kubelet", "kube-proxy", "local-path-provisioner")
ANSWER_TIMEOUT_S = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What an agent is told. cert_dir: of ``kubelet.crt`` and ``kubelet.key``; made there if none
    are there. record: told what kernel parameters were before; None for nobody. tool: the iptables
    that writes the rules.
    """

    config: NodeConfig
    kubeconfig: str
    cert_dir: Path
    record: SysctlRecorder | None = None
    tool: str = "iptables"


def run_agent(options: AgentOptions, say: Say) -> None:
    """Run the node until SIGTERM or SIGINT.

    Raises: NetlabError when it cannot run at all; str(error) is one line.
    """
    with _lock(options.config):
        try:
            uvloop.run(_run(options, say))
        except BaseExceptionGroup as group:
            raise _first(group) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextlib.contextmanager
def _lock(config: NodeConfig) -> Iterator[None]:
    """Let no second agent of the node run on this machine; the lock goes with the process."""
    path = agent_lock(config.run_dir, config.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
            message = f"node {config.name}: an agent of it runs already (process {pid})"
            raise HostError(message) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


async def _run(options: AgentOptions, say: Say) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    config, clock = options.config, SystemClock()
    endpoints = {part: endpoint_of(options.kubeconfig, part) for part in PARTS}
    for endpoint in endpoints.values():
        check_certificate(endpoint, clock.now())
    made = await asyncio.to_thread(
        ensure_self_signed, options.cert_dir, config.name, config.ip, clock.now()
    )
    if made:
        say(
            f"{options.cert_dir}/kubelet.crt is signed by itself: an API server that checks "
            "kubelets' certificates cannot reach this one"
        )
    tls = server_context(
        options.cert_dir / "kubelet.crt", options.cert_dir / "kubelet.key",
        endpoints["kubelet"].ca_pem,
    )  # fmt: skip
    introducing = asyncio.create_task(introduce(endpoints["kubelet"], config, clock, say))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({introducing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        introducing.cancel()
        return
    await introducing
    async with _node(options, endpoints, tls, clock) as node, asyncio.TaskGroup() as group:
        running = group.create_task(node.run(clock))
        telling = group.create_task(_tell_ready(node, config, say))
        await stop.wait()
        telling.cancel()
        running.cancel()


async def _tell_ready(node: NodeComponents, config: NodeConfig, say: Say) -> None:
    await node.kubelet.ready.wait()
    say(f"Node {config.name} is ready.")


@contextlib.asynccontextmanager
async def _node(
    options: AgentOptions, endpoints: dict[str, Endpoint], tls: ssl.SSLContext, clock: Clock
) -> AsyncIterator[NodeComponents]:
    """Make the node's parts; their informers run while the context lasts."""
    host = NetworkHost(options.config.netns_path, record=options.record, tool=options.tool)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(host.close)
        clients: dict[Endpoint, HttpsClient] = {}
        informers: dict[Endpoint, SharedInformers] = {}
        tasks = await stack.enter_async_context(_cancelled_at_end())
        for endpoint in dict.fromkeys(endpoints.values()):
            client = await stack.enter_async_context(HttpsClient(endpoint, clock=clock))
            shared = SharedInformers.recording(client, clock, component="netlab-agent")
            clients[endpoint], informers[endpoint] = client, shared
            tasks.create_task(shared.run())
        kubelet, proxy, provisioner = (endpoints[part] for part in PARTS)
        parts = NodeClients(
            kubelet=clients[kubelet],
            provisioner=clients[provisioner],
            reviewer=clients[kubelet],
            kubelet_informers=informers[kubelet],
            proxy_informers=informers[proxy],
            provisioner_informers=informers[provisioner],
        )
        yield build_node(options.config, parts, host, tls, clock)


@contextlib.asynccontextmanager
async def _cancelled_at_end() -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        finally:
            for task in list(tasks._tasks):
                task.cancel()


def endpoint_of(kubeconfig: str, part: str) -> Endpoint:
    """Return how a part of the node reaches the API server: by the context of its name, else the
    current one.

    Raises: UsageError when the file cannot be read, or says too little.
    """
    named = part if part in load_config(kubeconfig)["contexts"] else ""
    access = resolve({"kubeconfig": kubeconfig, "context": named})
    if not access.server.startswith("https://"):
        raise UsageError(f"{kubeconfig}: no cluster with an https:// server is named")
    if access.ca is None:
        raise UsageError(f"{kubeconfig}: certificate-authority-data is missing")
    scheme, _, token = access.headers.get("Authorization", "").partition(" ")
    if not access.cert and scheme != "Bearer":
        raise UsageError(f"{kubeconfig}: neither a client certificate nor a token is given")
    endpoint = Endpoint(
        url=access.server.rstrip("/"),
        ca_pem=access.ca,
        cert_pem=access.cert or b"",
        key_pem=access.key or b"",
        token=token if scheme == "Bearer" else "",
    )
    try:
        endpoint.context()
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(f"{kubeconfig}: certificates cannot be used: {error}") from error
    return endpoint


def check_certificate(endpoint: Endpoint, now: datetime) -> None:
    """Do nothing for a client certificate that is good now.

    Raises: UsageError when it has ended, or has not begun.
    """
    if not endpoint.cert_pem:
        return
    certificate = x509.load_pem_x509_certificate(endpoint.cert_pem)
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if now > ends:
        raise UsageError(
            f"the client certificate has expired at {ends:%Y-%m-%dT%H:%M:%SZ}; get a new kubeconfig"
        )
    if now < begins:
        raise UsageError(
            f"the client certificate is valid from {begins:%Y-%m-%dT%H:%M:%SZ} only; "
            "is the clock right?"
        )


async def introduce(endpoint: Endpoint, config: NodeConfig, clock: Clock, say: Say) -> None:
    """Return when the API server takes this agent for the node; wait for a server that is away.

    Raises: HostError for what no waiting mends.
    """
    backoff, told = Backoff(clock), ""
    while True:
        try:
            # not wait_for, which may lose a cancellation that comes with the answer
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await _check_trust(endpoint)
            async with HttpsClient(endpoint, clock=clock) as client:
                await _check_name(client, config, clock)
            return
        except ssl.SSLError as error:
            raise HostError(tls_reason(endpoint.url, error)) from error
        except ApiError as error:
            if error.code in (401, 403):
                raise HostError(f"{endpoint.url} does not let this agent in: {error}") from error
            problem: Exception = error
        except (OSError, TimeoutError) as error:
            problem = error
        text = str(problem) or type(problem).__name__
        if not text.startswith(endpoint.url):
            text = f"{endpoint.url}: {text}"
        if text != told:
            told = text
            say(f"waiting for the API server: {text}")
        await clock.sleep(backoff.next_s(problem))


async def _check_trust(endpoint: Endpoint) -> None:
    """Do nothing when server and agent trust each other.

    Raises: ssl.SSLError, HostError when one does not; OSError.
    """
    if await _is_answered(endpoint):
        return
    # a server that refuses a certificate may say so only by ending the connection
    if endpoint.cert_pem and await _is_answered(replace(endpoint, cert_pem=b"", key_pem=b"")):
        raise HostError(refused_reason(endpoint.url, "it ends the connection"))
    raise ConnectionResetError("the server ends the connection without an answer")


async def _is_answered(endpoint: Endpoint) -> bool:
    """Open a TLS connection and return whether one request is answered: a client certificate that
    is refused is told of only after the handshake.

    Raises: ssl.SSLError when either side does not trust the other; OSError.
    """
    host, _, port = endpoint.url.removeprefix("https://").partition("/")[0].rpartition(":")
    if not host:
        host, port = port, "443"
    host = host.strip("[]")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=endpoint.context(), server_hostname=host
    )
    try:
        writer.write(f"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return bool(await reader.readline())
    except ConnectionError:
        return False
    finally:
        writer.close()


def tls_reason(url: str, error: ssl.SSLError) -> str:
    """Return what is wrong when two sides do not trust each other, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{url}: its certificate is not of the authority in the kubeconfig "
            f"({error.verify_message}); is this the kubeconfig of another cluster?"
        )
    return refused_reason(url, error.reason or str(error))


def refused_reason(url: str, why: str) -> str:
    """Return what is wrong when the server does not trust the agent, and what to do."""
    return (
        f"{url} refuses the client certificate of the kubeconfig ({why}); "
        "is it one of this cluster, and still valid?"
    )


async def _check_name(client: HttpsClient, config: NodeConfig, clock: Clock) -> None:
    """Do nothing unless a living node elsewhere has the name.

    Raises: HostError when it has; ApiError.
    """
    try:
        node = Node.parse(await client.get(NODE, None, config.name))
        lease = Lease.parse(await client.get(LEASE, LEASE_NAMESPACE, config.name))
    except ApiError as error:
        if is_not_found(error):
            return
        raise
    except msgspec.ValidationError:
        return  # whoever wrote that is no living agent
    address = next((a.address for a in node.status.addresses if a.type == "InternalIP"), "")
    renewed = lease.spec.renew_time
    if not address or address == str(config.ip) or renewed is None:
        return
    age_s = (clock.now() - renewed.astimezone(UTC)).total_seconds()
    if age_s < LEASE_DURATION_S:
        raise HostError(
            f"node name {config.name} is taken: the node at {address} renewed its lease "
            f"{max(0.0, age_s):.0f} s ago; choose another --node-name"
        )
