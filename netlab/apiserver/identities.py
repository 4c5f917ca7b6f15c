"""As whom the parts of a lab ask the API server: Kubernetes' names for its own components.

Whoever runs in the daemon's process has an identity as if it came over the network, and no more
rights than that: see ``auth.bootstrap_policy``. Pure.
"""

from __future__ import annotations

from netlab.apiserver.requests import AUTHENTICATED, UserInfo

NODES = "system:nodes"
ACCOUNTS = "system:serviceaccounts"


def component_user(name: str) -> UserInfo:
    """Return ``system:NAME``, such as kube-scheduler."""
    return UserInfo(f"system:{name}", groups=(AUTHENTICATED,))


def node_user(name: str) -> UserInfo:
    """Return the kubelet of a node."""
    return UserInfo(f"system:node:{name}", groups=(NODES, AUTHENTICATED))


def account_user(namespace: str, name: str) -> UserInfo:
    """Return a service account."""
    groups = (ACCOUNTS, f"{ACCOUNTS}:{namespace}", AUTHENTICATED)
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", groups=groups)
