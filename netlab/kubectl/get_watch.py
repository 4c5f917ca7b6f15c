"""``netlab get --watch``: the objects, then a line or document for every change of them.

Mirrors ``kubectl get -w``: one resource type; the list's version is where the watch begins; when
the server ends the watch, so does the command.
"""

from __future__ import annotations

from netlab.errors import HostError, UsageError
from netlab.kubectl.get_table import TABLE, as_table, fetch_table, row_options
from netlab.kubectl.output.rows import RowPrinter, new_writer
from netlab.kubectl.selection import selector_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.selection import Target
    from netlab.kubectl.session import Session


def watch(session: Session, parsed: Parsed, targets: Sequence[Target]) -> int:
    """Show the target's objects and their changes until the server or the user ends it.

    Raises: UsageError when there is more than one thing to watch.
    """
    if len({target.resource.group_resource for target in targets}) > 1:
        raise UsageError("you may only specify a single resource type")
    if len(targets) != 1:
        raise UsageError(
            "watch is only supported on individual resources and resource collections"
            f" - {len(targets)} resources were found"
        )
    show = _shower(session, parsed, targets[0])
    if parsed["output"] in (None, "", "wide"):
        version = _start_table(session, parsed, targets[0], show)
    else:
        version = _start_objects(session, parsed, targets[0], show)
    query = _watch_query(parsed, targets[0], version)
    accept = TABLE if parsed["output"] in (None, "", "wide") else "application/json"
    try:
        for event in session.client.watch(_collection(targets[0]), query=query, accept=accept):
            if event["type"] != "BOOKMARK":
                show(event["type"], event["object"])
    except HostError as error:
        # The server went away within the stream; kubectl ends without a word here too.
        if "Unable to connect" in str(error) or "refused" in str(error):
            raise
    return 0


def _collection(target: Target) -> str:
    return target.resource.path(target.namespace)


def _watch_query(parsed: Parsed, target: Target, version: str) -> dict[str, str]:
    if target.name:
        query = {"fieldSelector": f"metadata.name={target.name}"}
    else:
        query = selector_query(parsed["selector"] or "", parsed["field-selector"] or "")
    return {**query, "resourceVersion": version}


def _start_table(
    session: Session, parsed: Parsed, target: Target, show: Callable[[str, Any], None]
) -> str:
    """Show the table as it is now and return the version it is true for."""
    table = fetch_table(session, parsed, target)
    if not parsed["watch-only"]:
        show("ADDED", table)
    return _version(table)


def _start_objects(
    session: Session, parsed: Parsed, target: Target, show: Callable[[str, Any], None]
) -> str:
    query = selector_query(parsed["selector"] or "", parsed["field-selector"] or "")
    found = session.client.call("GET", target.path(), query={} if target.name else query)
    objects = found["items"] if not target.name else [found]
    for obj in objects:
        obj.setdefault("apiVersion", target.resource.api_version)
        obj.setdefault("kind", target.resource.kind)
        if not parsed["watch-only"]:
            show("ADDED", obj)
    return str(found["metadata"].get("resourceVersion", ""))


def _version(table: dict[str, Any]) -> str:
    version = (table.get("metadata") or {}).get("resourceVersion")
    if version:
        return str(version)
    rows = table.get("rows") or ()
    metadata = (rows[0].get("object") or {}).get("metadata") or {} if rows else {}
    return str(metadata.get("resourceVersion", "0"))


def _shower(session: Session, parsed: Parsed, target: Target) -> Callable[[str, Any], None]:
    with_event = parsed["output-watch-events"]
    if parsed["output"] in (None, "", "wide"):
        writer = new_writer()
        prefix = target.resource.group_kind if parsed["show-kind"] else ""
        rows = RowPrinter(
            writer,
            row_options(parsed),
            kind_prefix=prefix,
            namespaced=target.resource.namespaced,
        )

        def show_rows(event: str, table: dict[str, Any]) -> None:
            if table.get("rows") or table.get("kind") != "Table":
                rows.add(as_table(table), event=event if with_event else "")
                session.out.write(writer.flush())
                session.out.flush()

        return show_rows
    from netlab.kubectl.output.printers import object_printer

    printer = object_printer(
        parsed["output"],
        template=parsed["template"],
        no_headers=parsed["no-headers"],
        show_managed_fields=parsed["show-managed-fields"],
    )
    is_first = True

    def show_object(event: str, obj: dict[str, Any]) -> None:
        nonlocal is_first
        if parsed["output"] == "yaml" and not is_first:
            session.out.write("---\n")
        is_first = False
        session.out.write(printer({"type": event, "object": obj} if with_event else obj))
        session.out.flush()

    return show_object
