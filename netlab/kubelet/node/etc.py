"""Reads the node's own resolv.conf and hosts file, which its pods are given a part of.

Mirrors the kubelet's ``network/dns`` Configurer, ``CheckLimitsForResolvConf`` among it. Somebody
may have put anything there: a folder, a link to nowhere, a pipe that nobody writes to, megabytes,
bytes that are no text. Whatever it is, pods start with what could be understood, and the node's
events tell what could not.

Left out: a resolver of an own for pods (``--resolv-conf``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from netlab.clock import Clock
from netlab.kubelet.files import (
    MAX_DOMAIN,
    MAX_SEARCH_CHARACTERS,
    MAX_SEARCHES,
    Resolver,
    parse_resolv_conf,
)

MAX_BYTES = 1 << 20
"""Of a file in /etc that is looked at; a real one has some hundred."""

CHECK_S = 30.0
CLUSTER_SEARCHES = 3
"""The search domains that a pod has before the node's."""

REASON = "CheckLimitsForResolvConf"


class NodeEtc:
    """The two files. ``sandbox``: the node is cut off from the machine's network, so the machine's
    search domains, which nothing there could answer, are left out.
    """

    def __init__(self, resolv_conf: Path, hosts: Path, *, sandbox: bool) -> None:
        self._resolv_conf = resolv_conf
        self._hosts = hosts
        self._sandbox = sandbox

    def resolver(self) -> Resolver:
        """Return the node's resolver settings; what cannot be read or understood is left out."""
        try:
            resolver = parse_resolv_conf(read_text(self._resolv_conf))
        except OSError:
            return Resolver()
        return Resolver(resolver.nameservers) if self._sandbox else resolver

    def hosts(self) -> str:
        """Return the text of the hosts file; "" when it cannot be read."""
        try:
            return read_text(self._hosts)
        except OSError:
            return ""

    def problem(self) -> str:
        """Return what is wrong with the resolv.conf; "" for nothing."""
        path = self._resolv_conf
        try:
            text = read_text(path)
        except OSError as error:
            return f"open {path}: {error.strerror or error}"
        return limits_problem(path, parse_resolv_conf(text)) or _unreadable(path, text)


def limits_problem(path: Path, resolver: Resolver) -> str:
    """Return which limit of resolvers the node's search domains exceed; "" for none."""
    subject, searches = f"Resolv.conf file '{path}' contains", resolver.searches
    most = MAX_SEARCHES - CLUSTER_SEARCHES
    if len(searches) > most:
        return f"{subject} search line consisting of more than {most} domains!"
    if any(len(domain) > MAX_DOMAIN for domain in searches):
        return f"{subject} a search path which length is more than allowed {MAX_DOMAIN} chars!"
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        limit = MAX_SEARCH_CHARACTERS
        return f"{subject} search line which length is more than allowed {limit} chars!"
    return ""


def _unreadable(path: Path, text: str) -> str:
    plain = all(character.isascii() for character in text)
    if plain and all(character.isprintable() or character in "\n\t\r" for character in text):
        return ""
    return (
        f"Resolv.conf file '{path}' contains characters that are no text; their words are ignored"
    )


def read_text(path: Path) -> str:
    """Return the text of a small file; bytes that are no UTF-8 become U+FFFD. Never waits.

    Raises: OSError when it is not there, no plain file, or larger than MAX_BYTES.
    """
    # a pipe would otherwise keep the agent waiting for somebody to write into it
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(0, f"more than {MAX_BYTES >> 20} MiB")
    return data.decode("utf-8", "replace")


async def watch_resolv_conf(etc: NodeEtc, clock: Clock, tell: Callable[[str, str], None]) -> None:
    """Tell what is wrong with the node's resolv.conf as long as it is. Runs until cancelled."""
    while True:
        problem = etc.problem()
        if problem:
            tell(REASON, problem)
        await clock.sleep(CHECK_S)
