"""What runs of a lab's containers, read from disk and kernel: ``netlab ps`` needs no daemon.

Each pod has its pause container here, as in ``docker ps`` of a Kubernetes node; the kubelet's API
never shows it. Reading changes nothing and may be done while the daemon works.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from netlab.runtime.process import open_member, read_pid
from netlab.runtime.records import (
    ContainerRecord,
    Outcome,
    RuntimePaths,
    SandboxRecord,
    Started,
    read_outcome,
    read_record,
    record_folders,
)

PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10"
"""What stands for the image of a sandbox; its program is netlab's."""


class _Process(msgspec.Struct):
    args: list[str] = []


class _Spec(msgspec.Struct):
    process: _Process


@dataclass(frozen=True, slots=True)
class ListedContainer:
    """One container, a pod's pause included. name: as dockershim and cri-dockerd name it.

    started_at: None before it is started; outcome: None as long as it has not ended.
    """

    id: str
    image: str
    command: Sequence[str]
    name: str
    created_at: datetime
    started_at: datetime | None
    outcome: Outcome | None


def list_containers(run_dir: Path, state_dir: Path) -> list[ListedContainer]:
    """Return the containers of a lab, whose folders are given, the newest first.

    Raises: PermissionError for those who are not root.
    """
    paths = RuntimePaths(run_dir, state_dir)
    if paths.root.exists():
        list(paths.root.iterdir())  # without the right, the folders below would only look empty
    found = [*_sandboxes(paths), *_containers(paths)]
    return sorted(found, key=lambda each: each.created_at, reverse=True)


def _sandboxes(paths: RuntimePaths) -> Iterator[ListedContainer]:
    for folder in record_folders(paths.sandboxes):
        record = read_record(folder / "record.json", SandboxRecord)
        if record is None:
            continue
        pod = record.config.pod
        running = open_member(read_pid(folder / "pid"), record.cgroup)
        ended = Outcome(exit_code=0, reason="", finished_at=record.created_at)
        if running is not None:
            os.close(running)
        yield ListedContainer(
            id=record.id,
            image=PAUSE_IMAGE,
            command=_command(folder),
            name=f"k8s_POD_{pod.name}_{pod.namespace}_{pod.uid}_{record.config.attempt}",
            created_at=record.created_at,
            started_at=record.created_at,
            outcome=None if running is not None else ended,
        )


def _containers(paths: RuntimePaths) -> Iterator[ListedContainer]:
    for folder in record_folders(paths.containers):
        record = read_record(folder / "record.json", ContainerRecord)
        if record is None:
            continue
        started = read_record(folder / "started.json", Started)
        place = f"{record.pod_name}_{record.namespace}_{record.pod_uid}_{record.attempt}"
        yield ListedContainer(
            id=record.id,
            image=record.image,
            command=_command(folder),
            name=f"k8s_{record.name}_{place}",
            created_at=record.created_at,
            started_at=started.at if started else None,
            outcome=read_outcome(folder, record.id),
        )


def _command(folder: Path) -> Sequence[str]:
    try:
        spec = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Spec)
    except (OSError, msgspec.MsgspecError):
        return ()
    return spec.process.args
