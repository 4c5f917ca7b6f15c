"""The daemon of one lab: builds every component and owns every task.

Started by ``netlab up`` as ``python -m netlab.daemon CONFIG PIPE``. All components run in one
process on one event loop and meet only through the API server. The process stays in the host's
network namespace; what must be in the node's is opened there (``net.netns``), so the API server
listens on the host's loopback for kubectl and, in a sandboxed lab, inside the sandbox too.

Ends on SIGTERM or SIGINT, or when a component fails for good. Pods go on running: the next daemon
adopts them, and ``netlab down`` removes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from netlab.api.catalog import Catalog
from netlab.api.kinds import Kind, builtin_catalog
from netlab.api.view import Object
from netlab.apiserver.assembly import ControlPlane, assemble
from netlab.apiserver.auth.pki import NodeCredentials, Pki, ensure_pki
from netlab.apiserver.bootstrap import ensure_system_objects, keep_kubernetes_service
from netlab.apiserver.discovery.handlers import Check
from netlab.apiserver.expiry import run_event_expiry
from netlab.apiserver.identities import account_user, component_user, node_user
from netlab.apiserver.requests import SYSTEM_USER
from netlab.apiserver.streams.kubelets import Door
from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.client.kubeconfig_file import merge_context
from netlab.clock import Clock, SystemClock
from netlab.config import LabConfig, decode_config
from netlab.controllers.run import ControllerManager
from netlab.dns.addon import dns_objects
from netlab.errors import ApiError, HostError, NetlabError, is_not_found
from netlab.kubelet.server.tls import server_context
from netlab.lab.labs import config_path, host_ledger
from netlab.lab.process import lock_path, take_lock
from netlab.lab.progress import Progress
from netlab.lab.readiness import system_question, wait_for_dns
from netlab.lab.rules_tool import settle_tool, settled_tool
from netlab.memory import bound_arenas
from netlab.net.dialing import dial
from netlab.net.host import NetworkHost
from netlab.net.link_state import Wanted
from netlab.net.netns import open_socket
from netlab.node import NodeClients, NodeComponents, build_node
from netlab.nodes.machine import prepare_node
from netlab.scheduler.run import Scheduler
from netlab.store.store import Store, open_store

log = logging.getLogger("netlab.daemon")

STEP_LIMIT_S = 60
CONTROL_PLANE = ("controller-manager", "scheduler")
NODE_PARTS = ("kubelet", "kube-proxy")


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that runs beside the API server. informers: shared by all that follow objects.

    node: None where an agent runs it in a process of its own.
    """

    informers: SharedInformers
    controllers: ControllerManager
    scheduler: Scheduler
    node: NodeComponents | None

    async def synced(self) -> None:
        """Return when those that watch objects have seen all of them."""
        await self.controllers.synced.wait()
        await self.scheduler.synced.wait()
        if self.node is not None:
            await self.node.proxy.synced.wait()

    def checks(self) -> dict[str, Check]:
        """What ``/readyz`` and ``netlab status`` look at."""
        found: dict[str, Check] = {
            "controller-manager": self.controllers.synced.is_set,
            "scheduler": self.scheduler.synced.is_set,
        }
        if self.node is not None:
            found["kubelet"] = self.node.kubelet.ready.is_set
            found["kube-proxy"] = self.node.proxy.healthy
        return found


