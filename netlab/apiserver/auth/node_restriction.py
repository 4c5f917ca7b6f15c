"""What a node's kubelet may write: its own Node, its own pods, its own Lease.

Mirrors ``plugin/pkg/admission/noderestriction``. The authorizer has let the request through because
it is of a kind that nodes write; here it is looked at whose object it is, and what is changed.

A node that could write any pod could read any Secret, because it may read what its pods refer to.
So a mirror pod, the one kind of pod that it creates, refers to nothing.

netlab leaves out CSINodes, claims' sizes and resource slices, which no kubelet of netlab writes.
"""

from __future__ import annotations

from typing import Any

from netlab.api.field_errors import forbidden
from netlab.api.kinds import LEASE, NODE, POD, SERVICE_ACCOUNT
from netlab.api.view import Object
from netlab.apiserver.admission.attributes import Attributes, Plugin
from netlab.apiserver.auth.node import LEASE_NAMESPACE, node_of, references_of
from netlab.errors import ApiError

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
RESTRICTED = "node-restriction.kubernetes.io"
ALL_OPERATIONS = ("CREATE", "UPDATE", "DELETE")

# what a kubelet may set on its own Node below kubernetes.io and k8s.io
_OWN_LABELS = frozenset(
    [
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.kubernetes.io/region",
        "failure-domain.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ]
)
_OWN_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")


def restriction_plugins() -> tuple[Plugin, ...]:
    """Return the rules of admission."""
    return (
        Plugin(_pod, (POD,), ALL_OPERATIONS),
        Plugin(_node, (NODE,), ALL_OPERATIONS),
        Plugin(_lease, (LEASE,), ("CREATE", "UPDATE")),
        Plugin(_token, (SERVICE_ACCOUNT,), ("CREATE",)),
    )


def _refuse(attributes: Attributes, reason: str) -> ApiError:
    return forbidden(attributes.kind, attributes.name, reason)


def _pod(attributes: Attributes) -> None:
    node = node_of(attributes.user)
    if not node:
        return
    part, operation = attributes.subresource, attributes.operation
    if operation == "CREATE" and not part:
        _mirror_pod(attributes, node)
        return
    pod = attributes.old or {}
    if (pod.get("spec") or {}).get("nodeName") == node:
        if part == "status" and _labels(attributes.object) != _labels(pod):
            raise _refuse(attributes, f'node "{node}" cannot update labels through pod status')
        return
    if operation == "DELETE":
        reason = "can only delete pods with spec.nodeName set to itself"
    elif part == "eviction":
        reason = "can only evict pods with spec.nodeName set to itself"
    else:
        reason = "can only update pod status for pods with spec.nodeName set to itself"
    raise _refuse(attributes, f'node "{node}" {reason}')


def _mirror_pod(attributes: Attributes, node: str) -> None:
    pod = attributes.object
    if MIRROR_ANNOTATION not in (pod["metadata"].get("annotations") or {}):
        reason = f'pod does not have "{MIRROR_ANNOTATION}" annotation, node "{node}" can only'
        raise _refuse(attributes, f"{reason} create mirror pods")
    if (pod.get("spec") or {}).get("nodeName") != node:
        reason = f'node "{node}" can only create pods with spec.nodeName set to itself'
        raise _refuse(attributes, reason)
    reason = _wrong_owner(attributes, node)
    if reason:
        raise _refuse(attributes, reason)
    referred = _referred(pod)
    if referred:
        reason = f'node "{node}" can not create pods that reference {referred}'
        raise _refuse(attributes, reason)


def _wrong_owner(attributes: Attributes, node: str) -> str:
    """Return why a mirror pod's owner is not its node, as it must be; "" when it is."""
    owners = attributes.object["metadata"].get("ownerReferences") or []
    only = f'node "{node}" can only create pods with'
    if len(owners) > 1:
        return f"{only} a single owner reference set to itself"
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        return f"{only} an owner reference set to itself"
    if not owner.get("controller"):
        return f"{only} a controller owner reference set to itself"
    if owner.get("blockOwnerDeletion"):
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    stored = attributes.lookup(NODE, "", node)
    uid = "" if stored is None else stored["metadata"].get("uid")
    if owner.get("uid") != uid:
        return f'node "{node}" UID mismatch: expected {owner.get("uid")} got {uid}'
    return ""


def _referred(pod: Object) -> str:
    """Return what a pod refers to, and a node could read thereby; "" for nothing."""
    spec = pod["spec"]
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        return "a service account"
    # whose account is not named has the default one, as far as the authorizer is concerned
    kinds = {resource for resource, _, _ in references_of(pod)} - {"serviceaccounts"}
    volumes = spec.get("volumes") or ()
    if any(volume.get("ephemeral") for volume in volumes):
        kinds.add("persistentvolumeclaims")
    for source in (
        each for v in volumes for each in (v.get("projected") or {}).get("sources") or ()
    ):
        if source.get("clusterTrustBundle"):
            kinds.add("clustertrustbundles")
    if spec.get("resourceClaims"):
        kinds.add("resourceclaims")
    return min(kinds, key=_ORDER.index, default="")


_ORDER = (
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "resourceclaims",
    "clustertrustbundles",
)


def _owners(obj: Object) -> Any:
    return (obj.get("metadata") or {}).get("ownerReferences") or []


def _labels(obj: Object) -> dict[str, Any]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _node(attributes: Attributes) -> None:
    node = node_of(attributes.user)
    if not node:
        return
    if attributes.name != node:
        reason = f'node "{node}" is not allowed to modify node "{attributes.name}"'
        raise _refuse(attributes, reason)
    if attributes.operation == "DELETE":
        raise _refuse(attributes, f'node "{node}" cannot delete its own node')
    old, new = attributes.old, attributes.object
    changed = _changed(_labels(old or {}), _labels(new))
    if attributes.operation == "CREATE":
        wrong = sorted(label for label in changed if _is_foreign(label))
        if wrong:
            listed = ", ".join(wrong)
            reason = f'node "{node}" is not allowed to set the following labels: {listed}'
            raise _refuse(attributes, reason)
        return
    wrong = sorted(label for label in changed if _is_foreign(label))
    if wrong:
        reason = f'node "{node}" is not allowed to modify labels: {", ".join(wrong)}'
        raise _refuse(attributes, reason)
    if _taints(new) != _taints(old or {}):
        raise _refuse(attributes, f'node "{node}" is not allowed to modify taints')
    # of an owner that does not exist the garbage collector would delete the node
    if _owners(new) != _owners(old or {}):
        raise _refuse(attributes, f'node "{node}" is not allowed to modify ownerReferences')


def _changed(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    return {label for label in {*old, *new} if old.get(label) != new.get(label)}


def _is_foreign(label: str) -> bool:
    """True for labels that say what others rely on: which pods may come to this node."""
    prefix = label.partition("/")[0] if "/" in label else ""
    if prefix == RESTRICTED or prefix.endswith(f".{RESTRICTED}"):
        return True
    ours = any(prefix == d or prefix.endswith(f".{d}") for d in ("kubernetes.io", "k8s.io"))
    if not ours or label in _OWN_LABELS:
        return False
    return not any(prefix == p or prefix.endswith(f".{p}") for p in _OWN_PREFIXES)


def _taints(node: Object) -> Any:
    return (node.get("spec") or {}).get("taints") or []


def _lease(attributes: Attributes) -> None:
    node = node_of(attributes.user)
    if node and (attributes.namespace, attributes.name) != (LEASE_NAMESPACE, node):
        reason = "can only access node lease with the same name as the requesting node"
        raise _refuse(attributes, reason)


def _token(attributes: Attributes) -> None:
    node = node_of(attributes.user)
    if not node or attributes.subresource != "token":
        return
    bound = (attributes.object.get("spec") or {}).get("boundObjectRef") or {}
    if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
        raise _refuse(attributes, "node requested token not bound to a pod")
    if not bound.get("uid"):
        raise _refuse(attributes, "node requested token with a pod binding without a uid")
    pod = attributes.lookup(POD, attributes.namespace, bound["name"])
    if pod is None:
        raise _refuse(attributes, f'pod "{bound["name"]}" not found')
    if bound["uid"] != pod["metadata"].get("uid"):
        reason = (
            f"the UID in the bound object reference ({bound['uid']}) does not match the UID in"
            " record. The object might have been deleted and then recreated"
        )
        raise _refuse(attributes, reason)
    if (pod.get("spec") or {}).get("nodeName") != node:
        reason = "node requested token bound to a pod scheduled on a different node"
        raise _refuse(attributes, reason)
