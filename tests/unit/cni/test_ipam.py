"""Addresses are given once, whatever happens in between."""

from __future__ import annotations

import os
import random
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from netlab.cni.ipam import AddressPool
from netlab.errors import AddressPoolError

NETWORK = IPv4Network("10.244.0.0/29")  # .2 to .6


def pool_in(folder: Path, network: IPv4Network = NETWORK) -> AddressPool:
    return AddressPool(folder / "ipam", network)


def test_first_addresses(tmp_path: Path) -> None:
    pool = pool_in(tmp_path)
    assert [str(pool.allocate(f"c{i}")) for i in range(3)] == [
        "10.244.0.2",
        "10.244.0.3",
        "10.244.0.4",
    ]
    assert pool.allocate("c1") == IPv4Address("10.244.0.3")  # asking again changes nothing
    assert pool.lookup("c2") == IPv4Address("10.244.0.4")
    assert pool.lookup("other") is None


def test_freed_address_comes_back_last(tmp_path: Path) -> None:
    pool = pool_in(tmp_path)
    pool.allocate("a")
    pool.release("a")
    pool.release("a")
    later = [str(pool_in(tmp_path).allocate(f"c{i}"))[-1] for i in range(5)]
    assert later == ["3", "4", "5", "6", "2"]


def test_full_range_is_told(tmp_path: Path) -> None:
    pool = pool_in(tmp_path)
    for i in range(5):
        pool.allocate(f"c{i}")
    with pytest.raises(AddressPoolError, match=r"10.244.0.0/29: all 5 addresses are in use"):
        pool.allocate("one-more")
    pool.release("c3")
    assert str(pool.allocate("one-more")) == "10.244.0.5"


def test_claims_survive_a_restart(tmp_path: Path) -> None:
    pool_in(tmp_path).allocate("a")
    again = pool_in(tmp_path)
    assert again.claims() == {IPv4Address("10.244.0.2"): "a"}
    assert again.allocate("a") == IPv4Address("10.244.0.2")


def test_claim_of_a_known_address(tmp_path: Path) -> None:
    pool = pool_in(tmp_path)
    address = IPv4Address("10.244.0.4")
    pool.claim("a", address)
    pool.claim("a", address)
    with pytest.raises(AddressPoolError, match="in use by container a"):
        pool.claim("b", address)
    pool.release("a")
    pool.claim("b", address)
    assert pool.lookup("b") == address


@pytest.mark.parametrize("network", ["10.0.0.0/31", "10.0.0.0/32", "10.0.0.0/30"])
def test_small_ranges(tmp_path: Path, network: str) -> None:
    if network.endswith("/30"):
        assert pool_in(tmp_path, IPv4Network(network)).size == 1
    else:
        with pytest.raises(AddressPoolError, match="too small"):
            pool_in(tmp_path, IPv4Network(network))


def test_unreadable_leftovers_are_no_claims(tmp_path: Path) -> None:
    pool = pool_in(tmp_path)
    pool.allocate("a")
    (tmp_path / "ipam" / "last").write_text("nonsense")
    (tmp_path / "ipam" / "stray").write_text("x")
    assert str(pool.allocate("b")) == "10.244.0.3"


class Crash(BaseException):
    """The process dies here."""


class Fuse:
    """Dies at the n-th change of the disk; what was changed before stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for holder, name in (
            (os, "link"),
            (Path, "unlink"),
            (Path, "write_text"),
            (Path, "replace"),
        ):
            monkeypatch.setattr(holder, name, self._fused(getattr(holder, name)))

    def _fused(self, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    self.left = None
                    raise Crash
            return real(*arguments, **options)

        return call


@pytest.mark.parametrize("seed", range(40))
def test_no_address_twice_with_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance, fuse = random.Random(seed), Fuse(monkeypatch)
    pool = pool_in(tmp_path)
    told: dict[str, IPv4Address] = {}  # what callers were told and have not given back
    for step in range(60):
        fuse.left = chance.choice([None, 0, 1, 2, 3, 4])
        name = f"c{chance.randrange(7)}"
        try:
            if chance.random() < 0.6:
                address = pool.allocate(name)
                assert told.get(name, address) == address
                told[name] = address
            else:
                told.pop(name, None)  # the container is gone, whether or not the release is done
                pool.release(name)
        except Crash:
            pool = pool_in(tmp_path)
        except AddressPoolError:
            assert len(pool.claims()) == pool.size
        fuse.left = None
        assert len(set(told.values())) == len(told), step
        claims = pool.claims()
        assert all(claims[address] == owner for owner, address in told.items())
        assert all(owner for owner in claims.values())
