"""Take a lab down and give everything back: what ``netlab down`` does.

Works on a healthy lab, on one whose daemon was killed, and on what an interrupted ``up`` or
``down`` left; running it again goes on where the last one stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from netlab.client.kubeconfig_file import remove_context
from netlab.config import LabConfig
from netlab.errors import HostError, NetlabError
from netlab.lab.facts import quick_facts
from netlab.lab.labs import config_path, kubeconfig_ledger, load_config
from netlab.lab.preflight import check_root
from netlab.lab.teardown import remove_lab


@dataclass(frozen=True, slots=True)
class Stopped:
    """A lab that was taken down. problems: what could not be removed, each as a line."""

    name: str
    problems: tuple[str, ...]
    seconds: float


def need_root() -> None:
    """Do nothing for root.

    Raises: HostError.
    """
    finding = check_root(quick_facts())
    if finding.level == "failure":
        raise HostError(finding.line())


def stop_lab(name: str) -> Stopped:
    """Remove a lab and its contexts.

    A kubeconfig that its owner has broken meanwhile does not keep the lab alive.
    """
    start = time.monotonic()
    problems = []
    try:
        config = _config(name)
        for entry in kubeconfig_ledger(config).newest_first():
            try:
                remove_context(Path(entry.name), config.context)
            except (NetlabError, OSError) as error:
                problems.append(f"context {config.context} stays in {entry.name}: {error}")
        remove_lab(config)
    except NetlabError as error:
        problems.append(str(error))
    return Stopped(name, tuple(problems), time.monotonic() - start)


def _config(name: str) -> LabConfig:
    """Return the lab's settings, or, when an interrupted ``up`` wrote none, what can be guessed.

    A sandbox is found by its namespace; everything else is found by the lab's name.
    """
    if config_path(name).exists():
        return load_config(name)
    guess = LabConfig(name=name, sandbox=True)
    return guess if guess.netns and guess.netns.exists() else LabConfig(name=name)
