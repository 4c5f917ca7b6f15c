"""What labs share of the machine: noted by the first, given back by the last.

Two things belong to no lab alone. ``/run/netns`` is made a mount point, as ``ip netns`` does it,
before the first namespace; and the controllers that containers are bounded by are switched on in
the root of cgroup v2 (by crun and runc, for all groups of the machine). How both were is noted by
the ``up`` that finds no other lab, and put back by the ``down`` that leaves none. What somebody
else uses by then stays as it is. The note lies under /run: a reboot undoes all of it.

Rules for callers: hold ``labs.one_at_a_time``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from netlab.config import RUN_ROOT
from netlab.lab.labs import known_labs
from netlab.net.netns import NetnsFolder, netns_folder, release_netns_folder
from netlab.runtime.cgroups import disable_controllers, enabled_controllers, host_hierarchies

NOTE = RUN_ROOT / "machine.json"


class MachineBefore(msgspec.Struct, frozen=True):
    """The machine before the first lab. controllers: switched on, by the root of a hierarchy."""

    netns_folder: NetnsFolder
    controllers: dict[str, frozenset[str]]


def note_machine(name: str) -> None:
    """Write down how the machine is, when no lab but that of this name is known."""
    if NOTE.exists() or any(other != name for other in known_labs()):
        return
    controllers = enabled_controllers(host_hierarchies())
    before = MachineBefore(
        netns_folder(), {str(root): names for root, names in controllers.items()}
    )
    temporary = NOTE.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(before))
    temporary.rename(NOTE)


def give_back_machine() -> None:
    """Put back what was noted, when no lab is known any more. Idempotent.

    Raises: NetworkError, ContainerError.
    """
    if not NOTE.exists() or any(known_labs()):
        return
    before = msgspec.json.decode(NOTE.read_bytes(), type=MachineBefore)
    release_netns_folder(before.netns_folder)
    for root, names in before.controllers.items():
        disable_controllers(Path(root), but=names)
    NOTE.unlink()
