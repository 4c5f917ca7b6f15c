from __future__ import annotations

import platform

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests change the machine they run on: only the one that was booted for them."""
    if platform.node() != "netlab-vm":
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs a machine of its own: ./lab test --vm"))
