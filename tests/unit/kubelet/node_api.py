"""The real registry as a node finds it, before its kubelet runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlab.api.kinds import NODE, Kind
from netlab.api.view import Object
from tests.support.registry_api import RegistryApi


class NodeApi(RegistryApi):
    """The registry; where ``gives_ranges``, the node IPAM controller's work is done at once."""

    gives_ranges = True

    async def create(
        self, kind: Kind[Any], namespace: str | None, obj: Mapping[str, Any]
    ) -> Object:
        if kind is NODE and self.gives_ranges:
            obj = {**obj, "spec": {"podCIDR": "10.244.0.0/24", **obj.get("spec", {})}}
        return await super().create(kind, namespace, obj)


def system_objects() -> list[Object]:
    """What a cluster has before its first node."""
    names = ("default", "kube-node-lease", "shop")
    account = {"name": "default", "namespace": "default"}
    return [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names),
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": account,
            "automountServiceAccountToken": False,
        },
    ]
