"""``-o custom-columns=NAME:.metadata.name,…``: a table whose cells are JSONPaths."""

from __future__ import annotations

from netlab.errors import UsageError
from netlab.kubectl.output.jsonpath import Template, relaxed, value_text
from netlab.kubectl.output.rows import cell_text, new_writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class CustomColumns:
    """Headers and paths, ready to print objects."""

    def __init__(self, columns: Sequence[tuple[str, Template]]) -> None:
        self._columns = tuple(columns)

    def render(self, obj: dict[str, Any], *, no_headers: bool = False) -> str:
        """Return the table of an object, or of the items of a List."""
        writer = new_writer()
        if not no_headers:
            writer.add([header for header, _ in self._columns])
        items = obj["items"] if isinstance(obj.get("items"), list) else [obj]
        for item in items:
            writer.add([_cell(template, item) for _, template in self._columns])
        return writer.flush()


def _cell(template: Template, obj: dict[str, Any]) -> str:
    found = [value for values in template.results(obj) for value in values]
    if not found:
        return "<none>"
    return cell_text(",".join(_text(value) for value in found))


def _text(value: Any) -> str:
    if value is None:
        return "<none>"
    return _go_text(value) if isinstance(value, (dict, list)) else value_text(value)


def _go_text(value: Any) -> str:
    """Return a list or mapping as Go's ``%v`` prints it: ``[a b]``, ``map[a:1 b:2]``."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_go_text(item) for item in value) + "]"
    return "<nil>" if value is None else value_text(value)


def parse_columns(spec: str) -> CustomColumns:
    """Return the columns of ``HEADER:PATH,…``.

    Raises: UsageError when a part is not of that form.
    """
    columns = []
    for part in spec.split(","):
        header, colon, path = part.partition(":")
        if not colon or ":" in path:
            raise UsageError(
                f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
            )
        columns.append((header, relaxed(path)))
    return CustomColumns(columns)


def parse_columns_file(text: str) -> CustomColumns:
    """Return the columns of a file: a line of headers above a line of paths.

    Raises: UsageError when the lines do not match.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise UsageError("the template file needs a line of headers and a line of paths")
    headers, paths = lines[0], lines[1]
    if len(headers) != len(paths):
        raise UsageError(
            f"number of headers ({len(headers)}) and field specifications ({len(paths)}) don't "
            "match"
        )
    return CustomColumns([(h, relaxed(p)) for h, p in zip(headers, paths, strict=True)])
