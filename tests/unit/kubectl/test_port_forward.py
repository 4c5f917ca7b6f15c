"""What port words mean, and how connections are carried."""

import socket
import threading

import pytest

from netlab.client.websocket import BINARY, Frames
from netlab.errors import UsageError
from netlab.kubectl.port_forward import Forward, _Pipe, parse_forward

POD = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "containers": [
            {"name": "a", "ports": [{"name": "http", "containerPort": 8080}]},
            {"name": "b", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
        ]
    },
}
SERVICE = {
    "metadata": {"name": "front"},
    "spec": {
        "clusterIP": "10.96.1.1",
        "ports": [{"name": "web", "port": 80, "targetPort": "http"}, {"port": 90}],
    },
}


@pytest.mark.parametrize(
    ("text", "service", "expected"),
    [
        pytest.param("8080", None, (8080, 8080), id="one number"),
        pytest.param("10080:80", None, (10080, 80), id="local and remote"),
        pytest.param(":80", None, (0, 80), id="any local"),
        pytest.param("http", None, (8080, 8080), id="named"),
        pytest.param("1234:http", None, (1234, 8080), id="local and named"),
        pytest.param("80", SERVICE, (80, 8080), id="a service's port leads to its target"),
        pytest.param("9000:web", SERVICE, (9000, 8080), id="a service's named port"),
        pytest.param("90", SERVICE, (90, 90), id="a service's port without a target"),
    ],
)
def test_ports(text: str, service: dict[str, object] | None, expected: tuple[int, int]) -> None:
    forward = parse_forward(text, POD, service)
    assert (forward.local, forward.remote) == expected


@pytest.mark.parametrize(
    ("text", "service", "message"),
    [
        pytest.param("a:b:c", None, "invalid port format 'a:b:c'", id="three parts"),
        pytest.param("0", None, "remote port must be > 0", id="zero"),
        pytest.param("70000", None, "value out of range", id="too large"),
        pytest.param("x:80", None, "error parsing local port 'x'", id="no number"),
        pytest.param("dns", None, "Pod 'web' does not have a named port 'dns'", id="an UDP port"),
        pytest.param("81", SERVICE, "Service front does not have a service port 81", id="service"),
        pytest.param("x", SERVICE, "Service 'front' does not have a named port 'x'", id="name"),
    ],
)
def test_bad_ports(text: str, service: dict[str, object] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", "\\(")):
        parse_forward(text, POD, service)


class Complaints:
    """Stands for the session."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def complain(self, text: str) -> None:
        self.texts.append(text)


def server_frame(payload: bytes) -> bytes:
    """A frame as a server sends it: not masked."""
    assert len(payload) < 126
    return bytes([0x80 | BINARY, len(payload)]) + payload


def test_bytes_travel_both_ways_and_greetings_are_dropped() -> None:
    user, local = socket.socketpair()
    remote, server = socket.socketpair()
    complaints = Complaints()
    pipe = _Pipe(complaints, local, remote, Forward(10080, 80))  # type: ignore[arg-type]
    thread = threading.Thread(target=pipe.run, args=(server_frame(b"\x00\x50\x00"),))
    thread.start()
    user.sendall(b"question")
    # each message is masked, as a client must; the pipe's own reader refuses that, so unmask here
    data = server.recv(4096)
    mask, body = data[2:6], data[6:]
    assert bytes(b ^ mask[i % 4] for i, b in enumerate(body)) == b"\x00question"
    server.sendall(server_frame(b"\x01\x50\x00") + server_frame(b"\x00answer"))
    assert user.recv(100) == b"answer"
    server.close()
    thread.join(5)
    assert not thread.is_alive()
    assert complaints.texts == []
    for each in (user, local, remote):
        each.close()


def test_an_error_of_the_server_is_told_and_ends_the_connection() -> None:
    user, local = socket.socketpair()
    remote, server = socket.socketpair()
    complaints = Complaints()
    pipe = _Pipe(complaints, local, remote, Forward(10080, 80))  # type: ignore[arg-type]
    greeting = server_frame(b"\x00\x50\x00") + server_frame(b"\x01\x50\x00")
    pipe.run(greeting + server_frame(b"\x01connection refused"))
    assert complaints.texts == ["error: forward port 80: connection refused"]
    for each in (user, local, remote, server):
        each.close()


def test_frames_of_the_server_may_be_split_anywhere() -> None:
    frames = Frames()
    data = server_frame(b"\x00abc") + server_frame(b"\x00def")
    seen = [message for at in range(len(data)) for message in frames.feed(data[at : at + 1])]
    assert seen == [b"\x00abc", b"\x00def"]
