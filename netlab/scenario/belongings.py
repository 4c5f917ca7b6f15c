"""What a lesson makes in the cluster, told apart from what a student has made.

Lessons use the namespace ``default`` and plain names, as the courses' texts do. Before a lesson
begins none of its names may be in use; a note on disk says that it has begun, and from then on the
objects of these names are the lesson's, also when it was broken off and is begun again. Whatever is
of these names without a note is somebody's own: it is never removed unasked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from netlab.errors import UsageError

RunShell: TypeAlias = Callable[[str], tuple[int, str, str]]


class Belongings:
    """The objects of one lesson or exercise.

    run: runs shell text on the node; returns code, stdout, stderr. note: the file that says that
    the lesson has begun; its folder is made where missing.
    """

    def __init__(self, makes: Sequence[str], run: RunShell, note: Path) -> None:
        self._makes = tuple(makes)
        self._run = run
        self._note = note

    @property
    def begun(self) -> bool:
        """True when the lesson has begun and not ended: what is of its names is its own."""
        return self._note.exists()

    def found(self) -> list[str]:
        """Return the names that are in use, as ``kind/name``.

        Raises: UsageError when the cluster cannot be asked.
        """
        if not self._makes:
            return []
        names = " ".join(self._makes)
        code, stdout, stderr = self._run(f"kubectl get {names} --ignore-not-found -o json")
        if code != 0:
            raise UsageError(f"the lab cannot be asked what is in it: {stderr.strip()}")
        return names_in(stdout)

    def begin(self) -> None:
        """Note that the names are the lesson's from now on."""
        self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._note.write_text("")

    def remove(self) -> None:
        """Remove what there is of the names."""
        if self._makes:
            names = " ".join(self._makes)
            self._run(f"kubectl delete {names} --ignore-not-found --now >/dev/null 2>&1")

    def end(self) -> None:
        """Remove what the lesson made, if it has begun; nothing else."""
        if self.begun:
            self.remove()
            self._note.unlink(missing_ok=True)


def names_in(text: str) -> list[str]:
    """Return ``kind/name`` of the objects in what ``kubectl get -o json`` printed."""
    if not text.strip():
        return []
    answer = json.loads(text)
    items = answer.get("items", [answer])
    return [f"{item['kind'].lower()}/{item['metadata']['name']}" for item in items]
