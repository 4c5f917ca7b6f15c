"""What every verb is given: the streams, the global options, and the cluster they lead to."""

from __future__ import annotations

import sys

from netlab.errors import UsageError
from netlab.kubectl.flags import Flag, parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import IO, Any

    from netlab.client.blocking import BlockingClient
    from netlab.client.kubeconfig import ClusterAccess
    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.resources import Resources

GLOBAL_FLAGS = (
    Flag("namespace", short="n", help="The namespace to work in."),
    Flag("context", help="The kubeconfig context to use."),
    Flag("cluster", help="The kubeconfig cluster to use."),
    Flag("user", help="The kubeconfig user to be."),
    Flag("kubeconfig", help="The kubeconfig file to use."),
    Flag("server", short="s", help="Address of the API server."),
    Flag("token", help="Bearer token."),
    Flag("certificate-authority", help="File of the certificate authority."),
    Flag("client-certificate", help="File of the client certificate."),
    Flag("client-key", help="File of the client key."),
    Flag("insecure-skip-tls-verify", "bool", help="Trust any server certificate."),
    Flag("tls-server-name", help="Name to expect in the server's certificate."),
    Flag("request-timeout", default="0", help="Longest wait for the server, such as 5s; 0: ever."),
    Flag("as", help="User to impersonate."),
    Flag("as-group", "array", help="Groups to impersonate."),
    Flag("warnings-as-errors", "bool", help="Exit with 1 when the server warns."),
    Flag("cache-dir", help="Accepted for kubectl's sake; netlab keeps no cache."),
    Flag("v", "int", short="v", default=0, help="Accepted for kubectl's sake."),
)


class Session:
    """One run of the command line.

    program: what the user typed to get here, ``netlab`` or ``kubectl netlab``; command: the verb
    that runs; warnings: how many the server gave. hands_over: what netlab lacks is run by kubectl,
    which then takes this process's place.
    """

    def __init__(
        self, program: str, out: IO[str], err: IO[str], *, hands_over: bool = False
    ) -> None:
        self.hands_over = hands_over
        self.program = program
        self.out = out
        self.err = err
        self.command = ""
        self.warnings = 0
        self._flags: dict[str, Any] = {}
        self._access: ClusterAccess | None = None
        self._client: BlockingClient | None = None
        self._resources: Resources | None = None

    def use(self, parsed: Parsed) -> None:
        """Take the global options from what was parsed."""
        self._flags = dict(parsed.values)
        if "insecure-skip-tls-verify" not in parsed.given:
            self._flags["insecure-skip-tls-verify"] = None

    @property
    def access(self) -> ClusterAccess:
        """Where the cluster is and who we are."""
        if self._access is None:
            from netlab.client.kubeconfig import resolve

            self._access = resolve(self._flags)
        return self._access

    @property
    def namespace(self) -> str:
        """The namespace of ``-n`` or of the context."""
        return self.access.namespace

    @property
    def client(self) -> BlockingClient:
        """The connection to the API server."""
        if self._client is None:
            from netlab.client.blocking import BlockingClient

            self._client = BlockingClient(
                self.access, on_warning=self._warn, timeout_s=self._timeout_s()
            )
        return self._client

    @property
    def resources(self) -> Resources:
        """What the server serves."""
        if self._resources is None:
            from netlab.kubectl.resources import Resources

            self._resources = Resources(self.client)
        return self._resources

    def new_client(self) -> BlockingClient:
        """Return a further connection, for a thread of its own."""
        from netlab.client.blocking import BlockingClient

        return BlockingClient(self.access, on_warning=self._warn, timeout_s=self._timeout_s())

    def print(self, text: str = "") -> None:
        """Write a line to standard output."""
        self.out.write(text + "\n")

    def complain(self, text: str) -> None:
        """Write a line to standard error, after what was printed before it."""
        self.out.flush()
        self.err.write(text + "\n")
        self.err.flush()

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def now(self) -> datetime:
        """Return the time, in UTC."""
        from datetime import UTC, datetime

        return datetime.now(UTC)

    def stdin_bytes(self) -> bytes:
        """Return all of standard input."""
        return sys.stdin.buffer.read()

    def _timeout_s(self) -> float | None:
        text = self._flags.get("request-timeout") or "0"
        try:
            return (float(text) if text.isdigit() else parse_duration(text)) or None
        except ValueError as error:
            raise UsageError(
                "Invalid timeout value. Timeout must be a single integer in seconds, or an "
                "integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)"
            ) from error

    def _warn(self, text: str) -> None:
        self.warnings += 1
        self.complain(f"Warning: {text}")
