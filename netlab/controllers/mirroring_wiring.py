"""Which changes concern the mirroring of Endpoints, and what its controller is shown."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.api.core import Endpoints, Service
from netlab.api.discovery import EndpointSlice
from netlab.api.kinds import ENDPOINT_SLICE, ENDPOINTS, SERVICE
from netlab.client.informer import Key, key_of
from netlab.controllers.actions import Decision
from netlab.controllers.caches import Caches
from netlab.controllers.endpointslicemirroring import (
    MIRROR_INDEX,
    by_mirrored,
    decide_mirrored_slices,
    is_mirrored,
)
from netlab.controllers.loop import Reconciler, Source

NAME = "endpoint-slice-mirroring-controller"


def mirrored_slices(caches: Caches) -> Reconciler[Key]:
    """Return the controller that mirrors Endpoints which people or programs wrote."""
    endpoints, services = caches.of(ENDPOINTS), caches.of(SERVICE)
    slices = caches.of(ENDPOINT_SLICE)

    def endpoints_keys(old: Endpoints | None, new: Endpoints | None) -> Iterator[Key]:
        for shown in (old, new):
            if shown is not None and is_mirrored(shown):
                yield key_of(shown)
                return

    def service_keys(old: Service | None, new: Service | None) -> Iterator[Key]:
        shown = new if new is not None else old
        selecting = [each is not None and bool(each.spec.selector) for each in (old, new)]
        changed = old is None or new is None or selecting[0] != selecting[1]
        if shown is not None and changed:
            yield key_of(shown)

    def slice_keys(old: EndpointSlice | None, new: EndpointSlice | None) -> Iterator[Key]:
        for shown in (old, new):
            if shown is not None and by_mirrored(shown):
                yield (shown.metadata.namespace, shown.service_name)
                return

    def decide(key: Key) -> Decision:
        own = slices.by_index(MIRROR_INDEX, "/".join(key))
        return decide_mirrored_slices(endpoints.get(*key), services.get(*key), own)

    sources = [
        Source(endpoints, endpoints_keys),
        Source(services, service_keys),
        Source(slices, slice_keys),
    ]
    return Reconciler(NAME, sources, decide)
