"""kubectl and helm in several versions, as ``./lab test`` unpacks them below ``TOOLS``.

None of them is the machine's own: whatever kubectl is on the PATH, the tests run these.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TOOLS = Path("/var/lib/netlab/test-tools")
VERSIONS = ("1.20", "1.27", "1.33", "1.35", "1.36")
"""Debian 12's own, the last kubectl that knows SPDY only, and those that speak WebSocket."""


def kubectls() -> dict[str, Path]:
    """Return those of VERSIONS that are there, oldest first: {"1.20": …, "1.36": …}."""
    found = {version: _folder(version) / "kubectl" for version in VERSIONS}
    found["1.20"] = TOOLS / "kubectl-debian/usr/bin/kubectl"
    return {version: path for version, path in found.items() if path.exists()}


def kubectl_path(version: str = "") -> Path:
    """Return the kubectl of that minor version, the newest when empty; skip where it is missing."""
    known = kubectls()
    version = version or max(known, key=VERSIONS.index, default=VERSIONS[-1])
    if version not in known:
        pytest.skip(f"kubectl {version} is not unpacked in {TOOLS}; ./lab test does that")
    return known[version]


def helm() -> Path | None:
    """Return the newest helm; None where there is none."""
    found = [_folder(version) / "helm" for version in reversed(VERSIONS)]
    return next((path for path in found if path.exists()), None)


def _folder(version: str) -> Path:
    return TOOLS / f"kubectl-{version}"
