"""``netlab scenario``: list, run and check the lessons in the folder ``scenarios/``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from netlab.cli.lessons import (
    client_option,
    command_lines,
    find_lesson,
    go_on,
    lang_option,
    lesson_folders,
    name_option,
    open_runner,
    own_language,
    tell,
)
from netlab.scenario.model import load_scenario


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
@name_option
@lang_option
@client_option
@click.option("--yes", "-y", is_flag=True, help="Do not wait for Enter between the steps.")
def run(lesson: str, name: str, lang: str | None, client: str, yes: bool) -> None:
    """Go through a lesson step by step: text, command, output."""
    folder, found = find_lesson(lesson)
    language = lang or own_language()
    click.secho(found.title[language], bold=True)
    click.echo(f"{found.summary[language]}\n")
    runner = open_runner(folder, name, client)
    ask = not yes and sys.stdin.isatty()
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


@scenario.command("check")
@click.argument("lessons", nargs=-1)
@name_option
@client_option
def check(lessons: Sequence[str], name: str, client: str) -> None:
    """Run all steps of the LESSONS (or of every lesson) and check what they print."""
    failed = 0
    for lesson in lessons or [folder.name for folder in lesson_folders()]:
        folder, found = find_lesson(lesson)
        total = sum(step.acts for step in found.steps)
        passed = 0
        for outcome in open_runner(folder, name, client).run_all(found):
            passed += not outcome.problems
            tell(outcome)
        click.echo(f"{folder.name}: {passed} of {total} steps as expected")
        failed += passed != total
    if failed:
        sys.exit(1)
