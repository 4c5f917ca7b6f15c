"""What a proxy mode is: it takes Services with their endpoints and keeps the kernel's rules.

Mirrors kube-proxy ``pkg/proxy/types.go`` ``Provider``: the agent watches, chooses endpoints,
answers health checks and ends stale connections in every mode alike; a mode turns what was chosen
into rules.
``iptables_mode`` is one. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from netlab.net.netfilter.plan import WriteCount
from netlab.net.ruleset import RuleSet
from netlab.proxy.endpoints import Backend, Choice
from netlab.proxy.services import PortSpec

ServiceKey: TypeAlias = tuple[str, str]
"""(namespace, name)."""


class ServedPort(msgspec.Struct, frozen=True, gc=False):
    """One port of a Service with all its endpoints, and those to use."""

    spec: PortSpec
    backends: tuple[Backend, ...]
    choice: Choice


class Provider(Protocol):
    """One proxy mode on one node."""

    async def setup(self) -> None:
        """Have what the mode needs besides rules, such as kernel parameters. Idempotent.

        Raises: HostError when the kernel lacks something; NetworkError.
        """
        ...

    def put(self, key: ServiceKey, ports: Sequence[ServedPort]) -> None:
        """Have these rules for a Service from the next ``sync`` on; () takes it away."""
        ...

    def resize(self, endpoints: int) -> bool:
        """Take note of how many endpoints there are; True when all Services must be put again."""
        ...

    async def sync(self) -> WriteCount:
        """Write what changed; return how much.

        Raises: NetworkError when the kernel refuses; the next call tries all of it again.
        """
        ...

    def rule_set(self) -> RuleSet:
        """Return the rules that are wanted, each with its origin."""
        ...

    async def remove(self) -> None:
        """Take everything of the mode out of the kernel, and nothing else. Idempotent.

        Raises: NetworkError when the kernel refuses.
        """
        ...
