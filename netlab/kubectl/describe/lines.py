"""The lines of a description: text with tabs, and the blocks that many kinds share."""

from __future__ import annotations

from netlab.api.durations import parse_time
from netlab.kubectl.output.tabwriter import TabWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ANNOTATION = 140
"""Annotations longer than this get lines of their own, cut at this length."""

NONE = "<none>"


class Lines:
    """Collects lines; tabs separate columns, which are aligned in the end."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, line: str, level: int = 0) -> None:
        """Add a line, indented by two blanks for each level."""
        self._parts.append(f"{'  ' * level}{line}\n")

    def text(self) -> str:
        """Return the aligned text."""
        writer = TabWriter(min_width=0, padding=2)
        writer.add_text("".join(self._parts))
        return writer.flush()

    def add_pairs(self, title: str, pairs: Mapping[str, str] | None) -> None:
        """Add labels or the like: the first beside the title, the others below it."""
        if not pairs:
            self.add(f"{title}:\t{NONE}")
            return
        for index, key in enumerate(sorted(pairs)):
            self.add(f"{title + ':' if index == 0 else ''}\t{key}={pairs[key]}")

    def add_annotations(self, title: str, annotations: Mapping[str, str] | None) -> None:
        """Add annotations; long ones on lines of their own, the record of apply left out."""
        keys = [key for key in sorted(annotations or {}) if key != LAST_APPLIED]
        if not annotations or not keys:
            self.add(f"{title}:\t{NONE}")
            return
        for index, key in enumerate(keys):
            head = f"{title}:" if index == 0 else ""
            value = annotations[key].removesuffix("\n")
            if len(value) + len(key) + 2 > MAX_ANNOTATION or "\n" in value:
                self.add(f"{head}\t{key}:")
                for line in value.split("\n"):
                    self.add(f"\t  {_shorten(line, MAX_ANNOTATION - 2)}")
            else:
                self.add(f"{head}\t{key}: {value}")

    def add_head(self, obj: Mapping[str, Any], *, namespaced: bool = True) -> None:
        """Add name, namespace, labels and annotations."""
        metadata = obj["metadata"]
        self.add(f"Name:\t{metadata['name']}")
        if namespaced:
            self.add(f"Namespace:\t{metadata.get('namespace', '')}")
        self.add_pairs("Labels", metadata.get("labels"))
        self.add_annotations("Annotations", metadata.get("annotations"))

    def add_table(self, rows: list[list[str]], level: int) -> None:
        """Add a table; its first row is the header, underlined."""
        self.add("\t".join(rows[0]), level)
        self.add("\t".join("-" * len(cell) for cell in rows[0]), level)
        for row in rows[1:]:
            self.add("\t".join(row), level)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "..."


def rfc1123(timestamp: str | None) -> str:
    """Return a moment as ``Thu, 02 Jan 2020 03:04:05 +0000``, in the local time zone."""
    moment = parse_time(timestamp)
    if moment is None:
        return "Mon, 01 Jan 0001 00:00:00 +0000"
    local = moment.astimezone()
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    # strftime would speak the user's language; kubectl does not.
    return (
        f"{days[local.weekday()]}, {local.day:02} {months[local.month - 1]} {local:%Y %H:%M:%S %z}"
    )


def controlled_by(obj: Mapping[str, Any]) -> str:
    """Return ``ReplicaSet/web-1``, or "" when nobody controls the object."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner['kind']}/{owner['name']}"
    return ""


def boolean(value: object) -> str:
    """Return ``True`` or ``False``."""
    return "True" if value else "False"


def lower_boolean(value: object) -> str:
    """Return ``true`` or ``false``."""
    return "true" if value else "false"
