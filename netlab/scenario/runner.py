"""Run a scenario's steps on the node and judge what they print.

The caller says how a command gets onto the node (``enter``: an argv prefix), so that this module
knows nothing of namespaces. Every step has a time limit and its own process group, which is ended
with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.scenario.model import Scenario, Step, judge

STEP_LIMIT_S = 120
RETRY_S = 0.3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did; problems is empty when it went as the lesson says."""

    step: Step
    code: int
    stdout: str
    stderr: str
    seconds: float
    problems: Sequence[str]


class Runner:
    """Runs shell text on the node, in the scenario's folder."""

    def __init__(self, folder: Path, enter: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._enter = tuple(enter)
        self._environment = {**os.environ, **environment}

    def run_step(self, step: Step) -> Outcome:
        """Run one step, again and again up to ``within_s`` until it shows what it must."""
        start = time.monotonic()
        while True:
            code, stdout, stderr = self._shell(step.run)
            problems = judge(step.expect, code, stdout, stderr)
            elapsed_s = time.monotonic() - start
            if not problems or elapsed_s >= step.within_s:
                return Outcome(step, code, stdout, stderr, elapsed_s, problems)
            time.sleep(RETRY_S)

    def run_all(self, scenario: Scenario) -> Iterator[Outcome]:
        """Run all steps that have a command, up to the first that fails; then clean up."""
        try:
            for step in scenario.steps:
                if not step.run:
                    continue
                outcome = self.run_step(step)
                yield outcome
                if outcome.problems:
                    return
        finally:
            self.clean_up(scenario)

    def clean_up(self, scenario: Scenario) -> None:
        """Remove what the scenario made."""
        if scenario.cleanup:
            self._shell(scenario.cleanup)

    def _shell(self, text: str) -> tuple[int, str, str]:
        process = subprocess.Popen(
            [*self._enter, "bash", "-c", text],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=STEP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            stderr += f"\n(ended after {STEP_LIMIT_S} s)"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return process.returncode, stdout, stderr
