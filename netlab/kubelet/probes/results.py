"""What one attempt of a probe can come to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """SUCCESS and WARNING count as success; a WARNING is told as an event."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What an attempt found; output is the text of the event unless it is a success."""

    outcome: Outcome
    output: str = ""


class ProbeError(Exception):
    """An attempt found nothing out, neither success nor failure; the text says why."""
