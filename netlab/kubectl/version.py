"""``netlab version``: netlab's version, and the server's."""

from __future__ import annotations

from netlab.errors import UsageError
from netlab.kubectl.flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


def _run(session: Session, parsed: Parsed) -> int:
    import netlab

    output = parsed["output"] or ""
    if output not in ("", "yaml", "json"):
        raise UsageError("--output must be 'yaml' or 'json'")
    found: dict[str, Any] = {"clientVersion": {"gitVersion": f"v{netlab.__version__}"}}
    if not parsed["client"]:
        found["serverVersion"] = session.client.call("GET", "/version")
    if output:
        from netlab.kubectl.output.printers import object_printer

        session.out.write(object_printer(output)(found))
        return 0
    session.print(f"Client Version: {found['clientVersion']['gitVersion']}")
    if "serverVersion" in found:
        session.print(f"Server Version: {found['serverVersion']['gitVersion']}")
    return 0


COMMAND = Command(
    "version",
    _run,
    usage="",
    text="Tell the version of netlab and of the server.",
    flags=(
        Flag("client", "bool", help="Only netlab's own."),
        Flag("output", short="o", help="yaml or json."),
    ),
)
