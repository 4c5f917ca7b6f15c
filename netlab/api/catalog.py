"""The kinds that a server serves, which may change while it runs.

Mirrors the scheme and the group registration of kube-apiserver, and what
``apiextensions-apiserver`` adds while it runs. Everything that looks kinds up (paths, discovery,
OpenAPI, quotas, the garbage collector) is handed a ``Catalog`` and asks it each time, or keeps what
it made of one ``revision``.

Rules for callers: one event loop only. Listeners are called in order, at once, and must neither
wait nor raise. A kind that is unregistered ends its watches and is no longer found; its stored
objects stay where they are and are served again when it comes back: whoever wants them gone deletes
them first, as Kubernetes does with the objects of a CustomResourceDefinition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from netlab.api.kind import Kind

Listener: TypeAlias = Callable[[Kind[Any], bool], None]
"""Called with the kind, and True when it came, False when it went."""


class Catalog:
    """A changing set of kinds. revision: counts up with every change.

    Iterating gives the kinds in order of registration.
    """

    def __init__(self, kinds: Iterable[Kind[Any]] = ()) -> None:
        self.revision = 0
        self._by_resource: dict[tuple[str, str, str], Kind[Any]] = {}
        self._by_kind: dict[tuple[str, str], Kind[Any]] = {}
        self._listeners: list[Listener] = []
        for kind in kinds:
            self.register(kind)

    def __iter__(self) -> Iterator[Kind[Any]]:
        return iter(tuple(self._by_resource.values()))

    def __len__(self) -> int:
        return len(self._by_resource)

    def __contains__(self, kind: object) -> bool:
        return isinstance(kind, Kind) and self._by_resource.get(_resource(kind)) is kind

    def register(self, kind: Kind[Any]) -> None:
        """Serve a kind from now on.

        Raises: ValueError when a kind of that resource or of that name is served already.
        """
        if _resource(kind) in self._by_resource or _name(kind) in self._by_kind:
            raise ValueError(f"{kind.kind} of {kind.api_version} is served already")
        self._by_resource[_resource(kind)] = kind
        self._by_kind[_name(kind)] = kind
        self._changed(kind, served=True)

    def unregister(self, kind: Kind[Any]) -> None:
        """Serve a kind no longer.

        Raises: ValueError when it is not served.
        """
        if kind not in self:
            raise ValueError(f"{kind.kind} of {kind.api_version} is not served")
        del self._by_resource[_resource(kind)]
        del self._by_kind[_name(kind)]
        self._changed(kind, served=False)

    def _changed(self, kind: Kind[Any], *, served: bool) -> None:
        self.revision += 1
        for listener in tuple(self._listeners):
            listener(kind, served)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` for every later change; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def by_resource(self, group: str, version: str, plural: str) -> Kind[Any] | None:
        """Return the kind served at ``/apis/group/version/plural``."""
        return self._by_resource.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind[Any] | None:
        """Return the kind that an object with this apiVersion and kind is of."""
        return self._by_kind.get((api_version, kind))

    def by_group_kind(self, group: str, kind: str) -> Kind[Any] | None:
        """Return the kind of that name in any version of the group."""
        for found in self._by_resource.values():
            if found.kind == kind and found.group == group:
                return found
        return None

    def of_version(self, group: str, version: str) -> list[Kind[Any]]:
        """Return the kinds of one group version."""
        return [kind for kind in self if (kind.group, kind.version) == (group, version)]

    def stored(self) -> list[Kind[Any]]:
        """Return the kinds that have stored objects of their own, each set of objects once."""
        return [kind for kind in self if kind.stored and kind.stored_as is None]


def _resource(kind: Kind[Any]) -> tuple[str, str, str]:
    return (kind.group, kind.version, kind.plural)


def _name(kind: Kind[Any]) -> tuple[str, str]:
    return (kind.api_version, kind.kind)
