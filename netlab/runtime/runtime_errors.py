"""What crun and runc say when they refuse, as one clear line and as an exit code.

The OCI runtimes report only text: this is the one parser of it. Pure.
"""

from __future__ import annotations

import json
import re

_LOGFMT_MESSAGE = re.compile(r'level=(?:error|fatal) msg="((?:[^"\\]|\\.)*)"')

EXIT_NOT_FOUND = 127
EXIT_NOT_EXECUTABLE = 126


def runtime_message(text: str) -> str:
    """Return the cause in an OCI runtime's output: the last line that is an error.

    Understands logrus' text lines, JSON lines and crun's bare lines.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        if cause := _error_of(line):
            return cause
    return lines[-1] if lines else "it ended without a message"


def start_failure_code(message: str) -> int:
    """Return the exit code a shell gives for a program that could not be run.

    127 when it was not found, 126 when it was found and cannot be executed.
    """
    lowered = message.lower()
    if "not found" in lowered or "no such file" in lowered:
        return EXIT_NOT_FOUND
    return EXIT_NOT_EXECUTABLE


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
