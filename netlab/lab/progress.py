"""How far the start of a lab is, told by the daemon to ``netlab up`` through a pipe.

One JSON object a line: ``{"step": "Starting the API server", "seconds": 0.12}`` when a step is
done, ``{"warning": "…"}`` about what was found, ``{"ready": true, …}`` at the end, ``{"error":
"…"}`` when the start failed. A reader that went away (the user pressed Ctrl-C) does not disturb
the daemon.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import msgspec


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line on the pipe."""

    step: str = ""
    warning: str = ""
    seconds: float = 0.0
    ready: bool = False
    error: str = ""


class Progress:
    """The writing end; without a pipe it says nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            # a container that inherited it would keep the reader waiting
            os.set_inheritable(descriptor, False)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Time what happens inside and tell it as one step."""
        start = time.monotonic()
        yield
        self._send(Report(step=text, seconds=time.monotonic() - start))

    def told(self, text: str, started_s: float) -> None:
        """Tell a step that began at ``started_s`` (time.monotonic) and ends now."""
        self._send(Report(step=text, seconds=time.monotonic() - started_s))

    def warned(self, text: str) -> None:
        """Tell something that the user should know, and that keeps nothing from going on."""
        self._send(Report(warning=text))

    def ready(self) -> None:
        """Tell that all steps are done, and close the pipe."""
        self._send(Report(ready=True))
        self.close()

    def failed(self, message: str) -> None:
        """Tell why the lab could not start, and close the pipe."""
        self._send(Report(error=message))
        self.close()

    def close(self) -> None:
        """Close the pipe; further reports go nowhere."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _send(self, report: Report) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, msgspec.json.encode(report) + b"\n")
        except BrokenPipeError:
            self.close()


def read_reports(descriptor: int) -> Iterator[Report]:
    """Yield reports up to the last one, or until the writer is gone."""
    with os.fdopen(descriptor, "rb") as pipe:
        for line in pipe:
            report = msgspec.json.decode(line, type=Report)
            yield report
            if report.ready or report.error:
                return
