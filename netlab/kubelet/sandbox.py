"""Makes and removes a pod's sandbox: network namespace, link with address, pause container.

Mirrors what a CRI runtime does in ``RunPodSandbox`` and ``StopPodSandbox``. The namespace comes
first; address and pause then need nothing of each other and are made at the same time. Removing
goes the other way round, carries on past failures, and succeeds when nothing is there.

A pod in the node's network (hostNetwork) has pause alone: neither namespace nor address are its
own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from netlab.api.pods import Pod, PodSecurityContext
from netlab.cni.host_ports import pod_host_ports
from netlab.errors import NetlabError
from netlab.kubelet.admission import dotted
from netlab.kubelet.containers.resources import pod_resources
from netlab.kubelet.files import kernel_hostname
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.node_parts import NodeParts
from netlab.runtime.cri import PodIdentity, SandboxConfig, SandboxStatus


def sandbox_config(
    parts: NodeParts, pod: Pod, identity: PodIdentity, attempt: int, netns: Path | None
) -> SandboxConfig:
    """Return the pause container of a pod.

    Raises: ContainerError when the pod's full name is too long for the kernel.
    """
    spec, cluster_domain = pod.spec, parts.config.cluster_domain
    rights = spec.security_context or PodSecurityContext()
    return SandboxConfig(
        pod=identity,
        attempt=attempt,
        hostname=kernel_hostname(pod, cluster_domain=cluster_domain, node_name=parts.node_name),
        netns=netns,
        share_process_namespace=spec.share_process_namespace,
        host_network=spec.host_network,
        host_pid=spec.host_pid,
        host_ipc=spec.host_ipc,
        sysctls={dotted(sysctl.name): sysctl.value for sysctl in rights.sysctls},
        resources=pod_resources(pod),
        uid=rights.run_as_user or 0,
        gid=rights.run_as_group or 0,
    )


async def create_sandbox(parts: NodeParts, pod: Pod, folders: PodFolders, attempt: int) -> str:
    """Return the address of a new sandbox; after a failure nothing of it is left.

    Raises: NetlabError.
    """
    if pod.spec.host_network:
        config = sandbox_config(parts, pod, folders.identity, attempt, parts.config.netns_path)
        await parts.runtime.run_sandbox(config)
        return parts.host_ip
    name = folders.netns_name(attempt)
    netns = await _fresh_netns(parts, name)
    try:
        config = sandbox_config(parts, pod, folders.identity, attempt, netns)
        added, ran = await asyncio.gather(
            parts.network.add(
                container_id=name,
                pod_netns=netns,
                namespace=pod.metadata.namespace,
                name=pod.metadata.name,
                host_ports=pod_host_ports(pod),
            ),
            parts.runtime.run_sandbox(config),
            return_exceptions=True,
        )
        if isinstance(added, BaseException):
            raise added
        if isinstance(ran, BaseException):
            raise ran
    except BaseException:
        await _remove_attempt(parts, folders.identity, attempt, name, netns)
        raise
    return str(added.ip)


async def _fresh_netns(parts: NodeParts, name: str) -> Path:
    """Make the namespace; one of that name is left of an agent that was killed in between."""
    if name in parts.netns.list_netns():
        await remove_network(parts, name)
    return await parts.netns.create_netns(name)


async def _remove_attempt(
    parts: NodeParts, identity: PodIdentity, attempt: int, name: str, netns: Path
) -> None:
    snapshot = await parts.inventory.refresh()
    for sandbox in snapshot.pod(identity.uid).sandboxes:
        if sandbox.config.attempt == attempt:
            await parts.runtime.stop_sandbox(sandbox.id)
            await parts.runtime.remove_sandbox(sandbox.id)
    await remove_network(parts, name, netns)


def own_netns(sandbox: SandboxStatus) -> Path | None:
    """Return the network namespace that belongs to a sandbox; None when it is in the node's."""
    return None if sandbox.config.host_network else sandbox.config.netns


async def repair_network(parts: NodeParts, sandbox: SandboxStatus) -> str:
    """Put right what is broken in a sandbox's network; return its address, which stays.

    Raises: NetworkError when it cannot be mended.
    """
    netns, pod = own_netns(sandbox), sandbox.config.pod
    if netns is None:
        return parts.host_ip
    repaired = await parts.network.repair(
        container_id=netns.name, pod_netns=netns, namespace=pod.namespace, name=pod.name
    )
    return str(repaired.ip)


async def remove_network(parts: NodeParts, name: str, netns: Path | None = None) -> None:
    """Free the address of a sandbox and remove its network namespace.

    Raises: NetlabError, after trying both.
    """
    try:
        await parts.network.delete(container_id=name, pod_netns=netns)
    finally:
        await parts.netns.remove_netns(name)


async def remove_sandbox(parts: NodeParts, sandbox: SandboxStatus) -> None:
    """Stop pause, free the address, remove the namespace and the sandbox.

    Raises: ExceptionGroup of the NetlabErrors met, after trying everything.
    """
    errors: list[NetlabError] = []
    netns = own_netns(sandbox)
    actions: list[Callable[[], Awaitable[None]]]
    actions = [partial(parts.runtime.stop_sandbox, sandbox.id)]
    if netns is not None:
        actions.append(partial(remove_network, parts, netns.name, netns))
    actions.append(partial(parts.runtime.remove_sandbox, sandbox.id))
    for action in actions:
        try:
            await action()
        except NetlabError as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup(f"remove sandbox {sandbox.id}", errors)
