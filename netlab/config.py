"""What one lab is: its name, addresses, ports and folders.

The values of ``netlab up``'s flags, checked once and written to ``<state_dir>/config.json``, from
which the daemon and ``netlab down`` read them again.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Literal

import msgspec

from netlab.errors import UsageError

STATE_ROOT = Path("/var/lib/netlab")
RUN_ROOT = Path("/run/netlab")
DEFAULT_NAME = "netlab"


class LabConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One lab.

    node_address: the node's address with the prefix of the nodes' network. api_port: port on
    which the API server listens on the host's loopback and on the node's address. sandbox: the
    node is a network namespace of its own instead of the host's. registries: which ones images
    are pulled from; ``loopback`` means only those that listen on the node's own loopback.
    """

    name: str = DEFAULT_NAME
    node_name: str = "node0"
    node_address: IPv4Interface = IPv4Interface("10.100.199.200/24")
    pod_cidr: IPv4Network = IPv4Network("10.244.0.0/16")
    service_cidr: IPv4Network = IPv4Network("10.96.0.0/12")
    cluster_domain: str = "cluster.local"
    api_port: int = 6443
    sandbox: bool = False
    registries: Literal["any", "loopback"] = "any"

    @property
    def node_ip(self) -> IPv4Address:
        """The node's address."""
        return self.node_address.ip

    @property
    def node_pod_cidr(self) -> IPv4Network:
        """Node 0's part of the pod range: its first /24, or all of a smaller range."""
        if self.pod_cidr.prefixlen >= 24:
            return self.pod_cidr
        return next(self.pod_cidr.subnets(new_prefix=24))

    @property
    def kubernetes_service_ip(self) -> IPv4Address:
        """The ClusterIP of Service default/kubernetes: the first address of the range."""
        return self.service_cidr[1]

    @property
    def dns_service_ip(self) -> IPv4Address:
        """The ClusterIP of Service kube-system/kube-dns: the tenth address of the range."""
        return self.service_cidr[10]

    @property
    def state_dir(self) -> Path:
        """Folder of what survives a reboot: store, keys, images, IPAM."""
        return STATE_ROOT / "labs" / self.name

    @property
    def run_dir(self) -> Path:
        """Folder of what lives as long as the lab runs: pid, sockets, container bundles."""
        return RUN_ROOT / self.name

    @property
    def node_etc(self) -> Path:
        """Folder of the sandboxed node's own /etc files."""
        return self.state_dir / "node-etc"

    @property
    def hosts_file(self) -> Path:
        """The node's hosts file, which pods in its network see."""
        return (self.node_etc if self.sandbox else Path("/etc")) / "hosts"

    @property
    def context(self) -> str:
        """The kubeconfig context: ``netlab``, or ``netlab-NAME``."""
        return DEFAULT_NAME if self.name == DEFAULT_NAME else f"{DEFAULT_NAME}-{self.name}"

    @property
    def netns_name(self) -> str:
        """The name under /run/netns of the namespace that plays the VM in a sandboxed lab."""
        return self.context

    @property
    def netns(self) -> Path | None:
        """Path of the node's network namespace; None means the host's own."""
        return Path("/run/netns") / self.netns_name if self.sandbox else None


def _encode(value: object) -> str:
    return str(value)


def _decode(kind: type, value: object) -> object:
    return kind(value)


def encode_config(config: LabConfig) -> bytes:
    """Return the config as JSON."""
    return msgspec.json.encode(config, enc_hook=_encode)


def decode_config(data: bytes) -> LabConfig:
    """Return the config that ``encode_config`` wrote.

    Raises: UsageError when the text is not such a config.
    """
    try:
        return msgspec.json.decode(data, type=LabConfig, dec_hook=_decode)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(f"lab config: {error}") from error
