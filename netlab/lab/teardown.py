"""Give back everything a lab took: what ``netlab down`` does, and ``up`` after a failed start.

Needs no daemon and no state in memory: the ledger, the lab's name in namespaces and cgroups, and
the folders tell what there is. Each step is idempotent and goes on past failures, which are raised
together at the end; the folders go last, so that an interrupted run can be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network

from netlab.cni.plugin import PodNetwork
from netlab.config import LabConfig
from netlab.errors import NetlabError, NetworkError
from netlab.kubelet.folders import NodeFolders
from netlab.kubelet.volumes.removal import unmount_volumes
from netlab.lab.forwarding import give_back_host
from netlab.lab.labs import host_ledger, one_at_a_time
from netlab.lab.ledger import Ledger
from netlab.lab.netns_mount import give_back_netns_folder
from netlab.lab.process import lock_path, stop_agents, stop_daemon
from netlab.lab.rules_tool import settled_tool
from netlab.lab.units import forget_boot, forget_pods
from netlab.net.host import NetworkHost
from netlab.net.iptables import Iptables
from netlab.net.links import call_links
from netlab.net.netns import list_netns, remove_netns
from netlab.net.sysctl import write_sysctls
from netlab.nodes.way_out import close_way_out
from netlab.proxy.iptables_mode import remove_rules
from netlab.runtime.cleanup import destroy_lab_containers
from netlab.runtime.trees import remove_tree

DAEMON_GRACE_S = 5.0


def remove_lab(config: LabConfig) -> None:
    """Stop the lab's daemon and remove everything of the lab but the kubeconfig context.

    Only inside the lab's turn (``turns``).
    Raises: NetlabError naming each thing that could not be removed.
    """
    asyncio.run(_remove_lab(config))


async def _remove_lab(config: LabConfig) -> None:
    forget_boot(config.name)
    stop_daemon(config, grace_s=DAEMON_GRACE_S)
    stop_agents(config, grace_s=DAEMON_GRACE_S)
    await _remove_all(config)


async def _remove_all(config: LabConfig) -> None:
    problems: list[str] = []

    async def attempt(step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except (NetlabError, OSError) as error:
            problems.append(str(error))

    await attempt(
        lambda: asyncio.to_thread(
            destroy_lab_containers, config.run_dir, config.state_dir, config.name
        )
    )
    # before any folder goes: what is mounted below them may be a folder of the host
    for folder in NodeFolders.of(config.node()).mounting:
        await attempt(lambda folder=folder: asyncio.to_thread(unmount_volumes, folder))  # type: ignore[misc]
    for name in pod_netns_names(config):
        await attempt(lambda name=name: remove_netns(name))  # type: ignore[misc]
    if config.netns is None:
        before = tables_before(host_ledger(config))
        tool = settled_tool(host_ledger(config)) or "iptables"
        await attempt(lambda: remove_rules(None, tool=tool))
        await attempt(lambda: _network(config, tool).teardown())
        if before is not None:
            await attempt(lambda: Iptables(None, tool=tool).remove_empty_tables(before))
    for entry in host_ledger(config).newest_first():
        await attempt(lambda entry=entry: _undo(config, entry.what, entry.name, entry.before))  # type: ignore[misc]
    if config.netns is not None:
        await attempt(lambda: close_way_out(config))
        with one_at_a_time():
            await attempt(lambda: give_back_host(config.name))
        # also when the ledger was lost with the rest of the run folder
        await attempt(lambda: remove_netns(config.netns_name))
    if problems:
        raise NetlabError("not everything could be removed: " + "; ".join(problems))
    _remove_folders(config)


def tables_before(ledger: Ledger) -> frozenset[str] | None:
    """Return the iptables tables the host had before the lab; None when that was not recorded."""
    for entry in ledger.entries():
        if entry.what == "rules":
            return frozenset(entry.before.split())
    return None


def pod_netns_names(config: LabConfig) -> list[str]:
    """Return the names of the namespaces of this lab's pods."""
    prefix = NodeFolders.of(config.node()).netns_prefix
    return [name for name in list_netns() if name.startswith(prefix)]


def _network(config: LabConfig, tool: str) -> PodNetwork:
    return PodNetwork(
        NetworkHost(config.netns, tool=tool),
        cluster_cidr=config.pod_cidr,
        service_cidr=config.service_cidr,
        state_dir=config.state_dir / "cni",
    )


async def _undo(config: LabConfig, what: str, name: str, before: str) -> None:
    if what == "netns":
        await remove_netns(name)
    elif what == "link":
        await call_links(None, lambda links: links.remove_link(name))
    elif what == "route" and config.netns is None:
        await call_links(None, lambda links: links.remove_route(IPv4Network(name)))
    elif what == "sysctl" and config.netns is None:
        # a sysctl of a link that is gone is gone with it
        with contextlib.suppress(NetworkError):
            await write_sysctls(None, {name: before})


def _remove_folders(config: LabConfig) -> None:
    """Remove the lab's folders; as long as one is left, so is the lab's name.

    Raises: NetlabError.
    """
    for folder in (config.state_dir, config.run_dir):
        try:
            remove_tree(folder)
        except NetlabError as error:
            raise NetlabError(f"not everything could be removed: {error}") from error
    lock_path(config.name).unlink(missing_ok=True)
    forget_pods(config.name)
    # under the lock, because another lab may be about to make its own folder
    with one_at_a_time():
        give_back_netns_folder()
        with contextlib.suppress(OSError):
            config.state_dir.parent.rmdir()
