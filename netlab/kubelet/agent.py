"""The node agent: one worker per pod bound to the node, and the loops that wake them.

Mirrors ``pkg/kubelet/kubelet.go`` ``syncLoop``. What wakes a worker: a change of its pod, the end
of a process (``exits()`` of the runtime), a periodic listing that finds something else than the
worker saw, a look at its network, the time to refresh its volumes, and its own alarms.

The agent adopts what an earlier one left: pods whose containers run are not touched; sandboxes,
namespaces and folders of pods that no longer exist are removed.

Rules for callers: ``run()`` is one task that ends only when cancelled, and then leaves containers
running; ``stop_all()`` ends them, and is called after ``run()`` was cancelled. All access to the
API goes through ``client``, so the agent works in a process of its own with ``HttpsClient``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping

from netlab.api.kinds import NODE, POD, SERVICE
from netlab.api.pods import Pod
from netlab.api.streams import NodeConnection
from netlab.client.events import EventRecorder
from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.config import NodeConfig
from netlab.errors import HostError, NetlabError, NetworkError
from netlab.kubelet.admission import refuse
from netlab.kubelet.folders import NodeFolders
from netlab.kubelet.images.gc import run_image_gc
from netlab.kubelet.inventory import Inventory, Snapshot
from netlab.kubelet.node.etc import NodeEtc, watch_resolv_conf
from netlab.kubelet.node.heartbeat import NodeHeartbeat
from netlab.kubelet.node.usage import NodeUsageMeter
from netlab.kubelet.node_parts import WARNING, NetnsTable, NodeParts, PodNetwork
from netlab.kubelet.planning.plan import TERMINAL_PHASES
from netlab.kubelet.planning.steps import PodFailure
from netlab.kubelet.sandbox import own_netns, remove_network, remove_sandbox
from netlab.kubelet.server.auth import Gatekeeper, Reviewer
from netlab.kubelet.server.desk import AgentDesk
from netlab.kubelet.server.serving import KubeletServer
from netlab.kubelet.streams.connection import KubeletConnection
from netlab.kubelet.streams.log_rotation import run_log_rotation
from netlab.kubelet.volumes.place import ensure_place
from netlab.kubelet.volumes.watch import MountedObjects
from netlab.kubelet.worker import FAILED_SYNC, PodWorker, sync_error
from netlab.net.netns import open_socket
from netlab.runtime.cri import ContainerRuntime, PodIdentity

log = logging.getLogger(__name__)

RELIST_S = 5.0
NETWORK_CHECK_S = 2.0
NETWORK_CHECKS_PER_S = 20
"""How many pods' networks are looked at per second at most: one look costs a millisecond."""

VOLUME_REFRESH_S = 60.0
SIZE_CHECK_S = 10.0
"""How often emptyDirs with a limit are measured (the kubelet's eviction manager's period)."""

RETRY_S = 0.5
BACKLOG = 128
STARTS_PER_PROCESSOR = 4
"""Sandboxes and containers made at the same time: their work is done by other processes, more of
which than this only wait for a processor."""


