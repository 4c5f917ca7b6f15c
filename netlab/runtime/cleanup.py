"""``netlab down`` after a ``kill -9``: remove every container of a lab without a daemon.

Needs no event loop and no record; nothing of another lab is touched.
"""

from __future__ import annotations

from pathlib import Path

from netlab.runtime.cgroups import host_hierarchies
from netlab.runtime.records import RuntimePaths
from netlab.runtime.teardown import tear_down_lab


def destroy_lab_containers(run_dir: Path, state_dir: Path, lab_name: str) -> None:
    """Kill a lab's containers and remove their mounts, control groups and files.

    The lab's daemon must not run. Nothing happens when there is nothing left.
    Raises: ContainerError telling what could not be removed; repeating it is safe.
    """
    tear_down_lab(RuntimePaths(run_dir, state_dir), host_hierarchies(), lab_name)
