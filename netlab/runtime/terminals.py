"""Pseudo-terminals: their sizes, and the ends of their lines.

The terminal of ``kubectl exec -t`` is made here (``exec.py``), that of a container's own process by
the OCI runtime for conmon. The kernel tells the programs on it of each new size.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import struct
import termios
import tty
from typing import Final

_BARE_NEWLINE: Final = re.compile(rb"(?<!\r)\n")
# Documentation/admin-guide/devices.txt: the slaves of Unix 98 pseudo-terminals.
_SLAVE_MAJORS: Final = range(136, 144)
_STANDARD_STREAMS: Final = 3


def set_size(terminal: int, columns: int, rows: int) -> bool:
    """Set the size of an open terminal; tell whether it was possible."""
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    except OSError:
        return False
    return True


def set_size_of(pid: int, columns: int, rows: int) -> bool:
    """Set the size of the terminal that a process reads or writes; False when it has none.

    The process must be one that the caller trusts to be the container's.
    """
    return any(
        _set_size_at(f"/proc/{pid}/fd/{number}", columns, rows)
        for number in range(_STANDARD_STREAMS)
    )


def make_raw(terminal: int) -> None:
    """Have a terminal pass on everything as it is, also once an OCI runtime has set it anew.

    The runtime makes it raw too, but has it mend the ends of lines.
    """
    tty.setraw(terminal)
    modes = termios.tcgetattr(terminal)
    modes[tty.OFLAG] &= ~termios.ONLCR
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def with_carriage_returns(data: bytes, *, after_return: bool) -> bytes:
    """Return a piece of a terminal's output with a carriage return before each newline.

    after_return: the piece before ended with one.
    """
    if after_return and data.startswith(b"\n"):
        return b"\n" + _BARE_NEWLINE.sub(b"\r\n", data[1:])
    return _BARE_NEWLINE.sub(b"\r\n", data)


def _set_size_at(path: str, columns: int, rows: int) -> bool:
    try:
        # not opened yet: it may be any device that the container has
        found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        facts = os.fstat(found)
        if not stat.S_ISCHR(facts.st_mode) or os.major(facts.st_rdev) not in _SLAVE_MAJORS:
            return False
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        terminal = os.open(f"/proc/self/fd/{found}", flags)
    except OSError:
        return False
    finally:
        os.close(found)
    try:
        return set_size(terminal, columns, rows)
    finally:
        os.close(terminal)
