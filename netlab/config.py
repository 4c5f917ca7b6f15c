"""What one lab is, and what one node of it is: names, addresses, ports and folders.

``LabConfig`` holds the values of ``netlab up``'s flags, checked once and written to
``<state_dir>/config.json``, from which the daemon and ``netlab down`` read them again.
``NodeConfig`` is the part of it that a node agent needs, wherever it runs.
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
RESOLVED_CONF = Path("/run/systemd/resolve/resolv.conf")


class LabConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One lab.

    node_address: the node's address with the prefix of the nodes' network. api_port: port on
    which the API server listens on the host's loopback and on the node's address. sandbox: the
    node is a network namespace of its own instead of the host's. registries: which ones images
    are pulled from; ``loopback`` means only those that listen on the node's own loopback.
    internet: a sandbox has a way out through the host. no_node: node 0 is run by ``netlab agent``,
    not by the daemon.
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
    internet: bool = False
    no_node: bool = False

    @property
    def node_ip(self) -> IPv4Address:
        """The node's address."""
        return self.node_address.ip

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
    def node_resolv_conf(self) -> Path:
        """The node's resolv.conf, which pods with dnsPolicy Default are given.

        Where systemd-resolved listens on loopback, a pod would ask itself; its own file has the
        real resolvers, and kubeadm points the kubelet at it too.
        """
        if self.sandbox:
            return self.node_etc / "resolv.conf"
        return RESOLVED_CONF if RESOLVED_CONF.exists() else Path("/etc/resolv.conf")

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

    def node(self) -> NodeConfig:
        """Return what node 0's agent has to know."""
        return NodeConfig(
            lab=self.name,
            name=self.node_name,
            address=self.node_address,
            netns=str(self.netns) if self.netns else "",
            pods_prefix=f"{self.netns_name}_",
            cluster_cidr=self.pod_cidr,
            service_cidr=self.service_cidr,
            cluster_domain=self.cluster_domain,
            dns_ip=self.dns_service_ip,
            state_dir=self.state_dir,
            run_dir=self.run_dir,
            hosts_file=self.hosts_file,
            resolv_conf=self.node_resolv_conf,
            sandbox=self.sandbox,
            registries=self.registries,
        )


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent, the proxy and the pod network of one node have to know.

    lab: whose control groups the pods are in. netns: path of the node's network namespace, "" for
    the process's own. pods_prefix: how the names of its pods' namespaces begin. cluster_cidr: the
    pods of all nodes; this node's part of it stands in its Node object. dns_ip: the ClusterIP of
    the cluster's DNS. sandbox: the node is cut off from the machine's network. kubelet_port: where
    the kubelet listens at the node's address.
    """

    lab: str
    name: str
    address: IPv4Interface
    netns: str = ""
    pods_prefix: str
    cluster_cidr: IPv4Network
    service_cidr: IPv4Network
    cluster_domain: str = "cluster.local"
    dns_ip: IPv4Address
    state_dir: Path
    run_dir: Path
    hosts_file: Path = Path("/etc/hosts")
    resolv_conf: Path = Path("/etc/resolv.conf")
    sandbox: bool = False
    registries: Literal["any", "loopback"] = "any"
    kubelet_port: int = 10250

    @property
    def ip(self) -> IPv4Address:
        """The node's address."""
        return self.address.ip

    @property
    def netns_path(self) -> Path | None:
        """Path of the node's network namespace; None means the process's own."""
        return Path(self.netns) if self.netns else None


def encode_node_config(config: NodeConfig) -> bytes:
    """Return the config as JSON."""
    return msgspec.json.encode(config, enc_hook=_encode)


def decode_node_config(data: bytes) -> NodeConfig:
    """Return the config that ``encode_node_config`` wrote.

    Raises: UsageError when the text is not such a config.
    """
    try:
        return msgspec.json.decode(data, type=NodeConfig, dec_hook=_decode)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(f"node config: {error}") from error


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
