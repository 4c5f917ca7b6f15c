"""Which lab is meant when none is named: that of the current context, as for kubectl."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from netlab.client.kubeconfig import load_config
from netlab.client.kubeconfig_file import kubeconfig_paths
from netlab.config import DEFAULT_NAME
from netlab.errors import NetlabError
from netlab.lab.labs import all_labs


def current_lab() -> str:
    """Return the lab of the current context; without one, the only lab there is, or the usual one.

    Under sudo the caller's kubeconfig comes before root's.
    """
    labs = all_labs()
    return choose_lab([_current_context(path) for path in kubeconfig_paths()], labs)


def choose_lab(contexts: Collection[str], labs: Collection[str]) -> str:
    """Return the lab that the first of the contexts to name a lab names."""
    for context in contexts:
        name = lab_of_context(context)
        if name in labs:
            return name
    if DEFAULT_NAME not in labs and len(labs) == 1:
        return next(iter(labs))
    return DEFAULT_NAME


def lab_of_context(context: str) -> str:
    """Return the lab that a context is of; "" when it is of none."""
    if context == DEFAULT_NAME:
        return DEFAULT_NAME
    name = context.removeprefix(f"{DEFAULT_NAME}-")
    return "" if name == context else name


def _current_context(path: Path) -> str:
    try:
        return str(load_config(str(path))["current-context"] or "")
    except NetlabError:
        return ""
