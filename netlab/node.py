"""Everything that one node runs: kubelet, proxy, pod network, container runtime, provisioner.

A composition root without a main: the daemon builds one node with it inside its own process,
``netlab.agent`` builds one in a process of its own. Nothing here knows which of the two it is: the
clients it is given may be the API server's own or HTTPS.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.cni.plugin import PodNetwork
from netlab.config import NodeConfig
from netlab.kubelet.agent import Kubelet
from netlab.kubelet.folders import NodeFolders
from netlab.kubelet.server.auth import Reviewer
from netlab.kubelet.volumes.provisioner import LocalPathProvisioner
from netlab.net import netns
from netlab.net.host import NetworkHost
from netlab.proxy.agent import ProxyAgent
from netlab.proxy.iptables_mode import IptablesProvider
from netlab.runtime.engine import OciRuntime
from netlab.runtime.image_store.registry import RegistryRules


@dataclass(frozen=True, slots=True)
class NodeClients:
    """Who each part is to the API server, and what it follows there.

    kubelet, provisioner: write. The informers are run by whoever made them; two parts may share
    one. reviewer: asked who may use the kubelet's server.
    """

    kubelet: Client
    provisioner: Client
    reviewer: Reviewer
    kubelet_informers: SharedInformers
    proxy_informers: SharedInformers
    provisioner_informers: SharedInformers


@dataclass(frozen=True, slots=True)
class NodeComponents:
    """The parts of one node; none of them runs before ``run``."""

    host: NetworkHost
    runtime: OciRuntime
    network: PodNetwork
    kubelet: Kubelet
    provisioner: LocalPathProvisioner
    proxy: ProxyAgent

    async def run(self, clock: Clock) -> None:
        """Run the node until cancelled; its pods run on.

        Raises: NetlabError when a part cannot work here at all.
        """
        async with self.runtime, asyncio.TaskGroup() as group:
            group.create_task(self.kubelet.run())
            group.create_task(self.provisioner.run())
            group.create_task(self.proxy.run())
            group.create_task(self.host.run(clock))


def build_node(
    config: NodeConfig, clients: NodeClients, host: NetworkHost, tls: ssl.SSLContext, clock: Clock
) -> NodeComponents:
    """Return a node's parts. tls: with which the kubelet's server listens."""
    network = PodNetwork(
        host,
        cluster_cidr=config.cluster_cidr,
        service_cidr=config.service_cidr,
        state_dir=config.state_dir / "cni",
    )
    anywhere = config.registries == "any"
    runtime = OciRuntime(
        run_dir=config.run_dir,
        state_dir=config.state_dir,
        lab_name=config.lab,
        clock=clock,
        registries=RegistryRules(anywhere=anywhere, node_netns=config.netns_path),
    )
    kubelet = Kubelet(
        client=clients.kubelet,
        informers=clients.kubelet_informers,
        runtime=runtime,
        network=network,
        netns=netns,
        clock=clock,
        config=config,
        tls=tls,
        reviewer=clients.reviewer,
    )
    proxy = ProxyAgent(
        clients.proxy_informers,
        provider=IptablesProvider(host, node_ip=config.ip, cluster_cidr=config.cluster_cidr),
        node_name=config.name,
        cluster_cidr=config.cluster_cidr,
        host=host,
        clock=clock,
    )
    provisioner = LocalPathProvisioner(
        client=clients.provisioner,
        informers=clients.provisioner_informers,
        clock=clock,
        folder=NodeFolders.of(config).persistent,
        node_name=config.name,
    )
    return NodeComponents(host, runtime, network, kubelet, provisioner, proxy)
