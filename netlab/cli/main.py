"""Reads the command line, runs the verb, and turns what went wrong into a line and a code.

Exit codes are kubectl's: 0, 1 for every error, a process's own code for ``exec``; 130 after
Ctrl-C. A closed pipe (``netlab get pods | head -1``) ends quietly.
"""

from __future__ import annotations

import os
import sys

from netlab.cli.commands import COMMANDS, LAB, overview
from netlab.cli.unreachable import advice_on, advice_without_context
from netlab.errors import NetlabError
from netlab.kubectl.flags import (
    Command,
    FlagError,
    Group,
    HintedUsageError,
    UnknownFlagError,
    help_text,
    parse,
)
from netlab.kubectl.handover import (
    LackingError,
    find_kubectl,
    find_plugin,
    hand_over,
    lacks,
    needs_cluster,
)
from netlab.kubectl.session import GLOBAL_FLAGS, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

INTERRUPTED = 130
ASK = "__complete"
"""The verb that a shell calls at each Tab (``completion``); it is not listed."""
CHOOSE_LAB = "kubectl's verbs ask the current context's lab; --context netlab-NAME asks another"
"""Said to who names a lab by ``--name``, as the lab's verbs take it and kubectl's do not."""


def run_command_line(words: Sequence[str], program: str, session: Session | None = None) -> int:
    """Run one command line and return its exit code; nothing is raised.

    Without a session, what netlab lacks replaces this process by kubectl.
    """
    session = session or Session(program, sys.stdout, sys.stderr, hands_over=True)
    try:
        return _run_or_hand_over(session, words)
    except NetlabError as error:
        return _tell(session, error)
    finally:
        session.close()


def _run_or_hand_over(session: Session, words: Sequence[str]) -> int:
    program, verb = session.program, ""
    try:
        # of a line that is being typed no word is ours to read
        verb, rest = (ASK, list(words[1:])) if words[:1] == [ASK] else split_verb(words)
        code = _dispatch(session, verb, rest)
        session.out.flush()
        return code
    except LackingError as error:
        if session.hands_over:
            if needs_cluster(verb) and find_kubectl() and (advice := advice_without_context()):
                session.complain(advice)
            hand_over(words, error)
        raise
    except FlagError as error:
        if isinstance(error, UnknownFlagError) and verb not in LAB:
            if error.flag == "name":
                error = FlagError(f"{error}; {CHOOSE_LAB}")
            elif session.hands_over:
                hand_over(words, error)
        session.complain(f"error: {error}\nSee '{_called(program, verb)} --help' for usage.")
    except HintedUsageError as error:
        hint = f"See '{program} {session.command} -h' for help and examples"
        session.complain(f"error: {error}\n{hint}")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1


def split_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb and the other words; options may stand before the verb, as in kubectl."""
    takes_value = {}
    for flag in GLOBAL_FLAGS:
        takes_value[f"--{flag.name}"] = flag.bare is None
        if flag.short:
            takes_value[f"-{flag.short}"] = flag.bare is None
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            return word, [*words[:at], *words[at + 1 :]]
        if word in ("-h", "--help", "--version"):
            return word, [*words[:at], *words[at + 1 :]]
        at += 2 if takes_value.get(word) else 1
    return "", list(words)


def _dispatch(session: Session, verb: str, words: list[str]) -> int:
    if verb in ("", "-h", "--help", "help"):
        if verb == "help" and words:
            return _dispatch(session, words[0], [*words[1:], "--help"])
        parse(words, GLOBAL_FLAGS)
        session.out.write(overview(session.program))
        return 0
    if verb == "options":
        listing = Command("options", lambda *_: 0, usage="", text="", flags=GLOBAL_FLAGS)
        session.out.write(help_text(session.program, listing))
        return 0
    if verb == ASK:
        session.out.write("".join(f"{each}\n" for each in _candidates(session, words)))
        return 0
    if verb == "--version":
        import netlab

        session.print(f"netlab {netlab.__version__}")
        return 0
    if lacks(verb, words) or (verb not in COMMANDS and find_plugin(verb)):
        raise LackingError(f'netlab has no "{_lacking_words(verb, words)}"')
    if verb not in COMMANDS:
        raise NetlabError(
            f'unknown command "{verb}" for "{session.program}"'
            f"{_suggest(verb)}\nRun '{session.program} --help' for usage."
        )
    found = load_command(verb)
    while isinstance(found, Group):
        found, words = _choose(found, words)
    if isinstance(found, Command):
        return _run(session, found, words)
    return _run_click(found, words, session.program, verb)


def _candidates(session: Session, words: list[str]) -> list[str]:
    from netlab.cli.completing import complete

    return complete(session, words)


def _lacking_words(verb: str, words: Sequence[str]) -> str:
    first = next((word for word in words if not word.startswith("-")), "")
    return f"{verb} {first}" if verb in COMMANDS else verb


def load_command(verb: str) -> Any:
    """Return the ``Command``, ``Group`` or click command of a verb."""
    from importlib import import_module

    path = COMMANDS[verb][0]
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise NetlabError(f"this netlab was installed without '{verb}'") from error
    return getattr(module, "COMMAND", None) or getattr(module, verb)


def _choose(group: Group, words: list[str]) -> tuple[Command | Group, list[str]]:
    """Return the subcommand that the first word names, or the group's own command."""
    for at, word in enumerate(words):
        if word in group.commands:
            from importlib import import_module

            path, attribute = group.commands[word]
            command: Command | Group = getattr(import_module(path), attribute)
            return command, [*words[:at], *words[at + 1 :]]
        if not word.startswith("-"):
            break
    return group.fallback, words


def _run(session: Session, command: Command, words: list[str]) -> int:
    own = {flag.name for flag in command.flags} | {flag.short for flag in command.flags}
    shared = [f for f in GLOBAL_FLAGS if f.name not in own and (not f.short or f.short not in own)]
    end = words.index("--") if "--" in words else len(words)
    if any(word in ("-h", "--help") for word in words[:end]):
        session.out.write(help_text(session.program, command))
        return 0
    session.command = command.name
    parsed = parse(words, [*command.flags, *shared], interspersed=command.interspersed)
    session.use(parsed)
    code = command.run(session, parsed)
    if parsed.values.get("warnings-as-errors") and session.warnings:
        plural = "s" if session.warnings > 1 else ""
        raise NetlabError(f"{session.warnings} warning{plural} received")
    return code


def _run_click(command: Any, words: list[str], program: str, verb: str) -> int:
    import click

    try:
        result = command.main(args=words, prog_name=f"{program} {verb}", standalone_mode=False)
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return result if isinstance(result, int) else 0


def _tell(session: Session, error: NetlabError) -> int:
    from netlab.kubectl.failures import ExitError, describe

    text = describe(error)
    try:
        if text:
            session.complain(text)
        if session.hands_over and (advice := advice_on(error, session)):
            session.complain(advice)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return error.code if isinstance(error, ExitError) else 1


def _called(program: str, verb: str) -> str:
    return f"{program} {verb}" if verb in COMMANDS else program


def _suggest(verb: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(verb, COMMANDS, n=3)
    if not close:
        return ""
    return "\n\nDid you mean this?\n" + "".join(f"\t{each}\n" for each in close)
