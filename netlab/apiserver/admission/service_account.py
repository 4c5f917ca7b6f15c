"""Gives pods their identity: a service account, and a volume with its token.

Mirrors the admission plugin ServiceAccount.
"""

from __future__ import annotations

from random import Random
from typing import Any

from netlab.api.field_errors import forbidden
from netlab.api.generate import random_suffix
from netlab.api.kinds import POD, SERVICE_ACCOUNT
from netlab.api.view import Object
from netlab.apiserver.admission.attributes import Attributes

DEFAULT_SERVICE_ACCOUNT = "default"
ACCOUNT_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ACCOUNT_VOLUME_PREFIX = "kube-api-access-"
# an hour and seven seconds: an odd number by which operators of Kubernetes find injected tokens
TOKEN_SECONDS = 3607
FILE_MODE = 0o644


def service_account(attributes: Attributes) -> None:
    """Give a new pod its identity: the account's name, and a volume with its token."""
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
