"""A control plane with one ready node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.control_plane import ControlPlane, control_plane, eventually, node

__all__ = ["eventually", "node"]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path) as plane:
        yield plane


@pytest.fixture
async def node0(lab: ControlPlane) -> None:
    """A ready node, and the account pods need."""
    await lab.add_node(node("node0"))
    await lab.ready_for_pods()
