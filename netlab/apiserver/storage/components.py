"""How the parts of the control plane are, as ComponentStatus objects.

Mirrors ``pkg/registry/core/componentstatus``, which asks scheduler, controller manager and etcd for
their health; here the parts are of the same process, and the store stands for etcd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netlab.api.kinds.componentstatus import component_status
from netlab.api.view import Object
from netlab.apiserver.storage.hooks import Computed
from netlab.store.store import Store

STORE = "etcd-0"
PARTS = ("controller-manager", "scheduler")
NOT_READY = "it has not begun to work"


def component_statuses(store: Store, checks: Mapping[str, Callable[[], bool]]) -> Computed:
    """Return what works the objects out. checks: of the lab's parts, by name."""

    async def compute() -> list[Object]:
        failure = store.failure
        found = [component_status(STORE, "" if failure is None else str(failure))]
        found += [
            component_status(name, "" if checks[name]() else NOT_READY)
            for name in PARTS
            if name in checks
        ]
        return sorted(found, key=lambda each: str(each["metadata"]["name"]))

    return compute