class Daemon:
    """One running lab. ``run`` starts it and returns when it was told to end."""

    def __init__(self, config: LabConfig, progress: Progress, clock: Clock) -> None:
        self._config = config
        self._progress = progress
        self._clock = clock
        self._ledger = host_ledger(config)
        self._parts: Components | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Start all components, report when they work, and run until ``stop`` is set.

        Raises: NetlabError when the lab cannot start.
        """
        config = self._config
        with self._progress.step(f"Preparing node {config.node_name} ({config.node_ip})"):
            tool = await settle_tool(self._ledger)
            pki, node_links = await asyncio.gather(
                asyncio.to_thread(ensure_pki, config.state_dir / "pki", config, self._clock.now()),
                prepare_node(config, self._ledger, tool=tool),
            )
        started_s = time.monotonic()
        async with (
            open_store(config.state_dir / "store.db", warn=self._warn) as store,
            self._serve(store, pki) as plane,
        ):
            self._progress.told(
                f"Starting the API server on 127.0.0.1:{config.api_port}", started_s
            )
            async with asyncio.TaskGroup() as group:
                running = [
                    group.create_task(self._run_components(plane, pki, node_links)),
                    group.create_task(
                        run_event_expiry(store, plane.client(SYSTEM_USER), self._clock)
                    ),
                ]
                await stop.wait()
                for task in running:
                    task.cancel()

    def _warn(self, text: str) -> None:
        log.warning("%s", text)
        self._progress.warned(text)

    @contextlib.asynccontextmanager
    async def _serve(self, store: Store, pki: Pki) -> AsyncIterator[ControlPlane]:
        """Answer API requests while the context lasts; the well-known objects exist."""
        plane = assemble(
            store,
            self._config,
            pki,
            self._clock,
            catalog=builtin_catalog(),
            door=Door(partial(dial, self._config.netns), pki.kubelet_context()),
            checks={name: partial(self._is_well, name) for name in self._watched()},
        )
        await ensure_system_objects(plane.client(SYSTEM_USER), self._config)
        async with plane.server.serve(await self._listen()):
            self._write_kubeconfig(pki)
            yield plane

    async def _listen(self) -> list[socket.socket]:
        """Open the sockets of the API server: the host's loopback, and the node's address."""
        config = self._config
        host = await open_socket(
            None,
            socket.AF_INET,
            socket.SOCK_STREAM,
            bind=("127.0.0.1", config.api_port),
            backlog=512,
        )
        where = "0.0.0.0" if config.netns is not None else str(config.node_ip)
        node = await open_socket(
            config.netns,
            socket.AF_INET,
            socket.SOCK_STREAM,
            bind=(where, config.api_port),
            backlog=512,
        )
        return [host, node]

    def _write_kubeconfig(self, pki: Pki) -> None:
        """Write a kubeconfig of the lab's own, for ``netlab status`` and scenarios."""
        ca_pem, cert_pem, key_pem = pki.admin_credentials()
        merge_context(
            self._config.state_dir / "admin.kubeconfig",
            self._config.context,
            server=f"https://127.0.0.1:{self._config.api_port}",
            ca_pem=ca_pem,
            cert_pem=cert_pem,
            key_pem=key_pem,
        )

    def _is_well(self, component: str) -> bool:
        return self._parts is not None and self._parts.checks()[component]()

    def _watched(self) -> tuple[str, ...]:
        return CONTROL_PLANE if self._config.no_node else (*CONTROL_PLANE, *NODE_PARTS)

    async def _run_components(self, plane: ControlPlane, pki: Pki, node_links: Wanted) -> None:
        started_s = time.monotonic()
        credentials = await asyncio.to_thread(self._node_credentials, pki)
        parts = self._build(plane, pki, node_links, credentials)
        self._parts = parts
        async with asyncio.TaskGroup() as group:
            apiserver = plane.client(SYSTEM_USER)
            group.create_task(keep_kubernetes_service(apiserver, self._config, self._clock))
            group.create_task(parts.informers.run())
            group.create_task(parts.controllers.run())
            group.create_task(parts.scheduler.run())
            if parts.node is not None:
                group.create_task(parts.node.run(self._clock))
            await _ensure_objects(apiserver, plane.registry.catalog, self._config)
            await self._wait_until_ready(parts, started_s)
            self._progress.ready()

    def _node_credentials(self, pki: Pki) -> NodeCredentials:
        """Have what node 0's agent needs, in this process or out of it. Blocking."""
        config, now = self._config, self._clock.now()
        found = pki.node_credentials(config.node_name, config.node_ip, now)
        if config.no_node:
            folder = pki.directory / "nodes" / config.node_name
            pki.write_node_kubeconfig(
                folder / "kubeconfig", config.node_name, f"https://127.0.0.1:{config.api_port}", now
            )
        return found

    def _build(
        self, plane: ControlPlane, pki: Pki, node_links: Wanted, credentials: NodeCredentials
    ) -> Components:
        """Make all components; none of them runs yet."""
        config, clock = self._config, self._clock
        informers = SharedInformers.recording(
            plane.client(component_user("netlab-informers")), clock, component="netlab"
        )
        controllers = ControllerManager(
            plane.client(component_user("kube-controller-manager")),
            informers,
            clock,
            ca_pem=pki.ca_pem.decode(),
            cluster_cidr=config.pod_cidr,
            catalog=plane.registry.catalog,
        )
        scheduler = Scheduler(plane.client(component_user("kube-scheduler")), informers, clock)
        if config.no_node:
            return Components(informers, controllers, scheduler, None)
        host = NetworkHost(
            config.netns, record=self._record_sysctl, tool=settled_tool(self._ledger) or "iptables"
        )
        host.links.want("node", lambda: node_links)
        clients = NodeClients(
            kubelet=plane.client(node_user(config.node_name)),
            provisioner=plane.client(account_user("kube-system", "local-path-provisioner")),
            reviewer=_Reviews(plane),
            kubelet_informers=informers,
            proxy_informers=informers,
            provisioner_informers=informers,
        )
        pair = pki.directory / "nodes" / config.node_name / "kubelet"
        tls = server_context(Path(f"{pair}.crt"), Path(f"{pair}.key"), credentials.ca_pem)
        node = build_node(config.node(), clients, host, tls, clock)
        return Components(informers, controllers, scheduler, node)

    async def _wait_until_ready(self, parts: Components, started_s: float) -> None:
        """Tell each step when it is done.

        Raises: HostError naming the step that was not done in time.
        """
        config = self._config
        question = system_question(config)
        node = parts.node
        steps: list[tuple[str, Callable[[], Awaitable[object]]]]
        if node is None:
            steps = [("Starting controllers and scheduler", parts.synced)]
        else:
            steps = [
                ("Starting controllers, scheduler and kube-proxy", parts.synced),
                (f"Waiting until node {config.node_name} is ready", node.kubelet.ready.wait),
                (
                    f"Waiting until DNS answers on {config.dns_service_ip}",
                    lambda: wait_for_dns(
                        config.netns, config.dns_service_ip, question, self._clock
                    ),
                ),
            ]
        for text, done in steps:
            try:
                async with asyncio.timeout(STEP_LIMIT_S):
                    await done()
            except TimeoutError as error:
                raise HostError(f"not done within {STEP_LIMIT_S} s: {text}") from error
            self._progress.told(text, started_s)

    def _record_sysctl(self, name: str, before: str) -> None:
        self._ledger.record("sysctl", name, before)


