"""Keeps the index of the Services' addresses and ports, and completes each Service from it."""

from __future__ import annotations

from random import Random
from typing import Any

from netlab.api.kinds import SERVICE, Kind
from netlab.api.view import Object
from netlab.apiserver.storage.allocations import Allocations
from netlab.apiserver.storage.hooks import Hooks
from netlab.apiserver.storage.services import allocate
from netlab.apiserver.storage.writing import Writes
from netlab.config import LabConfig
from netlab.store.records import Key


def service_hooks(writes: Writes, config: LabConfig, random: Random) -> Hooks:
    """Return the hooks of Services: they get addresses and ports that no other Service has."""
    allocations = Allocations(config.service_cidr, random, nodes=config.node_address.network)
    epoch = -1

    def complete(key: Key, new: Object, old: Object | None) -> None:
        nonlocal epoch
        if epoch != writes.epoch:
            allocations.rebuild(
                ((service["metadata"]["namespace"], service["metadata"]["name"]), service)
                for service in writes.stored(SERVICE, "")
            )
            epoch = writes.epoch
        allocate(new, old, None if old is None else (key.namespace, key.name), allocations)

    def note(kind: Kind[Any], key: Key, old: Object | None, new: Object | None) -> None:
        if kind is SERVICE and epoch == writes.epoch:
            allocations.replace((key.namespace, key.name), old, new)

    writes.observe(note)
    return Hooks(complete=complete)
