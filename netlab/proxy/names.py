"""Name the chains: the same names that kube-proxy gives them.

A chain's name may have 28 characters, too few for a namespace and a Service, so kube-proxy hashes
them. The hashes here are equal to kube-proxy's, so a course's ``iptables`` output matches. Pure.

Source: kube-proxy ``pkg/proxy/iptables`` (v1.36)
"""

from __future__ import annotations

import base64
import hashlib

SERVICES = "KUBE-SERVICES"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
NODE_PORTS = "KUBE-NODEPORTS"
POSTROUTING = "KUBE-POSTROUTING"
MARK_MASQ = "KUBE-MARK-MASQ"
FORWARD = "KUBE-FORWARD"
FIREWALL = "KUBE-FIREWALL"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"
CANARY = "KUBE-PROXY-CANARY"

FIXED_CHAINS = frozenset(
    {
        SERVICES,
        EXTERNAL_SERVICES,
        NODE_PORTS,
        POSTROUTING,
        MARK_MASQ,
        FORWARD,
        FIREWALL,
        PROXY_FIREWALL,
        CANARY,
    }
)
# endpoint, cluster policy, local policy, external traffic, load balancer firewall; a chain jumps
# only to chains of kinds named earlier (and to KUBE-MARK-MASQ)
SERVICE_PREFIXES = ("KUBE-SEP-", "KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-")

MASQUERADE_BIT = 0x4000


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest())[:16].decode()


def port_hash(port_name: str, protocol: str) -> str:
    """Return the part of the chain names that stands for a Service port.

    port_name: ``namespace/name:port``, or ``namespace/name``; protocol in lower case.
    """
    return _hash(port_name + protocol)


def endpoint_chain(port_name: str, protocol: str, endpoint: str) -> str:
    """Return the name of an endpoint's chain; endpoint is ``ip:port``."""
    return "KUBE-SEP-" + _hash(port_name + protocol + endpoint)


def is_owned(chain: str) -> bool:
    """True for the chains that kube-proxy, and so netlab, makes."""
    return chain in FIXED_CHAINS or chain.startswith(SERVICE_PREFIXES)


def rank(chain: str) -> int:
    """Return a number that is greater than those of the chains that ``chain`` jumps to."""
    if chain == MARK_MASQ:
        return 0
    for position, prefix in enumerate(SERVICE_PREFIXES, 1):
        if chain.startswith(prefix):
            return position
    # KUBE-SERVICES jumps to KUBE-NODEPORTS, both to the Services' own chains
    return len(SERVICE_PREFIXES) + (2 if chain == SERVICES else 1)
