"""What an admission plugin sees of one write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from netlab.api.kind import Kind
from netlab.api.view import Object
from netlab.apiserver.requests import SYSTEM_USER, UserInfo

Lookup: TypeAlias = Callable[[Kind[Any], str, str], Object | None]
"""(kind, namespace, name) -> the object, or None. Not to be changed."""

Listing: TypeAlias = Callable[[Kind[Any], str], Sequence[Object]]
"""(kind, namespace) -> its objects there ("" for a cluster-scoped kind). Not to be changed."""


def _nothing(kind: Kind[Any], namespace: str) -> Sequence[Object]:
    return ()


@dataclass(frozen=True, slots=True)
class Attributes:
    """One write on its way; operation is CREATE, UPDATE or DELETE. old is None for CREATE.

    lookup and all_of read the store's newest state, queued writes included. subresource: "" for
    the object itself. user: who asks.
    """

    operation: str
    kind: Kind[Any]
    namespace: str
    name: str
    object: Object
    old: Object | None
    lookup: Lookup
    random: Random
    all_of: Listing = _nothing
    subresource: str = ""
    user: UserInfo = SYSTEM_USER


@dataclass(frozen=True, slots=True)
class Plugin:
    """A rule of admission, and the writes it is about. kinds: None for all.

    run: completes the object in place, or raises ApiError.
    """

    run: Callable[[Attributes], None]
    kinds: tuple[Kind[Any], ...] | None = None
    operations: tuple[str, ...] = ("CREATE",)

    def concerns(self, attributes: Attributes) -> bool:
        """True when the rule has anything to say about the write."""
        if attributes.operation not in self.operations:
            return False
        return self.kinds is None or attributes.kind in self.kinds
