"""Run a command where a lab's node is.

On a lab in the host's own network that is simply here. In a sandboxed lab the command runs in the
network namespace that plays the VM, with a mount namespace of its own in which ``/etc/resolv.conf``
and ``/etc/nsswitch.conf`` are the sandbox's: it has no connection, so it asks no resolver, and an
unknown name is "not known" at once. ``kubectl`` speaks to this lab there, whichever context is the
current one elsewhere.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

from netlab.config import LabConfig
from netlab.errors import HostError
from netlab.lab.facts import quick_facts
from netlab.lab.preflight import check_root
from netlab.nodes.machine import node_etc


def node_argv(config: LabConfig) -> list[str]:
    """Return the argv prefix that runs a command on a sandboxed lab's node.

    The command gets mount and UTS namespaces of its own, so that the sandbox's resolver files
    and the node's name are seen by this command only, and a /sys that shows the node's links.
    """
    script = (
        'hostname "$0" && mount --make-rprivate / && mount -t sysfs sysfs /sys'
        " && for file in resolv.conf nsswitch.conf hosts; do"
        # where the machine lacks one of them, nothing hides what the node should see
        ' [ ! -e "/etc/$file" ] || mount --bind "$1/$file" "/etc/$file" || exit 1; done'
        '; shift; exec "$@"'
    )
    return [
        *("env", f"KUBECONFIG={config.state_dir / 'admin.kubeconfig'}"),
        *("nsenter", f"--net={config.netns}", "--"),
        *("unshare", "--mount", "--uts", "sh", "-c", script),
        *(config.node_name, str(node_etc(config))),
    ]


def enter_node(config: LabConfig, argv: list[str]) -> NoReturn:
    """Replace this process by ``argv`` on the node.

    Raises: HostError without root, or when the program does not exist.
    """
    if shutil.which(argv[0]) is None:
        raise HostError(f"{argv[0]}: there is no such program")
    if config.netns is None:
        os.execvp(argv[0], argv)
    finding = check_root(quick_facts())
    if finding.level == "failure":
        raise HostError(finding.line())
    if not config.netns.exists():
        raise HostError(f"lab {config.name}: {config.netns} is gone; run 'netlab down' and 'up'")
    full = [*node_argv(config), *argv]
    os.execvp(full[0], full)
