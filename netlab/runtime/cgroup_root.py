"""The group that all labs of the machine lie in, and what it changes in the group above.

With cgroup v2 a group can only be bounded when every group above it passes the controllers on, so
netlab and the OCI runtimes switch them on in the topmost group's ``cgroup.subtree_control``. Which
were on before is noted at ``/netlab`` itself, as an extended attribute: the note comes and goes
with the group, belongs to no single lab and survives any crash of netlab. The last lab's end
switches off what was off; what another group has come to pass on meanwhile the kernel keeps.

Synchronous. Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, xattr(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from netlab.errors import ContainerError
from netlab.runtime.cgroups import Hierarchy

ROOT_GROUP: Final = "netlab"
# of this kind every kernel keeps some for a control group; ``user.`` ones only newer do
_NOTE: Final = "trusted.netlab.before"


def claim_root(hierarchies: Sequence[Hierarchy]) -> None:
    """Make ``/netlab`` in each hierarchy of version 2, before anything is switched on for it.

    Raises: ContainerError.
    """
    for hierarchy in _unified(hierarchies):
        top, group = hierarchy.mount_point, hierarchy.mount_point / ROOT_GROUP
        try:
            with _locked(top):
                if group.exists():
                    continue
                before = (top / "cgroup.subtree_control").read_bytes()
                group.mkdir()
                with contextlib.suppress(OSError):  # then nothing will be undone
                    os.setxattr(group, _NOTE, before)
        except OSError as error:
            raise ContainerError(f"cgroup {group}: {error.strerror}") from error


def release_root(hierarchies: Sequence[Hierarchy]) -> None:
    """Remove ``/netlab`` where no lab is in it any more, and what was switched on for it."""
    for hierarchy in hierarchies:
        top, group = hierarchy.mount_point, hierarchy.mount_point / ROOT_GROUP
        with contextlib.suppress(OSError), _locked(top):
            before = _note_of(group)
            group.rmdir()
            if before is not None:
                _switch_off(top, before)


def switched_on(before: Collection[str], now: Collection[str]) -> list[str]:
    """Return the controllers to switch off again, the last first."""
    return [name for name in reversed(list(now)) if name not in before]


def _switch_off(top: Path, before: Collection[str]) -> None:
    control = top / "cgroup.subtree_control"
    for name in switched_on(before, control.read_text().split()):
        # busy: another group passes it on by now
        with contextlib.suppress(OSError):
            control.write_text(f"-{name}")


def _note_of(group: Path) -> list[str] | None:
    try:
        return os.getxattr(group, _NOTE).decode().split()
    except OSError:
        return None


def _unified(hierarchies: Sequence[Hierarchy]) -> list[Hierarchy]:
    return [hierarchy for hierarchy in hierarchies if not hierarchy.names]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep another lab's daemon or ``down`` from doing the same at this moment."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
