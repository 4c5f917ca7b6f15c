"""Keeps the zone as the API server says: Services, EndpointSlices, Namespaces -> names.

Each change of a Service or of one of its slices replaces that Service's names, at once; the table
of ready answers is emptied only when a name really changed. The server goes on answering from what
it knows while the API server is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.api.kinds import ENDPOINT_SLICE, NAMESPACE, SERVICE
from netlab.api.meta import AnyObject
from netlab.client.informer import wait_synced
from netlab.client.informers import SharedInformers
from netlab.dns.records import service_names
from netlab.dns.table import AnswerTable

SERVICE_INDEX = "service"


class Synced(Protocol):
    """Called once when the zone is complete."""

    def __call__(self) -> None: ...


def _service_key(piece: EndpointSlice) -> Iterable[str]:
    return (f"{piece.metadata.namespace}/{piece.service_name}",) if piece.service_name else ()


class ZoneFeed:
    """Writes into the table's zone what the client's watches tell."""

    def __init__(self, informers: SharedInformers, table: AnswerTable) -> None:
        self._table = table
        self._informers = informers
        self._services = informers.of(SERVICE)
        self._slices = informers.of(ENDPOINT_SLICE, index={SERVICE_INDEX: _service_key})
        self._namespaces = informers.of(NAMESPACE)
        self._services.on_change(self._service_changed)
        self._slices.on_change(self._slice_changed)
        self._namespaces.on_change(self._namespace_changed)

    async def run(self, on_synced: Synced) -> None:
        """Follow the watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            await wait_synced((self._services, self._slices, self._namespaces))
            self._table.synced = True
            self._table.clear()
            on_synced()

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        shown = new if new is not None else old
        if shown is not None and (old is None or new is None or old.spec != new.spec):
            self._rebuild(shown.metadata.namespace, shown.metadata.name)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        changed: dict[tuple[str, str], None] = {}
        for piece in (old, new):
            if piece is not None and piece.service_name:
                changed[piece.metadata.namespace, piece.service_name] = None
        for namespace, name in changed:
            self._rebuild(namespace, name)

    def _rebuild(self, namespace: str, name: str) -> None:
        key = f"{namespace}/{name}"
        service = self._services.get(namespace, name)
        names = {}
        if service is not None:
            slices = self._slices.by_index(SERVICE_INDEX, key)
            names = dict(service_names(service, slices, self._table.zone.domain))
        if self._table.zone.replace(key, names):
            self._table.clear()

    def _namespace_changed(self, old: AnyObject | None, new: AnyObject | None) -> None:
        if old is None or new is None:
            self._table.zone.namespaces = {
                namespace.metadata.name for namespace in self._namespaces.list()
            }
            self._table.clear()
