"""Every error netlab raises on purpose, in one tree.

    NetlabError                 base; str(error) is one clear line for the user
    ├── UsageError              a flag, file or manifest is wrong; the user can mend it
    ├── HostError               the machine lacks root, a tool or a kernel feature
    ├── CommandError            a program ended with a non-zero code
    │   └── CommandTimeoutError a program did not end in time
    ├── NetworkError            a link, route, address or rule could not be set
    ├── AddressPoolError        no address is left, or ranges overlap
    ├── ContainerError          the OCI runtime or conmon refused
    ├── ImageError              an image is unknown or cannot be unpacked
    ├── StorageError            the store's file cannot be read or written
    ├── UnreadableError         an object's fields are not what its kind says
    └── ApiError                the API server answered with a Status (see below)

``ApiError`` carries the Kubernetes Status; its reason (``NotFound``, ``Conflict``, …) is matched
with the ``is_…`` helpers of this module, as client-go's ``apierrors`` does.

Drivers translate foreign exceptions at their edge, chained with ``from``. A message gives object,
action and cause: ``pod shop/web: add eth0: name in use``.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own constant costs the command line 4 ms of imports
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class NetlabError(Exception):
    """Base of all errors that netlab raises on purpose."""


class UsageError(NetlabError):
    """What the user typed or wrote is wrong; the message says what to change."""


class HostError(NetlabError):
    """The machine lacks something netlab needs; the message says how to mend it."""


class CommandError(NetlabError):
    """A program ended with a non-zero code."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.code = code
        self.stderr = stderr
        lines = [line for line in stderr.strip().splitlines() if line.strip()]
        super().__init__(f"{argv[0]}: exit code {code}: {lines[-1] if lines else 'no message'}")


class CommandTimeoutError(CommandError):
    """A program did not end in time and was killed."""

    def __init__(self, argv: Sequence[str], timeout_s: float) -> None:
        super().__init__(argv, -9, f"did not end within {timeout_s:g} s")


class NetworkError(NetlabError):
    """A link, route, address, namespace or rule could not be read or set."""


class AddressPoolError(NetlabError):
    """No address is left in a range, or ranges overlap."""


class ContainerError(NetlabError):
    """The OCI runtime or conmon refused."""


class ImageError(NetlabError):
    """An image is unknown, corrupt or cannot be unpacked.

    reason: what the kubelet shows as the container's waiting reason: ErrImagePull,
    ErrImageNeverPull or InvalidImageName.
    """

    def __init__(self, message: str, *, reason: str = "ErrImagePull") -> None:
        super().__init__(message)
        self.reason = reason


class StorageError(NetlabError):
    """The store's file is corrupt, in use, or the disk refuses; nothing was acknowledged."""


class UnreadableError(NetlabError):
    """An object holds what its view cannot read; nobody can act on it until it is changed."""


class ApiError(NetlabError):
    """The API server answered with a Status object of ``status: Failure``.

    code: HTTP status; reason: ``metav1.StatusReason``; details: ``{name, group, kind, causes}``,
    None to leave them out, which is not the same as empty: kubectl debug crashes without.
    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self._tells_details = details is not None

    def status(self) -> dict[str, Any]:
        """The Status object to send over the wire."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details or self._tells_details:
            body["details"] = self.details
        return body

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> ApiError:
        """The error that a received Status object tells."""
        return cls(
            int(status.get("code", 500)),
            str(status.get("reason", "InternalError")),
            str(status.get("message", "the server gave no message")),
            status.get("details"),
        )


def is_not_found(error: BaseException) -> bool:
    """True when the object does not exist."""
    return isinstance(error, ApiError) and error.reason == "NotFound"


def is_already_exists(error: BaseException) -> bool:
    """True when an object of that name exists."""
    return isinstance(error, ApiError) and error.reason == "AlreadyExists"


def is_conflict(error: BaseException) -> bool:
    """True when the object changed since it was read, or a precondition failed."""
    return isinstance(error, ApiError) and error.reason == "Conflict"


def is_expired(error: BaseException) -> bool:
    """True when a watch's resourceVersion is too old and the caller must list again."""
    return isinstance(error, ApiError) and error.reason in ("Expired", "Gone")
