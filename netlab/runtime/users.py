"""Whom a container's process runs as: numbers from the pod, names from the image's own files.

Mirrors containerd's ``oci.WithUser`` and ``WithAdditionalGIDs``. Pure: the texts of the image's
``/etc/passwd`` and ``/etc/group`` are handed in; ``account_files`` reads them.

Source: passwd(5), group(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from netlab.errors import ContainerError
from netlab.runtime.cri import ContainerSecurity

# containerd's and Kubernetes' bound.
_LARGEST_ID: Final = (1 << 31) - 1
_DIGITS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class ProcessUser:
    """Numbers as the OCI spec wants them; groups without the primary one."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Accounts:
    """An image's users and groups: the texts of its two files."""

    passwd: str = ""
    group: str = ""


def process_user(security: ContainerSecurity, image_user: str, accounts: Accounts) -> ProcessUser:
    """Return whom the process runs as.

    image_user: ``USER`` of the image: ``name``, ``uid``, or either with ``:group``.

    Raises: ContainerError when the image names a user or group that it does not have.
    """
    name, _, group_name = image_user.strip().partition(":")
    if security.uid is not None:
        # a number of the pod's: the image's group belongs to the image's user
        name, group_name = str(security.uid), ""
    uid, gid, login = _find_user(name or "0", accounts)
    if group_name:
        gid = _find_group(group_name, accounts)
    if security.gid is not None:
        gid = security.gid
    groups = list(security.groups)
    if not security.strict_groups and login:
        groups += [number for number in _groups_of(login, accounts) if number not in groups]
    return ProcessUser(uid, gid, tuple(sorted(set(groups) - {gid})))


def _find_user(name: str, accounts: Accounts) -> tuple[int, int, str]:
    """Return (uid, primary gid, login name); a number that has no entry has group 0."""
    for fields in _entries(accounts.passwd, 4):
        uid, gid = _number(fields[2]), _number(fields[3])
        if name in (fields[0], fields[2]) and uid is not None and gid is not None:
            return uid, gid, fields[0]
    number = _number(name)
    if number is not None:
        return number, 0, ""
    raise ContainerError(f"unable to find user {name}: no matching entries in passwd file")


def _find_group(name: str, accounts: Accounts) -> int:
    for fields in _entries(accounts.group, 3):
        gid = _number(fields[2])
        if name in (fields[0], fields[2]) and gid is not None:
            return gid
    number = _number(name)
    if number is not None:
        return number
    raise ContainerError(f"unable to find group {name}: no matching entries in group file")


def _groups_of(login: str, accounts: Accounts) -> Iterator[int]:
    for fields in _entries(accounts.group, 4):
        gid = _number(fields[2])
        if login in fields[3].split(",") and gid is not None:
            yield gid


def _number(text: str) -> int | None:
    """Return a user's or group's number; None for a name and for what is out of range."""
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX:
        return None
    number = int(text)
    return number if number <= _LARGEST_ID else None


def _entries(text: str, least: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields
