"""The caches that all controllers share: one informer per kind, made once.

Events are not followed: they own nothing and are owned by nobody, and there are many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from netlab.api.catalog import Catalog
from netlab.api.kinds import ENDPOINT_SLICE, EVENT, POD, REPLICA_SET, SERVICE, Kind
from netlab.api.kinds.replicationcontroller import REPLICATION_CONTROLLER
from netlab.api.meta import AnyObject
from netlab.client.informers import SharedInformers
from netlab.clock import Clock
from netlab.controllers import selection
from netlab.controllers.cache import Cache
from netlab.controllers.endpointslicemirroring import MIRROR_INDEX, by_mirrored
from netlab.controllers.volumeprotection import CLAIM_INDEX, by_claim

T = TypeVar("T", bound=AnyObject)

_Indexers = dict[str, Callable[[Any], Iterable[str]]]

COMMON: _Indexers = {
    selection.OWNER_INDEX: selection.by_owner,
    selection.UID_INDEX: selection.by_uid,
}
CLAIMED: _Indexers = {
    selection.CONTROLLER_INDEX: selection.by_controller,
    selection.ORPHAN_INDEX: selection.by_orphanage,
    selection.NAMESPACE_INDEX: selection.by_namespace,
}
EXTRA: dict[Kind[Any], _Indexers] = {
    POD: {
        **CLAIMED,
        selection.LABEL_INDEX: selection.by_labels,
        selection.NODE_INDEX: selection.by_node,
        CLAIM_INDEX: by_claim,
    },
    REPLICA_SET: CLAIMED,
    REPLICATION_CONTROLLER: CLAIMED,
    ENDPOINT_SLICE: {
        selection.CONTROLLER_INDEX: selection.by_controller,
        MIRROR_INDEX: by_mirrored,
    },
    SERVICE: {selection.SELECTOR_INDEX: selection.by_selector},
}


class Caches:
    """The caches by kind; they follow the catalog, as kinds come and go while the process runs.

    ``by_kind`` is changed in place: whoever keeps it sees the kinds of now.
    """

    def __init__(self, informers: SharedInformers, clock: Clock, catalog: Catalog) -> None:
        self.by_kind: dict[Kind[Any], Cache[Any]] = {}
        self._informers = informers
        self._clock = clock
        self._newcomers: list[Callable[[Cache[Any]], None]] = []
        for kind in catalog.stored():
            self._add(kind)
        catalog.subscribe(self._changed)

    def on_new(self, handler: Callable[[Cache[Any]], None]) -> None:
        """Call ``handler`` with the cache of every kind that comes later."""
        self._newcomers.append(handler)

    def _add(self, kind: Kind[Any]) -> Cache[Any] | None:
        if kind is EVENT:
            return None
        indexes = COMMON | EXTRA.get(kind, {})
        cache = Cache(self._informers.of(kind), self._clock, indexes)
        self.by_kind[kind] = cache
        return cache

    def _changed(self, kind: Kind[Any], served: bool) -> None:
        if not kind.stored or kind.stored_as is not None:
            return
        if not served:
            self.by_kind.pop(kind, None)
            self._informers.forget(kind)
            return
        cache = self._add(kind)
        if cache is not None:
            for handler in self._newcomers:
                handler(cache)

    def of(self, kind: Kind[T]) -> Cache[T]:
        """Return the cache of a kind."""
        return self.by_kind[kind]
