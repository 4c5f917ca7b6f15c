"""Decides where a pod's files lie and what its network namespace is called.

Mirrors the layout of ``/var/lib/kubelet/pods`` and ``/var/log/pods``: tokens and other files that
the agent writes, emptyDirs in memory and mounts of sub-paths below the lab's run folder, emptyDirs
and logs below its state folder (disk). A namespace is called after the lab, the pod and the start
of its uid, so that ``ip netns`` tells whose it is; no lab name holds an underscore, so labs never
meet.

Mounts lie only below ``NodeFolders.mounting``; they are taken away before anything is removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netlab.config import NodeConfig
from netlab.kubelet.volumes.removal import remove_volumes
from netlab.runtime.cri import PodIdentity

NAME_CHARACTERS = 120
"""Of the pod's name in that of its network namespace: file names end at 255 characters."""

UID_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class NodeFolders:
    """The folders of one node of a lab."""

    run_dir: Path
    state_dir: Path
    netns_prefix: str

    @classmethod
    def of(cls, config: NodeConfig) -> NodeFolders:
        """Return the folders of a node."""
        return cls(config.run_dir, config.state_dir, config.pods_prefix)

    def pod(self, identity: PodIdentity) -> PodFolders:
        """Return the folders of one pod."""
        return PodFolders(self, identity)

    def owned_netns(self, names: Iterable[str]) -> list[str]:
        """Return those of the namespace names that belong to pods of this node."""
        return [name for name in names if name.startswith(self.netns_prefix)]

    @property
    def in_memory(self) -> Path:
        """Folder of what the agent writes for pods, by uid of the pod."""
        return self.run_dir / "volumes"

    @property
    def on_disk(self) -> Path:
        """Folder of emptyDirs, by uid of the pod."""
        return self.state_dir / "volumes"

    @property
    def persistent(self) -> Path:
        """Folder of the volumes made for claims: they outlive pods, and end with the lab."""
        return self.state_dir / "persistent-volumes"

    @property
    def mounting(self) -> tuple[Path, ...]:
        """The folders below which volumes are mounted, by the agent or by a container that may
        (mountPropagation Bidirectional).
        """
        return (self.in_memory, self.on_disk, self.persistent)

    def known_uids(self) -> set[str]:
        """Return the uids of pods of which a folder is left."""
        uids: set[str] = set()
        for parent in (self.in_memory, self.on_disk):
            if parent.is_dir():
                uids.update(entry.name for entry in parent.iterdir())
        uids.update(_uid_of(logs) for logs in self._log_folders())
        return uids

    def remove_uid(self, uid: str) -> None:
        """Remove the folders of a pod of which only the uid is known. Blocking; idempotent.

        Raises: ContainerError when something is still mounted there; nothing behind it is touched.
        """
        remove_volumes(self.in_memory / uid)
        remove_volumes(self.on_disk / uid)
        # not a glob: Python keeps each pattern compiled, and every pod would be one
        for logs in self._log_folders():
            if _uid_of(logs) == uid:
                shutil.rmtree(logs, ignore_errors=True)

    def _log_folders(self) -> list[Path]:
        parent = self.state_dir / "pods"
        return list(parent.iterdir()) if parent.is_dir() else []


def _uid_of(logs: Path) -> str:
    """The uid at the end of the name of a pod's folder of logs."""
    return logs.name.rpartition("_")[2]


@dataclass(frozen=True, slots=True)
class PodFolders:
    """The folders and names of one pod."""

    node: NodeFolders
    identity: PodIdentity

    def netns_name(self, attempt: int) -> str:
        """Return the name of the network namespace of a sandbox; also its id in IPAM."""
        pod = self.identity
        name = (
            f"{self.node.netns_prefix}{pod.namespace}_{pod.name[:NAME_CHARACTERS]}_"
            f"{pod.uid[:UID_CHARACTERS]}"
        )
        return f"{name}_{attempt}" if attempt else name

    @property
    def logs(self) -> Path:
        """Folder of the pod's logs."""
        pod = self.identity
        return self.node.state_dir / "pods" / f"{pod.namespace}_{pod.name}_{pod.uid}"

    def log(self, container: str, attempt: int) -> Path:
        """Return the log file of one container."""
        return self.logs / container / f"{attempt}.log"

    @property
    def etc(self) -> Path:
        """Folder of hosts, hostname and resolv.conf."""
        return self.node.in_memory / self.identity.uid / "etc"

    def files_volume(self, volume: str) -> Path:
        """Return the folder of a volume whose files the agent writes."""
        return self.node.in_memory / self.identity.uid / "volumes" / volume

    def empty_dir(self, volume: str) -> Path:
        """Return the folder of an emptyDir volume on disk."""
        return self.node.on_disk / self.identity.uid / volume

    def memory_dir(self, volume: str) -> Path:
        """Return the folder of an emptyDir volume in memory."""
        return self.node.in_memory / self.identity.uid / "memory" / volume

    def sub_path(self, container: str, index: int) -> Path:
        """Return where the sub-path of a container's mount is shown; index: of the mount."""
        parent = self.node.in_memory / self.identity.uid / "sub-paths"
        return parent / container / str(index)

    def remove(self) -> None:
        """Remove all of the pod's folders. Blocking; idempotent.

        Raises: ContainerError when something is still mounted there.
        """
        self.node.remove_uid(self.identity.uid)
