"""The Tables that ``netlab get`` shows: asked of the server page by page, or made from objects.

Mirrors what kubectl asks for: the server's own columns in a Table, or, of a server that has none
for a kind, names and times.
"""

from __future__ import annotations

from netlab.kubectl.output.rows import RowOptions
from netlab.kubectl.selection import list_page, selector_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.selection import Target
    from netlab.kubectl.session import Session

TABLE = ",".join(
    (
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
        "application/json",
    )
)


def row_options(parsed: Parsed) -> RowOptions:
    """Return what the options ask of tables."""
    return RowOptions(
        wide=parsed["output"] == "wide",
        no_headers=parsed["no-headers"],
        show_labels=parsed["show-labels"],
        label_columns=parsed["label-columns"],
        with_namespace=parsed["all-namespaces"],
    )


def fetch_table(session: Session, parsed: Parsed, target: Target) -> dict[str, Any]:
    """Return the Table of a target; pages of a long list are joined."""
    query: dict[str, str] = {}
    if parsed["sort-by"]:
        query["includeObject"] = "Object"
    if target.name:
        table: dict[str, Any] = session.client.call("GET", target.path(), query=query, accept=TABLE)
        return as_table(table)
    query.update(selector_query(parsed["selector"] or "", parsed["field-selector"] or ""))
    chunk = parsed["chunk-size"]
    if chunk and not parsed["sort-by"]:
        query["limit"] = str(chunk)
    whole = as_table(list_page(session, target, query, TABLE))
    page = whole
    while token := (page.get("metadata") or {}).get("continue"):
        query["continue"] = token
        page = as_table(list_page(session, target, query, TABLE))
        whole["rows"] += page.get("rows") or ()
    return whole


def as_table(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer if it is a Table, else a Table of names and times made from it."""
    if answer.get("kind") == "Table":
        answer["rows"] = answer.get("rows") or []
        return answer
    objects = answer["items"] if isinstance(answer.get("items"), list) else [answer]
    rows = []
    for obj in objects:
        metadata = obj.get("metadata") or {}
        cells = [metadata.get("name", ""), _age(metadata.get("creationTimestamp"))]
        rows.append({"cells": cells, "object": obj})
    columns = [
        {"name": "Name", "format": "name", "priority": 0},
        {"name": "Age", "format": "", "priority": 0},
    ]
    return {
        "kind": "Table",
        "metadata": answer.get("metadata") or {},
        "columnDefinitions": columns,
        "rows": rows,
    }


def _age(timestamp: str | None) -> str:
    from datetime import UTC, datetime

    from netlab.api.durations import age

    return age(timestamp, datetime.now(UTC))
