"""Makes and removes a pod's sandbox: network namespace, link with address, pause container.

Mirrors what a CRI runtime does in ``RunPodSandbox`` and ``StopPodSandbox``. The namespace comes
first; address and pause then need nothing of each other and are made at the same time. Removing
goes the other way round, carries on past failures, and succeeds when nothing is there.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from netlab.api.core import Pod
from netlab.errors import NetlabError
from netlab.kubelet.files import pod_hostname
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.node_parts import NodeParts
from netlab.runtime.cri import PodIdentity, SandboxConfig, SandboxStatus


async def create_sandbox(parts: NodeParts, pod: Pod, folders: PodFolders, attempt: int) -> str:
    """Return the address of a new sandbox; after a failure nothing of it is left.

    Raises: NetlabError.
    """
    name = folders.netns_name(attempt)
    netns = await _fresh_netns(parts, name)
    config = SandboxConfig(
        pod=folders.identity,
        attempt=attempt,
        hostname=pod_hostname(pod),
        netns=netns,
        share_process_namespace=pod.spec.share_process_namespace,
    )
    try:
        added, ran = await asyncio.gather(
            parts.network.add(
                container_id=name,
                pod_netns=netns,
                namespace=pod.metadata.namespace,
                name=pod.metadata.name,
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
    name = sandbox.config.netns.name
    for action in (
        parts.runtime.stop_sandbox(sandbox.id),
        remove_network(parts, name, sandbox.config.netns),
        parts.runtime.remove_sandbox(sandbox.id),
    ):
        try:
            await action
        except NetlabError as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup(f"remove sandbox {sandbox.id}", errors)
