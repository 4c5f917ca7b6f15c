"""Take a lab down and give everything back: what ``netlab down`` does.

Works on a healthy lab, on one whose daemon was killed, on what an interrupted ``up`` or ``down``
left, and on one whose files are damaged or gone: then what the kernel shows of it is removed
(``marks``). Running it again goes on where the last one stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netlab.client.kubeconfig_file import kubeconfig_paths, remove_context
from netlab.config import LabConfig
from netlab.errors import HostError, NetlabError
from netlab.lab.facts import quick_facts
from netlab.lab.labs import all_labs, known_labs, kubeconfig_ledger, settings_or_guess
from netlab.lab.preflight import check_root
from netlab.lab.process import running_daemon
from netlab.lab.settings import check_name
from netlab.lab.teardown import remove_lab
from netlab.lab.turns import turn, turn_path


@dataclass(frozen=True, slots=True)
class Stopped:
    """A lab that was taken down. existed: there was something of it.

    problems: what could not be removed, each as a line. contexts: kubeconfig file and the context
    of another lab that became the current one in it.
    """

    name: str
    existed: bool
    problems: tuple[str, ...] = ()
    contexts: tuple[tuple[Path, str], ...] = ()
    seconds: float = 0.0


def need_root() -> None:
    """Do nothing for root.

    Raises: HostError.
    """
    finding = check_root(quick_facts())
    if finding.level == "failure":
        raise HostError(finding.line())


def _silent(_pid: int) -> None:
    pass


def stop_lab(name: str, *, waiting: Callable[[int], None] = _silent) -> Stopped:
    """Remove a lab and its contexts, whatever is left of it.

    waiting: told the pid of another command that changes the lab, when there is one to wait for.
    A kubeconfig that its owner has broken meanwhile does not keep the lab alive.
    Raises: UsageError when the name is none; HostError when the other command does not end.
    """
    check_name(name)
    start = time.monotonic()
    if name not in all_labs() and not turn_path(name).exists():
        return Stopped(name, existed=False)
    with turn(name, waiting=waiting):
        if name not in all_labs():
            return Stopped(name, existed=False)
        config = settings_or_guess(name)
        problems, contexts = _remove_contexts(config)
        try:
            remove_lab(config)
        except NetlabError as error:
            problems.append(str(error))
    return Stopped(name, True, tuple(problems), tuple(contexts), time.monotonic() - start)


def _remove_contexts(config: LabConfig) -> tuple[list[str], list[tuple[Path, str]]]:
    """Take the lab out of the kubeconfigs; return what went wrong, and which contexts follow."""
    problems, contexts = [], []
    paths = [Path(entry.name) for entry in kubeconfig_ledger(config).newest_first()]
    others = [LabConfig(name=name) for name in known_labs() if name != config.name]
    successors = [other.context for other in others if running_daemon(other) is not None]
    # without the list, at least where a lab that is started now would be written
    for path in paths or kubeconfig_paths():
        try:
            follower = remove_context(path, config.context, successors=successors)
        except (NetlabError, OSError) as error:
            cause = str(error).removeprefix(f"{path}: ")
            problems.append(f"context {config.context} stays in {path}: {cause}")
        else:
            if follower:
                contexts.append((path, follower))
    return problems, contexts
