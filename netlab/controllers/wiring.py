"""Which changes concern which controller, and what each is shown of the world.

One function per controller: it returns the ``Reconciler`` that ties the controller's pure file to
the caches. Keys are (namespace, name) of the object the controller is responsible for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from ipaddress import IPv4Network
from typing import Any, TypeVar

from netlab.api.apps import Deployment, ReplicaSet
from netlab.api.catalog import Catalog
from netlab.api.core import Node, Service
from netlab.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    EVENT,
    LEASE,
    LIMIT_RANGE,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
)
from netlab.api.kinds.priorityclass import PRIORITY_CLASS
from netlab.api.kinds.replicationcontroller import REPLICATION_CONTROLLER, ReplicationController
from netlab.api.kinds.runtimeclass import RUNTIME_CLASS
from netlab.api.meta import AnyObject
from netlab.api.pods import Pod
from netlab.client.informer import Key, key_of
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.controllers.actions import NOTHING, Decision, controller_of
from netlab.controllers.cache import Cache
from netlab.controllers.caches import Caches
from netlab.controllers.deployment import decide_deployment
from netlab.controllers.endpoints import MANAGED_BY_LABEL as ENDPOINTS_MANAGED_BY
from netlab.controllers.endpoints import decide_endpoints
from netlab.controllers.endpointslice import decide_endpoint_slices
from netlab.controllers.loop import Reconciler, Source
from netlab.controllers.namespace import decide_namespace
from netlab.controllers.nodeipam import decide_range
from netlab.controllers.nodelifecycle import (
    LEASE_NAMESPACE,
    decide_node,
    decide_nodeless_pods,
)
from netlab.controllers.replicaset import decide_replica_set
from netlab.controllers.rootca import ROOT_CA_NAME, decide_root_ca
from netlab.controllers.selection import (
    CONTROLLER_INDEX,
    LABEL_INDEX,
    NAMESPACE_INDEX,
    NODE_INDEX,
    ORPHAN_INDEX,
    SELECTOR_INDEX,
    selected_pods,
    services_of,
)
from netlab.controllers.serviceaccount import DEFAULT_ACCOUNT, decide_service_account
from netlab.controllers.tainteviction import decide_evictions, no_execute
from netlab.errors import ApiError, is_not_found

T = TypeVar("T", bound=AnyObject)

ADMITTING = (LIMIT_RANGE, RESOURCE_QUOTA, PRIORITY_CLASS, RUNTIME_CLASS)
"""Kinds whose objects may refuse a pod."""


def own_key(old: AnyObject | None, new: AnyObject | None) -> tuple[Key, ...]:
    """Return the key of the changed object itself."""
    shown = new if new is not None else old
    return () if shown is None else (key_of(shown),)


def _controller_keys(kind: str, *objects: AnyObject | None) -> Iterator[Key]:
    for obj in objects:
        owner = None if obj is None else controller_of(obj)
        if obj is not None and owner is not None and owner.kind == kind:
            yield (obj.metadata.namespace, owner.name)


def replica_sets(caches: Caches, clock: Clock) -> Reconciler[Key]:
    """Return the ReplicaSet controller."""
    return _pod_keepers("replicaset-controller", REPLICA_SET, lambda rs: rs, caches, clock)


def replication_controllers(caches: Caches, clock: Clock) -> Reconciler[Key]:
    """Return the ReplicationController controller, which is ReplicaSet's in other words."""
    return _pod_keepers(
        "replication-controller",
        REPLICATION_CONTROLLER,
        ReplicationController.as_replica_set,
        caches,
        clock,
    )


def _pod_keepers(
    name: str,
    kind: Kind[T],
    as_replica_set: Callable[[T], ReplicaSet],
    caches: Caches,
    clock: Clock,
) -> Reconciler[Key]:
    sets, pods = caches.of(kind), caches.of(POD)

    def pod_keys(old: Pod | None, new: Pod | None) -> Iterator[Key]:
        yield from set(_controller_keys(kind.kind, old, new))
        if new is not None and controller_of(new) is None:
            # an orphan may be anybody's in its namespace
            yield from map(key_of, sets.by_index(NAMESPACE_INDEX, new.metadata.namespace))

    def failed_in(old: AnyObject | None, new: AnyObject | None) -> Iterator[Key]:
        """An account, a quota, a bound or a class changed: what was refused may now be allowed."""
        shown = new if new is not None else old
        for each in sets.list(shown.metadata.namespace or None) if shown else ():
            conditions = as_replica_set(each).status.conditions
            if any(condition.type == "ReplicaFailure" for condition in conditions):
                yield key_of(each)

    def decide(key: Key) -> Decision:
        found = sets.get(*key)
        if found is None:
            return NOTHING
        rs = as_replica_set(found)
        own = pods.by_index(CONTROLLER_INDEX, rs.metadata.uid)
        orphans = pods.by_index(ORPHAN_INDEX, key[0])
        related = _related(caches, rs, own)
        return decide_replica_set(rs, [*own, *orphans], related, clock.now(), kind=kind)

    sources = [Source(sets, own_key), Source(pods, pod_keys)]
    sources += [Source(caches.of(each), failed_in) for each in (SERVICE_ACCOUNT, *ADMITTING)]
    return Reconciler(name, sources, decide, workers=8)


