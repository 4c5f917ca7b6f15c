"""Manifests: files, folders and standard input, as the objects they hold.

Mirrors cli-runtime's resource builder: several documents per file, ``List`` objects taken apart,
``.json``, ``.yaml`` and ``.yml`` in folders, kubectl's error lines. YAML is read by the rules of
Go's ``yaml.v2`` (1.1 booleans, no dates, no base-60 numbers), so a manifest means the same here.

netlab refuses URLs: a lab has no business fetching them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from netlab.errors import NetlabError, UsageError
from netlab.kubectl.handover import LackingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import yaml

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

EXTENSIONS = (".json", ".yaml", ".yml")
_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


class Document:
    """One object of a manifest. source: the file as messages name it; text: how it was written."""

    __slots__ = ("obj", "source")

    def __init__(self, obj: dict[str, Any], source: str) -> None:
        self.obj = obj
        self.source = source


def manifest_flags() -> tuple[Any, ...]:
    """Return the options ``-f``, ``-R`` and ``-k``."""
    from netlab.kubectl.flags import Flag

    return (
        Flag("filename", "strings", short="f", help="File, folder, or - for standard input."),
        Flag("recursive", "bool", short="R", help="Read folders below the folders of -f too."),
        Flag("kustomize", short="k", help="Not supported by netlab."),
    )


def read_manifests(session: Session, parsed: Parsed) -> Iterator[Document | NetlabError]:
    """Yield the objects of ``-f``, in order; a file that cannot be read yields its error.

    Raises: UsageError when a path does not exist, is a URL or an empty folder.
    """
    if parsed["kustomize"]:
        raise LackingError("netlab does not build kustomizations (-k)")
    sources = [
        source for path in parsed["filename"] for source in _expand(path, parsed["recursive"])
    ]
    for source in sources:
        yield from _read(session, source)


def _expand(path: str, recursive: bool) -> list[str]:
    if path == "-":
        return ["-"]
    if path.startswith(("http://", "https://")):
        raise LackingError(f'netlab does not fetch manifests: download "{path}" and use the file')
    if any(mark in path for mark in "*?[") and not os.path.exists(path):  # noqa: PTH110
        matches = sorted(str(match) for match in Path().glob(path)) if path[0] != "/" else []
        return [source for match in matches for source in _expand(match, recursive)] or _gone(path)
    where = Path(path)
    if not where.exists():
        _gone(path)
    if not where.is_dir():
        return [path]
    found = sorted(_files(where, recursive))
    if not found:
        known = " ".join(EXTENSIONS)
        raise UsageError(f"error reading [{path}]: recognized file extensions are [{known}]")
    return found


def _gone(path: str) -> list[str]:
    raise UsageError(f'the path "{path}" does not exist')


def _files(folder: Path, recursive: bool) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir() and recursive:
            yield from _files(entry, recursive)
        elif entry.is_file() and entry.suffix in EXTENSIONS:
            yield str(entry)


def _read(session: Session, source: str) -> Iterator[Document | NetlabError]:
    try:
        data = session.stdin_bytes() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        yield UsageError(f"open {source}: {(error.strerror or '').lower()}")
        return
    shown = "STDIN" if source == "-" else source
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = data[: error.start].count(b"\n") + 1
        yield UsageError(f"error parsing {shown}: line {where}: it is not UTF-8 text")
        return
    try:
        for value in parse_documents(text, shown):
            for obj in _flatten(value, shown):
                yield Document(obj, shown)
    except UsageError as error:
        yield error


def _flatten(value: Any, source: str) -> Iterator[dict[str, Any]]:
    if not isinstance(value, dict):
        raise UsageError(
            f'unable to decode "{source}": json: cannot unmarshal '
            f"{json_kind(value)} into Go value of type struct {{ "
            'APIVersion string "json:\\"apiVersion,omitempty\\""; '
            'Kind string "json:\\"kind,omitempty\\"" }'
        )
    kind = value.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for item in value["items"]:
            yield from _flatten(item, source)
    else:
        yield value


def json_kind(value: Any) -> str:
    """Return what Go's decoder calls a JSON value: array, object, bool, string or number."""
    for kind, name in ((list, "array"), (dict, "object"), (bool, "bool"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "number"


def parse_documents(text: str, source: str) -> Iterator[Any]:
    """Yield the documents of a file, empty ones left out.

    Raises: UsageError naming file, line and column of the first mistake.
    """
    if text.lstrip().startswith("{"):
        yield from _parse_json(text, source)
        return
    loader = _go_loader()
    start = 0
    for separator in [*_SEPARATOR.finditer(text), None]:
        end = separator.start() if separator else len(text)
        chunk = text[start:end]
        line_offset = text.count("\n", 0, start)
        value = _parse_yaml(chunk, source, line_offset, loader)
        if value is not None:
            yield value
        # The next document starts behind the separator's line.
        start = separator.end() + 1 if separator else end


def _parse_json(text: str, source: str) -> Iterator[Any]:
    import json

    decoder = json.JSONDecoder()
    at = len(text) - len(text.lstrip())
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError):
                where = f"line {error.lineno}, column {error.colno}"
                raise UsageError(f"error parsing {source}: {where}: {error.msg}") from error
            raise
        yield value
        at += len(text[at:]) - len(text[at:].lstrip())


def _parse_yaml(chunk: str, source: str, line_offset: int, loader: Any) -> Any:
    import yaml

    try:
        return to_json_types(yaml.load(chunk, Loader=loader))  # noqa: S506 a subclass of SafeLoader
    except yaml.YAMLError as error:
        problem = _go_problem(error, source, line_offset)
        message = f"error parsing {source}: error converting YAML to JSON: yaml: {problem}"
        raise UsageError(message) from error


def _go_problem(error: yaml.YAMLError, source: str, line_offset: int) -> str:
    """Return the mistake as Go's yaml words it, with its place in the whole file behind it."""
    import yaml

    mark = None
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
    if mark is None:
        return str(error)
    # Go counts lines from 0 in parser errors and from 1 in scanner errors.
    line = mark.line + isinstance(error, yaml.scanner.ScannerError)
    place = f"({source} line {mark.line + 1 + line_offset}, column {mark.column + 1})"
    problem = getattr(error, "problem", "")
    return f"line {line}: {problem} {place}" if line else f"{problem} {place}"


def _go_loader() -> Any:
    """Return a safe loader that reads plain scalars as Go's yaml does."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class GoLoader(base):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}

    def resolve(tag: str, pattern: str, first: str) -> None:
        GoLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))

    resolve(
        "bool",
        r"^(?:[yY]|[nN]|[yY]es|YES|[nN]o|NO|[tT]rue|TRUE|[fF]alse|FALSE"
        r"|[oO]n|ON|[oO]ff|OFF)$",
        "yYnNtTfFoO",
    )
    resolve("int", r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$", "-+0123456789")
    resolve(
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    )
    resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN\0")
    GoLoader.yaml_implicit_resolvers.setdefault("", []).append(
        ("tag:yaml.org,2002:null", re.compile(r"^$"))
    )
    resolve("merge", r"^(?:<<)$", "<")
    GoLoader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)
    GoLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
    return GoLoader


def _construct_bool(loader: Any, node: Any) -> bool:
    return str(node.value).lower() in ("y", "yes", "true", "on")


def _construct_int(loader: Any, node: Any) -> int:
    text = str(node.value).replace("_", "")
    bare = text.lstrip("+-")
    value = int(bare, 8) if len(bare) > 1 and bare[0] == "0" and bare[1].isdigit() else int(bare, 0)
    return -value if text.startswith("-") else value


def to_json_types(value: Any) -> Any:
    """Return the value with string keys only, as JSON needs them."""
    if isinstance(value, dict):
        return {_json_key(key): to_json_types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_types(item) for item in value]
    return value


def _json_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)
