"""Remembers on disk which containers have host ports, so that a new daemon can put them right.

Mirrors the result cache of libcni, from which the ``portmap`` plugin is told what to remove. One
file per container, which appears with its content in one step.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import msgspec

from netlab.cni.host_ports import HostPort, PortMapping
from netlab.errors import NetworkError

SUFFIX = ".json"


class PortRecords:
    """The mappings in ``folder``, by container id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> dict[str, PortMapping]:
        """Return the mappings, the oldest first; a file that is no mapping is passed over.

        Raises: NetworkError when the folder cannot be read.
        """
        try:
            files = [path for path in self._folder.iterdir() if path.suffix == SUFFIX]
            files.sort(key=lambda path: path.stat().st_mtime_ns)
            read = {path.name.removesuffix(SUFFIX): path.read_bytes() for path in files}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise NetworkError(f"host ports in {self._folder}: {error.strerror}") from error
        decoded = {container_id: _decode(data) for container_id, data in read.items()}
        return {name: mapping for name, mapping in decoded.items() if mapping is not None}

    def save(self, container_id: str, mapping: PortMapping) -> None:
        """Remember a container's mapping.

        Raises: NetworkError.
        """
        path = self._path(container_id)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = path.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(mapping, enc_hook=str))
            new.replace(path)
        except OSError as error:
            raise NetworkError(f"host ports in {self._folder}: {error.strerror}") from error

    def remove(self, container_id: str) -> None:
        """Forget a container. Idempotent.

        Raises: NetworkError.
        """
        try:
            self._path(container_id).unlink(missing_ok=True)
        except OSError as error:
            raise NetworkError(f"host ports in {self._folder}: {error.strerror}") from error

    def _path(self, container_id: str) -> Path:
        return self._folder / f"{container_id}{SUFFIX}"


class _Port(msgspec.Struct):
    protocol: str
    host_port: int
    container_port: int
    host_ip: IPv4Address | None = None


class _Mapping(msgspec.Struct):
    address: IPv4Interface
    ports: list[_Port]


def _decode(data: bytes) -> PortMapping | None:
    def read(kind: Any, value: Any) -> Any:
        return kind(value)

    try:
        found = msgspec.json.decode(data, type=_Mapping, dec_hook=read)
    except (msgspec.MsgspecError, ValueError):
        return None
    ports = [HostPort(p.protocol, p.host_port, p.container_port, p.host_ip) for p in found.ports]
    return PortMapping(found.address, tuple(ports))