def _related(caches: Caches, rs: ReplicaSet, own: list[Pod]) -> list[Pod]:
    """Return the pods of all ReplicaSets of the same controller."""
    owner = controller_of(rs)
    if owner is None or len(own) <= rs.spec.replicas:
        return own  # nothing is going to be deleted
    return [
        pod
        for sibling in caches.of(REPLICA_SET).by_index(CONTROLLER_INDEX, owner.uid)
        for pod in caches.of(POD).by_index(CONTROLLER_INDEX, sibling.metadata.uid)
    ]


def deployments(caches: Caches, clock: Clock) -> Reconciler[Key]:
    """Return the Deployment controller."""
    cache, sets, pods = caches.of(DEPLOYMENT), caches.of(REPLICA_SET), caches.of(POD)

    def set_keys(old: ReplicaSet | None, new: ReplicaSet | None) -> Iterator[Key]:
        yield from set(_controller_keys("Deployment", old, new))
        if new is not None and controller_of(new) is None:
            yield from map(key_of, cache.list(new.metadata.namespace))

    def pod_keys(old: Pod | None, new: Pod | None) -> Iterator[Key]:
        # only Recreate waits for pods to be gone; all else comes through the sets' status
        if new is not None or old is None:
            return
        for _, name in _controller_keys("ReplicaSet", old):
            rs = sets.get(old.metadata.namespace, name)
            if rs is not None:
                yield from _controller_keys("Deployment", rs)

    def pods_of(rs: ReplicaSet) -> list[Pod]:
        return pods.by_index(CONTROLLER_INDEX, rs.metadata.uid)

    def decide(key: Key) -> Decision:
        deployment: Deployment | None = cache.get(*key)
        if deployment is None:
            return NOTHING
        own = sets.by_index(CONTROLLER_INDEX, deployment.metadata.uid)
        orphans = sets.by_index(ORPHAN_INDEX, key[0])
        return decide_deployment(
            deployment,
            [*own, *orphans],
            pods_of,
            lambda name: sets.get(key[0], name),
            clock.now(),
        )

    sources = [Source(cache, own_key), Source(sets, set_keys), Source(pods, pod_keys)]
    return Reconciler("deployment-controller", sources, decide)


def endpoint_slices(caches: Caches) -> Reconciler[Key]:
    """Return the EndpointSlice controller."""
    services, pods, slices = caches.of(SERVICE), caches.of(POD), caches.of(ENDPOINT_SLICE)

    def slice_keys(old: AnyObject | None, new: AnyObject | None) -> Iterator[Key]:
        yield from set(_controller_keys("Service", old, new))

    def decide(key: Key) -> Decision:
        service = services.get(*key)
        if service is None:
            return NOTHING  # the slices name it as their owner and are collected
        own = slices.by_index(CONTROLLER_INDEX, service.metadata.uid)
        return decide_endpoint_slices(service, _selected(caches, service), own)

    sources = [
        Source(services, own_key),
        Source(pods, lambda old, new: _services_of(caches, old, new)),
        Source(slices, slice_keys),
    ]
    return Reconciler("endpoint-slice-controller", sources, decide, workers=8)


def endpoints(caches: Caches) -> Reconciler[Key]:
    """Return the Endpoints controller."""
    services, pods, cache = caches.of(SERVICE), caches.of(POD), caches.of(ENDPOINTS)

    def endpoints_keys(old: AnyObject | None, new: AnyObject | None) -> Iterable[Key]:
        shown = new if new is not None else old
        ours = shown is not None and ENDPOINTS_MANAGED_BY in shown.metadata.labels
        return own_key(old, new) if ours else ()

    def decide(key: Key) -> Decision:
        service = services.get(*key)
        selected = [] if service is None else _selected(caches, service)
        return decide_endpoints(service, selected, cache.get(*key))

    sources = [
        Source(services, own_key),
        Source(pods, lambda old, new: _services_of(caches, old, new)),
        Source(cache, endpoints_keys),
    ]
    return Reconciler("endpoint-controller", sources, decide)


