"""``netlab scenario``: list, run and check the lessons in the folder ``scenarios/``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from netlab.cli.lessons import (
    begin,
    client_option,
    command_lines,
    find_lesson,
    go_on,
    lang_option,
    lesson_folders,
    open_runner,
    own_language,
    replace_option,
    tell,
)
from netlab.cli.names import current_name_option
from netlab.scenario.model import load_scenario

_END = {
    "en": "That was the lesson; what it made is removed.",
    "es": "Fin de la lección; lo que creó está borrado.",
}


@click.group("scenario", short_help="Lessons: list, run and check them.")
def scenario() -> None:
    """Lessons with commands that are really run, and checks of what they print."""


@scenario.command("list")
@lang_option
def list_scenarios(lang: str | None) -> None:
    """List the lessons."""
    language = lang or own_language()
    for folder in lesson_folders():
        lesson = load_scenario(folder)
        click.echo(f"{folder.name:<28} {lesson.title[language]}: {lesson.summary[language]}")


@scenario.command("run")
@click.argument("lesson")
@current_name_option
@lang_option
@client_option
@click.option("--yes", "-y", is_flag=True, help="Do not wait for Enter between the steps.")
@replace_option
def run(
    lesson: str, name: str | None, lang: str | None, client: str, yes: bool, replace: bool
) -> None:
    """Go through a lesson step by step: text, command, output."""
    folder, found = find_lesson(lesson)
    language = lang or own_language()
    click.secho(found.title[language], bold=True)
    click.echo(f"{found.summary[language]}\n")
    runner = open_runner(folder, name, client)
    ask = not yes and sys.stdin.isatty()
    begin(runner.belongings(found), language, replace=replace)
    try:
        for step in found.steps:
            click.echo(step.say[language].strip())
            if not step.acts:
                continue
            for line in command_lines(step):
                click.secho(f"$ {line}", fg="green")
            if ask and not go_on(language):
                return
            outcome = runner.run_step(step)
            click.echo(outcome.stdout, nl=False)
            click.echo(outcome.stderr, nl=False)
            for problem in outcome.problems:
                click.secho(f"unexpected: {problem}", fg="red")
            click.echo()
            if outcome.problems:
                sys.exit(1)
    finally:
        runner.clean_up(found)
    click.echo(_END[language])


@scenario.command("check")
@click.argument("lessons", nargs=-1)
@current_name_option
@lang_option
@client_option
@replace_option
def check(
    lessons: Sequence[str], name: str | None, lang: str | None, client: str, replace: bool
) -> None:
    """Run all steps of the LESSONS (or of every lesson) and check what they print."""
    failed = 0
    for lesson in lessons or [folder.name for folder in lesson_folders()]:
        folder, found = find_lesson(lesson)
        total = sum(step.acts for step in found.steps)
        passed = 0
        runner = open_runner(folder, name, client)
        begin(runner.belongings(found), lang or own_language(), replace=replace)
        for outcome in runner.run_all(found):
            passed += not outcome.problems
            tell(outcome)
        click.echo(f"{folder.name}: {passed} of {total} steps as expected")
        failed += passed != total
    if failed:
        sys.exit(1)
