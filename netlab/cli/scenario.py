"""``netlab scenario``: list, run and check the lessons in the folder ``scenarios/``."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

import netlab
from netlab.cli.shell import node_argv
from netlab.config import DEFAULT_NAME, LabConfig
from netlab.errors import HostError, UsageError
from netlab.nodes.labs import load_config
from netlab.nodes.process import running_daemon
from netlab.scenario.model import LANGUAGES, Scenario, load_scenario
from netlab.scenario.runner import Outcome, Runner

SCENARIOS = Path(netlab.__file__).parent.parent / "scenarios"

_name_option = click.option(
    "--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab."
)
_lang_option = click.option(
    "--lang", type=click.Choice(LANGUAGES), help="Language of the text.  [default: $LANG, or en]"
)
_client_option = click.option(
    "--client",
    type=click.Choice(["auto", "kubectl", "netlab"]),
    default="auto",
    help="What runs as kubectl; auto takes netlab where there is no kubectl.",
)


@click.group("scenario", short_help="Lessons: list, run and check them.")
def scenario() -> None:
    """Lessons with commands that are really run, and checks of what they print."""


@scenario.command("list")
@_lang_option
def list_scenarios(lang: str | None) -> None:
    """List the lessons."""
    language = lang or _language()
    for folder in _folders():
        lesson = load_scenario(folder)
        click.echo(f"{folder.name:<28} {lesson.title[language]}: {lesson.summary[language]}")


@scenario.command("run")
@click.argument("lesson")
@_name_option
@_lang_option
@_client_option
@click.option("--yes", "-y", is_flag=True, help="Do not wait for Enter between the steps.")
def run(lesson: str, name: str, lang: str | None, client: str, yes: bool) -> None:
    """Go through a lesson step by step: text, command, output."""
    folder, found = _find(lesson)
    language = lang or _language()
    click.secho(found.title[language], bold=True)
    click.echo(f"{found.summary[language]}\n")
    runner = _runner(folder, name, client)
    ask = not yes and sys.stdin.isatty()
    try:
        for step in found.steps:
            click.echo(step.say[language].strip())
            if not step.run:
                continue
            for line in step.run.strip().splitlines():
                click.secho(f"$ {line}", fg="green")
            if ask and not _go_on(language):
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
@_name_option
@_client_option
def check(lessons: Sequence[str], name: str, client: str) -> None:
    """Run all steps of the LESSONS (or of every lesson) and check what they print."""
    failed = 0
    for lesson in lessons or [folder.name for folder in _folders()]:
        folder, found = _find(lesson)
        total = sum(bool(step.run) for step in found.steps)
        passed = 0
        for outcome in _runner(folder, name, client).run_all(found):
            passed += not outcome.problems
            _tell(outcome)
        click.echo(f"{folder.name}: {passed} of {total} steps as expected")
        failed += passed != total
    if failed:
        sys.exit(1)


def _tell(outcome: Outcome) -> None:
    lines = outcome.step.run.strip().splitlines()
    first = lines[0] + (" …" if len(lines) > 1 else "")
    mark = click.style("✗", fg="red") if outcome.problems else click.style("✓", fg="green")
    click.echo(f" {mark} {first}  ({outcome.seconds:.2f} s)")
    if outcome.problems:
        for problem in outcome.problems:
            click.echo(f"     {problem}")
        click.echo("     stdout:\n" + _indented(outcome.stdout))
        click.echo("     stderr:\n" + _indented(outcome.stderr))


def _indented(text: str) -> str:
    return "\n".join(f"     | {line}" for line in text.splitlines())


def _go_on(language: str) -> bool:
    words = {
        "en": "Enter runs it, q ends the lesson",
        "es": "Intro lo ejecuta, q termina la lección",
    }
    return input(f"[{words[language]}] ").strip().lower() != "q"


def _language() -> str:
    return "es" if os.environ.get("LANG", "").startswith("es") else "en"


def _folders() -> list[Path]:
    return sorted(path.parent for path in SCENARIOS.glob("*/scenario.yaml"))


def _find(lesson: str) -> tuple[Path, Scenario]:
    """Return the lesson named, numbered or pathed ``lesson``."""
    candidates = [f for f in _folders() if f.name == lesson or f.name.split("-")[0] == lesson]
    if not candidates and (Path(lesson) / "scenario.yaml").exists():
        candidates = [Path(lesson).resolve()]
    if not candidates:
        names = ", ".join(folder.name for folder in _folders())
        raise UsageError(f"there is no scenario {lesson!r}; there are: {names}")
    return candidates[0], load_scenario(candidates[0])


def _runner(folder: Path, name: str, client: str) -> Runner:
    config = load_config(name)
    if running_daemon(config) is None:
        raise HostError(f"lab {name} does not run; start it with 'netlab up --name {name}'")
    enter = node_argv(config) if config.sandbox else []
    return Runner(folder, enter, _environment(config, client))


def _environment(config: LabConfig, client: str) -> dict[str, str]:
    """Return the variables under which steps find the lab, and kubectl or a stand-in for it."""
    environment = {"KUBECONFIG": str(config.state_dir / "admin.kubeconfig")}
    if client == "netlab" or (client == "auto" and shutil.which("kubectl") is None):
        stand_in = config.state_dir / "bin" / "kubectl"
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m netlab "$@"\n')
        stand_in.chmod(0o755)
        environment["PATH"] = f"{stand_in.parent}:{os.environ['PATH']}"
    return environment
