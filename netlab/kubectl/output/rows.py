"""Server-side Tables as the text of ``kubectl get``.

Mirrors cli-runtime's ``TablePrinter``: headers in capitals, wide columns only on request,
NAMESPACE in front with ``-A``, LABELS and label columns at the end, names prefixed with their kind
when several kinds are listed together.
"""

from __future__ import annotations

from netlab.kubectl.output.tabwriter import TabWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

EVENT_WIDTH = len("MODIFIED")
"""The EVENT column is as wide from the start as its longest word."""

_BREAKS = ("\f", "\n", "\r")


class RowOptions:
    """What ``get``'s options ask of the table."""

    __slots__ = ("label_columns", "no_headers", "show_labels", "wide", "with_namespace")

    def __init__(
        self,
        *,
        wide: bool = False,
        no_headers: bool = False,
        show_labels: bool = False,
        label_columns: Sequence[str] = (),
        with_namespace: bool = False,
    ) -> None:
        self.wide = wide
        self.no_headers = no_headers
        self.show_labels = show_labels
        self.label_columns = tuple(label_columns)
        self.with_namespace = with_namespace


def new_writer() -> TabWriter:
    """Return a writer with the measures of kubectl's tables."""
    return TabWriter(min_width=6, padding=3, remember=True)


class RowPrinter:
    """Prints Tables of one resource into a TabWriter; the header once, before the first rows."""

    def __init__(
        self, writer: TabWriter, options: RowOptions, *, kind_prefix: str = "", namespaced: bool
    ) -> None:
        self._writer = writer
        self._options = options
        self._prefix = kind_prefix
        self._with_namespace = options.with_namespace and namespaced
        self._columns: Sequence[Mapping[str, Any]] | None = None

    def add(self, table: Mapping[str, Any], *, event: str = "") -> None:
        """Add a Table's rows; ``event`` is the first column of ``--output-watch-events``."""
        columns = table.get("columnDefinitions") or self._columns or ()
        if self._columns is None:
            self._columns = columns
            if not self._options.no_headers:
                self._writer.add(self._headers(columns, event=bool(event)))
        shown = [
            index
            for index, column in enumerate(columns)
            if self._options.wide or not column.get("priority")
        ]
        names = [index for index in shown if columns[index].get("format") == "name"][:1]
        for row in table.get("rows") or ():
            self._writer.add(self._cells(row, shown, names, event))

    def _headers(self, columns: Sequence[Mapping[str, Any]], *, event: bool) -> list[str]:
        options = self._options
        headers = ["EVENT"] if event else []
        headers += ["NAMESPACE"] if self._with_namespace else []
        headers += [
            column["name"].upper() for column in columns if options.wide or not column["priority"]
        ]
        headers += [label.rsplit("/", 1)[-1].upper() for label in options.label_columns]
        return headers + (["LABELS"] if options.show_labels else [])

    def _cells(
        self, row: Mapping[str, Any], shown: Sequence[int], names: Sequence[int], event: str
    ) -> list[str]:
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        cells = [event.ljust(EVENT_WIDTH)] if event else []
        if self._with_namespace:
            cells.append(metadata.get("namespace", ""))
        values = row.get("cells") or ()
        for index in shown:
            text = cell_text(values[index]) if index < len(values) else ""
            cells.append(f"{self._prefix}/{text}" if self._prefix and index in names else text)
        cells += [labels.get(key, "") for key in self._options.label_columns]
        if self._options.show_labels:
            joined = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
            cells.append(joined or "<none>")
        return cells


def cell_text(value: Any) -> str:
    """Return a cell as printed: its first line, marked with ``...`` when there are more."""
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    text = str(value)
    ends = [at for at in (text.find(mark) for mark in _BREAKS) if at >= 0]
    if ends:
        text = text[: min(ends)] + "..."
    return text.replace("\x1b", "^[")
