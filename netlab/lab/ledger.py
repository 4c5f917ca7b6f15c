"""What the lab changed on the machine, so that it can be put back after any crash.

Every change outside the lab's own folders is written down *before* it is made; ``netlab down``
reads the entries from the newest to the oldest and undoes them. An entry may therefore name a
change that never happened: undoing must be idempotent. The file lies under /run, so a reboot,
which undoes the changes themselves, also empties the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

What: TypeAlias = Literal[
    "netns", "link", "route", "sysctl", "rules", "iptables", "kubeconfig", "settings"
]


class Entry(msgspec.Struct, frozen=True):
    """One change. name: namespace, link, route, sysctl or file; before: its earlier value.

    ``settings`` is no change but a copy of the lab's settings (``before``), should they be damaged.
    """

    what: What
    name: str
    before: str = ""


class Ledger:
    """The file of changes of one lab."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, what: What, name: str, before: str = "") -> None:
        """Write down a change that is about to be made; the first entry for a thing counts."""
        if any(entry.what == what and entry.name == name for entry in self.entries()):
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(Entry(what, name, before)) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first; a line cut short by a crash is left out."""
        return list(self._read())

    def newest_first(self) -> list[Entry]:
        """Return all entries in the order to undo them."""
        return self.entries()[::-1]

    def _read(self) -> Iterator[Entry]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return
        for line in lines:
            if not line:
                continue
            try:
                yield msgspec.json.decode(line, type=Entry)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                # cut short by a crash: that change was not made yet; or damaged: the rest counts
                continue
