"""Addresses of either family: the types, and how the kernel's bytes become them.

``netlab.net`` carries the family in the objects: an ``ipaddress`` object knows whether it
is IPv4 or IPv6, and whoever needs the family asks it. Pure.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Interface: TypeAlias = IPv4Interface | IPv6Interface
Network: TypeAlias = IPv4Network | IPv6Network
Family: TypeAlias = Literal[4, 6]
"""The number that ``ipaddress`` objects call their version."""

# the kernel's numbers of the families; the module socket has them too, but this one is pure
AF_INET, AF_INET6 = 2, 10


def family_of(address: Address) -> int:
    """Return the kernel's number of the address's family."""
    return AF_INET if address.version == 4 else AF_INET6


def make_address(packed: bytes) -> Address:
    """Return the address of 4 or 16 bytes."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def make_network(packed: bytes, prefix: int) -> Network:
    """Return the range that begins at the address of 4 or 16 bytes."""
    return IPv4Network((packed, prefix)) if len(packed) == 4 else IPv6Network((packed, prefix))


def make_interface(packed: bytes, prefix: int) -> Interface:
    """Return the address of 4 or 16 bytes, with its range."""
    return IPv4Interface((packed, prefix)) if len(packed) == 4 else IPv6Interface((packed, prefix))


def default_range(gateway: Address) -> Network:
    """Return the range of all addresses of the gateway's family: where a default route leads."""
    return make_network(bytes(len(gateway.packed)), 0)
