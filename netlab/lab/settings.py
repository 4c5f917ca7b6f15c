"""The settings of a lab out of the words a user gives: checked, completed, given a free port."""

from __future__ import annotations

import re
import socket
from collections.abc import Set
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

import msgspec

from netlab.config import DEFAULT_NAME, LabConfig
from netlab.errors import HostError, UsageError

NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?")
"""A lab's name becomes part of namespace, cgroup and file names, so it is short and plain."""

FIRST_API_PORT = 6443
PORTS_TRIED = 100


def check_name(name: str) -> None:
    """Do nothing for a name a lab can have.

    Raises: UsageError.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"--name {name!r}: use 1 to 20 lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit"
        )


def wanted_config(
    *,
    name: str = DEFAULT_NAME,
    sandbox: bool = False,
    node_name: str = "",
    node_ip: str = "",
    pod_cidr: str = "",
    service_cidr: str = "",
    api_port: int | None = None,
    registries: Literal["any", "loopback"] | None = None,
    internet: bool = False,
    no_node: bool = False,
) -> LabConfig:
    """Return the settings that the words ask for; empty words and None stand for the defaults.

    Raises: UsageError naming the flag of ``netlab up`` whose word is wrong.
    """
    check_name(name)
    if internet and not sandbox:
        raise UsageError(
            "--internet gives a sandbox a way out: without --sandbox the lab is in this machine's "
            "own network and needs none"
        )
    defaults = LabConfig()
    node_name = node_name or defaults.node_name
    if len(node_name) > 63 or not re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", node_name):
        raise UsageError(
            f"--node-name {node_name!r}: use lower-case letters, digits, '-' and '.', "
            "beginning and ending with a letter or digit"
        )
    return LabConfig(
        name=name,
        sandbox=sandbox,
        node_name=node_name,
        node_address=_interface(node_ip) if node_ip else defaults.node_address,
        pod_cidr=_network("--pod-cidr", pod_cidr) if pod_cidr else defaults.pod_cidr,
        service_cidr=_network("--service-cidr", service_cidr)
        if service_cidr
        else defaults.service_cidr,
        api_port=api_port if api_port is not None else FIRST_API_PORT,
        registries=registries or ("loopback" if sandbox and not internet else "any"),
        internet=internet,
        no_node=no_node,
    )


def up_flags(config: LabConfig) -> list[str]:
    """Return the flags of ``netlab up`` that ask for these settings, whatever the defaults are."""
    return [
        *("--name", config.name),
        *(["--sandbox"] if config.sandbox else []),
        *(["--internet"] if config.internet else []),
        *("--node-name", config.node_name),
        *("--node-ip", str(config.node_address)),
        *("--pod-cidr", str(config.pod_cidr)),
        *("--service-cidr", str(config.service_cidr)),
        *("--api-port", str(config.api_port)),
        *("--registries", config.registries),
        *(["--no-node"] if config.no_node else []),
    ]


def _interface(text: str) -> IPv4Interface:
    try:
        if "/" in text:
            return IPv4Interface(text)
        return IPv4Interface(f"{IPv4Address(text)}/24")
    except ValueError as error:
        raise UsageError(f"--node-ip {text!r}: {error}; example: 10.100.199.200/24") from error


def _network(flag: str, text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r}: {error}; example: 10.244.0.0/16") from error


def with_port(config: LabConfig, *, taken: Set[int], chosen: bool) -> LabConfig:
    """Return the config with a port that no lab and no other server uses.

    taken: the ports of the other labs, running or not. chosen: the user asked for this very port.
    Raises: UsageError when the port asked for is in use; HostError when no port is free.
    """
    if not chosen:
        return msgspec.structs.replace(config, api_port=_free_port(FIRST_API_PORT, taken))
    if config.api_port in taken or not _is_free(config.api_port):
        raise UsageError(f"--api-port {config.api_port}: in use on 127.0.0.1; choose another port")
    return config


def _free_port(first: int, taken: Set[int]) -> int:
    """Return the first port from ``first`` on that nobody listens on, on the host's loopback."""
    for port in range(first, first + PORTS_TRIED):
        if port not in taken and _is_free(port):
            return port
    last = first + PORTS_TRIED - 1
    raise HostError(f"ports {first} to {last} are all in use; give one with --api-port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
