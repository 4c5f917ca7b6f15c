"""The mount of ``/run/netns``, which labs share: noted by the first, given back by the last.

It is made a mount point, as ``ip netns`` does it, before the first namespace gets a name, and
belongs to no lab alone. How it was is noted by the ``up`` that finds no other lab, and put back by
the ``down`` that leaves none; where namespaces of others have names in it by then, it stays. The
note lies under /run: a reboot undoes both.

Rules for callers: hold ``labs.one_at_a_time``.
"""

from __future__ import annotations

from typing import cast, get_args

from netlab.config import RUN_ROOT
from netlab.lab.labs import known_labs
from netlab.net.netns import NetnsFolder, netns_folder, release_netns_folder

NOTE = RUN_ROOT / "netns-folder"


def note_netns_folder(name: str) -> None:
    """Write down how ``/run/netns`` is, when no lab but that of this name is known."""
    if NOTE.exists() or any(other != name for other in known_labs()):
        return
    temporary = NOTE.with_suffix(".new")
    temporary.write_text(netns_folder())
    temporary.rename(NOTE)


def give_back_netns_folder() -> None:
    """Put back what was noted, when no lab is known any more. Idempotent.

    Raises: NetworkError.
    """
    if not NOTE.exists() or any(known_labs()):
        return
    before = NOTE.read_text()
    if before in get_args(NetnsFolder):
        release_netns_folder(cast("NetnsFolder", before))
    NOTE.unlink()