def _selected(caches: Caches, service: Service) -> list[Pod]:
    pods = caches.of(POD)
    return selected_pods(service, lambda value: pods.by_index(LABEL_INDEX, value))


def _services_of(caches: Caches, old: Pod | None, new: Pod | None) -> set[Key]:
    if old is not None and new is not None and _same_backend(old, new):
        return set()
    services = caches.of(SERVICE)
    return services_of((old, new), lambda value: services.by_index(SELECTOR_INDEX, value))


def _same_backend(old: Pod, new: Pod) -> bool:
    """Return whether no Service could see a difference between the two states of a pod."""
    return (
        old.ready == new.ready
        and old.status.pod_ip == new.status.pod_ip
        and old.status.phase == new.status.phase
        and old.metadata.labels == new.metadata.labels
        and (old.metadata.deletion_timestamp is None) == (new.metadata.deletion_timestamp is None)
        and old.spec == new.spec
        and old.metadata.uid == new.metadata.uid
    )


def service_accounts(caches: Caches) -> Reconciler[str]:
    """Return the controller of the default ServiceAccounts."""
    namespaces, accounts = caches.of(NAMESPACE), caches.of(SERVICE_ACCOUNT)

    def decide(name: str) -> Decision:
        account = accounts.get(name, DEFAULT_ACCOUNT)
        return decide_service_account(namespaces.get("", name), account)

    sources = [
        Source(namespaces, _new_namespace),
        Source(accounts, lambda old, new: _lost(DEFAULT_ACCOUNT, old, new)),
    ]
    return Reconciler("serviceaccount-controller", sources, decide)


def root_cas(caches: Caches, ca_pem: str) -> Reconciler[str]:
    """Return the controller of the ConfigMaps with the cluster's certificate authority."""
    namespaces, config_maps = caches.of(NAMESPACE), caches.of(CONFIG_MAP)

    def decide(name: str) -> Decision:
        existing = config_maps.get(name, ROOT_CA_NAME)
        return decide_root_ca(namespaces.get("", name), existing, ca_pem)

    sources = [
        Source(namespaces, _new_namespace),
        Source(config_maps, lambda old, new: _lost(ROOT_CA_NAME, old, new)),
    ]
    return Reconciler("root-ca-certificate-publisher", sources, decide)


def _new_namespace(old: AnyObject | None, new: AnyObject | None) -> tuple[str, ...]:
    return (new.metadata.name,) if new is not None and old is None else ()


def _lost(name: str, old: AnyObject | None, new: AnyObject | None) -> tuple[str, ...]:
    """Return the namespace when its object of that name was changed or removed."""
    shown = new if new is not None else old
    if old is None or shown is None or shown.metadata.name != name:
        return ()
    return (shown.metadata.namespace,)


def namespace_deletion(
    caches: Caches, catalog: Catalog, client: Client, clock: Clock
) -> Reconciler[str]:
    """Return the controller that empties terminating namespaces."""
    namespaces = caches.of(NAMESPACE)

    def terminating(old: AnyObject | None, new: AnyObject | None) -> tuple[str, ...]:
        if new is None or new.metadata.deletion_timestamp is None:
            return ()
        return (new.metadata.name,)

    def content_gone(old: AnyObject | None, new: AnyObject | None) -> tuple[str, ...]:
        if old is None or new is not None:
            return ()
        namespace = namespaces.get("", old.metadata.namespace)
        return terminating(None, namespace)

    async def decide(name: str) -> Decision:
        # read afresh: an object that the caches do not show yet must not be forgotten
        try:
            namespace = await client.get(NAMESPACE, None, name)
        except ApiError as error:
            if is_not_found(error):
                return NOTHING
            raise
        content = {}
        if namespace["metadata"].get("deletionTimestamp"):
            for kind in catalog.stored():
                if kind.namespaced:
                    content[kind] = (await client.list(kind, name)).items
        return decide_namespace(namespace, content, clock.now())

    def content_of(cache: Cache[Any]) -> Source[str]:
        return Source(cache, content_gone)

    content_sources = [
        content_of(cache)
        for kind, cache in caches.by_kind.items()
        if kind.namespaced and kind is not EVENT
    ]
    sources = [Source(namespaces, terminating), *content_sources]
    return Reconciler("namespace-controller", sources, decide, of_kind=content_of)


