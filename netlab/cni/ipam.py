"""Give each container an address of the node's range, once, and remember it on disk.

Mirrors the ``host-local`` IPAM plugin: one file per address, named after it, holding the container
id; a file with the address given last, from which the search goes on, so that an address that was
just freed comes back only after all others.

Rules for callers: every call takes the folder's lock, so processes may share it. A file appears
with its content in one step (hard link): a crash at any moment leaves either no claim or a whole
one. A claim whose container is gone stays until ``release``: compare ``claims`` with what exists.

Left out: several ranges, IPv6, addresses asked for by name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path

from netlab.errors import AddressPoolError

LAST_FILE = "last"
LOCK_FILE = "lock"
NEW_FILE = "new"
# network, gateway (.1) and broadcast belong to nobody
RESERVED_HEAD = 2
RESERVED_TAIL = 1


class AddressPool:
    """The addresses of ``network`` but the first two and the last; claims live in ``folder``."""

    def __init__(self, folder: Path, network: IPv4Network) -> None:
        if network.num_addresses < RESERVED_HEAD + RESERVED_TAIL + 1:
            raise AddressPoolError(f"pod range {network}: too small for any pod")
        self._folder = folder
        self._network = network

    @property
    def size(self) -> int:
        """How many pods can have an address at a time."""
        return self._network.num_addresses - RESERVED_HEAD - RESERVED_TAIL

    def allocate(self, container_id: str) -> IPv4Address:
        """Return the container's address: the one it has, or the next free one.

        Raises: AddressPoolError when all are taken.
        """
        with self._locked():
            claims = self._claims()
            for address, owner in claims.items():
                if owner == container_id:
                    return address
            start = self._last_offset() + 1
            for step in range(self.size):
                offset = (start + step - RESERVED_HEAD) % self.size + RESERVED_HEAD
                address = self._network[offset]
                if address not in claims:
                    self._claim(address, container_id)
                    return address
        raise AddressPoolError(f"pod range {self._network}: all {self.size} addresses are in use")

    def claim(self, container_id: str, address: IPv4Address) -> None:
        """Note that the container has this address. Idempotent.

        Raises: AddressPoolError when another container has it.
        """
        with self._locked():
            owner = self._claims().get(address)
            if owner is None:
                self._claim(address, container_id)
            elif owner != container_id:
                raise AddressPoolError(f"pod address {address}: in use by container {owner}")

    def lookup(self, container_id: str) -> IPv4Address | None:
        """Return the container's address, or None."""
        return next((ip for ip, owner in self.claims().items() if owner == container_id), None)

    def claims(self) -> dict[IPv4Address, str]:
        """Return the container id by address."""
        with self._locked():
            return self._claims()

    def release(self, container_id: str) -> None:
        """Free the container's address. Idempotent."""
        with self._locked():
            for address, owner in self._claims().items():
                if owner == container_id:
                    (self._folder / str(address)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise AddressPoolError(f"pod addresses in {self._folder}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise AddressPoolError(f"pod addresses in {self._folder}: {error.strerror}") from error
        finally:
            os.close(descriptor)  # gives the lock back

    def _claims(self) -> dict[IPv4Address, str]:
        claims = {}
        for entry in self._folder.iterdir():
            with contextlib.suppress(AddressValueError):
                claims[IPv4Address(entry.name)] = entry.read_text()
        return claims

    def _claim(self, address: IPv4Address, container_id: str) -> None:
        # first the place to go on from: should a crash follow, an address is merely skipped
        self._write(self._folder / LAST_FILE, str(address))
        new = self._folder / NEW_FILE
        new.unlink(missing_ok=True)
        new.write_text(container_id)
        os.link(new, self._folder / str(address))
        new.unlink()

    def _write(self, path: Path, text: str) -> None:
        new = self._folder / NEW_FILE
        new.write_text(text)
        new.replace(path)

    def _last_offset(self) -> int:
        try:
            last = IPv4Address((self._folder / LAST_FILE).read_text())
        except (FileNotFoundError, AddressValueError):
            return RESERVED_HEAD - 1
        offset = int(last) - int(self._network.network_address)
        inside = RESERVED_HEAD <= offset < RESERVED_HEAD + self.size
        return offset if inside else RESERVED_HEAD - 1
