"""Read and write the kernel's rules through the host's own ``iptables`` command.

Whichever variant that command is (nft or legacy), the rules land where ``iptables -L`` shows them
to the user. Upstream's counterpart is kube-proxy's ``pkg/util/iptables``.

Rules for callers: a restore never flushes what its text does not name; one text may hold several
tables, each of which the kernel takes as a whole or not at all. The tools wait for each other's
lock for ``LOCK_WAIT_S``. A failed restore raises with the line that was refused; the tables before
it in the text have been written.
"""

from __future__ import annotations

import errno
import re
import shutil
import socket
import struct
from pathlib import Path

from netlab import command
from netlab.errors import CommandError, HostError, NetworkError
from netlab.net.addresses import Family
from netlab.net.netfilter.backend import Variant
from netlab.net.netlink import NETLINK_NETFILTER, Netlink, RefusedError
from netlab.net.netlink_messages import Request, parse_attributes
from netlab.net.netns import call_in_netns
from netlab.net.savefile import Snapshot, parse_saved

LOCK_WAIT_S = 5
# 55,000 rules in one restore take about 10 s with the nft variant
TIMEOUT_S = 120.0

NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_GETGEN = 16
NFTA_GEN_ID = 1

_LINE = re.compile(r"line:? (\d+)")


class Iptables:
    """The iptables tools in one network namespace.

    tool: the commands, ``iptables`` or, to force a variant, ``iptables-nft`` or
    ``iptables-legacy``; for family 6 the ``ip6tables`` of that kind.
    """

    def __init__(self, netns: Path | None, *, tool: str = "iptables", family: Family = 4) -> None:
        self._netns = netns
        self._tool = tool if family == 4 else tool.replace("iptables", "ip6tables", 1)
        self._family = family
        self._netfilter: Netlink | None = None
        self._variant: Variant | None = None

    async def variant(self) -> Variant:
        """Return the variant the tool is.

        Raises: HostError when it is not installed.
        """
        if self._variant is None:
            done = await command.run([self._tool, "--version"], timeout_s=TIMEOUT_S)
            self._variant = "nf_tables" if "nf_tables" in done.text() else "legacy"
        return self._variant

    async def save(self, table: str | None = None, *, counters: bool = False) -> Snapshot:
        """Return what the kernel holds: one table or all.

        Raises: NetworkError when the rules cannot be read.
        """
        argv = [f"{self._tool}-save"]
        if table is not None:
            argv += ["-t", table]
        if counters:
            argv.append("-c")
        try:
            done = await command.run(argv, timeout_s=TIMEOUT_S, netns=self._netns)
        except CommandError as error:
            raise NetworkError(f"read iptables rules: {_reason(error.stderr)}") from error
        return parse_saved(done.text())

    async def restore(self, text: str) -> None:
        """Write ``text``, in the form of iptables-save, without flushing other chains.

        Raises: NetworkError with the refused line and the tool's reason.
        """
        argv = [f"{self._tool}-restore", "--noflush", "--wait", str(LOCK_WAIT_S)]
        try:
            await command.run(argv, timeout_s=TIMEOUT_S, stdin=text.encode(), netns=self._netns)
        except CommandError as error:
            raise explain_refusal(text, error.stderr) from error

    async def generation(self) -> int | None:
        """Return the number of the rule set's last change, by whomever; None if unknown.

        The legacy variant does not count its changes. Costs a few microseconds.

        Raises: NetworkError when the kernel cannot be asked.
        """
        if await self.variant() == "legacy":
            return None
        if self._netfilter is None:
            try:
                self._netfilter = await call_in_netns(
                    self._netns, lambda: Netlink(NETLINK_NETFILTER)
                )
            except OSError as error:
                raise NetworkError(f"open netfilter socket: {error.strerror}") from error
        header = struct.pack(">BBH", socket.AF_UNSPEC, 0, 0)
        try:
            answer = self._netfilter.ask(
                Request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, header)
            )
        except RefusedError as error:
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):  # a kernel without nf_tables
                return None
            raise NetworkError(f"read rule generation: {error.strerror}") from error
        value = parse_attributes(answer[len(header) :]).get(NFTA_GEN_ID)
        return struct.unpack(">I", value)[0] if value else None

    async def remove_empty_tables(self, keep: frozenset[str]) -> None:
        """Delete the tables outside ``keep`` that hold no rule and no chain but built-in ones.

        The nft variant makes tables when it first writes to them; the legacy one has none to
        delete, its tables belong to kernel modules.
        """
        if await self.variant() != "nf_tables":
            return
        snapshot = await self.save()
        for table, chains in snapshot.tables.items():
            blank = all(chain.policy == "ACCEPT" and not chain.lines for chain in chains.values())
            if table not in keep and blank:
                await _delete_nft_table(self._netns, self._family, table)

    def close(self) -> None:
        """Close the socket that ``generation`` opened."""
        if self._netfilter is not None:
            self._netfilter.close()
            self._netfilter = None


async def host_tool() -> str:
    """Return the tool that the host's ``iptables`` is at this moment, by its own name.

    That is ``iptables-nft`` or ``iptables-legacy``; ``iptables`` where there is no choice.

    Raises: HostError when it is not installed.
    """
    variant = await Iptables(None).variant()
    tool = "iptables-nft" if variant == "nf_tables" else "iptables-legacy"
    programs = (f"{tool}-save", f"{tool}-restore")
    return tool if all(shutil.which(program) for program in programs) else "iptables"


async def _delete_nft_table(netns: Path | None, family: Family, table: str) -> None:
    argv = ["nft", "delete", "table", "ip" if family == 4 else "ip6", table]
    try:
        await command.run(argv, timeout_s=TIMEOUT_S, netns=netns)
    except HostError:
        return  # without the nft tool an empty table stays; it changes nothing
    except CommandError as error:
        if "No such file" not in error.stderr:
            raise NetworkError(f"delete table {table}: {_reason(error.stderr)}") from error


def explain_refusal(text: str, stderr: str) -> NetworkError:
    """Return the error for what iptables-restore printed when it refused ``text``."""
    found = _LINE.search(stderr)
    lines = text.splitlines()
    where = ""
    if found and 0 < int(found.group(1)) <= len(lines):
        where = f"line {found.group(1)}: {lines[int(found.group(1)) - 1]}: "
    return NetworkError(f"write iptables rules: {where}{_reason(stderr)}")


def _reason(stderr: str) -> str:
    """Return the first line that says something, without the tool's name and advice."""
    for line in stderr.splitlines():
        words = re.sub(r"^ip6?tables\S*( v[\d.]+ \(\w+\))?: ?", "", line.strip())
        if words and not words.startswith(("Error occurred at", "Try `")):
            return words
    return "no message"
