"""Calls apt for netlab's own ends: nothing of the machine's packages or lists is changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from netlab.runtime.dpkg import apt_cause

# apt's own locks, caches and unprivileged user are for the machine's packages, not for these.
_APT_OPTIONS = (
    "-qq",
    "-oDebug::NoLocking=1",
    "-oDir::Cache::pkgcache=",
    "-oDir::Cache::srcpkgcache=",
    "-oAPT::Sandbox::User=root",
    "-oAcquire::Retries=2",
    "-oAcquire::http::Timeout=20",
    "-oAcquire::https::Timeout=20",
)


def own_lists(folder: Path) -> list[str]:
    """Return the options with which apt keeps the lists of packages in a folder of ours."""
    return [f"-oDir::State::lists={folder}"]


class AptError(Exception):
    """apt ended with an error; output is what it printed."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output
        self.cause = apt_cause(output)


def run_apt(argv: Sequence[str], timeout_s: float, *, folder: Path | None = None) -> None:
    """Run one of apt's programs, whose name is the first word.

    Raises: AptError.
    """
    program, *words = argv
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            [program, *_APT_OPTIONS, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AptError(f"E: no end after {timeout_s:.0f} s") from error
    output = done.stdout.decode(errors="replace")
    # `update` succeeds although some lists could not be fetched.
    if done.returncode or "\nE: " in f"\n{output}":
        raise AptError(output)
