"""Tells which pods show a ConfigMap or Secret that has changed.

Mirrors ``pkg/kubelet/util/manager`` (WatchBasedManager): one watch for each object that a pod of
this node shows, ended with the last of them, and none for what is immutable. The kubelet looks
again once a minute; here the watch itself wakes the pod, so that a change is in the files within a
fraction of a second.

Rules for callers: ``follow`` after each reading of the objects, ``forget`` when the pod is gone.
The watches are the process's shared informers, which somebody else runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from netlab.api.kinds import Kind
from netlab.client.informer import Handler, Informer
from netlab.client.informers import SharedInformers

ObjectKey: TypeAlias = tuple[Kind[Any], str, str]
"""(kind, namespace, name)."""


class MountedObjects:
    """The objects that pods show, and who shows them.

    on_change(uid): called for each pod that shows an object in another version than the one it has
    read.
    """

    def __init__(self, informers: SharedInformers, on_change: Callable[[str], None]) -> None:
        self._informers = informers
        self._on_change = on_change
        self._read: dict[str, dict[ObjectKey, str]] = {}
        self._watches: dict[ObjectKey, tuple[Informer[Any], Handler[Any]]] = {}

    def follow(self, uid: str, read: Mapping[ObjectKey, str]) -> None:
        """Note what the pod has read: versions by object, "" where there was none."""
        before = self._read.get(uid, {})
        self._read[uid] = dict(read)
        for key in read:
            if key not in self._watches:
                self._start(key)
            else:
                self._compare(key, uid)
        self._end_unused(before)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._end_unused(self._read.pop(uid, {}))

    @property
    def watched(self) -> frozenset[ObjectKey]:
        """The objects that are watched."""
        return frozenset(self._watches)

    def _start(self, key: ObjectKey) -> None:
        kind, namespace, name = key
        informer: Informer[Any] = self._informers.borrow(kind, namespace=namespace, name=name)

        def changed(old: Any, new: Any) -> None:
            self._changed(key)

        self._watches[key] = (informer, changed)
        informer.on_change(changed)

    def _changed(self, key: ObjectKey) -> None:
        for uid in list(self._read):
            self._compare(key, uid)

    def _compare(self, key: ObjectKey, uid: str) -> None:
        read = self._read[uid].get(key)
        if read is None or key not in self._watches:
            return
        informer, _ = self._watches[key]
        obj = informer.get(key[1], key[2])
        seen = obj.metadata.resource_version if obj is not None else ""
        # what was read may be newer than what the watch has shown so far
        newer = int(seen or 0) > int(read or 0) or (not seen and informer.synced.is_set())
        if seen != read and newer:
            self._on_change(uid)

    def _end_unused(self, candidates: Mapping[ObjectKey, str]) -> None:
        used = {key for read in self._read.values() for key in read}
        for key in candidates:
            if key not in used and key in self._watches:
                self._stop(key)

    def _stop(self, key: ObjectKey) -> None:
        kind, namespace, name = key
        informer, handler = self._watches.pop(key)
        informer.off_change(handler)
        self._informers.release(kind, namespace=namespace, name=name)