class Kubelet:
    """The agent of one node.

    informers: those of the process; somebody else runs them. network: the node's pod network; its
    ``setup`` is called here. netns: creates and removes named network namespaces (``net.netns``).
    labels: added to the Node's own. tls: with which the kubelet's server listens at the node's
    address, asking ``reviewer`` who may; None leaves the server out.

    ``ready`` is set as long as the node is Ready; ``connection`` serves logs and exec.
    """

    def __init__(
        self,
        *,
        client: Client,
        informers: SharedInformers,
        runtime: ContainerRuntime,
        network: PodNetwork,
        netns: NetnsTable,
        clock: Clock,
        config: NodeConfig,
        labels: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        reviewer: Reviewer | None = None,
    ) -> None:
        node_name = config.name
        events = EventRecorder(client, clock, component="kubelet", host=node_name)
        self._parts = NodeParts(
            client=client,
            runtime=runtime,
            network=network,
            netns=netns,
            clock=clock,
            config=config,
            events=events,
            services=informers.of(SERVICE),
            folders=NodeFolders.of(config),
            inventory=Inventory(runtime),
            etc=NodeEtc(config.resolv_conf, config.hosts_file, sandbox=config.sandbox),
            mounted=MountedObjects(informers, self._mounted_changed),
        )
        self._pods = informers.of(POD, field_selector=f"spec.nodeName={node_name}")
        self._heartbeat = NodeHeartbeat(
            self._parts,
            informers.of(NODE, field_selector=f"metadata.name={node_name}"),
            labels=labels or {},
        )
        self._slots = asyncio.Semaphore(STARTS_PER_PROCESSOR * (os.cpu_count() or 1))
        self._workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._usage = NodeUsageMeter(runtime, self._parts.inventory, clock)
        self.connection: NodeConnection = KubeletConnection(
            self._parts, self._find_worker, self._usage.usage
        )

        self._relisted_s = clock.monotonic_s()
        self._tls = tls
        desk = AgentDesk(
            self._parts, self.connection, self._pods, self._usage, lambda: self._relisted_s
        )
        gatekeeper = Gatekeeper(reviewer or client, clock)
        self._server = KubeletServer(node_name, desk, gatekeeper, clock)

    @property
    def ready(self) -> asyncio.Event:
        """Set as long as the API server has the node as Ready."""
        return self._heartbeat.ready

    async def run(self) -> None:
        """Run the node until cancelled.

        Raises: HostError when its port is taken.
        """
        async with self._serving(), asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._parts.events.run())
            tasks.create_task(self._heartbeat.run())
            await asyncio.to_thread(ensure_place, self._parts.folders.in_memory)
            await self._set_up_network()
            await self._heartbeat.known.wait()
            await self._pods.synced.wait()
            await self._parts.services.synced.wait()
            snapshot = await self._first_listing()
            self._pods.on_change(self._pod_changed)
            await self._adopt(snapshot)
            self._heartbeat.set_problems()
            parts = self._parts
            tasks.create_task(watch_resolv_conf(parts.etc, parts.clock, self._heartbeat.warn))
            tasks.create_task(self._watch_exits())
            tasks.create_task(self._relist_regularly())
            tasks.create_task(
                run_log_rotation(self._parts.runtime, self._parts.inventory, self._parts.clock)
            )
            tasks.create_task(self._check_networks())
            tasks.create_task(self._refresh_volumes())
            tasks.create_task(self._check_volume_sizes())
            tasks.create_task(self._usage.run())
            tasks.create_task(run_image_gc(self._parts, node=lambda: self._heartbeat.node))

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Listen at the node's address while the context lasts."""
        if self._tls is None:
            yield
            return
        config = self._parts.config
        where = (str(config.ip), config.kubelet_port)
        try:
            sock = await open_socket(
                config.netns_path, socket.AF_INET, socket.SOCK_STREAM, bind=where, backlog=BACKLOG
            )
        except NetworkError as error:
            raise HostError(
                f"node {config.name}: {where[0]} port {where[1]}: {error}; is another agent of "
                "this node running?"
            ) from error
        async with self._server.serve(sock, self._tls):
            yield

    async def _set_up_network(self) -> None:
        pod_cidr = await self._heartbeat.pod_cidr()
        while True:
            try:
                await self._parts.network.setup(pod_cidr)
                return
            except NetlabError as error:
                log.warning("set up pod network: %s", error)
                self._heartbeat.set_problems(
                    "container runtime network not ready: NetworkReady=false "
                    f"reason:NetworkPluginNotReady message:{error}"
                )
            await self._parts.clock.sleep(RETRY_S)

    async def _first_listing(self) -> Snapshot:
        while True:
            try:
                return await self._parts.inventory.refresh()
            except NetlabError as error:
                log.warning("list containers: %s", error)
                self._heartbeat.set_problems(f"container runtime is down: {error}")
            await self._parts.clock.sleep(RETRY_S)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Give the pod's worker its new state; a pod that cannot be digested costs only itself."""
        try:
            self._take_change(old, new)
        except Exception as error:
            pod = new if new is not None else old
            if pod is None:
                return
            log.exception("pod %s/%s", pod.metadata.namespace, pod.metadata.name)
            self._parts.events.record(POD, pod, WARNING, FAILED_SYNC, sync_error(error))

    def _take_change(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            gone = self._workers.get(old.metadata.uid)
            if gone is not None:
                gone.update(None)
        if new is None:
            return
        worker = self._workers.get(new.metadata.uid)
        if worker is not None:
            worker.update(new)
        else:
            meta = new.metadata
            self._start_worker(PodIdentity(meta.namespace, meta.name, meta.uid), new)

    def _start_worker(self, identity: PodIdentity, pod: Pod | None) -> None:
        assert self._tasks is not None, "workers exist only while the agent runs"
        refused = None if pod is None else self._refusal(pod)
        worker = PodWorker(self._parts, identity, pod, start_slots=self._slots, refused=refused)
        self._workers[identity.uid] = worker
        self._tasks.create_task(self._run_worker(worker), name=f"pod {identity.name}")

    def _refusal(self, pod: Pod) -> PodFailure | None:
        """Return why the node does not take a pod that is new here; None when it does."""
        node, known = self._heartbeat.node, self._parts.inventory.snapshot.pod(pod.metadata.uid)
        ended = pod.metadata.deletion_timestamp or pod.status.phase in TERMINAL_PHASES
        if node is None or ended or pod.status.start_time is not None or known.sandboxes:
            return None
        others = [w.pod for w in self._workers.values() if w.holds_place and w.pod is not None]
        refusal = refuse(pod, node, others)
        if refusal is None:
            return None
        message = f"Pod was rejected: {refusal.message}"
        return PodFailure(
            refusal.reason, message, event_message=refusal.message, refused=True, grace_s=0.0
        )

    async def _run_worker(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception as error:
            # a fault in the care of one pod must not end the care of the others
            log.exception("pod %s/%s", worker.identity.namespace, worker.identity.name)
            worker.tell_fault(error)
            await self._parts.clock.sleep(RELIST_S)
            fresh = self._pods.get(worker.identity.namespace, worker.identity.name)
            same = fresh is not None and fresh.metadata.uid == worker.identity.uid
            self._start_worker(worker.identity, fresh if same else None)
        finally:
            if self._workers.get(worker.identity.uid) is worker:
                del self._workers[worker.identity.uid]

    def _find_worker(self, namespace: str, name: str) -> PodWorker | None:
        pod = self._pods.get(namespace, name)
        return self._workers.get(pod.metadata.uid) if pod is not None else None

    async def _adopt(self, snapshot: Snapshot) -> None:
        """End what belongs to pods that no longer exist; the others have their workers."""
        self._end_strangers(snapshot)
        folders = self._parts.folders
        known = {folders.pod(worker.identity).netns_name(0) for worker in self._workers.values()}
        for name in folders.owned_netns(await self._network_names()):
            if not any(name == base or name.startswith(f"{base}_") for base in known):
                await self._remove_stray_network(name)
        for uid in folders.known_uids() - self._workers.keys():
            try:
                await asyncio.to_thread(folders.remove_uid, uid)
            except NetlabError as error:
                log.warning("remove volumes of pod %s: %s", uid, error)

    async def _network_names(self) -> set[str]:
        """Names of sandboxes' networks: of namespaces, and of addresses whose namespace is gone."""
        names = set(self._parts.netns.list_netns())
        try:
            names.update((await self._parts.network.addresses()).values())
        except NetlabError as error:
            log.warning("list addresses: %s", error)
        return names

    async def _remove_stray_network(self, name: str) -> None:
        try:
            await remove_network(self._parts, name)
        except NetlabError as error:
            log.warning("remove network namespace %s: %s", name, error)

    def _end_strangers(self, snapshot: Snapshot) -> None:
        for uid, identity in snapshot.identities.items():
            if uid not in self._workers:
                self._start_worker(identity, None)

    async def _watch_exits(self) -> None:
        while True:
            try:
                async for process_id in self._parts.runtime.exits():
                    await self._wake_owner(process_id)
            except (NetlabError, OSError) as error:
                log.warning("watch the ends of containers: %s", error)
            await self._parts.clock.sleep(RETRY_S)

    async def _wake_owner(self, process_id: str) -> None:
        snapshot = await self._parts.inventory.refresh()
        worker = self._workers.get(snapshot.owners.get(process_id, ""))
        if worker is not None:
            worker.wake()

    async def _relist_regularly(self) -> None:
        while True:
            await self._parts.clock.sleep(RELIST_S)
            try:
                snapshot = await self._parts.inventory.refresh()
            except (NetlabError, OSError) as error:
                log.warning("list containers: %s", error)
                self._heartbeat.set_problems(f"container runtime is down: {error}")
                continue
            self._relisted_s = self._parts.clock.monotonic_s()
            self._heartbeat.set_problems()
            self._end_strangers(snapshot)
            for uid, worker in list(self._workers.items()):
                if not worker.has_seen(snapshot.pod(uid)):
                    worker.wake()

    async def _check_networks(self) -> None:
        while True:
            pause_s = max(NETWORK_CHECK_S, len(self._workers) / NETWORK_CHECKS_PER_S)
            await self._parts.clock.sleep(pause_s)
            for worker in list(self._workers.values()):
                try:
                    await self._check_network(worker)
                except (NetlabError, OSError) as error:
                    log.warning("check network of pod %s: %s", worker.identity.name, error)
                except Exception:  # a fault in the care of one pod must not end that of the others
                    log.exception("check network of pod %s", worker.identity.name)

    async def _check_network(self, worker: PodWorker) -> None:
        sandbox = worker.observed.sandbox
        if sandbox is None or worker.pod is None or worker.pod.metadata.deletion_timestamp:
            return
        netns = own_netns(sandbox)
        if netns is None:
            return
        if netns.name not in self._parts.netns.list_netns():
            # somebody removed the namespace's name: the sandbox can only be made anew
            await self._parts.runtime.stop_sandbox(sandbox.id)
            worker.wake()
            return
        faults = await self._parts.network.check(container_id=netns.name, pod_netns=netns)
        if faults and worker.observed.sandbox == sandbox:
            worker.note_network_faults(faults)

    async def _refresh_volumes(self) -> None:
        while True:
            # also at once: what pods show that an earlier agent started is not watched yet
            for worker in list(self._workers.values()):
                worker.refresh_volumes()
            await self._parts.clock.sleep(VOLUME_REFRESH_S)

    async def _check_volume_sizes(self) -> None:
        while True:
            await self._parts.clock.sleep(SIZE_CHECK_S)
            for worker in list(self._workers.values()):
                try:
                    await worker.check_volume_sizes()
                except OSError as error:
                    log.warning("measure volumes of pod %s: %s", worker.identity.name, error)
                except Exception:  # a fault in the care of one pod must not end that of the others
                    log.exception("measure volumes of pod %s", worker.identity.name)

    def _mounted_changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.refresh_volumes()

    async def stop_all(self) -> None:
        """Kill all pods of the node at once, without telling the API server.

        Raises: ExceptionGroup of what could not be removed, after trying everything.
        """
        runtime = self._parts.runtime
        snapshot = await self._parts.inventory.refresh()
        containers = [c for pod in snapshot.pods.values() for c in pod.containers]
        sandboxes = [s for pod in snapshot.pods.values() for s in pod.sandboxes]

        async def end(container_id: str) -> None:
            async with self._slots:
                await runtime.stop_container(container_id, grace_period_s=0)
                await runtime.remove_container(container_id)

        results: list[object] = await asyncio.gather(
            *(end(container.id) for container in containers), return_exceptions=True
        )
        results += await asyncio.gather(
            *(remove_sandbox(self._parts, sandbox) for sandbox in sandboxes),
            return_exceptions=True,
        )
        errors = [result for result in results if isinstance(result, Exception)]
        if errors:
            raise ExceptionGroup("stop all pods", errors)
