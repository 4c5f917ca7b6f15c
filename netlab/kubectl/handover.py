"""What netlab does not have and kubectl has is run by the kubectl on the PATH.

kubectl's verbs here are frozen. A verb, a verb of a verb, an option or a way of printing that is
missing is raised as a ``LackingError`` before anything was asked or done, and the command line as
it was typed is then the real kubectl's: it takes this process's place, so that its streams, its
exit code and its terminal are the caller's. Both read the same kubeconfig, so it speaks to the
cluster that netlab's own verbs speak to.

Rule for callers: raise ``LackingError`` only while the command has had no effect yet; nothing of
standard input may have been read.
"""

from __future__ import annotations

import os

from netlab.errors import NetlabError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import NoReturn

STAND_IN_MARK = b"netlab stands in for kubectl"
"""Stands in the script through which netlab itself is called ``kubectl``, in lessons."""

VERBS = frozenset(
    (
        *("alpha", "auth", "autoscale", "certificate", "cordon", "diff", "drain", "edit", "events"),
        *("kuberc", "kustomize", "plugin", "proxy", "replace", "rollout", "set", "taint"),
        "uncordon",
    )
)
"""The verbs of kubectl 1.36 that netlab has not."""

VERBS_OF_VERBS = {
    "apply": ("edit-last-applied", "set-last-applied", "view-last-applied"),
    "cluster-info": ("dump",),
    "config": (
        *("delete-cluster", "delete-context", "delete-user", "get-clusters", "get-users"),
        *("rename", "rename-context", "set", "set-cluster", "set-credentials", "unset"),
    ),
    "create": (
        *("clusterrole", "clusterrolebinding", "cronjob", "cj", "ingress", "ing", "job"),
        *("poddisruptionbudget", "pdb", "priorityclass", "pc", "role", "rolebinding"),
    ),
}
"""What follows a verb that netlab has, for something that it has not."""

GET_ONE = "'sudo ./lab install --kubectl' fetches one"


class LackingError(UsageError):
    """netlab has not what was asked for, and kubectl may; nothing was done yet."""


def lacks(verb: str, words: Iterable[str]) -> bool:
    """True when kubectl has the verb (or a plugin of that name is installed), and netlab not."""
    if verb in VERBS:
        return True
    first = next((word for word in words if not word.startswith("-")), "")
    return first in VERBS_OF_VERBS.get(verb, ())


def needs_cluster(verb: str) -> bool:
    """True when kubectl asks a cluster to do what the verb says."""
    return verb in VERBS and verb not in ("kuberc", "kustomize", "plugin")


def find_plugin(verb: str) -> bool:
    """True when kubectl would find a plugin of that name on the PATH."""
    name = "kubectl-" + verb.replace("-", "_")
    return verb != "netlab" and any(os.access(path, os.X_OK) for path in _on_path(name))


def find_kubectl() -> str:
    """Return the path of the first kubectl on the PATH that is not netlab itself; "" if none is."""
    for path in _on_path("kubectl"):
        if os.access(path, os.X_OK) and not os.path.isdir(path) and not _is_ours(path):  # noqa: PTH112
            return path
    return ""


def hand_over(words: Sequence[str], error: NetlabError) -> NoReturn:
    """Put kubectl in this process's place.

    Raises: UsageError saying what is missing and how to get a kubectl, when there is none.
    """
    path = find_kubectl()
    if not path:
        raise UsageError(f"{error}; kubectl has it, but there is none on the PATH: {GET_ONE}")
    try:
        os.execv(path, ["kubectl", *words])
    except OSError as failure:
        raise UsageError(f"{error}; {path} cannot be run: {failure.strerror}") from failure


def _on_path(name: str) -> list[str]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [os.path.join(folder, name) for folder in folders if folder]  # noqa: PTH118


def _is_ours(path: str) -> bool:
    if os.path.basename(os.path.realpath(path)) in ("netlab", "kubectl-netlab"):  # noqa: PTH119
        return True
    try:
        with open(path, "rb") as file:
            return STAND_IN_MARK in file.read(256)
    except OSError:
        return False
