"""Run a scenario's steps on the node and judge what they print.

The caller says how a command gets onto the node (``enter``: an argv prefix), so that this module
knows nothing of namespaces. Every step has a time limit and its own process group, which is ended
with it; what runs in a terminal is ended by ``close`` at the latest.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import msgspec

from netlab.scenario.belongings import Belongings
from netlab.scenario.model import Exercise, Scenario, Step, judge

STEP_LIMIT_S = 120
RETRY_S = 0.3
TERMINAL_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did; problems is empty when it went as the lesson says."""

    step: Step
    code: int
    stdout: str
    stderr: str
    seconds: float
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Terminal:
    """A command left running, and the file that holds what it prints."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def text(self) -> str:
        # seeking would move the place where the command writes on
        number = self.output.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(TERMINAL_END_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.output.close()


class Runner:
    """Runs shell text on the node, in the scenario's folder. Close it, or use it with ``with``."""

    def __init__(
        self, folder: Path, enter: Sequence[str], environment: Mapping[str, str], notes: Path
    ) -> None:
        """Run in ``folder``; ``notes``: where it is noted which lessons have begun in this lab."""
        self._folder = folder
        self._notes = notes
        self._enter = tuple(enter)
        self._environment = {**os.environ, **environment}
        self._terminals: dict[str, _Terminal] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what runs in terminals."""
        while self._terminals:
            self._terminals.popitem()[1].close()

    def run_step(self, step: Step) -> Outcome:
        """Run one step, again and again up to ``within_s`` until it shows what it must."""
        start = time.monotonic()
        if step.terminal:
            return self._run_in_terminal(step, start)
        while True:
            code, stdout, stderr = self._shell(step.run)
            problems = judge(step.expect, code, stdout, stderr)
            elapsed_s = time.monotonic() - start
            if not problems or elapsed_s >= step.within_s:
                return Outcome(step, code, stdout, stderr, elapsed_s, problems)
            time.sleep(RETRY_S)

    def _run_in_terminal(self, step: Step, start: float) -> Outcome:
        running = self._terminals.pop(step.terminal, None)
        if running is not None:
            running.close()
        if not step.run:
            return Outcome(step, 0, "", "", time.monotonic() - start, ())
        terminal = self._terminals[step.terminal] = self._open_terminal(step.run)
        while True:
            code, text = terminal.process.poll(), terminal.text()
            problems = judge(msgspec.structs.replace(step.expect, exit=None), 0, text, text)
            if problems and code is not None:
                problems.append(f"the command has ended with exit code {code}")
            elapsed_s = time.monotonic() - start
            if not problems or code is not None or elapsed_s >= step.within_s:
                return Outcome(step, code or 0, text, "", elapsed_s, problems)
            time.sleep(RETRY_S)

    def _open_terminal(self, text: str) -> _Terminal:
        output = tempfile.TemporaryFile()  # noqa: SIM115 closed by _Terminal
        process = subprocess.Popen(
            [*self._enter, "bash", "-c", text],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return _Terminal(process, output)

    def set_up(self, exercise: Exercise) -> Outcome:
        """Break what the exercise is about."""
        return self.run_step(Step(say=exercise.say, run=exercise.setup))

    def fix(self, exercise: Exercise) -> Outcome:
        """Mend it in the exercise's own way."""
        return self.run_step(Step(say=exercise.say, run=exercise.fix))

    def belongings(self, scenario: Scenario | Exercise) -> Belongings:
        """Return what the lesson, or the exercise, makes in the cluster."""
        name = scenario.name if isinstance(scenario, Exercise) else "lesson"
        note = self._notes / f"{self._folder.name}.{name}"
        return Belongings(scenario.makes, self._shell, note)

    def run_all(self, scenario: Scenario) -> Iterator[Outcome]:
        """Run all steps that have a command, up to the first that fails; then clean up.

        The lesson has begun (``belongings``).
        """
        try:
            for step in scenario.steps:
                if not step.acts:
                    continue
                outcome = self.run_step(step)
                yield outcome
                if outcome.problems:
                    return
        finally:
            self.clean_up(scenario)

    def clean_up(self, scenario: Scenario | Exercise) -> None:
        """End what runs in terminals and remove what was made; what was not is left alone."""
        self.close()
        self.belongings(scenario).end()
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
