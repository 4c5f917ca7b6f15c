"""The printer that ``-o`` names: YAML, JSON, names, JSONPath or custom columns.

A printer is a function from an object (or a ``List``) to text. Go templates are refused: netlab
has no Go, and says so instead of guessing.
"""

from __future__ import annotations

from netlab.errors import UsageError
from netlab.kubectl.handover import LackingError
from netlab.kubectl.output.gojson import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Printer: TypeAlias = Callable[[dict[str, Any]], str]

FORMATS = (
    "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,"
    "jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml"
)


def object_printer(
    output: str,
    *,
    template: str | None = None,
    no_headers: bool = False,
    show_managed_fields: bool = False,
    program: str = "netlab",
) -> Printer:
    """Return the printer for the value of ``-o``.

    Raises: UsageError for a format that is unknown, malformed or left out of netlab.
    """
    name, _, argument = output.partition("=")
    if name in ("yaml", "json"):
        return _encoder(name, show_managed_fields=show_managed_fields)
    if name == "name":
        return print_name
    if name in ("jsonpath", "jsonpath-file", "jsonpath-as-json"):
        text = argument or template or ""
        if not text:
            raise UsageError("template format specified but no template given")
        return _jsonpath(
            _file(text) if name == "jsonpath-file" else text, as_json=name == "jsonpath-as-json"
        )
    if name in ("custom-columns", "custom-columns-file"):
        from netlab.kubectl.output.custom_columns import parse_columns, parse_columns_file

        if not argument:
            raise UsageError("custom-columns format specified but no custom columns given")
        columns = (
            parse_columns_file(_file(argument))
            if name == "custom-columns-file"
            else parse_columns(argument)
        )
        return lambda obj: columns.render(obj, no_headers=no_headers)
    if name.startswith(("go-template", "template")):
        raise LackingError(
            f"-o {name} needs Go's template language, which netlab does not have; "
            "use -o jsonpath=… or -o json"
        )
    raise UsageError(
        f'unable to match a printer suitable for the output format "{output}", allowed formats '
        f"are: {FORMATS}"
    )


def print_name(obj: dict[str, Any]) -> str:
    """Return ``kind.group/name`` lines, of a List one for each item."""
    if isinstance(obj.get("items"), list):
        return "".join(print_name(item) for item in obj["items"])
    return qualified_name(obj) + "\n"


def qualified_name(obj: dict[str, Any]) -> str:
    """Return ``pod/web`` or ``deployment.apps/web``."""
    group = obj.get("apiVersion", "").rpartition("/")[0]
    kind = str(obj.get("kind", "")).lower()
    name = (obj.get("metadata") or {}).get("name", "")
    return f"{kind}.{group}/{name}" if group else f"{kind}/{name}"


def _encoder(name: str, *, show_managed_fields: bool) -> Printer:
    from netlab.kubectl.output.goyaml import strip_managed_fields, to_yaml

    encode = to_yaml if name == "yaml" else to_json
    return lambda obj: encode(obj if show_managed_fields else strip_managed_fields(obj))


def _jsonpath(text: str, *, as_json: bool) -> Printer:
    from netlab.kubectl.output.jsonpath import JsonPathError, Template

    try:
        template = Template(text)
    except JsonPathError as error:
        raise UsageError(f"error parsing jsonpath {text}, {error}") from error

    def render(obj: dict[str, Any]) -> str:
        try:
            if as_json:
                found = [value for values in template.results(obj) for value in values]
                return to_json(found)
            return template.render(obj)
        except JsonPathError as error:
            raise UsageError(
                f'error executing jsonpath "{text}": Error executing template: {error}. '
                "Printing more information for debugging the template:\n"
                f"\ttemplate was:\n\t\t{text}\n"
                f"\tobject given to jsonpath engine was:\n\t\t{_go_value(obj)}\n\n"
            ) from error

    return render


def _go_value(value: Any) -> str:
    """Return the value as Go's ``%#v`` shows untyped JSON."""
    if isinstance(value, dict):
        inner = ", ".join(f'"{key}":{_go_value(value[key])}' for key in sorted(value))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(_go_value(item) for item in value)}}}"
    if isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise UsageError(
            f"error reading --template {path}, open {path}: {(error.strerror or '').lower()}"
        ) from error
