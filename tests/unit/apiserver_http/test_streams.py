"""Logs and channels: what is decided before and around a stream."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from netlab.api.streams import LogOptions
from netlab.apiserver.streams.command_query import parse_command
from netlab.apiserver.streams.logs import choose_container, parse_log_options
from netlab.errors import ApiError
from netlab.streaming.channels import (
    V1,
    V1_BASE64,
    V4,
    V4_BASE64,
    V5,
    Resized,
    StdinClosed,
    StdinData,
    choose_protocol,
    encode_outcome,
    join_message,
    parse_frame,
    split_message,
)
from netlab.streaming.commands import CommandRequest

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(*names, init=()):
    return {
        "metadata": {"name": "x"},
        "spec": {
            "containers": [{"name": name} for name in names],
            "initContainers": [{"name": name} for name in init],
        },
    }


def test_the_only_container_need_not_be_named():
    assert choose_container(pod("a"), "") == "a"
    assert choose_container(pod("a", "b"), "b") == "b"
    assert choose_container(pod("a", init=("i",)), "i") == "i"


CHOICES = {
    "several": (
        pod("a", "b"),
        "",
        "a container name must be specified for pod x, choose one of: [a b]",
    ),
    "with init": (
        pod("a", "b", init=("i",)),
        "",
        "a container name must be specified for pod x, choose one of: [a b] "
        "or one of the init containers: [i]",
    ),
    "wrong": (pod("a"), "z", "container z is not valid for pod x"),
}


@pytest.mark.parametrize(("obj", "wanted", "message"), CHOICES.values(), ids=CHOICES)
def test_an_unclear_container_is_refused(obj, wanted, message):
    with pytest.raises(ApiError) as raised:
        choose_container(obj, wanted)
    assert (raised.value.code, raised.value.message) == (400, message)


def test_log_options():
    query = {"follow": "true", "tailLines": "3", "sinceSeconds": "60", "timestamps": "1"}
    assert parse_log_options(query, "x", NOW) == LogOptions(
        follow=True, tail_lines=3, timestamps=True, since=NOW - timedelta(minutes=1)
    )
    since = parse_log_options({"sinceTime": "2026-01-01T00:00:00Z"}, "x", NOW).since
    assert since == datetime(2026, 1, 1, tzinfo=UTC)


BAD_LOGS = {
    "no number": ({"tailLines": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    "negative": (
        {"tailLines": "-1"},
        422,
        'PodLogOptions "x" is invalid: tailLines: Invalid value: -1: '
        "must be greater than or equal to 0",
    ),
    "stream": (
        {"stream": "stdout"},
        422,
        'PodLogOptions "x" is invalid: stream: Unsupported value: "stdout": supported values: '
        '"All", "Stderr", "Stdout"',
    ),
    "tail of a stream": (
        {"stream": "Stdout", "tailLines": "1"},
        422,
        'PodLogOptions "x" is invalid: Forbidden: `tailLines` and specific `stream` are mutually '
        "exclusive for now",
    ),
    "both": (
        {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
        422,
        'PodLogOptions "x" is invalid: Forbidden: at most one of `sinceTime` or `sinceSeconds` '
        "may be specified",
    ),
}


@pytest.mark.parametrize(("query", "code", "message"), BAD_LOGS.values(), ids=BAD_LOGS)
def test_bad_log_options(query, code, message):
    with pytest.raises(ApiError) as raised:
        parse_log_options(query, "x", NOW)
    assert (raised.value.code, raised.value.message) == (code, message)


def test_exec_query_keeps_the_order_of_the_command():
    parsed = parse_command("command=sh&command=-c&command=exit+3&stdin=true&stdout=true&tty=false")
    assert parsed == CommandRequest(
        ("sh", "-c", "exit 3"), stdin=True, stdout=True, stderr=False, tty=False
    )


FRAMES = {
    "stdin": (b"\x00hi", V5, StdinData(b"hi")),
    "size": (b'\x04{"Width":80,"Height":24}', V4, Resized(80, 24)),
    "size that is none": (b"\x04{}", V4, None),
    "size beyond all terminals": (b'\x04{"Width":99999,"Height":24}', V4, None),
    "close of stdin": (b"\xff\x00", V5, StdinClosed()),
    "close is unknown to v4": (b"\xff\x00", V4, None),
    "output is not the caller's": (b"\x01x", V5, None),
    "nothing": (b"", V5, None),
}


@pytest.mark.parametrize(("message", "protocol", "expected"), FRAMES.values(), ids=FRAMES)
def test_frames_from_the_caller(message, protocol, expected):
    assert parse_frame(message, protocol) == expected


def test_the_outcome_of_a_command():
    assert encode_outcome(0, V5) == b'{"metadata":{},"status":"Success"}'
    status = msgspec.json.decode(encode_outcome(3, V4))
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    lost = ApiError(500, "InternalError", "it is gone")
    assert msgspec.json.decode(encode_outcome(lost, V4_BASE64))["message"] == "it is gone"


def test_old_protocols_tell_errors_as_text_and_success_not_at_all():
    assert encode_outcome(0, V1) == b""
    assert encode_outcome(3, V1_BASE64).endswith(b"command terminated with exit code 3")


MESSAGES = {
    "binary": (b"\x01out", V4, (1, b"out")),
    "base64": ("1b3V0", V1_BASE64, (1, b"out")),
    "base64 that is none": ("1!!", V4_BASE64, None),
    "text without a channel": ("x", V4_BASE64, None),
    "nothing": (b"", V1, None),
}


@pytest.mark.parametrize(("message", "protocol", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_messages(message, protocol, expected):
    assert split_message(message, protocol) == expected
    if expected is not None:
        assert join_message(*expected, protocol) == message


def test_text_is_taken_for_bytes():
    assert split_message("\0h\u00e9", V5) == (0, "h\u00e9".encode())


OFFERS = {
    "newest": ([V4, V5], V5),
    "of equals the binary one": ([V4_BASE64, V4], V4),
    "oldest": ([V1], V1),
    "unknown": (["v9.channel.k8s.io"], ""),
}


@pytest.mark.parametrize(("offered", "chosen"), OFFERS.values(), ids=OFFERS)
def test_the_newest_protocol_wins(offered, chosen):
    assert choose_protocol(offered) == chosen
