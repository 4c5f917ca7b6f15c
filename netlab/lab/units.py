"""What systemd knows of a lab: a scope for its daemon, the end of its pods, and a start at boot.

Where systemd runs, a process belongs to the unit it was started from, and ends with it: with a
login (``KillUserProcesses=yes``) or with the service that called ``netlab up``. So the daemon gets
a scope of its own, ``netlab-LAB-PID.scope``. The pods lie in control groups of their own, which no
unit owns; nobody would end them at a shutdown, and the machine would wait for them to time out
(90 s). ``netlab-LAB-pods.service`` does nothing but that: stopping it kills them, after the daemon
has ended. Elsewhere (a container, another init) all of this is nothing.

Stands where Kubernetes has the kubelet's and containerd's own services.

Source: systemd-run(1), systemd.scope(5), systemd.kill(5), sd_booted(3)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from netlab.config import LabConfig
from netlab.errors import HostError
from netlab.lab.settings import up_flags

BOOTED = Path("/run/systemd/system")
UNIT_FOLDER = Path("/etc/systemd/system")
_TIMEOUT_S = 30
_STOP_S = 15

_AT_BOOT = """\
# Written by netlab up --at-boot; netlab down removes it.
[Unit]
Description=netlab lab {name}
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=HOME={home}
ExecStart={command}

[Install]
WantedBy=multi-user.target
"""


def runs_systemd() -> bool:
    """True when systemd is this machine's init and can be asked."""
    return BOOTED.is_dir() and shutil.which("systemd-run") is not None


def own_scope(name: str) -> list[str]:
    """Return the argv prefix that starts a lab's daemon in a scope of its own, its pods' end known.

    Empty where systemd does not run, or does not do what it is asked: then the daemon stays where
    its caller is.
    """
    if not runs_systemd() or not _know_pods(name):
        return []
    unit = f"netlab-{name}-{os.getpid()}.scope"
    return [
        *("systemd-run", "--scope", "--quiet", "--collect", "--slice=system.slice"),
        *(f"--unit={unit}", f"--description=netlab lab {name}: the daemon"),
        *(f"--property=After={_pods_unit(name)}", f"--property=TimeoutStopSec={_STOP_S}"),
        "--",
    ]


def forget_pods(name: str) -> None:
    """Take the unit back that would end a lab's pods; they are gone. Idempotent."""
    if runs_systemd() and _ask("is-active", _pods_unit(name)) == 0:
        _ask("stop", _pods_unit(name))


def need_systemd() -> None:
    """Do nothing where systemd is this machine's init.

    Raises: HostError.
    """
    if not runs_systemd():
        raise HostError("--at-boot needs systemd, which is not this machine's init")


def start_at_boot(config: LabConfig) -> Path:
    """Have the lab started at every boot, with its settings; return the unit's file.

    Raises: HostError when systemd does not take it.
    """
    path = _boot_unit(config.name)
    words = [sys.executable, "-P", "-m", "netlab", "up", "--quiet", *up_flags(config)]
    home = os.environ.get("HOME", "/root")
    path.write_text(_AT_BOOT.format(name=config.name, home=home, command=" ".join(words)))
    if _ask("daemon-reload") != 0 or _ask("enable", path.name) != 0:
        raise HostError(f"{path}: systemd does not enable it; see: systemctl status {path.name}")
    return path


def forget_boot(name: str) -> None:
    """No longer start the lab at boot. Idempotent."""
    path = _boot_unit(name)
    if not path.exists():
        return
    if runs_systemd():
        _ask("disable", path.name)
    path.unlink()
    if runs_systemd():
        _ask("daemon-reload")


def _boot_unit(name: str) -> Path:
    return UNIT_FOLDER / f"netlab-{name}.service"


def _pods_unit(name: str) -> str:
    return f"netlab-{name}-pods.service"


def _know_pods(name: str) -> bool:
    """Have the pods ended when this unit is stopped; return whether systemd has it."""
    if _ask("is-active", _pods_unit(name)) == 0:  # of a daemon that was killed
        return True
    end = f"{sys.executable} -P -m netlab.lab.shutdown {name}"
    argv = [
        *("systemd-run", "--quiet", "--collect", "--remain-after-exit"),
        *(f"--unit={_pods_unit(name)}", f"--description=netlab lab {name}: ends the pods"),
        *("--property=Type=oneshot", f"--property=TimeoutStopSec={_STOP_S}"),
        *(f"--property=ExecStop={end}", "true"),
    ]
    return _run(argv) == 0


def _ask(*words: str) -> int:
    return _run(["systemctl", "--quiet", *words])


def _run(argv: list[str]) -> int:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(argv, capture_output=True, timeout=_TIMEOUT_S, check=False)
        return done.returncode
    return -1