def nodes(caches: Caches, clock: Clock) -> Reconciler[str]:
    """Return the controller that tells the state of silent nodes."""
    cache, pods, leases = caches.of(NODE), caches.of(POD), caches.of(LEASE)
    began = clock.now()

    def decide(name: str) -> Decision:
        node: Node | None = cache.get("", name)
        if node is None:
            return NOTHING
        bound = pods.by_index(NODE_INDEX, name)
        lease = leases.get(LEASE_NAMESPACE, name)
        return decide_node(node, lease, bound, clock.now(), watching_since=began)

    def node_keys(old: AnyObject | None, new: AnyObject | None) -> tuple[str, ...]:
        return () if new is None else (new.metadata.name,)

    return Reconciler("node-controller", [Source(cache, node_keys)], decide, workers=1)


def taint_evictions(caches: Caches, clock: Clock) -> Reconciler[str]:
    """Return the controller that sends pods away from nodes with NoExecute taints."""
    cache, pods = caches.of(NODE), caches.of(POD)
    since: dict[str, Mapping[str, datetime]] = {}

    def decide(name: str) -> Decision:
        bound = pods.by_index(NODE_INDEX, name)
        found = decide_evictions(cache.get("", name), bound, since.get(name, {}), clock.now())
        since[name] = found.since
        if not found.since:
            del since[name]
        return found.decision

    def node_keys(old: Node | None, new: Node | None) -> tuple[str, ...]:
        shown = new if new is not None else old
        same = no_execute(old) == no_execute(new)
        return () if shown is None or same else (shown.metadata.name,)

    def pod_keys(old: Pod | None, new: Pod | None) -> tuple[str, ...]:
        if new is None or not no_execute(cache.get("", new.spec.node_name)):
            return ()
        same = old is not None and (old.spec.node_name, old.spec.tolerations) == (
            new.spec.node_name,
            new.spec.tolerations,
        )
        return () if same else (new.spec.node_name,)

    sources = [Source(cache, node_keys), Source(pods, pod_keys)]
    return Reconciler("taint-eviction-controller", sources, decide, workers=1)


def node_ranges(caches: Caches, cluster_cidr: IPv4Network) -> Reconciler[str]:
    """Return the controller that gives each node its part of the pods' range."""
    cache = caches.of(NODE)

    def decide(name: str) -> Decision:
        node: Node | None = cache.get("", name)
        if node is None:
            return NOTHING
        others = [other for other in cache.list() if other.metadata.name != name]
        return decide_range(node, others, cluster_cidr)

    def rangeless(old: AnyObject | None, new: Node | None) -> tuple[str, ...]:
        return () if new is None or new.spec.pod_cidr else (new.metadata.name,)

    # one after the other: two at once would be given the same range
    return Reconciler("cidrAllocator", [Source(cache, rangeless)], decide, workers=1)


def nodeless_pods(caches: Caches, client: Client, clock: Clock) -> Reconciler[str]:
    """Return the controller that removes the pods of nodes that are gone."""
    cache, pods = caches.of(NODE), caches.of(POD)
    missing: dict[str, datetime] = {}

    async def decide(name: str) -> Decision:
        bound = pods.by_index(NODE_INDEX, name)
        if not bound or cache.get("", name) is not None:
            missing.pop(name, None)
            return NOTHING
        try:
            await client.get(NODE, None, name)
        except ApiError as error:
            if not is_not_found(error):
                raise
            now = clock.now()
            since = missing.setdefault(name, now)
            return decide_nodeless_pods(bound, (now - since).total_seconds())
        return NOTHING

    def node_gone(old: AnyObject | None, new: AnyObject | None) -> tuple[str, ...]:
        return () if old is None or new is not None else (old.metadata.name,)

    def pod_bound(old: Pod | None, new: Pod | None) -> tuple[str, ...]:
        if new is None or not new.spec.node_name:
            return ()
        newly = old is None or old.spec.node_name != new.spec.node_name
        return (new.spec.node_name,) if newly else ()

    sources = [Source(cache, node_gone), Source(pods, pod_bound)]
    return Reconciler("pod-garbage-collector-controller", sources, decide, workers=1)
