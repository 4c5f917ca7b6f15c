"""Options as kubectl parses them: the rules of Go's ``pflag``, as data.

Short options combine (``-it``), take their value attached (``-nkube-system``, ``-o=wide``) or as
the next word; long ones take ``--name=value`` or the next word. A flag with a ``bare`` value needs
none (``--watch``, ``--dry-run``) and then takes one only after ``=``. Options and arguments mix
freely until ``--``.

The verbs that kubectl has too use this instead of click, because click knows neither
``--wait=false`` nor ``-o=wide`` and costs 25 ms, most of what ``netlab get pods`` may take; see
docs/cli.md. Nothing here knows about Kubernetes.
"""

from __future__ import annotations

from netlab.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class FlagError(UsageError):
    """An option is unknown, lacks its value or has a wrong one."""


class UnknownFlagError(FlagError):
    """An option that netlab does not have; kubectl may. flag: its name or letter."""

    def __init__(self, message: str, flag: str) -> None:
        super().__init__(message)
        self.flag = flag


class HintedUsageError(UsageError):
    """A wrong use of a verb; the message is followed by a hint at ``--help``."""


class Flag:
    """One option.

    kind: ``bool``, ``string``, ``int``, ``strings`` (repeatable, split at commas), ``array``
    (repeatable, not split) or ``duration`` (float seconds). bare: the text taken when the option
    stands without a value; None when a value is needed. default: None means not given. refused:
    kubectl has the option and netlab has not; typing it leads to kubectl, never to silence.
    """

    __slots__ = ("bare", "default", "help", "kind", "name", "refused", "short")

    def __init__(
        self,
        name: str,
        kind: str = "string",
        *,
        short: str = "",
        default: Any = None,
        bare: str | None = None,
        help: str = "",
        refused: bool = False,
    ) -> None:
        self.name = name
        self.refused = refused
        self.kind = kind
        self.short = short
        self.bare = "true" if kind == "bool" and bare is None else bare
        empty: Any = {"bool": False, "strings": (), "array": ()}.get(kind)
        self.default = empty if default is None else default
        self.help = help


class Parsed:
    """What was typed. values: by long name, defaults included; given: names that were typed.

    args: the words that are no options; dash: how many of them came before ``--``, -1 without.
    """

    __slots__ = ("args", "dash", "given", "values")

    def __init__(self, values: dict[str, Any], given: set[str], args: list[str], dash: int) -> None:
        self.values = values
        self.given = given
        self.args = args
        self.dash = dash

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def has(self, name: str) -> bool:
        """True when the option was typed."""
        return name in self.given


class Command:
    """One verb. run: called with the session and what was parsed; returns the exit code.

    usage: the words after the verb; text: the help's first paragraphs; examples: command lines.
    """

    __slots__ = ("examples", "flags", "interspersed", "name", "run", "text", "usage")

    def __init__(
        self,
        name: str,
        run: Callable[[Any, Parsed], int],
        *,
        usage: str,
        text: str,
        flags: Iterable[Flag] = (),
        examples: Sequence[str] = (),
        interspersed: bool = True,
    ) -> None:
        self.name = name
        self.run = run
        self.usage = usage
        self.text = text
        self.flags = tuple(flags)
        self.examples = tuple(examples)
        self.interspersed = interspersed


class Group:
    """A verb with verbs of its own, such as ``create``; ``fallback`` runs when none is named."""

    __slots__ = ("commands", "fallback")

    def __init__(self, fallback: Command, commands: dict[str, tuple[str, str]]) -> None:
        self.fallback = fallback
        self.commands = commands


def parse(words: Sequence[str], flags: Iterable[Flag], *, interspersed: bool = True) -> Parsed:
    """Return what ``words`` say.

    Raises: FlagError, worded as kubectl words it.
    """
    by_name = {flag.name: flag for flag in flags}
    by_short = {flag.short: flag for flag in by_name.values() if flag.short}
    values = {flag.name: flag.default for flag in by_name.values()}
    parsed = Parsed(values, set(), [], -1)
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word == "--":
            parsed.dash = len(parsed.args)
            parsed.args += reversed(left)
            break
        if word.startswith("--"):
            _parse_long(word, left, by_name, parsed)
        elif word.startswith("-") and word != "-":
            _parse_shorts(word, left, by_short, parsed)
        else:
            parsed.args.append(word)
            if not interspersed:
                parsed.args += reversed(left)
                break
    return parsed


