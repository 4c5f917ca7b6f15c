"""What a Dockerfile asks for, as stages of steps: all is known, and refused, before any is done.

Pure: what images there are is asked through a function. netlab leaves out what would need the
network or a daemon (``ADD`` of addresses, mounts of ``RUN``), ``ONBUILD`` and ``HEALTHCHECK``, with
one line each; ``VOLUME`` and ``EXPOSE`` mean nothing to Kubernetes and are passed over.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from netlab.errors import ImageError
from netlab.runtime.dockerfile.reading import Instruction, expand_word, split_words, words_of
from netlab.runtime.image_store.records import signal_name
from netlab.runtime.recipe import DEFAULT_PATH, ImageConfig

SCRATCH = "scratch"
_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class CopyStep:
    """Files to copy. stage: the number of the stage that they come from, None for the context."""

    place: str
    sources: Sequence[str]
    target: str
    stage: int | None = None
    owner: str = ""
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class RunStep:
    """A command to run; config: environment, folder and user as they are then."""

    place: str
    argv: Sequence[str]
    config: ImageConfig


@dataclass(frozen=True, slots=True)
class FolderStep:
    """A folder that shall be there."""

    place: str
    path: str


Step = CopyStep | RunStep | FolderStep


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. base: an image's name, ``scratch``, or the number of an earlier stage."""

    base: str | int
    name: str
    steps: Sequence[Step]
    config: ImageConfig
    labels: Mapping[str, str] = field(default_factory=dict)


FindConfig = Callable[[str], ImageConfig | None]


@dataclass(slots=True)
class _Open:
    """The stage that is being read."""

    base: str | int
    name: str
    config: ImageConfig
    steps: list[Step] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    args: dict[str, str] = field(default_factory=dict)
    shell: Sequence[str] = _SHELL
    own_cmd: bool = False

    @property
    def values(self) -> Mapping[str, str]:
        return {**self.args, **self.config.env}

    def close(self) -> Stage:
        return Stage(self.base, self.name, self.steps, self.config, self.labels)


def plan_build(
    instructions: Sequence[Instruction], find: FindConfig, build_args: Mapping[str, str]
) -> list[Stage]:
    """Return the stages; the last is the image.

    find: the config of an image by name, None for one that is not on this machine.
    Raises: ImageError with file and line.
    """
    stages: list[Stage] = []
    current: _Open | None = None
    outer: dict[str, str] = {}
    for each in instructions:
        if each.name == "FROM":
            if current is not None:
                stages.append(current.close())
            current = _begin(each, stages, find, outer)
        elif current is None:
            if each.name != "ARG":
                each.refuse("comes before FROM")
            outer |= _arguments(each, outer, build_args, {})
        elif each.name == "ARG":
            current.args |= _arguments(each, current.values, build_args, outer)
        else:
            _read(each, current, stages)
    if current is None:
        raise ImageError(f"{instructions[0].place.rpartition(':')[0]}: has no FROM")
    return [*stages, current.close()]


def _begin(
    each: Instruction, stages: Sequence[Stage], find: FindConfig, outer: Mapping[str, str]
) -> _Open:
    _only_flags(each, "platform")
    words = [expand_word(word, outer) for word in split_words(each.rest)]
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        each.refuse("want: FROM IMAGE [AS NAME]")
    name = words[2].lower() if len(words) == 3 else ""
    if (number := _stage_number(words[0], stages)) is not None:
        base = stages[number]
        return _Open(number, name, base.config, labels=dict(base.labels))
    if words[0] == SCRATCH:
        return _Open(SCRATCH, name, ImageConfig(env={"PATH": DEFAULT_PATH}))
    config = find(words[0])
    if config is None:
        each.refuse(f"{words[0]}: not on this machine; run: sudo netlab image pull {words[0]}")
    # a container's own default, which a Dockerfile may add to
    env = {"PATH": DEFAULT_PATH, **config.env}
    return _Open(words[0], name, replace(config, env=env))


def _stage_number(word: str, stages: Sequence[Stage]) -> int | None:
    for number, stage in enumerate(stages):
        if stage.name and stage.name == word.lower():
            return number
    return None


def _arguments(
    each: Instruction,
    values: Mapping[str, str],
    build_args: Mapping[str, str],
    outer: Mapping[str, str],
) -> dict[str, str]:
    found = {}
    for word in split_words(each.rest):
        name, equals, default = word.partition("=")
        if name in build_args:
            found[name] = build_args[name]
        elif equals:
            found[name] = expand_word(default, values)
        elif name in outer:
            found[name] = outer[name]
    return found


