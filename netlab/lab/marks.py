"""Which labs the kernel shows, by the marks they leave: processes, namespaces, control groups.

``netlab down`` trusts these more than any file: settings, lock and ledger may be damaged or gone
while the lab itself is still there. Nothing here is written; a lab of another mount namespace (a
container's) is not ours and is not found.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from netlab.config import DEFAULT_NAME, RUN_ROOT, STATE_ROOT
from netlab.lab.settings import NAME_PATTERN
from netlab.net.netns import list_netns
from netlab.runtime.cgroups import host_hierarchies

_PROC = Path("/proc")
_NETNS = re.compile(rf"{DEFAULT_NAME}(?:-(?P<name>[^_]+))?(?:_.*)?")


def labs_in_kernel() -> set[str]:
    """Return the names of all labs of which the kernel shows something."""
    found = {name for name, _ in _daemons()}
    found.update(filter(None, map(lab_of_netns, list_netns())))
    for hierarchy in host_hierarchies():
        with contextlib.suppress(OSError):
            groups = (hierarchy.mount_point / "netlab").iterdir()
            found.update(entry.name for entry in groups if entry.is_dir())
    with contextlib.suppress(OSError):
        found.update(entry.stem for entry in RUN_ROOT.glob("*.lock"))
    return {name for name in found if NAME_PATTERN.fullmatch(name)}


def lab_of_netns(netns_name: str) -> str:
    """Return the lab whose sandbox or pod a namespace is; "" when it is no lab's."""
    match = _NETNS.fullmatch(netns_name)
    if match is None:
        return ""
    return match["name"] or DEFAULT_NAME


def daemons_of(name: str) -> list[int]:
    """Return the pids of the lab's daemons; more than one only while one gives way to another."""
    return [pid for found, pid in _daemons() if found == name]


def _daemons() -> Iterator[tuple[str, int]]:
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            name = lab_of_command(words)
            if name and _shares_our_files(folder) and not _is_dead(folder):
                yield name, int(folder.name)
        except OSError:
            continue  # it has ended


def lab_of_command(words: list[bytes]) -> str:
    """Return the lab whose daemon a command line starts; "" for any other command."""
    if b"netlab.daemon" not in words:
        return ""
    at = words.index(b"netlab.daemon")
    if words[at - 1] != b"-m" or len(words) <= at + 1:
        return ""
    path = Path(os.fsdecode(words[at + 1]))
    if path.name != "config.json" or path.parent.parent != STATE_ROOT / "labs":
        return ""
    return path.parent.name


def _shares_our_files(process: Path) -> bool:
    """True when the process sees the same state folder as we: a container's daemon does not."""
    with contextlib.suppress(FileNotFoundError):
        return STATE_ROOT.samefile(f"{process}/root{STATE_ROOT}")
    return Path("/").samefile(process / "root")


def _is_dead(process: Path) -> bool:
    # a zombie has ended; only its parent has not asked yet
    return (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
