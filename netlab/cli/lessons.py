"""What the verbs ``scenario`` and ``exercise`` share: lessons found, run on the node, and told."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

import netlab
from netlab.config import LabConfig
from netlab.errors import HostError, UsageError
from netlab.kubectl.handover import STAND_IN_MARK
from netlab.lab.current import current_lab
from netlab.lab.entering import node_argv
from netlab.lab.labs import load_config
from netlab.lab.process import running_daemon
from netlab.scenario.belongings import Belongings
from netlab.scenario.model import LANGUAGES, Scenario, Step, load_scenario
from netlab.scenario.runner import Outcome, Runner

SCENARIOS = Path(netlab.__file__).parent.parent / "scenarios"

replace_option = click.option(
    "--replace", is_flag=True, help="Delete your own objects that are in the way."
)
lang_option = click.option(
    "--lang", type=click.Choice(LANGUAGES), help="Language of the text.  [default: $LANG, or en]"
)
client_option = click.option(
    "--client",
    type=click.Choice(["auto", "kubectl", "netlab"]),
    default="auto",
    help="What runs as kubectl; auto takes netlab where there is no kubectl.",
)


def command_lines(step: Step) -> list[str]:
    """Return the lines that one would type."""
    if not step.terminal:
        return step.run.strip().splitlines()
    if not step.run:
        return [f"[{step.terminal}] ^C"]
    return [f"[{step.terminal}] {line}" for line in step.run.strip().splitlines()]


def tell(outcome: Outcome) -> None:
    """Print one line for a step that was checked, and all of it when it failed."""
    lines = command_lines(outcome.step)
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


def go_on(language: str) -> bool:
    """Ask whether to run the next step."""
    words = {
        "en": "Enter runs it, q ends the lesson",
        "es": "Intro lo ejecuta, q termina la lección",
    }
    return input(f"[{words[language]}] ").strip().lower() != "q"


def own_language() -> str:
    """Return the language of the caller's locale."""
    return "es" if os.environ.get("LANG", "").startswith("es") else "en"


def lesson_folders() -> list[Path]:
    """Return the folders of all lessons, in order."""
    return sorted(path.parent for path in SCENARIOS.glob("*/scenario.yaml"))


def find_lesson(lesson: str) -> tuple[Path, Scenario]:
    """Return the lesson named, numbered or pathed ``lesson``."""
    candidates = [f for f in lesson_folders() if f.name == lesson or f.name.split("-")[0] == lesson]
    if not candidates and (Path(lesson) / "scenario.yaml").exists():
        candidates = [Path(lesson).resolve()]
    if not candidates:
        names = ", ".join(folder.name for folder in lesson_folders())
        raise UsageError(f"there is no scenario {lesson!r}; there are: {names}")
    return candidates[0], load_scenario(candidates[0])


_IN_THE_WAY = {
    "en": "These objects of yours have names that are needed here:",
    "es": "Estos objetos tuyos tienen nombres que hacen falta aquí:",
}
_DELETE_THEM = {"en": "Delete them?", "es": "¿Los borro?"}
_LEFT_OVER = {
    "en": "Removing what the last time left: {}",
    "es": "Se borra lo que quedó de la última vez: {}",
}


def begin(belongings: Belongings, language: str, *, replace: bool) -> None:
    """Make way for a lesson: what it left last time goes, what is somebody's own only if agreed.

    Raises: UsageError when something is in the way and stays; click.Abort when the answer is no.
    """
    found = belongings.found()
    names = ", ".join(found)
    if found and belongings.begun:
        click.echo(_LEFT_OVER[language].format(names))
    elif found and not replace:
        if not sys.stdin.isatty():
            raise UsageError(
                f"objects that are not this lesson's have names it needs: {names}; delete or "
                "rename them, or say --replace to have them deleted"
            )
        click.echo(_IN_THE_WAY[language])
        click.echo("".join(f"  {name}\n" for name in found), nl=False)
        click.confirm(_DELETE_THEM[language], abort=True)
    belongings.begin()
    if found:
        belongings.remove()


def open_runner(folder: Path, name: str | None, client: str) -> Runner:
    """Return a runner on the node of the lab ``name``; None: of the current context's.

    Raises: HostError when it does not run.
    """
    name = name or current_lab()
    config = load_config(name)
    if running_daemon(config) is None:
        raise HostError(f"lab {name} does not run; start it with 'netlab up --name {name}'")
    enter = node_argv(config) if config.sandbox else []
    notes = config.state_dir / "lessons"
    return Runner(folder, enter, _environment(config, client), notes)


def _environment(config: LabConfig, client: str) -> dict[str, str]:
    """Return the variables under which steps find the lab, and kubectl or a stand-in for it."""
    environment = {"KUBECONFIG": str(config.state_dir / "admin.kubeconfig")}
    if client == "netlab" or (client == "auto" and shutil.which("kubectl") is None):
        stand_in = config.state_dir / "bin" / "kubectl"
        stand_in.parent.mkdir(exist_ok=True)
        mark = STAND_IN_MARK.decode()
        stand_in.write_text(f'#!/bin/sh\n# {mark}\nexec {sys.executable} -P -m netlab "$@"\n')
        stand_in.chmod(0o755)
        environment["PATH"] = f"{stand_in.parent}:{os.environ['PATH']}"
    return environment
