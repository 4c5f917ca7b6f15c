"""What went wrong, as kubectl says it, and with which exit code.

Mirrors kubectl's ``checkErr`` and ``StandardErrorMessage``: server errors become ``Error from
server (Reason): …``, invalid objects list their causes, everything else is ``error: …``.
"""

from __future__ import annotations

from netlab.client.wire import ConnectError
from netlab.errors import ApiError, NetlabError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class CombinedError(NetlabError):
    """Several things went wrong while others went on; all are told, in order."""

    def __init__(self, errors: Sequence[NetlabError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(str(error) for error in errors))


class PlainError(NetlabError):
    """An error whose message is printed as it is, without ``error:``."""


class ExitError(NetlabError):
    """Ends the command with a code; the message, if any, is printed as it is."""

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        super().__init__(message)


class LocatedError(NetlabError):
    """An error of the server about an object of a file: ``error when creating "x.yml": …``."""

    def __init__(self, location: str, cause: ApiError) -> None:
        self.location = location
        self.cause = cause
        super().__init__(f"{location}: {cause}")


def describe(error: NetlabError) -> str:
    """Return the text for standard error, without a final newline."""
    if isinstance(error, CombinedError):
        return "\n".join(describe(each) for each in error.errors)
    if isinstance(error, LocatedError):
        if error.cause.reason == "Invalid":
            return describe(error.cause)
        return _server_error(error.cause, f"{error.location}: {error.cause.message}")
    if isinstance(error, ApiError):
        return _invalid(error) if error.reason == "Invalid" else _server_error(error, error.message)
    message = str(error)
    if isinstance(error, (ConnectError, PlainError, ExitError)) or message.startswith("error: "):
        return message
    return f"error: {message}"


def _server_error(error: ApiError, message: str) -> str:
    if error.reason == "Unauthorized":
        return f"error: You must be logged in to the server ({message})"
    if error.reason:
        return f"Error from server ({error.reason}): {message}"
    return f"Error from server: {message}"


def _invalid(error: ApiError) -> str:
    details = error.details
    causes = details.get("causes") or ()
    text = "The request is invalid"
    if details.get("kind") or details.get("name"):
        text = f'The {details.get("kind", "")} "{details.get("name", "")}" is invalid'
    elif error.message and not causes:
        text = f"{text}: {error.message}"
    if not causes:
        return text
    lines = [
        f"{cause['field']}: {cause.get('message', '')}"
        if cause.get("field")
        else cause.get("message", "")
        for cause in causes
    ]
    if len(lines) == 1:
        return f"{text}: {lines[0]}"
    return "\n* ".join([text + ": ", *lines])
