"""What labs with a way out share of the host: noted by the first, given back by the last.

That the host forwards packets, and the tables that ``iptables`` makes when it first writes to
them. The note lies under /run: a reboot undoes all of it.

Rules for callers: hold ``labs.one_at_a_time``.
"""

from __future__ import annotations

import contextlib

import msgspec

from netlab.config import RUN_ROOT
from netlab.lab.labs import known_labs, settings_or_guess
from netlab.net.iptables import Iptables
from netlab.net.sysctl import read_sysctl, write_sysctls
from netlab.nodes.way_out import FORWARDING

NOTE = RUN_ROOT / "way-out.json"


class HostBefore(msgspec.Struct, frozen=True):
    """The host before the first lab with a way out. tables: those iptables had."""

    forwards: bool
    tables: frozenset[str]


async def note_host() -> None:
    """Write down how the host is, unless a lab with a way out has done so.

    Raises: NetworkError, HostError when iptables cannot be asked.
    """
    if NOTE.exists():
        return
    tables = (await Iptables(None).save()).tables
    forwards = await read_sysctl(None, FORWARDING) != "0"
    before = HostBefore(forwards, frozenset(tables))
    temporary = NOTE.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(before))
    temporary.rename(NOTE)


async def give_back_host(gone: str) -> None:
    """Put back what was noted, when no lab but the one that goes has a way out. Idempotent.

    Raises: NetworkError.
    """
    if not NOTE.exists():
        return
    others = (settings_or_guess(name) for name in known_labs() if name != gone)
    if any(other.internet for other in others):
        return
    # damaged: then it is not known any more, and stays as it is
    with contextlib.suppress(msgspec.MsgspecError):
        before = msgspec.json.decode(NOTE.read_bytes(), type=HostBefore)
        if not before.forwards:
            await write_sysctls(None, {FORWARDING: "0"})
        await Iptables(None).remove_empty_tables(before.tables)
    NOTE.unlink()
