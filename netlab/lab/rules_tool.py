"""Which iptables a lab writes its rules with: the one the host's command was when the lab began.

``iptables`` is an alternative: nft or legacy, and each shows its own rules only. Whoever switches
it while a lab runs would have the lab write its rules twice, and ``down`` take back those it can
see. So the tool is settled when the lab starts, noted in its ledger, and used until the lab ends.
"""

from __future__ import annotations

from netlab.lab.ledger import Ledger
from netlab.net.iptables import host_tool


def settled_tool(ledger: Ledger) -> str | None:
    """Return the tool the lab uses, such as ``iptables-nft``; None for a lab that has not begun."""
    tools = (entry.name for entry in ledger.entries() if entry.what == "iptables")
    return next(tools, None)


async def settle_tool(ledger: Ledger) -> str:
    """Return the tool the lab uses; when it has none yet, the host's of now, and note it.

    Raises: HostError when iptables is not installed.
    """
    tool = settled_tool(ledger)
    if tool is None:
        tool = await host_tool()
        ledger.record("iptables", tool)
    return tool


async def switched_since(ledger: Ledger) -> str:
    """Return what is wrong when the host's iptables is another one by now; empty when it is not.

    Raises: HostError when iptables is not installed.
    """
    tool = settled_tool(ledger)
    now = await host_tool()
    if tool in (None, now, "iptables"):
        return ""
    return f"they are {tool}'s, but the command iptables is {now} by now and does not show them"
