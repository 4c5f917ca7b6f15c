"""A client of Redis: one connection, one command at a time.

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2)
"""

import contextlib
import socket

_TIMEOUT_S = 5.0
_LINE_MAX_BYTES = 64 * 1024


class RedisError(OSError):
    """The server answered with an error, or not as the protocol says."""


class Redis:
    """A connection, made when first used and again after it broke."""

    def __init__(self, host, port=6379):
        self._address = host, port
        self._stream = None

    def call(self, *words):
        """Return the answer to a command: int, bytes, None or a list.

        Raises: OSError; RedisError when the server refuses.
        """
        try:
            if self._stream is None:
                with socket.create_connection(self._address, _TIMEOUT_S) as sock:
                    self._stream = sock.makefile("rwb")
            self._stream.write(encode(words))
            self._stream.flush()
            kind, value = self._read()
        except OSError:
            self.close()
            raise
        if kind == "error":
            raise RedisError(value)
        return value

    def close(self):
        """Close the connection; the next call makes a new one."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with contextlib.suppress(OSError):
                stream.close()

    def _read(self):
        line = self._stream.readline(_LINE_MAX_BYTES)
        if not line.endswith(b"\r\n"):
            raise RedisError("the connection ended")
        mark, rest = line[:1], line[1:-2]
        if mark in (b"+", b"-"):
            return "error" if mark == b"-" else "value", rest.decode(errors="replace")
        try:
            number = int(rest)
        except ValueError:
            raise RedisError(f"not a Redis answer: {line[:40]!r}") from None
        if mark == b":":
            return "value", number
        if mark == b"*":
            return "value", [self._read()[1] for _ in range(number)]
        if mark != b"$":
            raise RedisError(f"not a Redis answer: {line[:40]!r}")
        if number < 0:
            return "value", None
        data = self._stream.read(number + 2)
        if len(data) != number + 2:
            raise RedisError("the connection ended")
        return "value", data[:-2]


def encode(words):
    """Return a command (texts, bytes and numbers) as it goes over the wire."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)
