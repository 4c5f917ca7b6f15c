"""``netlab api-versions``: the API versions the server serves."""

from __future__ import annotations

from netlab.kubectl.flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


def _run(session: Session, parsed: Parsed) -> int:
    for version in session.resources.groups():
        session.print(version)
    return 0


COMMAND = Command("api-versions", _run, usage="", text="List the API versions the server serves.")