def _read(each: Instruction, stage: _Open, stages: Sequence[Stage]) -> None:
    readers: dict[str, Callable[[Instruction, _Open], None]] = {
        "ENV": _env,
        "LABEL": _label,
        "WORKDIR": _workdir,
        "USER": _user,
        "CMD": _cmd,
        "ENTRYPOINT": _entrypoint,
        "RUN": _run,
        "SHELL": _shell,
        "STOPSIGNAL": _stop_signal,
        "EXPOSE": _nothing,
        "VOLUME": _nothing,
        "MAINTAINER": _nothing,
    }
    if each.name in ("COPY", "ADD"):
        _copy(each, stage, stages)
    elif each.name in readers:
        readers[each.name](each, stage)
    elif each.name in ("HEALTHCHECK", "ONBUILD"):
        each.refuse("not supported")
    else:
        each.refuse("no such instruction")


def _env(each: Instruction, stage: _Open) -> None:
    stage.config = replace(stage.config, env={**stage.config.env, **_pairs(each, stage)})


def _label(each: Instruction, stage: _Open) -> None:
    stage.labels |= _pairs(each, stage)


def _pairs(each: Instruction, stage: _Open) -> dict[str, str]:
    words = split_words(each.rest)
    if "=" not in words[0]:
        name, _, value = each.rest.partition(" ")
        if not value.strip():
            each.refuse(f"{name}: has no value")
        return {name: expand_word(value.strip(), stage.values)}
    found, values = {}, dict(stage.values)
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            each.refuse(f"{word}: want NAME=VALUE")
        found[expand_word(name, values)] = expand_word(value, values)
    return found


def _workdir(each: Instruction, stage: _Open) -> None:
    path = _inside(stage, expand_word(each.rest, stage.values))
    stage.config = replace(stage.config, working_dir=path)
    stage.steps.append(FolderStep(each.place, path))


def _user(each: Instruction, stage: _Open) -> None:
    stage.config = replace(stage.config, user=expand_word(each.rest, stage.values))


def _cmd(each: Instruction, stage: _Open) -> None:
    stage.config = replace(stage.config, cmd=_command(each, stage))
    stage.own_cmd = True


def _entrypoint(each: Instruction, stage: _Open) -> None:
    # as in Docker: the base's CMD belongs to the base's ENTRYPOINT
    cmd = stage.config.cmd if stage.own_cmd else ()
    stage.config = replace(stage.config, entrypoint=_command(each, stage), cmd=cmd)


def _run(each: Instruction, stage: _Open) -> None:
    _only_flags(each)
    if stage.base == SCRATCH and not stage.steps:
        each.refuse("scratch has nothing to run")
    env = {**stage.args, **stage.config.env}
    config = replace(stage.config, env=env)
    stage.steps.append(RunStep(each.place, _command(each, stage), config))


def _shell(each: Instruction, stage: _Open) -> None:
    if not (words := each.listed):
        each.refuse('want: SHELL ["PROGRAM", "OPTION"]')
    stage.shell = words


def _stop_signal(each: Instruction, stage: _Open) -> None:
    named = signal_name(expand_word(each.rest, stage.values))
    stage.config = replace(stage.config, stop_signal=named)


def _nothing(each: Instruction, stage: _Open) -> None:
    """Kubernetes does not look at it."""


def _command(each: Instruction, stage: _Open) -> Sequence[str]:
    written = each.listed
    return tuple(written) if written is not None else (*stage.shell, each.rest)


def _copy(each: Instruction, stage: _Open, stages: Sequence[Stage]) -> None:
    _only_flags(each, "from", "chown", "chmod")
    words = words_of(each, stage.values)
    if len(words) < 2:
        each.refuse("want: SOURCE... TARGET")
    *sources, target = words
    if each.name == "ADD":
        _only_plain_files(each, sources)
    number = None
    if wanted := each.flags.get("from", ""):
        number = int(wanted) if wanted.isdigit() else _stage_number(wanted, stages)
        if number is None or number >= len(stages):
            each.refuse(f"--from={wanted}: no earlier stage has that name")
    if len(sources) > 1 and not target.endswith("/"):
        each.refuse(f"{target}: with several sources the target must end with /")
    mode = each.flags.get("chmod", "")
    if mode and not (mode.isdigit() and set(mode) <= set("01234567")):
        each.refuse(f"--chmod={mode}: want an octal number")
    owner = expand_word(each.flags.get("chown", ""), stage.values)
    slash = "/" if target.endswith("/") or target in (".", "..") else ""
    whole = _inside(stage, target).rstrip("/") + slash
    stage.steps.append(
        CopyStep(each.place, sources, whole or "/", number, owner, int(mode, 8) if mode else None)
    )


def _only_plain_files(each: Instruction, sources: Sequence[str]) -> None:
    for source in sources:
        if "://" in source or source.startswith("git@"):
            each.refuse(f"{source}: nothing is downloaded; fetch it and use COPY")
        if source.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
            each.refuse(f"{source}: archives are not unpacked; unpack it and use COPY")


def _only_flags(each: Instruction, *known: str) -> None:
    for flag in each.flags:
        if flag not in known:
            each.refuse(f"--{flag}: not supported")


def _inside(stage: _Open, path: str) -> str:
    """Return a path from the image's root: absolute, without ``..``."""
    whole = posixpath.normpath(posixpath.join("/", stage.config.working_dir, path))
    return "/" + whole.lstrip("/")