def _parse_long(word: str, left: list[str], by_name: dict[str, Flag], parsed: Parsed) -> None:
    name, equals, text = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise FlagError(f"bad flag syntax: {word}")
    flag = by_name.get(name)
    if flag is None:
        raise UnknownFlagError(f"unknown flag: --{name}", name)
    if not equals:
        if flag.bare is not None:
            text = flag.bare
        elif left:
            text = left.pop()
        else:
            raise FlagError(f"flag needs an argument: --{name}")
    _store(parsed, flag, text)


def _parse_shorts(word: str, left: list[str], by_short: dict[str, Flag], parsed: Parsed) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = by_short.get(letter)
        if flag is None:
            raise UnknownFlagError(f"unknown shorthand flag: {letter!r} in {word}", letter)
        if letters.startswith("="):
            text, letters = letters[1:], ""
        elif flag.bare is not None:
            text = flag.bare
        elif letters:
            text, letters = letters, ""
        elif left:
            text = left.pop()
        else:
            raise FlagError(f"flag needs an argument: {letter!r} in {word}")
        _store(parsed, flag, text)


def _store(parsed: Parsed, flag: Flag, text: str) -> None:
    if flag.refused:
        raise UnknownFlagError(f"netlab does not support --{flag.name}", flag.name)
    try:
        value = _convert(flag.kind, text)
    except ValueError as error:
        shown = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
        message = f'invalid argument "{text}" for "{shown}" flag: {error}'
        raise FlagError(message) from None
    if flag.kind in ("strings", "array") and flag.name in parsed.given:
        value = (*parsed.values[flag.name], *value)
    parsed.values[flag.name] = value
    parsed.given.add(flag.name)


def _convert(kind: str, text: str) -> Any:
    if kind == "bool":
        if text in TRUE or text in FALSE:
            return text in TRUE
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    if kind == "int":
        try:
            return int(text, 0)
        except ValueError:
            raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if kind == "strings":
        return tuple(text.split(",")) if text else ()
    if kind == "array":
        return (text,)
    if kind == "duration":
        return parse_duration(text)
    return text


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration: ``1h30m``, ``1.5s``, ``300ms``, ``0``.

    Raises: ValueError, worded as Go words it.
    """
    sign = -1 if text.startswith("-") else 1
    rest = text.lstrip("+-")
    if rest == "0":
        return 0.0
    total, invalid = 0.0, f'time: invalid duration "{text}"'
    if not rest:
        raise ValueError(invalid)
    while rest:
        digits = _leading(rest, "0123456789.")
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµmsh"))]
        unit = next((u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if unit.startswith(u)), "")
        if not digits.strip(".") or digits.count(".") > 1:
            raise ValueError(invalid)
        if not unit:
            missing = _leading(rest, "abcdefghijklmnopqrstuvwxyz")
            raise ValueError(
                f'time: unknown unit "{missing}" in duration "{text}"'
                if missing
                else f'time: missing unit in duration "{text}"'
            )
        rest = rest[len(unit) :]
        total += float(digits) * _UNITS[unit]
    return sign * total


def _leading(text: str, characters: str) -> str:
    return text[: len(text) - len(text.lstrip(characters))]


def help_text(program: str, command: Command) -> str:
    """Return what ``--help`` prints."""
    lines = [command.text, ""]
    if command.examples:
        lines += ["Examples:", *(f"  {program} {example}" for example in command.examples), ""]
    if command.flags:
        lines += ["Options:", *_flag_lines(command.flags), ""]
    lines += ["Usage:", f"  {program} {command.name} {command.usage}".rstrip(), ""]
    lines.append(f'Use "{program} options" for the options that all commands take.')
    return "\n".join(lines) + "\n"


def _flag_lines(flags: Iterable[Flag]) -> list[str]:
    lines = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        left = f"-{flag.short}, --{flag.name}" if flag.short else f"    --{flag.name}"
        if flag.kind != "bool":
            left += f" {flag.kind.upper()}" if flag.bare is None else f"[={flag.kind.upper()}]"
        lines.append(f"  {left:<34} {flag.help}".rstrip())
    return lines
