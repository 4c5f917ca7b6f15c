"""What a node may do: read what its pods need, write what is its own.

Mirrors ``plugin/pkg/auth/authorizer/node``. A node's kubelet is ``system:node:NAME`` in the group
``system:nodes``. Secrets, ConfigMaps, claims, volumes and service account tokens are open to it
only while a pod on it refers to them; the rest is the ClusterRole ``system:node``, which no binding
gives to anybody, as in a cluster that kubeadm makes.

netlab leaves out that lists of Pods and Nodes must name the node in a field selector (Kubernetes
does so since 1.32).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from netlab.api.kinds import PERSISTENT_VOLUME_CLAIM, POD
from netlab.api.rbac import PolicyRule, RoleRef
from netlab.api.view import UNREADABLE, Object
from netlab.apiserver.auth.authz import Access, Decision
from netlab.apiserver.auth.rbac import RoleBindings
from netlab.apiserver.auth.rules import allows
from netlab.apiserver.requests import UserInfo
from netlab.store.records import Key
from netlab.store.store import Store

NODES: Final = "system:nodes"
PREFIX: Final = "system:node:"
LEASE_NAMESPACE: Final = "kube-node-lease"

_NODE_ROLE: Final = RoleRef(kind="ClusterRole", name="system:node")
_REFERRED: Final = ("secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes")
_LISTABLE: Final = ("secrets", "configmaps")
_Reference = tuple[str, str, str]


def node_of(user: UserInfo) -> str:
    """Return the name of the node whose kubelet asks; "" for everybody else."""
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return ""
    return user.name.removeprefix(PREFIX)


class NodeRights:
    """Answers for nodes, from the pods in a store."""

    def __init__(self, store: Store, bindings: RoleBindings) -> None:
        self._store = store
        self._bindings = bindings
        self._references: dict[str, frozenset[_Reference]] = {}
        self._state: tuple[int, ...] = ()

    def decide(self, node: str, access: Access) -> Decision:
        """Return whether the node of that name may do it, and why not."""
        referred = not access.path and not access.group and access.resource in _REFERRED
        if referred and access.full_resource != "persistentvolumeclaims/status":
            return self._referred(node, access)
        if not access.path and access.full_resource == "serviceaccounts/token":
            if access.verb != "create":
                return Decision(allowed=False, reason="can only create tokens for service accounts")
            return self._related(node, ("serviceaccounts", access.namespace, access.name))
        if access.resource == "leases" and access.group == "coordination.k8s.io":
            return _own_lease(node, access)
        is_write = access.resource == "nodes" and not access.group and access.verb not in _READS
        if is_write and access.name and access.name != node:
            reason = f"node '{node}' cannot {access.verb} other nodes, only its own Node object"
            return Decision(allowed=False, reason=reason)
        rules: tuple[PolicyRule, ...] = self._bindings.rules_of_role(_NODE_ROLE, "") or ()
        return Decision(any(allows(rule, access) for rule in rules))

    def _referred(self, node: str, access: Access) -> Decision:
        reads = _READS if access.resource in _LISTABLE else ("get",)
        if access.verb not in reads or access.subresource:
            return Decision(allowed=False, reason=f"can only read {_named(access.resource)}")
        if not access.name:
            return Decision(
                allowed=False, reason="can only read resources of this type by their names"
            )
        return self._related(node, (access.resource, access.namespace, access.name))

    def _related(self, node: str, wanted: _Reference) -> Decision:
        if wanted in self._references_of(node):
            return Decision(allowed=True)
        return Decision(
            allowed=False,
            reason=f"no relationship found between node '{node}' and this object",
        )

    def _references_of(self, node: str) -> frozenset[_Reference]:
        kinds = (POD, PERSISTENT_VOLUME_CLAIM)
        state = tuple(self._store.last_change(kind.group_resource) for kind in kinds)
        if state != self._state:
            self._references.clear()
            self._state = state
        found = self._references.get(node)
        if found is None:
            found = self._references[node] = frozenset(self._collect(node))
        return found

    def _collect(self, node: str) -> set[_Reference]:
        found: set[_Reference] = set()
        for _, record in self._store.records(POD.group_resource, None):
            pod = msgspec.json.decode(record.json)
            try:
                if pod["spec"].get("nodeName") == node:
                    found |= references_of(pod)
            except UNREADABLE:
                continue
        for resource, namespace, name in tuple(found):
            if resource == "persistentvolumeclaims":
                volume = self._volume_of(namespace, name)
                if volume:
                    found.add(("persistentvolumes", "", volume))
        return found

    def _volume_of(self, namespace: str, claim: str) -> str:
        record = self._store.get(Key(PERSISTENT_VOLUME_CLAIM.group_resource, namespace, claim))
        if record is None:
            return ""
        obj = msgspec.json.decode(record.json)
        return str((obj.get("spec") or {}).get("volumeName") or "")


_READS: Final = ("get", "list", "watch")


def _named(resource: str) -> str:
    return "resources of this type" if resource in _LISTABLE else f"single {resource}"


def _own_lease(node: str, access: Access) -> Decision:
    if access.namespace != LEASE_NAMESPACE:
        return Decision(
            allowed=False, reason=f'can only access leases in the "{LEASE_NAMESPACE}" namespace'
        )
    if access.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(
            allowed=False, reason="can only get, create, update, patch, or delete a node lease"
        )
    if access.verb != "create" and access.name != node:
        return Decision(
            allowed=False,
            reason="can only access node lease with the same name as the requesting node",
        )
    return Decision(allowed=True)


def references_of(pod: Object) -> set[_Reference]:
    """Return (resource, namespace, name) of everything that a pod's kubelet must read for it."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    found = {("serviceaccounts", namespace, spec.get("serviceAccountName") or "default")}
    for secret in spec.get("imagePullSecrets") or ():
        found.add(("secrets", namespace, secret.get("name") or ""))
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            found |= _of_container(container, namespace)
    for volume in spec.get("volumes") or ():
        found |= _of_volume(volume, namespace, pod["metadata"].get("name") or "")
    return found


def _of_container(container: Object, namespace: str) -> set[_Reference]:
    found = set()
    for source in container.get("envFrom") or ():
        for field, resource in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            if source.get(field):
                found.add((resource, namespace, source[field].get("name") or ""))
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom") or {}
        for field, resource in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
            if origin.get(field):
                found.add((resource, namespace, origin[field].get("name") or ""))
    return found


def _of_volume(volume: Object, namespace: str, pod: str) -> set[_Reference]:
    found: set[_Reference] = set()
    projected: Any = (volume.get("projected") or {}).get("sources") or ()
    for source in (volume, *projected):
        secret, config = source.get("secret"), source.get("configMap")
        if secret:
            found.add(("secrets", namespace, secret.get("secretName") or secret.get("name") or ""))
        if config:
            found.add(("configmaps", namespace, config.get("name") or ""))
    claim = volume.get("persistentVolumeClaim")
    if claim:
        found.add(("persistentvolumeclaims", namespace, claim.get("claimName") or ""))
    if volume.get("ephemeral"):
        found.add(("persistentvolumeclaims", namespace, f"{pod}-{volume.get('name')}"))
    return found
