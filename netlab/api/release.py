"""Which Kubernetes netlab is: the version that clients and the Node are told."""

from __future__ import annotations

from typing import Final

import netlab

KUBERNETES_MAJOR: Final = "1"
KUBERNETES_MINOR: Final = "36"
RELEASE: Final = f"v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.2+netlab{netlab.__version__}"
"""Clients compare its first two numbers with their own; what follows the plus is netlab's own."""

_GO_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def go_architecture(machine: str) -> str:
    """Return Go's word for a machine name of ``uname``."""
    return _GO_ARCHITECTURES.get(machine, machine)
