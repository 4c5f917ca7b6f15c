"""The kinds of Kubernetes that netlab serves: one module for each kind or closely bound family.

A module holds (or names) all that is particular to its kinds, as ``Kind`` descriptors, and lists
them in ``KINDS``; it is found by being here, so a kind that is only stored is one file. Names,
short names, categories and subresources are those of Kubernetes v1.36 (tests/golden/discovery).

Components that act on one kind import its constant from here; whoever needs the set of served kinds
is handed a ``Catalog``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from netlab.api.catalog import Catalog
from netlab.api.kind import Kind

if TYPE_CHECKING:
    from netlab.api.kinds.apps import DEPLOYMENT, REPLICA_SET
    from netlab.api.kinds.config import CONFIG_MAP, SECRET
    from netlab.api.kinds.endpoints import ENDPOINT_SLICE, ENDPOINTS
    from netlab.api.kinds.event import EVENT
    from netlab.api.kinds.lease import LEASE
    from netlab.api.kinds.namespace import NAMESPACE
    from netlab.api.kinds.node import NODE
    from netlab.api.kinds.pod import POD
    from netlab.api.kinds.quota import LIMIT_RANGE, RESOURCE_QUOTA
    from netlab.api.kinds.service import SERVICE
    from netlab.api.kinds.serviceaccount import SERVICE_ACCOUNT
    from netlab.api.kinds.storage import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS

__all__ = [
    "CONFIG_MAP",
    "DEPLOYMENT",
    "ENDPOINTS",
    "ENDPOINT_SLICE",
    "EVENT",
    "LEASE",
    "LIMIT_RANGE",
    "NAMESPACE",
    "NODE",
    "PERSISTENT_VOLUME",
    "PERSISTENT_VOLUME_CLAIM",
    "POD",
    "REPLICA_SET",
    "RESOURCE_QUOTA",
    "SECRET",
    "SERVICE",
    "SERVICE_ACCOUNT",
    "STORAGE_CLASS",
    "Kind",
    "builtin_catalog",
    "builtin_kinds",
]

_HOMES = {
    "CONFIG_MAP": "config",
    "DEPLOYMENT": "apps",
    "ENDPOINTS": "endpoints",
    "ENDPOINT_SLICE": "endpoints",
    "EVENT": "event",
    "LEASE": "lease",
    "LIMIT_RANGE": "quota",
    "NAMESPACE": "namespace",
    "NODE": "node",
    "PERSISTENT_VOLUME": "storage",
    "PERSISTENT_VOLUME_CLAIM": "storage",
    "POD": "pod",
    "REPLICA_SET": "apps",
    "RESOURCE_QUOTA": "quota",
    "SECRET": "config",
    "SERVICE": "service",
    "SERVICE_ACCOUNT": "serviceaccount",
    "STORAGE_CLASS": "storage",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import the module of a kind when its constant is first asked for.

        A process pays for the rules and printers of the kinds it acts on, not of all: the DNS
        server, which knows three, would be a tenth larger.
        """
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        constant = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        globals()[name] = constant
        return constant


def builtin_kinds() -> tuple[Kind[Any], ...]:
    """Return the kinds of all modules of this package."""
    found: list[Kind[Any]] = []
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        found += getattr(importlib.import_module(module.name), "KINDS", ())
    return tuple(found)


def builtin_catalog() -> Catalog:
    """Return a new catalog of these kinds."""
    return Catalog(builtin_kinds())
