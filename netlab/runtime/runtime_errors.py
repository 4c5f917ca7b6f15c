"""What crun and runc say when they refuse, as one clear line and as an exit code.

The OCI runtimes report only text: this is the one parser of it. Pure. What crun says is told in
the words of runc, because those are what the clusters of courses and search results show.
"""

from __future__ import annotations

import json
import re
from typing import Final

_LOGFMT_MESSAGE = re.compile(r'level=(?:error|fatal) msg="((?:[^"\\]|\\.)*)"')

_COLOUR = re.compile(r"\x1b\[[\d;]*m")

EXIT_NOT_FOUND = 127
EXIT_NOT_EXECUTABLE = 126

_CANNOT_START: Final = "unable to start container process: "
_IN_INIT: Final = "error during container init: "
_CRUN: Final = tuple(
    (re.compile(said), known)
    for said, known in {
        r"executable file `(.*/.*)` not found(?: in \$PATH)?: .*": (
            'exec: "{0}": stat {0}: no such file or directory'
        ),
        r"executable file `(.*)` not found(?: in \$PATH)?: .*": (
            'exec: "{0}": executable file not found in $PATH'
        ),
        r"open executable(?: `(.*)`)?: .*": 'exec: "{0}": permission denied',
        r"exec(?: container process `(.*)`)?: (.*)": 'exec: "{0}": {1}',
        r"chdir `(.*)`: (.*)": 'chdir to cwd ("{0}") set in config.json failed: {1}',
        r"the sysctl `(.*)` is not namespaced": (
            'sysctl "{0}" is not in a separate kernel namespace'
        ),
        r"the sysctl `(.*)` requires a new \w+ namespace": (
            'sysctl "{0}" is not allowed in the hosts namespace'
        ),
        r"open `?(/proc/sys/[^`]*)`?: (.*)": _IN_INIT + "open {0}: {1}",
        r"write (?:to )?`?(/proc/sys/[^`]*)`?: (.*)": _IN_INIT + "write {0}: {1}",
        r"error stat'ing file `(.*)`: (.*)": _IN_INIT + 'error mounting "{0}": stat {0}: {1}',
        r"mount `(.*)` to `/?(.*)`: (.*)": _IN_INIT
        + 'error mounting "{0}" to rootfs at "/{1}": {2}',
    }.items()
)
"""crun's sentences and runc's. What crun ends with is the C library's, which begins in capitals."""


def runtime_message(text: str, *, program: str = "") -> str:
    """Return the cause in an OCI runtime's output: the last line that is an error.

    Understands logrus' text lines, JSON lines and crun's bare lines. program: what was to be run,
    which crun does not always tell.
    """
    if cause := runtime_error(text, program=program):
        return cause
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it ended without a message"


def runtime_error(text: str, *, program: str = "") -> str:
    """Return the cause as ``runtime_message``; "" when no line is an error."""
    for line in reversed([line.strip() for line in text.splitlines() if line.strip()]):
        if cause := _COLOUR.sub("", _error_of(line)):
            return _in_words_of_runc(cause, program)
    return ""


def is_of_crun(text: str) -> bool:
    """True for a line that crun prints when it cannot start a process."""
    line = _COLOUR.sub("", text).strip()
    return any(pattern.fullmatch(line) for pattern, _words in _CRUN)


def start_failure_code(message: str) -> int:
    """Return the exit code a shell gives for a program that could not be run.

    127 when it was not found, 126 when it was found and cannot be executed.
    """
    lowered = message.lower()
    if "not found" in lowered or "no such file" in lowered:
        return EXIT_NOT_FOUND
    return EXIT_NOT_EXECUTABLE


def _in_words_of_runc(cause: str, program: str) -> str:
    for pattern, words in _CRUN:
        if found := pattern.fullmatch(cause):
            first, *rest = found.groups()
            causes = [cause[:1].lower() + cause[1:] for cause in rest]
            return _CANNOT_START + words.format(first or program, *causes)
    return cause


def _error_of(line: str) -> str:
    if line.startswith("{"):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            return ""
        if isinstance(entry, dict) and entry.get("level", "error") in ("error", "fatal"):
            return str(entry.get("msg", ""))
        return ""
    if found := _LOGFMT_MESSAGE.search(line):
        return re.sub(r"\\(.)", r"\1", found.group(1))
    if "level=" in line:
        return ""
    return line
