"""The informers of one process: one for each kind and selection, whoever asks for it.

Mirrors client-go's ``SharedInformerFactory``. A component asks for its informers in its
constructor, adds indexes and handlers, and waits for ``synced``; whoever composed the process runs
``run()`` as one task. An informer that is asked for later starts at once; ``release`` ends one that
was taken with ``borrow`` when its last borrower is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject
from netlab.client.events import EventRecorder
from netlab.client.informer import Informer
from netlab.client.interface import Client, Reader
from netlab.clock import Clock

T = TypeVar("T", bound=AnyObject)

UNREADABLE = "UnreadableObject"


class _Selection(NamedTuple):
    kind: Kind[Any]
    namespace: str | None
    label_selector: str
    field_selector: str


@dataclass
class _Shared:
    informer: Informer[Any]
    borrowers: int = 0
    task: asyncio.Task[None] | None = None


class SharedInformers:
    """Hands out informers and runs them.

    recorder: writes an event about each object that cannot be read; None leaves it at the log.
    """

    def __init__(
        self, client: Reader, clock: Clock, *, recorder: EventRecorder | None = None
    ) -> None:
        self._client = client
        self._clock = clock
        self._recorder = recorder
        self._shared: dict[_Selection, _Shared] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @classmethod
    def recording(cls, client: Client, clock: Clock, *, component: str) -> SharedInformers:
        """Return informers that tell of unreadable objects by events of that component."""
        return cls(client, clock, recorder=EventRecorder(client, clock, component=component))

    def of(
        self,
        kind: Kind[T],
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        index: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
    ) -> Informer[T]:
        """Return the informer of a kind, for as long as the process lives."""
        selection = _Selection(kind, namespace, label_selector, field_selector)
        informer: Informer[T] = self._find(selection).informer
        informer.add_index(index or {})
        return informer

    def borrow(self, kind: Kind[T], *, namespace: str | None, name: str) -> Informer[T]:
        """Return the informer of one object; give it back to ``release``."""
        shared = self._find(_one(kind, namespace, name))
        shared.borrowers += 1
        return shared.informer

    def release(self, kind: Kind[Any], *, namespace: str | None, name: str) -> None:
        """Give back what ``borrow`` gave."""
        selection = _one(kind, namespace, name)
        shared = self._shared[selection]
        shared.borrowers -= 1
        if not shared.borrowers:
            del self._shared[selection]
            if shared.task is not None:
                shared.task.cancel()

    def forget(self, kind: Kind[Any]) -> None:
        """End the informers of a kind that is served no longer."""
        for selection in [each for each in self._shared if each.kind is kind]:
            shared = self._shared.pop(selection)
            if shared.task is not None:
                shared.task.cancel()

    def _find(self, selection: _Selection) -> _Shared:
        shared = self._shared.get(selection)
        if shared is None:
            informer: Informer[Any] = Informer(
                self._client,
                selection.kind,
                self._clock,
                namespace=selection.namespace,
                label_selector=selection.label_selector,
                field_selector=selection.field_selector,
                unreadable=self._tell_unreadable,
            )
            shared = self._shared[selection] = _Shared(informer)
            self._start(shared)
        return shared

    def _start(self, shared: _Shared) -> None:
        if self._tasks is not None:
            name = f"informer {shared.informer.kind.group_resource}"
            shared.task = self._tasks.create_task(shared.informer.run(), name=name)

    def _tell_unreadable(self, kind: Kind[Any], obj: AnyObject, why: str) -> None:
        if self._recorder is not None:
            self._recorder.record(kind, obj, "Warning", UNREADABLE, f"cannot be read: {why}")

    async def run(self) -> None:
        """Keep all informers current until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                if self._recorder is not None:
                    tasks.create_task(self._recorder.run())
                for shared in list(self._shared.values()):
                    self._start(shared)
                await asyncio.Event().wait()
            finally:
                self._tasks = None


def _one(kind: Kind[Any], namespace: str | None, name: str) -> _Selection:
    return _Selection(kind, namespace, "", f"metadata.name={name}")
