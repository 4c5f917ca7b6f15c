"""What a verb that changes something says: ``pod/web created``, or the object with ``-o``."""

from __future__ import annotations

from netlab.errors import UsageError
from netlab.kubectl.flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

OUTPUT_FLAGS = (
    Flag("output", short="o", help="yaml, json, name, jsonpath=… instead of a message."),
    Flag("template", help="Template or template file for -o jsonpath."),
    Flag("show-managed-fields", "bool", help="Keep metadata.managedFields in YAML and JSON."),
    Flag("allow-missing-template-keys", "bool", default=True, help="Ignore missing fields."),
)
DRY_RUN_FLAG = Flag(
    "dry-run",
    default="none",
    bare="unchanged",
    help="none, client (send nothing) or server (change nothing).",
)
FIELD_MANAGER_FLAG = Flag("field-manager", help="Accepted for kubectl's sake.")
VALIDATE_FLAG = Flag(
    "validate", default="strict", bare="strict", help="strict, warn or ignore unknown fields."
)


class Reporter:
    """Prints the results of one command. dry_run: none, client or server."""

    def __init__(self, session: Session, parsed: Parsed) -> None:
        """Read ``-o`` and ``--dry-run``.

        Raises: UsageError when either has a value that is unknown.
        """
        self._session = session
        self.output = parsed.values.get("output") or ""
        self.dry_run = parse_dry_run(session, parsed.values.get("dry-run", "none"))
        self._printer = None
        if self.output:
            from netlab.kubectl.output.printers import object_printer

            self._printer = object_printer(
                self.output,
                template=parsed.values.get("template"),
                show_managed_fields=parsed.values.get("show-managed-fields", False),
            )
        self._is_first = True

    @property
    def query(self) -> dict[str, str]:
        """The query parameters that ask the server for a dry run, if one is wanted."""
        return {"dryRun": "All"} if self.dry_run == "server" else {}

    def report(self, obj: dict[str, Any], done: str) -> None:
        """Say that ``obj`` was ``done`` (``created``), or print it as ``-o`` asks."""
        out = self._session.out
        if self._printer is None:
            from netlab.kubectl.output.printers import qualified_name

            out.write(f"{qualified_name(obj)} {done}{self.suffix}\n")
            return
        if self.output == "yaml" and not self._is_first:
            out.write("---\n")
        self._is_first = False
        out.write(self._printer(obj))

    @property
    def suffix(self) -> str:
        """What a message ends with in a dry run."""
        return {"client": " (dry run)", "server": " (server dry run)"}.get(self.dry_run, "")


def parse_dry_run(session: Session, value: str) -> str:
    """Return ``none``, ``client`` or ``server``.

    Raises: UsageError for anything else.
    """
    if value in ("none", "client", "server"):
        return value
    if value == "unchanged":
        session.complain("--dry-run is deprecated and can be replaced with --dry-run=client.")
        return "client"
    raise UsageError(f'Invalid dry-run value ({value}). Must be "none", "server", or "client".')


def field_validation(value: str) -> str:
    """Return the API's word for a value of ``--validate``.

    Raises: UsageError for an unknown value.
    """
    found = {
        "strict": "Strict",
        "true": "Strict",
        "warn": "Warn",
        "ignore": "Ignore",
        "false": "Ignore",
    }.get(value)
    if found is None:
        raise UsageError(
            f'invalid - validate option "{value}"; must be one of: strict (or true), warn, '
            "ignore (or false)"
        )
    return found
