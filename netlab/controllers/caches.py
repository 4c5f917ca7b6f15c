"""The caches that all controllers share: one informer per kind, made once.

Events are not followed: they own nothing and are owned by nobody, and there are many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from netlab.api.kinds import ENDPOINT_SLICE, EVENT, KINDS, POD, REPLICA_SET, SERVICE, Kind
from netlab.api.meta import AnyObject
from netlab.client.informers import SharedInformers
from netlab.clock import Clock
from netlab.controllers import selection
from netlab.controllers.cache import Cache
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
    ENDPOINT_SLICE: {selection.CONTROLLER_INDEX: selection.by_controller},
    SERVICE: {selection.SELECTOR_INDEX: selection.by_selector},
}


class Caches:
    """The caches by kind."""

    def __init__(self, informers: SharedInformers, clock: Clock) -> None:
        self.by_kind: dict[Kind[Any], Cache[Any]] = {
            kind: Cache(informers.of(kind), clock, COMMON | EXTRA.get(kind, {}))
            for kind in KINDS
            if kind is not EVENT
        }

    def of(self, kind: Kind[T]) -> Cache[T]:
        """Return the cache of a kind."""
        return self.by_kind[kind]
