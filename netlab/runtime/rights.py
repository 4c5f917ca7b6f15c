"""Turns the rights that a container is to have into what its spec says, on this machine.

Mirrors the part of containerd's CRI plugin that sets user, capabilities, seccomp and scores. Reads
the image's accounts and a seccomp profile from disk; blocking, for the runtime's threads.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from netlab.errors import ContainerError
from netlab.runtime.account_files import read_accounts
from netlab.runtime.capabilities import granted_capabilities
from netlab.runtime.cri import ContainerConfig, ContainerSecurity
from netlab.runtime.limits import oci_resources
from netlab.runtime.machine import Machine
from netlab.runtime.seccomp import default_profile
from netlab.runtime.spec import ProcessRights
from netlab.runtime.users import process_user

log = logging.getLogger(__name__)


def process_rights(
    machine: Machine, config: ContainerConfig, image_user: str, root: Path
) -> ProcessRights:
    """Return a container's rights; root: its mounted root, image_user: its image's ``USER``.

    Raises: ContainerError when a user, group or profile does not exist.
    """
    security = config.security
    user = process_user(security, image_user, read_accounts(root))
    if security.run_as_non_root and user.uid == 0:
        raise ContainerError("container has runAsNonRoot and image will run as root")
    capabilities = granted_capabilities(security, machine.capabilities)
    score = config.resources.oom_score_adj
    return ProcessRights(
        user=user,
        capabilities=capabilities,
        resources=oci_resources(config.resources, machine.hierarchies),
        oom_score_adj=None if score is None else max(score, machine.lowest_oom_score),
        seccomp=_seccomp(security, capabilities),
    )


def _seccomp(security: ContainerSecurity, capabilities: Sequence[str]) -> dict[str, Any] | None:
    if security.privileged or security.seccomp in ("", "Unconfined"):
        return None
    if security.seccomp == "RuntimeDefault":
        return default_profile(capabilities)
    path = Path(security.seccomp)
    try:
        profile = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise ContainerError(f"seccomp profile {path}: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise ContainerError(f"seccomp profile {path}: it is no profile: no defaultAction")
    return profile
