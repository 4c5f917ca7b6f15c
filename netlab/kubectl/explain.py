"""``netlab explain``: what a kind, or a field of it, means; from the server's own schemas."""

from __future__ import annotations

import textwrap

from netlab.errors import NetlabError, UsageError
from netlab.kubectl.failures import PlainError
from netlab.kubectl.flags import Command, Flag, HintedUsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.resources import Resource
    from netlab.kubectl.session import Session

    Schema: TypeAlias = Mapping[str, Any]

WIDTH = 80
REF_PREFIX = "#/components/schemas/"


def _run(session: Session, parsed: Parsed) -> int:
    if not parsed.args:
        raise UsageError(
            f'You must specify the type of resource to explain. Use "{session.program} '
            'api-resources" for a complete list of supported resources.'
        )
    if len(parsed.args) > 1:
        raise HintedUsageError(
            f"We accept only this format: explain RESOURCE, got {len(parsed.args)} arguments"
        )
    word, _, path = parsed.args[0].partition(".")
    try:
        resource = session.resources.find(word)
    except NetlabError as error:
        raise PlainError(str(error)) from error
    schemas = _schemas(session, resource, parsed["api-version"])
    explanation = _Explanation(schemas)
    version = parsed["api-version"] or resource.api_version
    session.out.write(_header(resource, version))
    root = explanation.find_kind(resource, version)
    fields = [part for part in path.split(".") if part]
    session.out.write(explanation.text(root, fields, recursive=parsed["recursive"]))
    return 0


def _header(resource: Resource, version: str) -> str:
    group, _, number = version.rpartition("/")
    lines = [f"GROUP:      {group}"] if group else []
    lines += [f"KIND:       {resource.kind}", f"VERSION:    {number}", "", ""]
    return "\n".join(lines)


def _schemas(session: Session, resource: Resource, version: str | None) -> dict[str, Any]:
    """Return the schemas of the resource's group version, by name."""
    version = version or resource.api_version
    place = f"apis/{version}" if "/" in version else f"api/{version}"
    index = session.client.call("GET", "/openapi/v3")
    entry = (index.get("paths") or {}).get(place)
    if entry is None:
        raise UsageError(f'couldn\'t find resource for "{version}, Resource={resource.plural}"')
    path, _, query = entry["serverRelativeURL"].partition("?")
    pairs = dict(pair.partition("=")[::2] for pair in query.split("&")) if query else {}
    document = session.client.call("GET", path, query=pairs)
    return dict((document.get("components") or {}).get("schemas") or {})


class _Explanation:
    """Reads schemas. References are followed by name; a single ``allOf`` is a reference too."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas

    def find_kind(self, resource: Resource, version: str) -> Schema:
        group, _, number = version.rpartition("/")
        wanted = {"group": group, "version": number, "kind": resource.kind}
        for schema in self._schemas.values():
            for each in schema.get("x-kubernetes-group-version-kind") or ():
                if {key: each.get(key, "") for key in wanted} == wanted:
                    found: Schema = schema
                    return found
        raise UsageError(f"couldn't find a schema of {version}, Kind={resource.kind}")

    def text(self, root: Schema, path: Sequence[str], *, recursive: bool) -> str:
        """Return what is said about the field at ``path``.

        Raises: UsageError when there is no such field.
        """
        field = root
        for name in path:
            properties = self._target(field).get("properties") or {}
            if name not in properties:
                raise UsageError(f'field "{name}" does not exist')
            field = properties[name]
        lines: list[str] = []
        if path:
            lines += [f"FIELD: {path[-1]} <{self._type(field)}>", *self._enum(field)]
        target = self._target(field)
        lines.append("DESCRIPTION:")
        texts = [field.get("description", "")]
        if target is not field:
            texts.append(target.get("description", ""))
        described = [line for text in texts if text for line in _wrap(text, 4)]
        lines += [*(described or ["    <empty>"]), "    "]
        if target.get("properties"):
            lines.append("FIELDS:")
            lines += self._fields(target, recursive=recursive, level=1, seen=())
        return "\n".join(lines) + "\n\n"

    def _enum(self, field: Schema) -> list[str]:
        values = field.get("enum") or ()
        if not values:
            return ["", ""]
        return ["ENUM:", *(f"    {value}" for value in values), ""]

    def _fields(
        self, schema: Schema, *, recursive: bool, level: int, seen: tuple[str, ...]
    ) -> list[str]:
        lines: list[str] = []
        required = schema.get("required") or ()
        properties = schema.get("properties") or {}
        for name in sorted(properties):
            field = properties[name]
            mark = " -required-" if name in required else ""
            lines.append(f"{'  ' * level}{name}\t<{self._type(field)}>{mark}")
            if field.get("enum"):
                values = ", ".join(str(value) for value in field["enum"])
                lines.append(f"{'  ' * level}enum: {values}")
            if recursive:
                reference = self._reference(field)
                if reference not in seen:
                    inner = (*seen, reference) if reference else seen
                    target = self._target(field)
                    lines += self._fields(target, recursive=True, level=level + 1, seen=inner)
            else:
                text = field.get("description") or "<no description>"
                lines += [*_wrap(text, 4), ""]
        return lines

    def _target(self, field: Schema) -> Schema:
        """Return the schema that holds the fields: of a list its items', of a map its values'."""
        reference = self._reference(field)
        if reference:
            return self._target(self._schemas.get(reference, {}))
        if field.get("type") == "array" and isinstance(field.get("items"), dict):
            return self._target(field["items"])
        values = field.get("additionalProperties")
        if isinstance(values, dict) and not field.get("properties"):
            return self._target(values)
        return field

    def _reference(self, field: Schema) -> str:
        single = list(field.get("allOf") or ())
        found = field.get("$ref") or (single[0].get("$ref") if len(single) == 1 else "") or ""
        return str(found).removeprefix(REF_PREFIX)

    def _type(self, field: Schema) -> str:
        reference = self._reference(field)
        if reference:
            target = self._schemas.get(reference, {})
            is_simple = target.get("type") in ("string", "integer", "number", "boolean")
            if is_simple and target.get("format") != "int-or-string":
                return str(target["type"])
            return reference.rpartition(".")[2]
        kind = field.get("type")
        if kind == "array":
            return "[]" + self._type(field.get("items") or {})
        if isinstance(field.get("additionalProperties"), dict):
            return "map[string]" + self._type(field["additionalProperties"])
        return "Object" if kind in ("object", None) else str(kind)


def _wrap(text: str, indent: int) -> list[str]:
    """Return the text in lines of at most 80 characters; long words stay whole."""
    lines: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        lines += textwrap.wrap(
            line,
            WIDTH - indent,
            break_long_words=False,
            break_on_hyphens=False,
            expand_tabs=False,
            replace_whitespace=False,
            drop_whitespace=True,
        ) or [""]
    return [" " * indent + line for line in lines]


COMMAND = Command(
    "explain",
    _run,
    usage="TYPE[.FIELD…]",
    text="Tell what a kind, or one of its fields, means.",
    flags=(
        Flag("recursive", "bool", help="All fields, by name only."),
        Flag("api-version", help="Of this group and version."),
        Flag("output", default="plaintext", help="Accepted for kubectl's sake."),
    ),
    examples=("explain pods", "explain service.spec.ports", "explain node --recursive"),
)
