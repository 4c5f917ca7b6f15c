"""Which changes concern the controllers of storage, and what each is shown of the world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netlab.api.kinds import (
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    STORAGE_CLASS,
)
from netlab.api.meta import AnyObject
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim
from netlab.client.informer import Key, key_of
from netlab.clock import Clock
from netlab.controllers.actions import NOTHING, Decision
from netlab.controllers.caches import Caches
from netlab.controllers.loop import Reconciler, Source
from netlab.controllers.persistentvolume import StorageWorld, decide_claim, decide_volume
from netlab.controllers.volumeprotection import (
    CLAIM_INDEX,
    by_claim,
    decide_claim_protection,
    decide_volume_protection,
)


def claims(caches: Caches, clock: Clock) -> Reconciler[Key]:
    """Return the controller that binds claims; one at a time, so that no volume is taken twice."""
    cache, volumes = caches.of(PERSISTENT_VOLUME_CLAIM), caches.of(PERSISTENT_VOLUME)
    classes, nodes, pods = caches.of(STORAGE_CLASS), caches.of(NODE), caches.of(POD)

    def unbound() -> Iterator[Key]:
        for claim in cache.list():
            if claim.status.phase != "Bound":
                yield key_of(claim)

    def own_key(
        old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
    ) -> Iterator[Key]:
        if new is not None:
            yield key_of(new)

    def volume_keys(old: PersistentVolume | None, new: PersistentVolume | None) -> Iterator[Key]:
        for volume in (old, new):
            if volume is not None and volume.spec.claim_ref is not None:
                yield (volume.spec.claim_ref.namespace, volume.spec.claim_ref.name)
        if new is not None and new.spec.claim_ref is None:
            yield from unbound()
        name = new.metadata.name if new is not None else old.metadata.name if old else ""
        yield from (key_of(c) for c in cache.list() if name and c.spec.volume_name == name)

    def class_keys(old: AnyObject | None, new: AnyObject | None) -> Iterator[Key]:
        if new is not None:
            yield from unbound()

    def pod_keys(old: Pod | None, new: Pod | None) -> Iterator[Key]:
        # only what a claim that waits for its first consumer tells depends on pods
        if (old is None) != (new is None):
            yield from _claims_of(old, new)

    def decide(key: Key) -> Decision:
        claim = cache.get(*key)
        if claim is None:
            return NOTHING
        world = StorageWorld(
            volumes=volumes.list(),
            volume=lambda name: volumes.get("", name),
            classes={each.metadata.name: each for each in classes.list()},
            node_labels=node_labels,
            users=pods.by_index(CLAIM_INDEX, f"{key[0]}/{key[1]}"),
        )
        return decide_claim(claim, world, clock.now())

    def node_labels(name: str) -> Mapping[str, str] | None:
        node = nodes.get("", name)
        return None if node is None else node.metadata.labels

    sources = [
        Source(cache, own_key),
        Source(volumes, volume_keys),
        Source(classes, class_keys),
        Source(pods, pod_keys),
    ]
    return Reconciler("persistentvolume-controller", sources, decide, workers=1)


def volumes(caches: Caches, clock: Clock) -> Reconciler[str]:
    """Return the controller that keeps the phases of volumes."""
    cache, claims_cache = caches.of(PERSISTENT_VOLUME), caches.of(PERSISTENT_VOLUME_CLAIM)

    def own_key(old: PersistentVolume | None, new: PersistentVolume | None) -> Iterator[str]:
        if new is not None:
            yield new.metadata.name

    def claim_keys(
        old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
    ) -> Iterator[str]:
        yield from {c.spec.volume_name for c in (old, new) if c is not None and c.spec.volume_name}
        for claim in (old, new):
            if claim is not None:
                yield from _volumes_naming(claim)

    def _volumes_naming(claim: PersistentVolumeClaim) -> Iterator[str]:
        for volume in cache.list():
            owner = volume.spec.claim_ref
            if owner is not None and (owner.namespace, owner.name) == key_of(claim):
                yield volume.metadata.name

    def decide(name: str) -> Decision:
        volume = cache.get("", name)
        if volume is None:
            return NOTHING
        owner = volume.spec.claim_ref
        claim = None if owner is None else claims_cache.get(owner.namespace, owner.name)
        return decide_volume(volume, claim, clock.now())

    sources = [Source(cache, own_key), Source(claims_cache, claim_keys)]
    return Reconciler("persistentvolume-controller", sources, decide, workers=1)


def claim_protection(caches: Caches) -> Reconciler[Key]:
    """Return the controller that lets deleted claims go."""
    cache, pods = caches.of(PERSISTENT_VOLUME_CLAIM), caches.of(POD)

    def own_key(old: AnyObject | None, new: AnyObject | None) -> Iterator[Key]:
        if new is not None:
            yield key_of(new)

    def pod_keys(old: Pod | None, new: Pod | None) -> Iterator[Key]:
        if new is None:
            yield from _claims_of(old, new)

    def decide(key: Key) -> Decision:
        claim = cache.get(*key)
        if claim is None:
            return NOTHING
        return decide_claim_protection(claim, pods.by_index(CLAIM_INDEX, f"{key[0]}/{key[1]}"))

    sources = [Source(cache, own_key), Source(pods, pod_keys)]
    return Reconciler("pvc-protection-controller", sources, decide, workers=1)


def volume_protection(caches: Caches) -> Reconciler[str]:
    """Return the controller that lets deleted volumes go."""
    cache = caches.of(PERSISTENT_VOLUME)

    def own_key(old: AnyObject | None, new: AnyObject | None) -> Iterator[str]:
        if new is not None:
            yield new.metadata.name

    def decide(name: str) -> Decision:
        volume = cache.get("", name)
        return NOTHING if volume is None else decide_volume_protection(volume)

    return Reconciler("pv-protection-controller", [Source(cache, own_key)], decide, workers=1)


def _claims_of(*pods: Pod | None) -> set[Key]:
    found: set[Key] = set()
    for pod in pods:
        for value in by_claim(pod) if pod is not None else ():
            namespace, _, name = value.partition("/")
            found.add((namespace, name))
    return found
