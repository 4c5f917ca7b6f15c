"""Keeps containers' logs from filling the disk: at most five files of 10 MiB each.

Mirrors ``pkg/kubelet/logs/container_log_manager.go`` with its default settings: a log that has
grown too long is renamed after the time, conmon opens the path anew, and of the older files all
but the newest are compressed. ``kubectl logs`` shows the newest file only.

Rules for callers: ``run_log_rotation`` is one task that ends only when cancelled. A removed
container's files are found with ``log_files``.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from netlab.clock import Clock
from netlab.errors import NetlabError
from netlab.kubelet.inventory import Inventory
from netlab.runtime.cri import ContainerPhase, ContainerRuntime, ContainerState

log = logging.getLogger(__name__)

LARGEST_LOG_BYTES = 10 << 20
MOST_FILES = 5
CHECK_S = 10.0
_COMPRESSED = ".gz"
_PARTIAL = ".tmp"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What is to be done to the files beside one log, in this order. names are file names.

    rotated: what the log itself is renamed to.
    """

    remove: tuple[str, ...]
    compress: tuple[str, ...]
    rotated: str


def plan_rotation(log_name: str, others: Sequence[str], now: datetime) -> Rotation:
    """Return how to rotate a log. others: the names in its folder; those not of it are left alone.

    One place is kept for the new log and one for that which is rotated now.
    """
    unfinished = [
        name for name in others if name.startswith(f"{log_name}.") and name.endswith(_PARTIAL)
    ]
    older = sorted(
        name for name in others if name.startswith(f"{log_name}.") and not name.endswith(_PARTIAL)
    )
    kept = older[-(MOST_FILES - 2) :]
    return Rotation(
        remove=(*unfinished, *(name for name in older if name not in kept)),
        compress=tuple(name for name in kept if not name.endswith(_COMPRESSED)),
        rotated=f"{log_name}.{now:%Y%m%d-%H%M%S}",
    )


def log_files(path: Path) -> list[Path]:
    """Return a log and what was rotated away from it, as far as they exist."""
    return [path, *path.parent.glob(f"{path.name}.*")]


async def run_log_rotation(runtime: ContainerRuntime, inventory: Inventory, clock: Clock) -> None:
    """Rotate the logs of running containers for ever."""
    while True:
        await clock.sleep(CHECK_S)
        for pod in list(inventory.snapshot.pods.values()):
            for container in pod.containers:
                if container.phase is ContainerPhase.RUNNING:
                    await rotate_if_large(runtime, container, clock)


async def rotate_if_large(
    runtime: ContainerRuntime, container: ContainerState, clock: Clock
) -> bool:
    """Rotate a container's log when it has grown too long; tell whether it was rotated.

    What cannot be done is logged, and tried again at the next check.
    """
    path = container.log_path
    try:
        if path.stat().st_size < LARGEST_LOG_BYTES:
            return False
        names = [entry.name for entry in path.parent.iterdir()]
        rotation = plan_rotation(path.name, names, clock.now())
        await asyncio.to_thread(_tidy, path.parent, rotation)
        await _rotate(runtime, container, path.with_name(rotation.rotated))
    except FileNotFoundError:
        return False  # removed together with its container
    except (OSError, NetlabError) as error:
        log.warning("rotate log %s: %s", path, error)
        return False
    return True


async def _rotate(runtime: ContainerRuntime, container: ContainerState, rotated: Path) -> None:
    container.log_path.rename(rotated)
    try:
        await runtime.rotate_log(container.id)
    except BaseException:
        _take_back(container.log_path, rotated)
        raise


def _take_back(path: Path, rotated: Path) -> None:
    """Rename the log back: conmon goes on writing to it, where it must be found."""
    if not path.exists():
        rotated.rename(path)


def _tidy(folder: Path, rotation: Rotation) -> None:
    for name in rotation.remove:
        (folder / name).unlink(missing_ok=True)
    for name in rotation.compress:
        source, target = folder / name, folder / f"{name}{_COMPRESSED}"
        partial = target.with_name(target.name + _PARTIAL)
        with source.open("rb") as plain, gzip.open(partial, "wb") as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
        partial.rename(target)
        source.unlink()
