"""A client whose objects a test sets by hand; it lists and watches, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from netlab.api.kinds import Kind
from netlab.client.interface import JsonList, ObjectList, WatchEvent


class FakeClient:
    """The part of ``Client`` that informers use."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self._version = 0
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._watches: list[tuple[str, asyncio.Queue[WatchEvent]]] = []
        for obj in objects:
            self.put(obj)

    def put(self, obj: dict[str, Any]) -> None:
        """Create or replace an object."""
        self._version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self._version)}
        stored = {**obj, "metadata": meta}
        key = self._key(obj)
        event = "MODIFIED" if key in self._objects else "ADDED"
        self._objects[key] = stored
        self._tell(event, stored)

    def remove(self, obj: dict[str, Any]) -> None:
        """Delete an object."""
        self._version += 1
        self._tell("DELETED", self._objects.pop(self._key(obj)))

    def _key(self, obj: dict[str, Any]) -> tuple[str, str, str]:
        kind = obj["kind"]
        return kind, obj["metadata"]["namespace"], obj["metadata"]["name"]

    def _tell(self, event: str, obj: dict[str, Any]) -> None:
        for kind, queue in self._watches:
            if kind == obj["kind"]:
                queue.put_nowait(WatchEvent(event, msgspec.json.encode(obj)))

    async def list(self, kind: Kind[Any], namespace: str | None = None, **_: Any) -> ObjectList:
        items = [obj for key, obj in sorted(self._objects.items()) if key[0] == kind.kind]
        return ObjectList(items, str(self._version))

    async def list_json(
        self, kind: Kind[Any], namespace: str | None = None, **selectors: str
    ) -> JsonList:
        found = await self.list(kind, namespace, **selectors)
        return JsonList([msgspec.json.encode(o) for o in found.items], found.resource_version)

    async def watch(
        self, kind: Kind[Any], namespace: str | None = None, **_: Any
    ) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._watches.append((kind.kind, queue))
        while True:
            yield await queue.get()