class _Reviews:
    """The API server's word on who may, for the kubelet in the same process."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def create(self, kind: Kind[Any], namespace: str | None, obj: Object, /) -> Object:
        """Answer a review. Raises: ApiError."""
        return await self._plane.server.review(kind, obj, SYSTEM_USER)


async def _ensure_objects(client: Client, catalog: Catalog, config: LabConfig) -> None:
    """Create the DNS server's objects where they do not exist."""
    for obj in dns_objects(config):
        kind = catalog.by_kind(obj["apiVersion"], obj["kind"])
        if kind is None:
            raise HostError(f"{obj['kind']} of {obj['apiVersion']} is not served")
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        try:
            await client.get(kind, namespace, name)
        except ApiError as error:
            if not is_not_found(error):
                raise
            await client.create(kind, namespace, obj)


async def _main(config: LabConfig, progress: Progress) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Daemon(config, progress, SystemClock()).run(stop)


def _reason(error: BaseException) -> str:
    """Return the first plain reason inside a group of exceptions."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, NetlabError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def main() -> None:
    """Run the daemon of the lab whose settings are in the file named by the first argument."""
    bound_arenas()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # whatever the caller's is: containers must read what is made for them, nobody else may write
    os.umask(0o022)
    progress = Progress(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    try:
        config = decode_config(Path(sys.argv[1]).read_bytes())
        take_lock(config)
        if not config_path(config.name).exists():
            lock_path(config.name).unlink(missing_ok=True)
            raise HostError(f"lab {config.name} was removed while it was starting")
        os.chdir("/")
        uvloop.run(_main(config, progress))
    except BaseException as error:
        if not isinstance(error, SystemExit):
            log.exception("the daemon ends")
        progress.failed(_reason(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
