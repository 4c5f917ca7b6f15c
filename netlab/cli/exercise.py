"""``netlab exercise``: something is broken on purpose; find out why and mend it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from netlab.cli.lessons import (
    begin,
    client_option,
    find_lesson,
    lang_option,
    lesson_folders,
    open_runner,
    own_language,
    replace_option,
    tell,
)
from netlab.cli.names import current_name_option
from netlab.errors import UsageError
from netlab.scenario.model import Exercise, load_scenario

_REACHED = {
    "en": "All {total} reached. 'netlab exercise end {name}' removes what it made.",
    "es": "Conseguido: {total} de {total}. «netlab exercise end {name}» borra lo que creó.",
}
_NOT_STARTED = {
    "en": "Exercise {} was not started; nothing is removed.",
    "es": "El ejercicio {} no se ha empezado; no se borra nada.",
}


def missing_words(language: str, missing: int, total: int) -> str:
    """Return how much of a goal is not reached yet."""
    if language == "es":
        return f"{'falta' if missing == 1 else 'faltan'} {missing} de {total}"
    return f"{missing} of {total} not reached yet"


@click.group("exercise", short_help="Exercises: something is broken; mend it.")
def exercise() -> None:
    """Exercises: start breaks something, you mend it, check says whether you did.

    netlab exercise start probe-port

    netlab exercise check probe-port
    """


@exercise.command("list")
@lang_option
def list_exercises(lang: str | None) -> None:
    """List the exercises of all lessons."""
    language = lang or own_language()
    for folder in lesson_folders():
        for found in load_scenario(folder).exercises:
            click.echo(f"{found.name:<16} {folder.name:<32} {found.title[language]}")


@exercise.command("start")
@click.argument("exercise_name", metavar="EXERCISE")
@current_name_option
@lang_option
@client_option
@replace_option
def start(
    exercise_name: str, name: str | None, lang: str | None, client: str, replace: bool
) -> None:
    """Break what the exercise is about and tell what to reach."""
    folder, found = _find(exercise_name)
    language = lang or own_language()
    with open_runner(folder, name, client) as runner:
        begin(runner.belongings(found), language, replace=replace)
        outcome = runner.set_up(found)
    if outcome.problems:
        tell(outcome)
        sys.exit(1)
    click.secho(found.title[language], bold=True)
    click.echo(found.say[language].strip())


@exercise.command("check")
@click.argument("exercise_name", metavar="EXERCISE")
@current_name_option
@lang_option
@client_option
@click.option("--wait", is_flag=True, help="Give the cluster some seconds to get there.")
def check(exercise_name: str, name: str | None, lang: str | None, client: str, wait: bool) -> None:
    """Say what is reached and what is not; exit code 1 while something is missing."""
    folder, found = _find(exercise_name)
    language = lang or own_language()
    missing = 0
    with open_runner(folder, name, client) as runner:
        for step in found.goal:
            within_s = step.within_s if wait else 0
            outcome = runner.run_step(msgspec.structs.replace(step, within_s=within_s))
            missing += bool(outcome.problems)
            mark = click.style("✗", fg="red") if outcome.problems else "✓"
            click.echo(f" {mark} {step.say[language].strip()}")
    if missing:
        click.echo(missing_words(language, missing, len(found.goal)))
        sys.exit(1)
    click.echo(_REACHED[language].format(total=len(found.goal), name=found.name))


@exercise.command("hint")
@click.argument("exercise_name", metavar="EXERCISE")
@click.argument("number", type=click.IntRange(min=1), default=1)
@click.option("--name", expose_value=False, help="Name of the lab; hints are the same for all.")
@lang_option
def hint(exercise_name: str, number: int, lang: str | None) -> None:
    """Print hint NUMBER: the first is vague, the last is plain."""
    _, found = _find(exercise_name)
    hints = found.hints[lang or own_language()]
    if number > len(hints):
        raise UsageError(f"exercise {found.name} has {len(hints)} hints, there is no {number}")
    click.echo(hints[number - 1].strip())


@exercise.command("solve")
@click.argument("exercise_name", metavar="EXERCISE")
@current_name_option
@lang_option
@client_option
@replace_option
def solve(
    exercise_name: str, name: str | None, lang: str | None, client: str, replace: bool
) -> None:
    """Mend it in the exercise's own way, and show how."""
    folder, found = _find(exercise_name)
    for line in found.fix.strip().splitlines():
        click.secho(f"$ {line}", fg="green")
    with open_runner(folder, name, client) as runner:
        # from where start leaves off: what was tried in between may stand in the way
        begin(runner.belongings(found), lang or own_language(), replace=replace)
        outcome = runner.set_up(found)
        if not outcome.problems:
            outcome = runner.fix(found)
    click.echo(outcome.stdout, nl=False)
    click.echo(outcome.stderr, nl=False)
    if outcome.problems:
        sys.exit(1)


@exercise.command("end")
@click.argument("exercise_name", metavar="EXERCISE")
@current_name_option
@lang_option
@client_option
def end(exercise_name: str, name: str | None, lang: str | None, client: str) -> None:
    """Remove what the exercise made."""
    folder, found = _find(exercise_name)
    with open_runner(folder, name, client) as runner:
        if not runner.belongings(found).begun:
            click.echo(_NOT_STARTED[lang or own_language()].format(found.name))
        runner.clean_up(found)


def _find(name: str) -> tuple[Path, Exercise]:
    """Return the exercise and its lesson's folder; ``LESSON/NAME`` names one of a lesson."""
    lesson, _, short = name.rpartition("/")
    folders = [find_lesson(lesson)[0]] if lesson else lesson_folders()
    names = []
    for folder in folders:
        for found in load_scenario(folder).exercises:
            if found.name == short:
                return folder, found
            names.append(found.name)
    raise UsageError(f"there is no exercise {name!r}; there are: {', '.join(names)}")
