"""What every write passes before and after it is validated: ordered lists of small functions.

Mirrors the admission plugins that kube-apiserver v1.36 has on by default, those that concern the
kinds netlab serves: NamespaceLifecycle, ServiceAccount, DefaultTolerationSeconds, Priority,
LimitRanger, and those of ``storage_admission``. Each function either completes the object in place
or raises ApiError. Pure but for what ``Attributes`` looks up. ResourceQuota, which must be the very
last to judge, is in ``quota``.

netlab leaves out PodSecurity and webhooks. Allocation of service addresses is in ``services``:
Kubernetes does it after validation.
"""

from __future__ import annotations

from random import Random
from typing import Any

from netlab.api.field_errors import forbidden, not_found
from netlab.api.generate import random_suffix
from netlab.api.kinds import NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from netlab.api.view import Object
from netlab.apiserver.admission import limit_ranges
from netlab.apiserver.admission import storage as storage_admission
from netlab.apiserver.admission.attributes import Attributes, Plugin
from netlab.errors import ApiError

__all__ = ["Attributes", "Plugin", "admit", "review"]

PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
DEFAULT_SERVICE_ACCOUNT = "default"
ACCOUNT_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ACCOUNT_VOLUME_PREFIX = "kube-api-access-"
# an hour and seven seconds: an odd number by which operators of Kubernetes find injected tokens
TOKEN_SECONDS = 3607
FILE_MODE = 0o644
TOLERATION_SECONDS = 300

_PRIORITY_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_DEFAULT_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def admit(attributes: Attributes) -> None:
    """Run the plugins that come before validation, in order.

    Raises: ApiError from the first that refuses.
    """
    for plugin in PLUGINS:
        plugin(attributes)


def review(attributes: Attributes) -> None:
    """Run the plugins that judge the finished, valid object.

    Raises: ApiError from the first that refuses.
    """
    for plugin in REVIEWERS:
        plugin(attributes)


def namespace_lifecycle(attributes: Attributes) -> None:
    """Refuse new objects in a namespace that is not there or going; keep the system's own."""
    kind = attributes.kind
    if attributes.operation == "DELETE":
        if kind is NAMESPACE and attributes.name in PROTECTED_NAMESPACES:
            raise forbidden(kind, attributes.name, "this namespace may not be deleted")
        return
    if attributes.operation != "CREATE" or not kind.namespaced:
        return
    namespace = attributes.lookup(NAMESPACE, "", attributes.namespace)
    if namespace is None:
        raise not_found(NAMESPACE, attributes.namespace)
    if namespace["metadata"].get("deletionTimestamp"):
        raise _terminating(kind, attributes.name, attributes.namespace)


def _terminating(kind: Kind[Any], name: str, namespace: str) -> ApiError:
    error = forbidden(
        kind,
        name,
        f"unable to create new content in namespace {namespace} because it is being terminated",
    )
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error


def service_account(attributes: Attributes) -> None:
    """Give a new pod its identity: the account's name, and a volume with its token."""
    if attributes.kind is not POD or attributes.operation != "CREATE":
        return
    spec = attributes.object["spec"]
    if "kubernetes.io/config.mirror" in (attributes.object["metadata"].get("annotations") or {}):
        return
    name = spec.get("serviceAccountName") or DEFAULT_SERVICE_ACCOUNT
    account = attributes.lookup(SERVICE_ACCOUNT, attributes.namespace, name)
    if account is None:
        raise forbidden(
            POD,
            attributes.name,
            f"error looking up service account {attributes.namespace}/{name}:"
            f' serviceaccount "{name}" not found',
        )
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    if _wants_token(spec, account):
        _mount_token(spec, attributes.random)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]


def _wants_token(spec: dict[str, Any], account: Object) -> bool:
    for owner in (spec, account):
        wish = owner.get("automountServiceAccountToken")
        if wish is not None:
            return bool(wish)
    return True


def _mount_token(spec: dict[str, Any], random: Random) -> None:
    """Mount the token volume wherever the user has not mounted something himself."""
    volumes = spec.get("volumes") or []
    own = (v for v in volumes if v.get("name", "").startswith(ACCOUNT_VOLUME_PREFIX))
    present = next(own, None)
    name = present["name"] if present else ACCOUNT_VOLUME_PREFIX + random_suffix(random)
    mounted = False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == ACCOUNT_MOUNT_PATH for mount in mounts):
                continue
            mount = {"name": name, "readOnly": True, "mountPath": ACCOUNT_MOUNT_PATH}
            container["volumeMounts"] = [*mounts, mount]
            mounted = True
    if mounted and present is None:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_projection()}]


def _token_projection() -> dict[str, Any]:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {
                "configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }
            },
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
        "defaultMode": FILE_MODE,
    }


def default_toleration_seconds(attributes: Attributes) -> None:
    """Let a new pod stay five minutes on a node that has stopped answering."""
    if attributes.kind is not POD or attributes.operation != "CREATE":
        return
    spec = attributes.object["spec"]
    tolerations = list(spec.get("tolerations") or ())
    for taint in _DEFAULT_TOLERATED:
        if not any(_tolerates(each, taint) for each in tolerations):
            tolerations.append(
                {
                    "key": taint,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": TOLERATION_SECONDS,
                }
            )
    spec["tolerations"] = tolerations


def _tolerates(toleration: dict[str, Any], taint: str) -> bool:
    return (toleration.get("key") or taint) == taint and (
        (toleration.get("effect") or "NoExecute") == "NoExecute"
    )


def priority(attributes: Attributes) -> None:
    """Turn a new pod's priority class into a number; without one it is 0."""
    if attributes.kind is not POD or attributes.operation != "CREATE":
        return
    spec = attributes.object["spec"]
    name = spec.get("priorityClassName") or ""
    if name and name not in _PRIORITY_CLASSES:
        raise forbidden(POD, attributes.name, f"no PriorityClass with name {name} was found")
    value = _PRIORITY_CLASSES.get(name, 0)
    if spec.get("priority") not in (None, value):
        raise forbidden(
            POD,
            attributes.name,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec;"
            f" priority admission controller computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


PLUGINS: tuple[Plugin, ...] = (
    namespace_lifecycle,
    service_account,
    limit_ranges.set_default_amounts,
    default_toleration_seconds,
    storage_admission.default_storage_class,
    storage_admission.storage_protection,
    priority,
)
REVIEWERS: tuple[Plugin, ...] = (limit_ranges.check_bounds, storage_admission.claim_expansion)
