"""``netlab port-forward``: ports of this machine that lead to ports inside a pod.

Mirrors ``kubectl port-forward``. Each connection to a local port gets a WebSocket of its own
(``v4.channel.k8s.io``: channel 0 carries the bytes, channel 1 an error text, and each begins with
the port's number), served by a thread.

netlab leaves out the tunnelled SPDY that kubectl uses: so one side cannot end its half of a
connection and go on listening; when the client is done sending, the connection is closed once
nothing has come back for a second.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from netlab.client.websocket import (
    BINARY,
    CLOSE,
    NORMAL_CLOSURE,
    Frames,
    accept_for,
    encode_frame,
    handshake_headers,
    new_key,
)
from netlab.errors import NetlabError, NetworkError, UsageError
from netlab.kubectl.flags import Command, Flag, HintedUsageError
from netlab.kubectl.pod_choice import find_pods
from netlab.kubectl.selection import fetch, targets_of_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
CHUNK_BYTES = 64 * 1024
MAX_WAITING_BYTES = 1 << 20
LINGER_S = 1.0
BACKLOG = 128


class Forward:
    """One pair of ports; local 0 takes a free one."""

    __slots__ = ("local", "remote")

    def __init__(self, local: int, remote: int) -> None:
        self.local = local
        self.remote = remote


def _run(session: Session, parsed: Parsed) -> int:
    if not parsed.args:
        raise HintedUsageError("TYPE/NAME and list of ports are required for port-forward")
    if len(parsed.args) < 2:
        raise HintedUsageError("at least 1 PORT is required for port-forward")
    word, *texts = parsed.args
    pod = find_pods(session, word, "port-forward", timeout_s=parsed["pod-running-timeout"])[0]
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running":
        raise UsageError(
            f"unable to forward port because pod is not running. Current status={phase}"
        )
    service = _service(session, word)
    forwards = [parse_forward(text, pod, service) for text in texts]
    listeners = _listen(session, parsed["address"], forwards)
    with contextlib.suppress(KeyboardInterrupt):
        _accept(session, pod, listeners)
    return 0


def _service(session: Session, word: str) -> dict[str, Any] | None:
    if "/" not in word:
        return None
    target = targets_of_words(session, [word], verb="port-forward")[0]
    return fetch(session, target) if target.resource.kind == "Service" else None


def parse_forward(text: str, pod: Mapping[str, Any], service: Mapping[str, Any] | None) -> Forward:
    """Return what ``LOCAL:REMOTE``, ``PORT`` or ``:REMOTE`` means for a pod or its Service.

    Raises: UsageError, worded as kubectl words it.
    """
    local, colon, remote = text.rpartition(":")
    if not colon:
        local = remote
    if ":" in local:
        raise UsageError(f"invalid port format '{text}'")
    if service is not None:
        number = _service_port(remote, pod, service)
        if not colon and not remote.isdigit():
            local = str(number)
    else:
        number = _container_port(remote, pod)
        if not colon and not remote.isdigit():
            local = str(number)
    if colon and not local:
        return Forward(0, number)
    if not local.isdigit() or not 0 <= int(local) <= 65535:
        raise UsageError(
            f"error parsing local port '{local}': strconv.ParseUint: parsing \"{local}\": "
            + ("value out of range" if local.isdigit() else "invalid syntax")
        )
    return Forward(int(local), number)


def _container_port(text: str, pod: Mapping[str, Any]) -> int:
    if text.isdigit():
        if not 1 <= int(text) <= 65535:
            raise UsageError(
                "remote port must be > 0"
                if int(text) == 0
                else f"error parsing remote port '{text}': strconv.ParseUint: parsing "
                f'"{text}": value out of range'
            )
        return int(text)
    for container in (pod.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == text and port.get("protocol", "TCP") == "TCP":
                return int(port["containerPort"])
    raise UsageError(f"Pod '{pod['metadata']['name']}' does not have a named port '{text}'")


def _service_port(text: str, pod: Mapping[str, Any], service: Mapping[str, Any]) -> int:
    spec, name = service.get("spec") or {}, service["metadata"]["name"]
    for port in spec.get("ports") or ():
        if text not in (str(port["port"]), port.get("name")):
            continue
        if spec.get("clusterIP") == "None":
            return int(port["port"])
        return _container_port(str(port.get("targetPort") or port["port"]), pod)
    if text.isdigit():
        raise UsageError(f"Service {name} does not have a service port {text}")
    raise UsageError(f"Service '{name}' does not have a named port '{text}'")


def _listen(
    session: Session, addresses: str, forwards: Sequence[Forward]
) -> dict[socket.socket, Forward]:
    """Open all local ports, or none.

    Raises: UsageError when one of them cannot be had at any address.
    """
    listeners: dict[socket.socket, Forward] = {}
    hosts = _hosts(addresses)
    for forward in forwards:
        failures, chosen = [], forward.local
        for host, optional in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                listener = socket.create_server((host, chosen), family=family, backlog=BACKLOG)
            except OSError as error:
                if not optional:
                    shown = f"[{host}]" if ":" in host else host
                    reason = (error.strerror or str(error)).lower()
                    failures.append(f"listen tcp {shown}:{chosen}: bind: {reason}")
                continue
            chosen = listener.getsockname()[1]
            listeners[listener] = forward
            shown = f"[{host}]" if ":" in host else host
            session.print(f"Forwarding from {shown}:{chosen} -> {forward.remote}")
        if failures:
            for listener in listeners:
                listener.close()
            raise UsageError(
                f"unable to listen on port {forward.local}: Listeners failed to create with the "
                f"following errors: {'; '.join(failures)}"
            )
    session.out.flush()
    return listeners


def _hosts(addresses: str) -> list[tuple[str, bool]]:
    """Return addresses to listen at, each with whether it may be missing on this machine."""
    found: list[tuple[str, bool]] = []
    for text in addresses.split(","):
        if text == "localhost":
            found += [("127.0.0.1", False), ("::1", True)]
            continue
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        try:
            socket.inet_pton(family, text)
        except OSError as error:
            raise UsageError(f"{text} is not a valid IP") from error
        found.append((text, False))
    return found


def _accept(
    session: Session, pod: Mapping[str, Any], listeners: Mapping[socket.socket, Forward]
) -> None:
    while True:
        ready, _, _ = select.select(list(listeners), [], [])
        for listener in ready:
            connection, _ = listener.accept()
            session.print(f"Handling connection for {listener.getsockname()[1]}")
            session.out.flush()
            threading.Thread(
                target=_serve, args=(session, pod, connection, listeners[listener]), daemon=True
            ).start()


def _serve(
    session: Session, pod: Mapping[str, Any], local: socket.socket, forward: Forward
) -> None:
    try:
        remote, first = _connect(session, pod, forward.remote)
    except (NetlabError, OSError) as error:
        session.complain(f"error: {error}")
        local.close()
        return
    pipe = _Pipe(session, local, remote, forward)
    try:
        pipe.run(first)
    except OSError as error:
        session.complain(f"error: forward port {forward.remote}: {error.strerror or error}")
    finally:
        local.close()
        remote.close()


def _connect(session: Session, pod: Mapping[str, Any], port: int) -> tuple[socket.socket, bytes]:
    metadata, key = pod["metadata"], new_key()
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/portforward"
    response, sock, left = session.new_client().upgrade(
        path, query=f"ports={port}", headers=handshake_headers(key, PROTOCOL)
    )
    if response.status != 101 or response.headers.get("sec-websocket-accept") != accept_for(key):
        from netlab.client.blocking import error_from

        try:
            raise error_from(response, response.read())
        finally:
            sock.close()
    return sock, left


class _Pipe:
    """The two ends of one forwarded connection."""

    def __init__(
        self, session: Session, local: socket.socket, remote: socket.socket, forward: Forward
    ) -> None:
        self._session = session
        self._local = local
        self._remote = remote
        self._forward = forward
        self._frames = Frames()
        self._greeted: set[int] = set()
        self._to_remote = bytearray()
        self._to_local = bytearray()
        self._local_open = True
        self._remote_open = True

    def run(self, first: bytes) -> None:
        """Copy both ways until both ends are done."""
        self._local.setblocking(False)
        self._remote.setblocking(False)
        self._take(first)
        while (self._remote_open or self._to_local) and self._turn():
            pass
        with contextlib.suppress(OSError):
            self._remote.setblocking(True)
            self._remote.sendall(encode_frame(CLOSE, NORMAL_CLOSURE.to_bytes(2, "big")))

    def _turn(self) -> bool:
        """Wait for something to do and do it; return False when nothing more will come."""
        readers: list[socket.socket] = []
        if self._remote_open and len(self._to_local) < MAX_WAITING_BYTES:
            readers.append(self._remote)
        if self._local_open and len(self._to_remote) < MAX_WAITING_BYTES:
            readers.append(self._local)
        writers = [self._remote] if self._to_remote else []
        writers += [self._local] if self._to_local else []
        pending = getattr(self._remote, "pending", lambda: 0)()
        idle_s = None if self._local_open or self._to_remote or self._to_local else LINGER_S
        ready, writable, _ = select.select(readers, writers, [], 0 if pending else idle_s)
        if not (ready or writable or pending):
            return False
        if self._local in ready:
            self._read_local()
        if self._to_remote:
            self._write(self._remote, self._to_remote)
        if self._remote in ready or (pending and self._remote in readers):
            self._read_remote()
        if self._to_local:
            self._write(self._local, self._to_local)
        return True

    def _read_local(self) -> None:
        data = self._local.recv(CHUNK_BYTES)
        if data:
            self._to_remote += encode_frame(BINARY, bytes([DATA]) + data)
        else:
            self._local_open = False

    def _read_remote(self) -> None:
        try:
            data = self._remote.recv(CHUNK_BYTES)
        except OSError as error:
            if _would_block(error):
                return
            raise
        if data:
            self._take(data)
        else:
            self._remote_open = False

    def _take(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            channel, payload = message[0], message[1:]
            if channel not in self._greeted:
                self._greeted.add(channel)  # two bytes with the port's number
            elif channel == DATA:
                self._to_local += payload
            elif channel == ERROR and payload:
                text = payload.decode(errors="replace").strip()
                self._session.complain(f"error: forward port {self._forward.remote}: {text}")
                self._remote_open = False
        self._to_remote += self._frames.outgoing
        self._frames.outgoing.clear()
        if self._frames.closed:
            self._remote_open = False

    def _write(self, sock: socket.socket, waiting: bytearray) -> None:
        try:
            sent = sock.send(waiting)
        except OSError as error:
            if _would_block(error):
                return
            raise NetworkError(f"port {self._forward.remote}: {error}") from error
        del waiting[:sent]


def _would_block(error: OSError) -> bool:
    # ssl may not be loaded: its signals are told by their names
    names = ("BlockingIOError", "SSLWantReadError", "SSLWantWriteError")
    return type(error).__name__ in names


COMMAND = Command(
    "port-forward",
    _run,
    usage="(POD | TYPE/NAME) [LOCAL:]REMOTE…",
    text="Let ports of this machine lead to ports inside a pod.",
    flags=(
        Flag("address", default="localhost", help="Addresses to listen at, with commas."),
        Flag("pod-running-timeout", "duration", default=60.0, help="Wait so long for a pod."),
    ),
    examples=(
        "port-forward web 8080:80",
        "port-forward svc/web :80",
        "port-forward deploy/db 5432",
    ),
)
