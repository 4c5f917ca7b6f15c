"""``netlab get``: show objects as a table or in another form, once or as they change.

Mirrors ``kubectl get``: tables come ready from the server, all other forms are made here.
"""

from __future__ import annotations

from netlab.errors import ApiError, NetlabError, UsageError, is_not_found
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag, HintedUsageError
from netlab.kubectl.get_table import fetch_table, row_options
from netlab.kubectl.output.rows import RowPrinter, new_writer
from netlab.kubectl.selection import (
    PAGE_SIZE,
    Target,
    fetch,
    fetch_all,
    targets_of_files,
    targets_of_words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


def _run(session: Session, parsed: Parsed) -> int:
    _check(session, parsed)
    if parsed["raw"]:
        return _raw(session, parsed["raw"])
    output = parsed["output"] or ""
    targets = _targets(session, parsed)
    if parsed["watch"] or parsed["watch-only"]:
        from netlab.kubectl.get_watch import watch

        return watch(session, parsed, targets)
    if output in ("", "wide"):
        return _print_tables(session, parsed, targets)
    return _print_objects(session, parsed, targets)


def _check(session: Session, parsed: Parsed) -> None:
    if parsed["raw"]:
        if parsed.args or parsed["filename"]:
            raise HintedUsageError("arguments may not be passed when --raw is specified")
        return
    if not parsed.args and not parsed["filename"] and not parsed["kustomize"]:
        program = session.program
        session.complain(
            f'You must specify the type of resource to get. Use "{program} api-resources" for a '
            "complete list of supported resources.\n"
        )
        raise HintedUsageError(
            f'Required resource not specified.\nUse "{program} explain <resource>" for a detailed '
            f"description of that resource (e.g. {program} explain pods)."
        )
    if parsed["show-labels"] and parsed["output"] not in (None, "", "wide"):
        raise UsageError(
            f"--show-labels option cannot be used with {parsed['output'].partition('=')[0]} printer"
        )
    if parsed["sort-by"] and (parsed["watch"] or parsed["watch-only"]):
        raise HintedUsageError("--watch and --sort-by cannot be used together")
    if parsed["selector"] and parsed["filename"]:
        raise UsageError(
            "when paths, URLs, or stdin is provided as input, you may not specify "
            "resource arguments as well"
            if parsed.args
            else "selectors and the all flag cannot be used when passing resource/name arguments"
        )


def _raw(session: Session, path: str) -> int:
    from netlab.client.blocking import error_from

    path, _, query = path.partition("?")
    pairs = dict(pair.partition("=")[::2] for pair in query.split("&")) if query else None
    response = session.client.request("GET", path, query=pairs)
    data = response.read()
    if response.status >= 400:
        raise error_from(response, data)
    session.out.write(data.decode("utf-8", "replace"))
    return 0


def _targets(session: Session, parsed: Parsed) -> list[Target]:
    if parsed["filename"] or parsed["kustomize"]:
        if parsed.args:
            raise UsageError(
                "when paths, URLs, or stdin is provided as input, you may not specify resource "
                "arguments as well"
            )
        found: list[Target] = []
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                raise each
            found.append(each)
        return found
    targets = targets_of_words(
        session, parsed.args, verb="get", all_namespaces=parsed["all-namespaces"]
    )
    if any(target.name for target in targets):
        if parsed["selector"] or parsed["field-selector"]:
            raise UsageError(
                "name cannot be provided when a selector is specified"
                if parsed["selector"]
                else "name cannot be provided when a field selector is specified"
            )
        if parsed["all-namespaces"] and any(t.resource.namespaced for t in targets):
            raise UsageError("a resource cannot be retrieved by name across all namespaces")
    return targets


def _print_tables(session: Session, parsed: Parsed, targets: Sequence[Target]) -> int:
    tables: list[tuple[Target, dict[str, Any]]] = []
    errors: list[NetlabError] = []
    for target in targets:
        try:
            tables.append((target, fetch_table(session, parsed, target)))
        except ApiError as error:
            if not (is_not_found(error) and target.name and parsed["ignore-not-found"]):
                errors.append(error)
    if parsed["sort-by"]:
        from netlab.kubectl.output.sorting import sort_tables

        tables = sort_tables(tables, parsed["sort-by"])
    text = _render(tables, parsed)
    session.out.write(text)
    if not text and not parsed["ignore-not-found"] and not errors:
        _say_nothing_found(session, parsed, targets)
    if errors:
        raise CombinedError(errors)
    return 0


def _render(tables: Sequence[tuple[Target, dict[str, Any]]], parsed: Parsed) -> str:
    """Return the tables below each other, a blank line between those of different resources."""
    options = row_options(parsed)
    resources = {target.resource.group_resource for target, _ in tables}
    with_kind = parsed["show-kind"] or len(resources) > 1
    writer = new_writer()
    blocks: list[str] = []
    printer: RowPrinter | None = None
    last = ""
    with_namespace = False
    for target, table in tables:
        resource = target.resource
        if not table["rows"]:
            continue
        if printer is None or resource.group_resource != last:
            blocks.append(writer.flush())
            writer.forget_widths()
            prefix = resource.group_kind if with_kind else ""
            # Once a table has shown namespaces, those below it keep the column, if only empty.
            with_namespace = with_namespace or resource.namespaced
            printer = RowPrinter(writer, options, kind_prefix=prefix, namespaced=with_namespace)
            last = resource.group_resource
        printer.add(table)
    blocks.append(writer.flush())
    separator = "" if options.no_headers else "\n"
    return separator.join(block for block in blocks if block)


def _say_nothing_found(session: Session, parsed: Parsed, targets: Sequence[Target]) -> None:
    if parsed["all-namespaces"] or not all(target.resource.namespaced for target in targets):
        session.complain("No resources found")
    else:
        session.complain(f"No resources found in {session.namespace} namespace.")


def _print_objects(session: Session, parsed: Parsed, targets: Sequence[Target]) -> int:
    from netlab.kubectl.output.printers import object_printer

    printer = object_printer(
        parsed["output"],
        template=parsed["template"],
        no_headers=parsed["no-headers"],
        show_managed_fields=parsed["show-managed-fields"],
        program=session.program,
    )
    objects: list[dict[str, Any]] = []
    errors: list[NetlabError] = []
    for target in targets:
        try:
            if target.name:
                objects.append(fetch(session, target))
            else:
                objects += fetch_all(
                    session,
                    target,
                    label_selector=parsed["selector"] or "",
                    field_selector=parsed["field-selector"] or "",
                )
        except ApiError as error:
            if not (is_not_found(error) and target.name and parsed["ignore-not-found"]):
                errors.append(error)
    if parsed["sort-by"]:
        from netlab.kubectl.output.sorting import sort_objects

        objects = sort_objects(objects, parsed["sort-by"])
    single = len(targets) == 1 and bool(targets[0].name)
    if single and objects:
        session.out.write(printer(objects[0]))
    elif not single and not (errors and not objects):
        as_list = {
            "apiVersion": "v1",
            "kind": "List",
            "metadata": {"resourceVersion": ""},
            "items": objects,
        }
        session.out.write(printer(as_list))
    if errors:
        raise CombinedError(errors)
    return 0


FLAGS = (
    Flag("filename", "strings", short="f", help="File, folder, or - for standard input."),
    Flag("recursive", "bool", short="R", help="Read folders below the folders of -f too."),
    Flag("kustomize", short="k", help="Not supported by netlab."),
    Flag("output", short="o", help="wide, yaml, json, name, jsonpath=…, custom-columns=…"),
    Flag("template", help="Template or template file for -o jsonpath."),
    Flag("watch", "bool", short="w", help="Show the objects, then every change of them."),
    Flag("watch-only", "bool", help="Show changes only."),
    Flag("output-watch-events", "bool", help="Begin each line with ADDED, MODIFIED or DELETED."),
    Flag("selector", short="l", help="Labels the objects must have: a=b,c!=d,e in (f,g)."),
    Flag("field-selector", help="Fields the objects must have, such as status.phase=Running."),
    Flag("all-namespaces", "bool", short="A", help="Objects of all namespaces."),
    Flag("show-labels", "bool", help="Add a column with all labels."),
    Flag("label-columns", "strings", short="L", help="Add a column for each of these labels."),
    Flag("no-headers", "bool", help="Leave the header line out."),
    Flag("sort-by", help="Sort by the field a JSONPath names."),
    Flag("ignore-not-found", "bool", help="Say nothing about objects that do not exist."),
    Flag("show-kind", "bool", help="Begin each name with its kind."),
    Flag("show-managed-fields", "bool", help="Keep metadata.managedFields in YAML and JSON."),
    Flag("server-print", "bool", default=True, help="Accepted for kubectl's sake."),
    Flag("allow-missing-template-keys", "bool", default=True, help="Ignore missing fields."),
    Flag("chunk-size", "int", default=PAGE_SIZE, help="Objects per request; 0 for all at once."),
    Flag("subresource", help="Not supported by netlab.", refused=True),
    Flag("raw", help="Show what the server answers at this path."),
)

COMMAND = Command(
    "get",
    _run,
    usage="TYPE[,TYPE…] [NAME…] | TYPE/NAME… | -f FILE",
    text="Show one or many objects.",
    flags=FLAGS,
    examples=(
        "get pods",
        "get pods,services -o wide",
        "get rs/go-demo-2 -o yaml",
        "get pods -l type=api -A --show-labels",
        "get pods -w",
        "get svc web -o jsonpath='{.spec.clusterIP}'",
    ),
)
