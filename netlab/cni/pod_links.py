"""What the links of the pod network shall be like: the bridge, its ports, and a pod's own.

Pure. Mirrors what the ``bridge`` plugin of containernetworking/plugins sets up in ADD and looks
at in CHECK; here it is one value, from which it is made, checked, mended and guarded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from netlab.net.addresses import Address, Interface, default_range
from netlab.net.link_state import LOOPBACK, Wanted, WantedLink, WantedRoute

POD_LINK = "eth0"
VETH_PREFIX = "veth"
ON_NODE, IN_POD = "on the node", "in the pod"


def veth_name(container_id: str) -> str:
    """Return the name of the node's end: the same for the same container, 12 characters.

    Link names stop at 15 characters, so the id is hashed.
    """
    return VETH_PREFIX + hashlib.sha256(container_id.encode()).hexdigest()[:8]


def mac_of(address: Address) -> str:
    """Return the hardware address that goes with an IP: 0a:58 and the IP's last four bytes.

    An address that is given to another pod later keeps its MAC, so no ARP entry is ever wrong.
    """
    return (b"\x0a\x58" + address.packed[-4:]).hex(":")


def node_links(
    bridge: str, gateway: Interface, mtu_bytes: int, container_ids: Iterable[str]
) -> Wanted:
    """Return the bridge with the gateway's address, and a port for each container."""
    link = WantedLink(
        name=bridge,
        kind="bridge",
        mtu_bytes=mtu_bytes,
        mac=mac_of(gateway.ip),
        addresses=(gateway,),
    )
    ports = [node_port(bridge, mtu_bytes, container_id) for container_id in container_ids]
    return Wanted(ON_NODE, (link, *ports))


def node_port(bridge: str, mtu_bytes: int, container_id: str) -> WantedLink:
    """Return the node's end of a container's link."""
    return WantedLink(name=veth_name(container_id), kind="veth", mtu_bytes=mtu_bytes, bridge=bridge)


def pod_links(address: Interface, gateway: Address, mtu_bytes: int) -> Wanted:
    """Return lo, eth0 with the pod's address, and the default route."""
    link = WantedLink(
        name=POD_LINK,
        kind="veth",
        mtu_bytes=mtu_bytes,
        mac=mac_of(address.ip),
        addresses=(address,),
    )
    route = WantedRoute(destination=default_range(gateway), link=POD_LINK, gateway=gateway)
    return Wanted(IN_POD, (LOOPBACK, link), (route,))
