"""Read and set kernel parameters of a network namespace, telling what they were.

The part of kube-proxy's and kubelet's ``pkg/util/sysctl`` that networking needs. ``/proc/sys/net``
shows the namespace of the thread that opens it, so all access goes through ``call_in_netns``.

Rules for callers: names are dotted as sysctl(8) prints them, or with slashes where an interface
name holds a dot. Keep the returned previous values and write them back when the lab goes down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from netlab.errors import HostError, NetworkError
from netlab.net.netns import call_in_netns

SYSCTL_FOLDER = Path("/proc/sys")

SysctlRecorder: TypeAlias = Callable[[str, str], None]
"""Called with (name, previous value) before a parameter is changed."""


def sysctl_path(name: str) -> Path:
    """Return the file of a parameter: ``net.ipv4.ip_forward`` or ``net/ipv4/conf/eth0.1/…``."""
    return SYSCTL_FOLDER / (name if "/" in name else name.replace(".", "/"))


async def read_sysctl(netns: Path | None, name: str) -> str | None:
    """Return the value without its newline; None when the kernel has no such parameter.

    Raises: NetworkError when it cannot be read.
    """

    def read() -> str | None:
        try:
            return sysctl_path(name).read_text().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NetworkError(f"sysctl {name}: {error.strerror}") from error

    return await call_in_netns(netns, read)


def _write(name: str, value: str, record: SysctlRecorder | None) -> str | None:
    path = sysctl_path(name)
    try:
        previous = path.read_text().strip()
        if previous == value:
            return None
        if record is not None:
            record(name, previous)
        path.write_text(value)
    except FileNotFoundError as error:
        raise HostError(
            f"sysctl {name}: this kernel does not have it; the module that brings it is not loaded"
        ) from error
    except OSError as error:
        raise NetworkError(f"sysctl {name}={value}: {error.strerror}") from error
    return previous


async def write_sysctls(
    netns: Path | None,
    values: Mapping[str, str],
    record: SysctlRecorder | None = None,
) -> dict[str, str]:
    """Set parameters in the given order; return the previous value of those that changed.

    record: told each change right before it is made, so that a crash in between loses none; it
    is called on another thread.

    Raises: HostError when the kernel lacks a parameter; NetworkError when one cannot be set.
    """

    def write_all() -> dict[str, str]:
        changed: dict[str, str] = {}
        for name, value in values.items():
            previous = _write(name, value, record)
            if previous is not None:
                changed[name] = previous
        return changed

    return await call_in_netns(netns, write_all) if values else {}
