"""All controllers, running: what kube-controller-manager is in Kubernetes.

``ControllerManager.run`` keeps one loop per controller going until it is cancelled. No controller
starts before all informers have listed once, so that none takes an object it has not been shown for
one that does not exist.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network
from typing import Any

from netlab.api.catalog import Catalog
from netlab.api.kinds import builtin_catalog
from netlab.client.events import EventRecorder
from netlab.client.informer import wait_synced
from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.controllers import persistentvolume_wiring, wiring
from netlab.controllers.cache import MAX_AGE_S, Cache
from netlab.controllers.caches import Caches
from netlab.controllers.clusterrole_wiring import cluster_roles
from netlab.controllers.garbage import GarbageCollector
from netlab.controllers.loop import Executor, Loop, Reconciler
from netlab.controllers.mirroring_wiring import mirrored_slices


class ControllerManager:
    """Runs the controllers. ca_pem: the certificates that pods trust for the API server.

    cluster_cidr: the pods of all nodes, of which each node gets a part. informers: somebody else
    runs them. catalog: the kinds to look after, None for Kubernetes' own. ``synced`` is set when
    every controller works.
    """

    def __init__(
        self,
        client: Client,
        informers: SharedInformers,
        clock: Clock,
        *,
        ca_pem: str,
        cluster_cidr: IPv4Network,
        catalog: Catalog | None = None,
    ) -> None:
        self._clock = clock
        kinds = builtin_catalog() if catalog is None else catalog
        self.caches = Caches(informers, clock, kinds)
        caches = self.caches
        reconcilers: list[Reconciler[Any]] = [
            wiring.replica_sets(caches, clock),
            wiring.replication_controllers(caches, clock),
            wiring.deployments(caches, clock),
            wiring.endpoint_slices(caches),
            wiring.endpoints(caches),
            mirrored_slices(caches),
            wiring.service_accounts(caches),
            cluster_roles(caches),
            wiring.root_cas(caches, ca_pem),
            wiring.namespace_deletion(caches, kinds, client, clock),
            wiring.nodes(caches, clock),
            wiring.taint_evictions(caches, clock),
            wiring.node_ranges(caches, cluster_cidr),
            wiring.nodeless_pods(caches, client, clock),
            persistentvolume_wiring.claims(caches, clock),
            persistentvolume_wiring.volumes(caches, clock),
            persistentvolume_wiring.claim_protection(caches),
            persistentvolume_wiring.volume_protection(caches),
            GarbageCollector(client, caches.by_kind, kinds).reconciler(),
        ]
        self._recorders: list[EventRecorder] = []
        self._loops = [
            Loop(reconciler, self._executor(client, reconciler), clock)
            for reconciler in reconcilers
        ]
        caches.on_new(self._adopt)
        self.synced = asyncio.Event()

    def _adopt(self, cache: Cache[Any]) -> None:
        for loop in self._loops:
            loop.adopt(cache)

    def _executor(self, client: Client, reconciler: Reconciler[Any]) -> Executor:
        recorder = EventRecorder(client, self._clock, component=reconciler.name)
        self._recorders.append(recorder)
        return Executor(client, recorder, self.caches.by_kind)

    async def run(self) -> None:
        """Work until cancelled."""
        informers = [cache.informer for cache in self.caches.by_kind.values()]
        async with asyncio.TaskGroup() as group:
            await wait_synced(informers)
            for recorder in self._recorders:
                group.create_task(recorder.run())
            for loop in self._loops:
                group.create_task(loop.run())
            group.create_task(self._give_up_lost_writes())
            self.synced.set()

    async def _give_up_lost_writes(self) -> None:
        while True:
            await self._clock.sleep(MAX_AGE_S / 2)
            for cache in tuple(self.caches.by_kind.values()):
                cache.expire()
