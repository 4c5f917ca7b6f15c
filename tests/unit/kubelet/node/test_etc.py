"""The node's own resolv.conf and hosts file, whatever somebody has put there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netlab.kubelet.files import Resolver
from netlab.kubelet.node.etc import MAX_BYTES, NodeEtc

GOOD = "nameserver 192.0.2.53\n"
NS = ("192.0.2.53",)


def etc(path: Path) -> NodeEtc:
    return NodeEtc(path, path, sandbox=False)


CONTENT: dict[str, tuple[bytes, Resolver, str]] = {
    "plain": (b"search a.example\n" + GOOD.encode(), Resolver(NS, ("a.example",)), ""),
    "empty": (b"", Resolver(), ""),
    "not UTF-8": (
        b"search caf\xe9.example b.example\n" + GOOD.encode(), Resolver(NS, ("b.example",)),
        "no text",
    ),
    "another encoding": ("nameserver 192.0.2.53\n".encode("utf-16"), Resolver(), "no text"),
    "zeros": (b"\0" * 100 + b"\n" + GOOD.encode(), Resolver(NS), "no text"),
    "escapes": (b"search \x1b[31mred\n" + GOOD.encode(), Resolver(NS), "no text"),
    "windows": (b"nameserver 192.0.2.53\r\n", Resolver(NS), ""),
    "form feeds": (b"nameserver 192.0.2.53\x0c\n", Resolver(NS), "no text"),
    "many domains": (
        b"search " + b" ".join(b"d%d" % n for n in range(30)) + b"\n",
        Resolver((), tuple(f"d{n}" for n in range(30))), "more than 29 domains!",
    ),
    "a long domain": (
        b"search " + b"a" * 254 + b"\n", Resolver((), ("a" * 254,)), "more than allowed 253 chars!",
    ),
    "a long line": (
        b"search " + b" ".join(b"%d" % n + b"a" * 200 for n in range(20)) + b"\n",
        Resolver((), tuple(f"{n}" + "a" * 200 for n in range(20))), "more than allowed 2048 chars!",
    ),
    "megabytes": (b"#" * (MAX_BYTES + 1), Resolver(), "more than 1 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENT)
def test_what_can_be_understood_is_used(tmp_path: Path, name: str) -> None:
    data, expected, problem = CONTENT[name]
    path = tmp_path / "resolv.conf"
    path.write_bytes(data)
    assert etc(path).resolver() == expected
    found = etc(path).problem()
    assert (problem in found) if problem else found == ""


def test_many_lines_are_read_in_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(b"nameserver 1\noptions a\n" * 40_000)
    assert len(etc(path).resolver().nameservers) == 40_000


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "a link to nowhere": (lambda path: path.symlink_to("gone"), "No such file or directory"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels"),
    "a pipe": (lambda path: os.mkfifo(path), "not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
}


@pytest.mark.parametrize("name", PLACES)
async def test_pods_start_whatever_is_there(world: Any, name: str) -> None:
    make, problem = PLACES[name]
    path = world.root / "resolv.conf"
    path.unlink()
    make(path)
    async with world.running():
        await world.add_pod()
        assert world.status()["phase"] == "Running"
        told = dict(world.api.events())["CheckLimitsForResolvConf"]
        assert told.startswith(f"open {path}: ")
        assert problem in told


async def test_a_resolv_conf_that_is_no_text_is_told_by_the_node(world: Any) -> None:
    (world.root / "resolv.conf").write_bytes(b"search \xff\xfe\nnameserver 192.0.2.53\n")
    async with world.running():
        await world.add_pod(dnsPolicy="Default")
        assert world.status()["phase"] == "Running"
        assert "no text" in dict(world.api.events())["CheckLimitsForResolvConf"]
