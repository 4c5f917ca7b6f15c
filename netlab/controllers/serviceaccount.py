"""Decides that every namespace has its default ServiceAccount.

Mirrors kube-controller-manager's ``serviceaccounts_controller``: pods that name no account run
as ``default``, so it is made with the namespace and made again when somebody deletes it. Pure.
"""

from __future__ import annotations

from netlab.api.core import Namespace, ServiceAccount
from netlab.api.kinds import SERVICE_ACCOUNT
from netlab.controllers.actions import NOTHING, Create, Decision

DEFAULT_ACCOUNT = "default"


def decide_service_account(namespace: Namespace | None, account: ServiceAccount | None) -> Decision:
    """Return the creation of the account that is missing in an active namespace."""
    if namespace is None or namespace.metadata.deletion_timestamp is not None:
        return NOTHING
    if account is not None:
        return NOTHING
    new = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": DEFAULT_ACCOUNT, "namespace": namespace.metadata.name},
    }
    return Decision((Create(SERVICE_ACCOUNT, new, exists_ok=True),))
