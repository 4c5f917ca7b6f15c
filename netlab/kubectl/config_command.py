"""``netlab config``: look at the kubeconfig, switch contexts, set a context's namespace."""

from __future__ import annotations

from pathlib import Path

from netlab.client.kubeconfig import config_paths, load_config, parse_config
from netlab.errors import UsageError
from netlab.kubectl.flags import Command, Flag, Group, HintedUsageError
from netlab.kubectl.output.rows import new_writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

_SECRETS = ("certificate-authority-data", "client-certificate-data", "client-key-data")


def _current_context(session: Session, parsed: Parsed) -> int:
    name = load_config(parsed["kubeconfig"] or "")["current-context"]
    if not name:
        raise UsageError("current-context is not set")
    session.print(name)
    return 0


def _get_contexts(session: Session, parsed: Parsed) -> int:
    config = load_config(parsed["kubeconfig"] or "")
    names = parsed.args or sorted(config["contexts"])
    if parsed["output"] == "name":
        session.out.write("".join(f"{name}\n" for name in names))
        return 0
    writer = new_writer()
    if not parsed["no-headers"]:
        writer.add(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"])
    for name in names:
        context = config["contexts"].get(name)
        if context is None:
            raise UsageError(f"context {name} not found")
        mark = "*" if name == config["current-context"] else ""
        fields = [context.get(field, "") for field in ("cluster", "user", "namespace")]
        writer.add([mark, name, *fields])
    session.out.write(writer.flush())
    return 0


def _use_context(session: Session, parsed: Parsed) -> int:
    if len(parsed.args) != 1:
        raise HintedUsageError(f"Unexpected args: [{' '.join(parsed.args)}]")
    name = parsed.args[0]
    explicit = parsed["kubeconfig"] or ""
    if name not in load_config(explicit)["contexts"]:
        raise UsageError(f'no context exists with the name: "{name}"')
    _edit(explicit, "", lambda config: config.update({"current-context": name}))
    session.print(f'Switched to context "{name}".')
    return 0


def _set_context(session: Session, parsed: Parsed) -> int:
    explicit = parsed["kubeconfig"] or ""
    if parsed["current"]:
        name = load_config(explicit)["current-context"]
        if not name:
            raise UsageError("no current context is set")
    elif len(parsed.args) == 1:
        name = parsed.args[0]
    else:
        raise HintedUsageError(f"Unexpected args: [{' '.join(parsed.args)}]")
    done = "modified"

    def change(config: dict[str, Any]) -> None:
        nonlocal done
        entries = config["contexts"] = config.get("contexts") or []
        entry = next((each for each in entries if each.get("name") == name), None)
        if entry is None:
            done = "created"
            entry = {"name": name, "context": {}}
            entries.append(entry)
        for field in ("namespace", "cluster", "user"):
            if parsed.has(field):
                entry["context"][field] = parsed[field]

    _edit(explicit, name, change)
    session.print(f'Context "{name}" {done}.')
    return 0


def _view(session: Session, parsed: Parsed) -> int:
    from netlab.kubectl.output.printers import object_printer

    config = load_config(parsed["kubeconfig"] or "")
    names = {plural: sorted(config[plural]) for plural in ("clusters", "contexts", "users")}
    if parsed["minify"]:
        current = config["contexts"].get(config["current-context"], {})
        names = {
            "clusters": [current.get("cluster", "")],
            "contexts": [config["current-context"]],
            "users": [current.get("user", "")],
        }
    shown: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": config["current-context"],
    }
    for plural, wanted in names.items():
        shown[plural] = [
            {"name": name, plural[:-1]: _hide(config[plural].get(name, {}), raw=parsed["raw"])}
            for name in wanted
            if name in config[plural]
        ] or None
    session.out.write(object_printer(parsed["output"] or "yaml")(shown))
    return 0


def _hide(entry: dict[str, Any], *, raw: bool) -> dict[str, Any]:
    if raw:
        return entry
    hidden = {
        **dict.fromkeys(_SECRETS, "DATA+OMITTED"),
        "token": "REDACTED",
        "password": "REDACTED",
    }
    return {key: hidden.get(key, value) if value else value for key, value in entry.items()}


def _edit(explicit: str, context: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Let ``change`` change the content of the file, and write it back.

    That file is the one that has the context, else the first that exists.
    """
    from netlab.client.kubeconfig_file import change_kubeconfig
    from netlab.kubectl.output.goyaml import to_yaml

    path = _file_to_change(explicit, context)

    def rewrite(data: bytes | None) -> bytes:
        config = parse_config((data or b"").decode(errors="replace"), str(path))
        change(config)
        config.setdefault("apiVersion", "v1")
        config.setdefault("kind", "Config")
        return to_yaml(config).encode()

    change_kubeconfig(path, rewrite)


def _file_to_change(explicit: str, context: str) -> Path:
    paths = [Path(path) for path in config_paths(explicit)]
    existing = [path for path in paths if path.exists()] or paths[:1]
    for path in existing:
        if any(each.get("name") == context for each in _content(path).get("contexts") or ()):
            return path
    return existing[0]


def _content(path: Path) -> dict[str, Any]:
    return parse_config(path.read_text(), str(path)) if path.exists() else {}


def _refuse(session: Session, parsed: Parsed) -> int:
    raise HintedUsageError(
        "say what to do: current-context, get-contexts, use-context, set-context or view"
    )


CURRENT_CONTEXT = Command(
    "config current-context", _current_context, usage="", text="Tell the current context."
)
GET_CONTEXTS = Command(
    "config get-contexts",
    _get_contexts,
    usage="[NAME…]",
    text="List the contexts.",
    flags=(
        Flag("no-headers", "bool", help="Leave the header line out."),
        Flag("output", short="o", help="name: print only the names."),
    ),
)
USE_CONTEXT = Command(
    "config use-context", _use_context, usage="NAME", text="Make a context the current one."
)
SET_CONTEXT = Command(
    "config set-context",
    _set_context,
    usage="(NAME | --current) [--namespace=NAME]",
    text="Change a context.",
    flags=(
        Flag("current", "bool", help="The current one."),
        Flag("namespace", short="n", help="Its namespace."),
        Flag("cluster", help="Its cluster."),
        Flag("user", help="Its user."),
    ),
)
VIEW = Command(
    "config view",
    _view,
    usage="",
    text="Show the kubeconfig, without its secrets.",
    flags=(
        Flag("minify", "bool", help="Only what the current context uses."),
        Flag("raw", "bool", help="With its secrets."),
        Flag("output", short="o", help="yaml, json or jsonpath=…"),
    ),
)
COMMAND = Group(
    Command("config", _refuse, usage="COMMAND", text="Look at and change the kubeconfig."),
    {
        "current-context": ("netlab.kubectl.config_command", "CURRENT_CONTEXT"),
        "get-contexts": ("netlab.kubectl.config_command", "GET_CONTEXTS"),
        "use-context": ("netlab.kubectl.config_command", "USE_CONTEXT"),
        "use": ("netlab.kubectl.config_command", "USE_CONTEXT"),
        "set-context": ("netlab.kubectl.config_command", "SET_CONTEXT"),
        "view": ("netlab.kubectl.config_command", "VIEW"),
    },
)
