"""Which protocol a caller wants to go over to, and which one it gets.

Three ways lead into a pod: WebSocket (kubectl 1.30 and later, the Python client), SPDY/3.1 (older
kubectl), and SPDY carried in WebSocket messages (port-forward of kubectl 1.31 and later). Mirrors
``httpstream.Handshake`` and ``wsstream`` of k8s.io/apimachinery. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from multidict import MultiMapping

from netlab.api.field_errors import bad_request
from netlab.errors import ApiError
from netlab.streaming.channels import V1, choose_protocol

SPDY_UPGRADE = "SPDY/3.1"
PROTOCOL_HEADER = "X-Stream-Protocol-Version"
ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions"


class Carrier(Enum):
    """What streams travel in."""

    WEBSOCKET = "WebSocket"
    SPDY = "SPDY/3.1"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was agreed. protocol: ``v5.channel.k8s.io`` and the like.

    named: False when the caller offered none and the oldest is meant, which is then not repeated.
    """

    carrier: Carrier
    protocol: str
    named: bool = True


def choose_upgrade(
    method: str,
    headers: MultiMapping[str],
    *,
    websocket: Sequence[str],
    spdy: Sequence[str],
    oldest: str = V1,
) -> Upgrade:
    """Return what the caller gets. headers: looked up in any case; websocket, spdy: the protocols
    served, newest first; oldest: what a caller means that names none.

    Raises: ApiError BadRequest when it does not upgrade, or offers nothing that is served.
    """
    asked = headers.get("Upgrade", "")
    wants = "upgrade" in headers.get("Connection", "").lower()
    if not asked or not wants:
        raise bad_request("Upgrade request required")
    if asked.lower() == "websocket":
        if method != "GET":
            raise bad_request("a WebSocket begins with GET")
        offered = _names(headers, "Sec-WebSocket-Protocol")
        chosen = choose_protocol(offered, websocket) if offered else oldest
        if not chosen:
            raise bad_request(
                f"requested protocol(s) are not supported: [{' '.join(offered)}]; "
                f"supports [{' '.join(websocket)}]"
            )
        return Upgrade(Carrier.WEBSOCKET, chosen, named=bool(offered))
    if asked.lower() != SPDY_UPGRADE.lower():
        raise bad_request(
            f"unable to upgrade: unsupported protocol {asked}: use websocket or {SPDY_UPGRADE}"
        )
    offered = _names(headers, PROTOCOL_HEADER)
    chosen = choose_protocol(offered, spdy) if offered else oldest
    if not chosen:
        raise ApiError(
            403,
            "Forbidden",
            f"unable to upgrade: unable to negotiate protocol: client supports "
            f"[{' '.join(offered)}], server accepts [{' '.join(spdy)}]",
        )
    return Upgrade(Carrier.SPDY, chosen, named=bool(offered))


def _names(headers: MultiMapping[str], header: str) -> list[str]:
    """The comma-separated names in all headers of that name."""
    values = headers.getall(header, [])
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def spdy_headers(upgrade: Upgrade) -> dict[str, str]:
    """Return the headers of the 101 that begins SPDY."""
    headers = {"Connection": "Upgrade", "Upgrade": SPDY_UPGRADE}
    if upgrade.named:
        headers[PROTOCOL_HEADER] = upgrade.protocol
    return headers
