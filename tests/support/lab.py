"""Whole labs for end-to-end tests: each in its sandbox, with a name of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.support.client_tools import kubectl_path
from tests.support.patience import patience

T = TypeVar("T")

REPOSITORY = Path(__file__).parent.parent.parent


class Lab:
    """A lab in its sandbox. ``kubectl`` and ``netlab`` run outside it, ``node`` inside."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("KUBE")},
            "KUBECONFIG": str(self.kubeconfig),
            "HOME": str(folder),  # kubectl's discovery cache lies in ~/.kube
        }

    @property
    def context(self) -> str:
        return f"netlab-{self.name}"

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str | None = None,
        timeout_s: int = 60,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s * patience(),
            env=self.environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            cwd=REPOSITORY,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    @staticmethod
    def netlab_argv() -> list[str]:
        return [sys.executable, "-P", "-m", "netlab"]

    def netlab(self, *arguments: str, check: bool = True, **more: object) -> str:
        """Run ``netlab`` and return what it printed on stdout."""
        argv = [*self.netlab_argv(), *arguments]
        return self.run(argv, check=check, **more).stdout  # type: ignore[arg-type]

    def start_netlab(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a ``netlab`` that goes on running."""
        return self._start([*self.netlab_argv(), *arguments], None)

    def kubectl_path(self, version: str = "") -> Path:
        """Return the kubectl of that minor version; the newest when empty. Skips without one."""
        return kubectl_path(version)

    def kubectl(self, *arguments: str, version: str = "", **more: object) -> str:
        """Run the kubectl of that minor version (the newest when empty); return its stdout."""
        return self.run([str(self.kubectl_path(version)), *arguments], **more).stdout  # type: ignore[arg-type]

    def start(
        self, arguments: Sequence[str], *, version: str = "", stdin: int | None = None
    ) -> subprocess.Popen[str]:
        """Start a kubectl that goes on running; the test ends it or waits for its end."""
        return self._start([str(self.kubectl_path(version)), *arguments], stdin)

    def _start(self, argv: Sequence[str], stdin: int | None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=REPOSITORY,
        )

    def node(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the node."""
        return self.run(
            [sys.executable, "-P", "-m", "netlab", "shell", "--name", self.name, "--", *argv],
            check=check,
        )

    def up(self, *flags: str) -> str:
        return self.netlab("up", "--sandbox", "--name", self.name, *flags)

    def down(self) -> None:
        self.netlab("down", "--name", self.name)

    def daemon_pid(self) -> int:
        return int(json.loads(Path(f"/run/netlab/{self.name}.lock").read_text())["pid"])


def new_lab(folder: Path) -> Lab:
    """Return a lab that does not exist yet, with a name nobody else uses."""
    folder.mkdir(parents=True, exist_ok=True)
    return Lab(f"t{secrets.token_hex(3)}", folder)


def eventually(
    look: Callable[[], T], is_right: Callable[[T], bool], *, within_s: float = 20, what: str = ""
) -> T:
    """Look until it is right; fail with what was seen last."""
    within_s *= patience()
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if is_right(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{what or 'condition'} not met within {within_s:.0f} s; saw: {seen}"
            )
        time.sleep(0.1)
