"""The labs of this machine: their names and settings on disk."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from netlab.config import (
    DEFAULT_NAME,
    RUN_ROOT,
    STATE_ROOT,
    LabConfig,
    decode_config,
    encode_config,
)
from netlab.errors import HostError, NetlabError, UsageError
from netlab.lab.ledger import Ledger
from netlab.lab.marks import labs_in_kernel
from netlab.locks import locked_folder
from netlab.net.netns import list_netns

PUBLIC, PRIVATE = 0o755, 0o700
"""Modes of folders: everybody may see the names of labs, only root their keys."""


def known_labs() -> list[str]:
    """Return the names of all labs that have a run or state folder, sorted."""
    names: set[str] = set()
    for parent in (RUN_ROOT, STATE_ROOT / "labs"):
        with contextlib.suppress(FileNotFoundError):
            names.update(entry.name for entry in parent.iterdir() if entry.is_dir())
    return sorted(names)


def all_labs() -> list[str]:
    """Return the names of all labs that have a folder or of which the kernel shows something."""
    return sorted({*known_labs(), *labs_in_kernel()})


def no_such_lab(name: str, labs: Sequence[str]) -> str:
    """Return what to tell who names a lab that is not among ``labs``, all there are."""
    flag = "" if name == DEFAULT_NAME else f" --name {name}"
    choose = f"--name chooses one of {', '.join(labs)}; " if labs else ""
    return f"there is no lab {name!r}; {choose}'netlab up{flag}' starts it"


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the machine-wide lock under which names and ports are chosen and settings saved.

    Only inside a turn (``turns``), which keeps the locked folder from being removed.
    """
    ensure_folder(RUN_ROOT, PUBLIC)
    with locked_folder(RUN_ROOT):
        yield


def ports_taken() -> set[int]:
    """Return the API ports of all known labs, running or not."""
    ports = set()
    for name in known_labs():
        ports.add(settings_or_guess(name).api_port)
    return ports


def make_folders(config: LabConfig) -> None:
    """Make the lab's folders where they are missing; what lies in them is root's only.

    Raises: HostError when one of them is somebody else's, or no folder.
    """
    for folder, mode in (
        (STATE_ROOT, PUBLIC),
        (config.state_dir.parent, PUBLIC),
        (config.state_dir, PRIVATE),
        (RUN_ROOT, PUBLIC),
        (config.run_dir, PRIVATE),
    ):
        ensure_folder(folder, mode)


def ensure_folder(folder: Path, mode: int) -> None:
    """Make a folder that nobody else can write to, whatever the umask; its parent exists.

    Raises: HostError when something else is there, or a folder of another user.
    """
    try:
        folder.mkdir(mode)
        folder.chmod(mode)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise HostError(f"{folder}: not a folder of root's; move it away") from None
        if found.st_mode & 0o022:
            folder.chmod(mode)


def config_path(name: str) -> Path:
    """Return where a lab's settings are kept."""
    return LabConfig(name=name).state_dir / "config.json"


def save_config(config: LabConfig) -> None:
    """Write a lab's settings, in one step; its folders are there."""
    temporary = config_path(config.name).with_suffix(".new")
    temporary.write_bytes(encode_config(config))
    temporary.rename(config_path(config.name))


def load_config(name: str) -> LabConfig:
    """Return a lab's settings.

    Raises: UsageError when there is no such lab; HostError when its file may not be read, or is
    damaged.
    """
    path = config_path(name)
    try:
        return _decoded(name, path.read_bytes())
    except UsageError as error:
        raise HostError(
            f"lab {name}: its settings in {path} are damaged ({error}); "
            f"'netlab down --name {name}' still removes it"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        if name in all_labs():
            raise HostError(
                f"lab {name}: its settings in {path} are gone; 'netlab down --name {name}' "
                "still removes it"
            ) from error
        raise UsageError(no_such_lab(name, all_labs())) from error
    except PermissionError as error:
        raise HostError(f"lab {name}: its settings are root's; run this with sudo") from error
    except OSError as error:
        raise HostError(
            f"lab {name}: its settings in {path} cannot be read ({error.strerror}); "
            f"'netlab down --name {name}' still removes it"
        ) from error


def settings_or_guess(name: str) -> LabConfig:
    """Return a lab's settings, or what comes nearest to them when they are damaged or gone.

    The ledger has a copy. Without that too, it is a sandbox unless its pods hang on the bridge of
    the host's own network: what is the host's must not be touched for a lab that was never there.
    """
    with contextlib.suppress(NetlabError):
        return load_config(name)
    guess = LabConfig(name=name, sandbox=True)
    for entry in host_ledger(guess).newest_first():
        if entry.what == "settings":
            with contextlib.suppress(UsageError):
                return _decoded(name, entry.before.encode())
        if entry.what == "rules":
            return LabConfig(name=name)
    if (guess.netns and guess.netns.exists()) or guess.node_etc.exists():
        return guess
    has_pods = any(netns.startswith(f"{guess.netns_name}_") for netns in list_netns())
    return LabConfig(name=name, sandbox=not (has_pods and Path("/sys/class/net/cni0").exists()))


def _decoded(name: str, data: bytes) -> LabConfig:
    """Return the settings in ``data``.

    Raises: UsageError when they are none, or another lab's.
    """
    config = decode_config(data)
    if config.name != name:
        raise UsageError(f"they are those of lab {config.name!r}")
    return config


def kubeconfig_ledger(config: LabConfig) -> Ledger:
    """Return the list of kubeconfig files the lab's context was merged into.

    It is kept with the state and not under /run: kubeconfigs outlive a reboot.
    """
    return Ledger(config.state_dir / "kubeconfigs.jsonl")


def host_ledger(config: LabConfig) -> Ledger:
    """Return the list of what the lab changed in the kernel; a reboot undoes it by itself."""
    return Ledger(config.run_dir / "ledger.jsonl")
