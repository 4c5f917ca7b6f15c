"""What the API server's answers to list and watch hold, with the objects left as they came.

Shared by the clients that speak over a wire; objects are decoded by whoever wants them, once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from netlab.client.interface import WatchEvent
from netlab.errors import ApiError


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class PageMeta(msgspec.Struct, rename="camel"):
    """The version of a list, and where its next page begins; "" when there is none."""

    resource_version: str = ""
    next_page: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    """A list, or a page of one; Kubernetes leaves kind and apiVersion out of the items."""

    metadata: PageMeta
    items: list[msgspec.Raw] | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_page = msgspec.json.Decoder(Page).decode


def parse_page(answer: bytes) -> Page:
    """Return the list in an answer. Raises: msgspec.DecodeError when it is none."""
    return _decode_page(answer)


def parse_event(line: bytes) -> WatchEvent:
    """Return the event that one line of a watch tells.

    Raises: ApiError for an ERROR event; msgspec.DecodeError for what is no event.
    """
    event = _decode_event(line)
    if event.type == "ERROR":
        raise ApiError.from_status(msgspec.json.decode(event.object))
    return WatchEvent(event.type, event.object)


async def split_lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines in a stream of pieces cut anywhere; of any length, without empty ones."""
    rest: list[bytes] = []
    async for piece in pieces:
        head, newline, tail = piece.partition(b"\n")
        rest.append(head)
        if not newline:
            continue
        *lines, last = (b"".join(rest) + newline + tail).split(b"\n")
        rest = [last]
        for line in lines:
            if line.strip():
                yield line
