"""Decides the rights of a container: what its own and its pod's security contexts say together.

Mirrors ``pkg/securitycontext`` (``DetermineEffectiveSecurityContext``, ``AddNoNewPrivileges``) and
``pkg/kubelet/kuberuntime/security_context.go``. What a container says wins over what its pod says;
groups are the pod's alone.

netlab leaves out SELinux, AppArmor, Windows options and user namespaces.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from netlab.api.containers import Capabilities, Container, SeccompProfile, SecurityContext
from netlab.api.pods import Pod, PodSecurityContext
from netlab.kubelet.containers.environment import ConfigError
from netlab.runtime.cri import ContainerSecurity

SECCOMP_ROOT: Final = Path("/var/lib/kubelet/seccomp")
"""Where Localhost profiles lie, as on a node of Kubernetes."""


def container_security(pod: Pod, container: Container) -> ContainerSecurity:
    """Return the rights of a container.

    Raises: ConfigError when a Localhost seccomp profile does not exist.
    """
    own = container.security_context or SecurityContext()
    whole = pod.spec.security_context or PodSecurityContext()
    capabilities = own.capabilities or Capabilities()
    non_root = whole.run_as_non_root if own.run_as_non_root is None else own.run_as_non_root
    return ContainerSecurity(
        uid=whole.run_as_user if own.run_as_user is None else own.run_as_user,
        gid=whole.run_as_group if own.run_as_group is None else own.run_as_group,
        groups=_groups(whole),
        strict_groups=whole.supplemental_groups_policy == "Strict",
        run_as_non_root=bool(non_root),
        privileged=own.privileged,
        no_new_privileges=_no_new_privileges(own),
        read_only_root=own.read_only_root_filesystem,
        add_capabilities=tuple(_plain(name) for name in capabilities.add),
        drop_capabilities=tuple(_plain(name) for name in capabilities.drop),
        seccomp="" if own.privileged else _seccomp(own.seccomp_profile or whole.seccomp_profile),
        unmasked_proc=own.proc_mount == "Unmasked",
    )


def refuse_root(pod: Pod, container: Container, security: ContainerSecurity, user: str) -> None:
    """Check a container that must not run as root; user: whom its image says it runs as.

    Raises: ConfigError, worded as the kubelet words it.
    """
    if not security.run_as_non_root:
        return
    meta = pod.metadata
    where = f'(pod: "{meta.name}_{meta.namespace}({meta.uid})", container: {container.name})'
    if security.uid is not None:
        if security.uid == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    name = user.partition(":")[0]
    if not name or name == "0":
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not name.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify "
            f"user is non-root {where}"
        )


def _groups(whole: PodSecurityContext) -> tuple[int, ...]:
    groups = list(whole.supplemental_groups)
    if whole.fs_group is not None and whole.fs_group not in groups:
        groups.append(whole.fs_group)
    return tuple(groups)


def _no_new_privileges(own: SecurityContext) -> bool:
    # without a word about it, a program may still gain privileges, as it may outside
    return own.allow_privilege_escalation is False


def _plain(name: str) -> str:
    """Return a capability without ``CAP_``, in upper case."""
    return name.upper().removeprefix("CAP_")


def _seccomp(profile: SeccompProfile | None) -> str:
    if profile is None or profile.type == "Unconfined":
        return ""
    if profile.type == "RuntimeDefault":
        return "RuntimeDefault"
    path = SECCOMP_ROOT / profile.localhost_profile
    if not path.is_file():
        raise ConfigError(f"cannot load seccomp profile {str(path)!r}: no such file")
    return str(path)
