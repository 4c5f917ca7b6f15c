"""A scenario: one folder with ``scenario.yaml`` and the manifests its steps use.

Pure: YAML text in, frozen steps out, and the judgement of what a step printed. A step's ``run`` is
shell text, run by bash on the node in the scenario's folder; its ``expect`` says what must be
seen. ``within_s`` lets a step that only looks be repeated until it sees it. A step with a
``terminal`` is what one would type into a second terminal: it goes on running while later steps do.

The steps make objects in the namespace ``default``, because the courses' texts print its name. So a
lesson says what it ``makes``: what of these names was there before is a student's own
(``belongings``).

An exercise breaks something on purpose (``setup``) and says what must be true once it is mended
(``goal``, each a step that only looks). ``fix`` is one way to mend it; the tests use it, and a
student who gives up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from netlab.errors import UsageError

LANGUAGES = ("en", "es")


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a step must show. stdout, stderr: patterns (re.MULTILINE) that must each be found.

    absent: patterns that must not be found in either. exit: the code; None accepts any.
    """

    exit: int | None = 0
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step. say: text by language; run: shell text, "" for a step that only tells.

    terminal: name of the terminal in which ``run`` is left running; a command that runs there
    already is ended first (no ``run``: that is all). ``expect.exit`` has no meaning then.
    """

    say: dict[str, str]
    run: str = ""
    expect: Expectation = Expectation()
    within_s: float = 0
    terminal: str = ""

    @property
    def acts(self) -> bool:
        """True when there is something to run or to end."""
        return bool(self.run or self.terminal)


class Exercise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something broken to be mended. hints: by language, from vague to plain.

    makes: names of the objects that it makes, ``pod/web``; cleanup: shell text for what else.
    """

    name: str
    title: dict[str, str]
    say: dict[str, str]
    setup: str
    goal: tuple[Step, ...]
    hints: dict[str, tuple[str, ...]]
    fix: str
    makes: tuple[str, ...] = ()
    cleanup: str = ""


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One lesson. makes: names of the objects that its steps make, ``pod/web``.

    They are removed at the end, whatever happened. cleanup: shell text for what else is to be.
    """

    title: dict[str, str]
    summary: dict[str, str]
    steps: tuple[Step, ...]
    makes: tuple[str, ...] = ()
    cleanup: str = ""
    exercises: tuple[Exercise, ...] = ()


def load_scenario(folder: Path) -> Scenario:
    """Return the scenario in ``folder``.

    Raises: UsageError with file and place when it is missing or malformed.
    """
    path = folder / "scenario.yaml"
    try:
        data = yaml.safe_load(path.read_text())
        scenario = msgspec.convert(data, Scenario)
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: there is no scenario.yaml in it") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    _check(path, scenario)
    return scenario


def _check(path: Path, scenario: Scenario) -> None:
    for name in (*scenario.makes, *(name for each in scenario.exercises for name in each.makes)):
        if not re.fullmatch(r"[a-z.]+/[a-z0-9.-]+", name):
            raise UsageError(f"{path}: makes: {name!r} is not of the form kind/name")
    texts: list[tuple[str, Mapping[str, object]]] = [
        ("title", scenario.title),
        ("summary", scenario.summary),
    ]
    steps = [(f"steps[{number}]", step) for number, step in enumerate(scenario.steps)]
    for exercise in scenario.exercises:
        place = f"exercise {exercise.name}"
        texts += [
            (f"{place}: {part}", text)
            for part, text in (
                ("title", exercise.title),
                ("say", exercise.say),
                ("hints", exercise.hints),
            )
        ]
        if not exercise.goal:
            raise UsageError(f"{path}: {place}: goal is empty")
        steps += [(f"{place}: goal[{n}]", step) for n, step in enumerate(exercise.goal)]
    texts += [(f"{place}.say", step.say) for place, step in steps]
    for place, text in texts:
        missing = [language for language in LANGUAGES if not text.get(language)]
        if missing:
            raise UsageError(f"{path}: {place}: no text in {', '.join(missing)}")
    for place, step in steps:
        _check_patterns(path, place, step)


def _check_patterns(path: Path, place: str, step: Step) -> None:
    for pattern in (*step.expect.stdout, *step.expect.stderr, *step.expect.absent):
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"{path}: {place}.expect: bad pattern {pattern!r}: {error}") from error


def judge(expect: Expectation, code: int, stdout: str, stderr: str) -> list[str]:
    """Return what is wrong with a step's outcome; nothing when it is as expected."""
    problems = []
    if expect.exit is not None and code != expect.exit:
        problems.append(f"exit code {code} instead of {expect.exit}")
    problems += [
        f"{name} does not show {pattern!r}"
        for name, patterns, text in (
            ("stdout", expect.stdout, stdout),
            ("stderr", expect.stderr, stderr),
        )
        for pattern in patterns
        if not re.search(pattern, text, re.MULTILINE)
    ]
    problems += [
        f"the output shows {pattern!r}"
        for pattern in expect.absent
        if re.search(pattern, stdout + stderr, re.MULTILINE)
    ]
    return problems
