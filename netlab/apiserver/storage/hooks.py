"""What single kinds need of the registry beyond their descriptors, by kind.

A descriptor (``api.kind``) is pure: it sees one object. A kind whose writes depend on other objects
(free addresses), or that has acts of its own (binding, eviction, tokens), hooks in here; the
modules of ``apiserver.storage`` hold these hooks. Mirrors ``pkg/registry/*/*/storage``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from netlab.api.view import Object
from netlab.apiserver.requests import WriteOptions
from netlab.store.records import Item, Key

SubresourceCreator: TypeAlias = Callable[[Item, Object, WriteOptions], Awaitable[Object]]
"""Answers a POST to a subresource of an existing object: (the object, body, options) -> answer."""

Computed: TypeAlias = Callable[[], Awaitable[list[Object]]]
"""All objects of a kind that is worked out when it is asked for."""


async def _ready(obj: Object) -> None:
    """Nothing has to be waited for."""


def _complete(key: Key, new: Object, old: Object | None) -> None:
    """Nothing depends on other objects."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """await_ready(obj): waits for what a new object needs and somebody is about to make.
    complete(key, new, old): fills in what depends on other objects, after validation; old is None
    for a new object; may raise ApiError. creators: by subresource, for POST.
    """

    await_ready: Callable[[Object], Awaitable[None]] = _ready
    complete: Callable[[Key, Object, Object | None], None] = _complete
    creators: Mapping[str, SubresourceCreator] = field(default_factory=dict)


NO_HOOKS = Hooks()
