"""Decides that every namespace has a ConfigMap with the cluster's certificate authority.

Mirrors kube-controller-manager's ``root-ca-certificate-publisher``: the ConfigMap
``kube-root-ca.crt`` is mounted into every pod beside its token, and put right when changed. Pure.
"""

from __future__ import annotations

from netlab.api.core import ConfigMap, Namespace
from netlab.api.kinds import CONFIG_MAP
from netlab.api.view import Object
from netlab.controllers.actions import NOTHING, Create, Decision, Patch

ROOT_CA_NAME = "kube-root-ca.crt"
DESCRIPTION_ANNOTATION = "kubernetes.io/description"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)
"""Text of Kubernetes: users see it in ``kubectl describe``."""


def decide_root_ca(
    namespace: Namespace | None, existing: ConfigMap | None, ca_pem: str
) -> Decision:
    """Return the write that makes the namespace's ConfigMap hold ``ca_pem``."""
    if namespace is None or namespace.metadata.deletion_timestamp is not None:
        return NOTHING
    data = {"ca.crt": ca_pem}
    name = namespace.metadata.name
    if existing is None:
        new: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": ROOT_CA_NAME,
                "namespace": name,
                "annotations": {DESCRIPTION_ANNOTATION: DESCRIPTION},
            },
            "data": data,
        }
        return Decision((Create(CONFIG_MAP, new, exists_ok=True),))
    if existing.data == data:
        return NOTHING
    removed: dict[str, str | None] = dict.fromkeys(existing.data)
    return Decision((Patch(CONFIG_MAP, name, ROOT_CA_NAME, {"data": removed | data}),))
