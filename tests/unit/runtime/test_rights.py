"""Capabilities, users, seccomp: what a container gets of what it asks for."""

import os
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime.account_files import read_accounts
from netlab.runtime.capabilities import (
    ALL_CAPABILITIES,
    DEFAULT_CAPABILITIES,
    available_capabilities,
    granted_capabilities,
)
from netlab.runtime.cri import ContainerSecurity
from netlab.runtime.seccomp import default_profile
from netlab.runtime.users import Accounts, ProcessUser, process_user

EVERYTHING = frozenset(ALL_CAPABILITIES)


def test_available_capabilities() -> None:
    assert available_capabilities("CapBnd:\t000001ffffffffff\n") == EVERYTHING
    assert available_capabilities("CapBnd:\t0000000000000020\n") == {"CAP_KILL"}
    without_resource = available_capabilities("CapBnd:\t000001fffeffffff\n")
    assert EVERYTHING - without_resource == {"CAP_SYS_RESOURCE"}


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        pytest.param({}, set(DEFAULT_CAPABILITIES), id="nothing said"),
        pytest.param({"drop_capabilities": ("ALL",)}, set(), id="drop all"),
        pytest.param(
            {"drop_capabilities": ("ALL",), "add_capabilities": ("NET_ADMIN",)},
            {"CAP_NET_ADMIN"},
            id="drop all but one",
        ),
        pytest.param(
            {"add_capabilities": ("ALL",), "drop_capabilities": ("KILL",)},
            set(ALL_CAPABILITIES) - {"CAP_KILL"},
            id="all but one",
        ),
        pytest.param(
            {"drop_capabilities": ("NET_RAW",)},
            set(DEFAULT_CAPABILITIES) - {"CAP_NET_RAW"},
            id="drop one",
        ),
        pytest.param({"privileged": True}, set(ALL_CAPABILITIES), id="privileged"),
    ],
)
def test_granted(security: dict[str, object], expected: set[str]) -> None:
    asked = ContainerSecurity(**security)  # type: ignore[arg-type]
    assert set(granted_capabilities(asked, EVERYTHING)) == expected


def test_what_the_machine_lacks_is_left_out() -> None:
    asked = ContainerSecurity(add_capabilities=("SYS_RESOURCE",))
    assert granted_capabilities(asked, {"CAP_KILL", "CAP_SYS_ADMIN"}) == ["CAP_KILL"]


ACCOUNTS = Accounts(
    passwd="root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/false\n",
    group="root:x:0:\nweb:x:34:\nlogs:x:40:other,web\nother:x:41:other\n",
)


@pytest.mark.parametrize(
    ("security", "image", "expected"),
    [
        pytest.param({}, "", ProcessUser(0, 0), id="nothing said is root"),
        pytest.param({}, "web", ProcessUser(33, 34, (40,)), id="by name, with its groups"),
        pytest.param({}, "33", ProcessUser(33, 34, (40,)), id="by a number that has a name"),
        pytest.param({}, "web:logs", ProcessUser(33, 40), id="with another group"),
        pytest.param({}, "1234:99", ProcessUser(1234, 99), id="unknown numbers"),
        pytest.param({"uid": 1001}, "web", ProcessUser(1001, 0), id="the pod's number wins"),
        pytest.param(
            {"uid": 1001, "gid": 1002, "groups": (1003,)},
            "",
            ProcessUser(1001, 1002, (1003,)),
            id="the pod's groups",
        ),
        pytest.param(
            {"groups": (7,), "strict_groups": True}, "web", ProcessUser(33, 34, (7,)), id="strict"
        ),
    ],
)
def test_users(security: dict[str, object], image: str, expected: ProcessUser) -> None:
    asked = ContainerSecurity(**security)  # type: ignore[arg-type]
    assert process_user(asked, image, ACCOUNTS) == expected


@pytest.mark.parametrize("image", ["nobody", "web:nosuch"])
def test_unknown_names_are_refused(image: str) -> None:
    with pytest.raises(ContainerError, match=r"unable to find (user|group) no"):
        process_user(ContainerSecurity(), image, ACCOUNTS)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("web:x:\u00b2:1::/:/bin/sh", id="a digit that is no number"),
        pytest.param("web:x:-1:1::/:/bin/sh", id="below zero"),
        pytest.param("web:x:4294967296:1::/:/bin/sh", id="beyond what there is"),
        pytest.param(f"web:x:{'9' * 9999}:1::/:/bin/sh", id="without end"),
        pytest.param("web:x:1", id="cut off"),
        pytest.param("#web:x:1:1::/:/bin/sh", id="a comment"),
    ],
)
def test_accounts_that_are_none(line: str) -> None:
    with pytest.raises(ContainerError, match="unable to find user web"):
        process_user(ContainerSecurity(), "web", Accounts(passwd=f"{line}\n"))


@pytest.mark.parametrize("image", ["4294967296", "0x10", "-1", "1:99999999999"])
def test_numbers_out_of_range_are_refused(image: str) -> None:
    with pytest.raises(ContainerError, match=r"unable to find (user|group)"):
        process_user(ContainerSecurity(), image, ACCOUNTS)


def test_accounts_are_read_inside_the_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "outside").write_text("evil:x:0:0::/:/bin/sh\n")
    os.symlink(f"{tmp_path}/outside", root / "etc" / "passwd")  # noqa: PTH211
    (root / "etc" / "group").write_text("web:x:34:\n")
    assert read_accounts(root) == Accounts("", "web:x:34:\n")


def names_of(profile: dict[str, object]) -> set[str]:
    rules = profile["syscalls"]
    assert isinstance(rules, list)
    return {
        name
        for rule in rules
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }


def test_the_default_profile_refuses_what_changes_the_machine() -> None:
    allowed = names_of(default_profile(DEFAULT_CAPABILITIES))
    assert {"read", "openat", "execve", "chroot", "ptrace", "epoll_wait"} <= allowed
    forbidden = {"mount", "bpf", "init_module", "kexec_load", "keyctl", "io_uring_setup", "setns"}
    assert not allowed & forbidden


def test_capabilities_open_what_they_guard() -> None:
    assert "mount" in names_of(default_profile(["CAP_SYS_ADMIN"]))
    assert "chroot" not in names_of(default_profile([]))


def test_new_namespaces_are_refused_by_their_flags() -> None:
    rules = default_profile([])["syscalls"]
    (clone,) = [rule for rule in rules if rule["names"] == ["clone"]]
    assert clone["args"][0]["value"] == 0x7E020000
    (clone3,) = [rule for rule in rules if rule["names"] == ["clone3"]]
    assert clone3["errnoRet"] == 38
