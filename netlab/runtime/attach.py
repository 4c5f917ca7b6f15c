"""The streams of a container's own process: ``kubectl attach`` and ``kubectl run -it``.

Mirrors containerd's ``ContainerIO.Attach`` on conmon, which holds the container's output and input
and takes clients on a socket of packets: to us, one byte that tells the stream and then data; from
us, data. Every client gets all output from when it came; what several type reaches the program
mixed.

The end of a client's input ends the container's only when the container has ``stdinOnce`` and no
terminal; otherwise it ends the client's session, as with containerd. conmon ends the input of
such a container when any client goes, so the connection of one that only looked is kept until the
container ends.

conmon waits for a client that does not read, and with it the container's output and everybody else.
So this side reads on for a client that is behind, and holds back the container only once 1 MiB
waits; a client that has not taken half of that within 5 s is cut off.

netlab leaves out conmon's detach keys: kubectl has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netlab.api.streams import STDERR, STDOUT
from netlab.errors import ContainerError
from netlab.runtime.conmon import resize_terminal
from netlab.runtime.descriptors import InputWriter

# conmon reads 32 KiB at most and loses the rest of a longer packet; older ones read 8 KiB.
_PACKET_BYTES_MAX = 8 << 10
# More than conmon ever sends at once.
_RECEIVE_BYTES = 256 << 10
BEHIND_BYTES_MAX = 1 << 20
BEHIND_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 5.0
_CONNECT_INTERVAL_S = 0.01
# conmon's numbers of the streams.
_CHANNELS = {2: STDOUT, 3: STDERR}


@dataclass(frozen=True, slots=True)
class AttachTarget:
    """A running container. folder: its bundle, where conmon listens.

    resize: sets the size of its terminal (columns, rows), if that is possible without conmon.
    ended: done when the container has ended (exit_code tells how then), cancelled when the runtime
    closes.
    """

    id: str
    folder: Path
    stdin: bool
    stdin_once: bool
    tty: bool
    ended: asyncio.Future[None]
    exit_code: Callable[[], int]
    resize: Callable[[int, int], bool] = lambda _columns, _rows: False

    @property
    def input_ends(self) -> bool:
        """True when the container's input ends with a client's."""
        return self.stdin and self.stdin_once and not self.tty


class PacketReader:
    """Reads conmon's packets; owns the socket. See the module on clients that are behind."""

    def __init__(self, connection: socket.socket, on_cut: Callable[[], None]) -> None:
        """on_cut: called when the reader was too slow; it takes the connection."""
        self._connection: socket.socket | None = connection
        self._on_cut = on_cut
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._deadline: asyncio.TimerHandle | None = None
        asyncio.get_running_loop().add_reader(connection, self._on_readable)

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next (channel, data); None at the end."""
        while not self._pieces:
            if self._connection is None:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        channel, data = self._pieces.popleft()
        self._waiting_bytes -= len(data)
        if self._deadline is not None and self._waiting_bytes <= BEHIND_BYTES_MAX // 2:
            self._resume()
        return channel, data

    def release(self) -> socket.socket | None:
        """Stop reading and give the connection away, if it has not ended; the reader is at its end
        then.
        """
        connection, self._connection = self._connection, None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if connection is not None:
            asyncio.get_running_loop().remove_reader(connection)
        self._arrived.set()
        return connection

    def close(self) -> None:
        """Close the connection; what was read already can still be taken."""
        if connection := self.release():
            connection.close()

    def _on_readable(self) -> None:
        if self._connection is None:
            return
        try:
            packet = self._connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self.close()
            return
        if (channel := _CHANNELS.get(packet[0])) is None:
            return
        self._pieces.append((channel, packet[1:]))
        self._waiting_bytes += len(packet) - 1
        if self._waiting_bytes >= BEHIND_BYTES_MAX:
            self._pause()
        self._arrived.set()

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        if self._connection is not None:
            loop.remove_reader(self._connection)
        self._deadline = loop.call_later(BEHIND_TIMEOUT_S, self._cut)

    def _resume(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._connection is not None:
            asyncio.get_running_loop().add_reader(self._connection, self._on_readable)

    def _cut(self) -> None:
        self._deadline = None
        self._on_cut()


class AttachedProcess:
    """A container's process as one client sees it; fulfils ``ExecProcess``. Made by ``attach``."""

    def __init__(self, target: AttachTarget, connection: socket.socket, *, stdin: bool) -> None:
        self._target = target
        self._output = PacketReader(connection, self._on_cut)
        self._connection = connection
        self._stdin: InputWriter | None = None
        self._looks_only = not stdin
        if stdin and target.stdin:
            self._stdin = InputWriter(os.dup(connection.fileno()))
        self._outcome: asyncio.Future[int | ContainerError] = (
            asyncio.get_running_loop().create_future()
        )
        target.ended.add_done_callback(self._on_end)

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece of output; None when the container or the session has ended."""
        return await self._output.read()

    async def write_stdin(self, data: bytes) -> None:
        """Write to the container; one without stdin reads nothing."""
        for start in range(0, len(data), _PACKET_BYTES_MAX):
            if self._stdin is not None:
                await self._stdin.write(data[start : start + _PACKET_BYTES_MAX])

    async def close_stdin(self) -> None:
        """End the container's input when it has stdinOnce; otherwise end the session."""
        if self._stdin is None:
            return
        if not self._target.input_ends:
            await self.close()
            return
        self._end_input()
        # ENOTCONN: conmon has gone meanwhile
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    async def resize(self, columns: int, rows: int) -> None:
        """Set the size of the container's terminal, for all who are attached."""
        if not self._target.tty or columns < 1 or rows < 1:
            return
        # conmon mixes up two sizes that come at once, as those of kubectl do
        if not self._target.resize(columns, rows):
            resize_terminal(self._target.folder, columns, rows)

    async def wait(self) -> int:
        """Return the container's exit code; 0 when the session was ended before the container.

        Raises: ContainerError when the client was cut off, or the runtime was closed.
        """
        outcome = await asyncio.shield(self._outcome)
        if isinstance(outcome, ContainerError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Detach; the container runs on. Twice is fine."""
        self._leave()
        self._settle(0)

    def _leave(self) -> None:
        self._end_input()
        if connection := self._output.release():
            if self._target.input_ends and self._looks_only and not self._target.ended.done():
                _keep(connection, self._target.ended)
            else:
                connection.close()

    def _on_end(self, ended: asyncio.Future[None]) -> None:
        if ended.cancelled():
            self._end_input()
            self._output.close()
            self._settle(ContainerError("the container runtime was closed"))
        else:
            self._settle(self._target.exit_code())

    def _on_cut(self) -> None:
        self._leave()
        self._settle(
            ContainerError(
                f"container {self._target.id}: attach: the client reads too slowly: "
                f"{BEHIND_BYTES_MAX >> 20} MiB of output waited for {BEHIND_TIMEOUT_S:g} s"
            )
        )

    def _end_input(self) -> None:
        if self._stdin is not None:
            self._stdin.close()
            self._stdin = None

    def _settle(self, outcome: int | ContainerError) -> None:
        self._target.ended.remove_done_callback(self._on_end)
        if not self._outcome.done():
            self._outcome.set_result(outcome)


def _keep(connection: socket.socket, ended: asyncio.Future[None]) -> None:
    """Keep a connection that is read no more until the container ends."""
    # conmon's next write fails, after which it writes no more and does not count it as a leave
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    ended.add_done_callback(lambda _: connection.close())


async def attach(target: AttachTarget, *, stdin: bool) -> AttachedProcess:
    """Connect to a running container's conmon.

    Raises: ContainerError when conmon does not answer.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        connection.setblocking(False)
        await _connect(connection, target)
        return AttachedProcess(target, connection, stdin=stdin)
    except BaseException:
        connection.close()
        raise


async def _connect(connection: socket.socket, target: AttachTarget) -> None:
    deadline = time.monotonic() + _CONNECT_TIMEOUT_S
    folder = -1
    try:
        # the path of a socket ends at 107 bytes, and the folder's own may be longer
        folder = os.open(target.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        while True:
            try:
                connection.connect(f"/proc/self/fd/{folder}/attach")
            except BlockingIOError:
                # ten clients wait already, for conmon waits for one that does not read
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_CONNECT_INTERVAL_S)
            else:
                return
    except OSError as error:
        cause = f"attach: conmon does not answer: {error.strerror}"
        raise ContainerError(f"container {target.id}: {cause}") from error
    finally:
        if folder >= 0:
            os.close(folder)
