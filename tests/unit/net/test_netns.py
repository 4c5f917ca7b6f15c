"""Functions run on threads of their own; results and errors come back."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from netlab.errors import NetworkError
from netlab.net.netns import call_in_netns, is_netns, open_socket


async def test_each_call_has_a_fresh_thread() -> None:
    idents = [await call_in_netns(None, threading.current_thread) for _ in range(2)]
    assert idents[0] is not idents[1]
    assert threading.current_thread() not in idents


async def test_errors_reach_the_caller() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        await call_in_netns(None, fail)


async def test_missing_namespace_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"enter network namespace .*/none: No such file"):
        await call_in_netns(tmp_path / "none", lambda: None)
    assert not is_netns(tmp_path / "none")
    (tmp_path / "file").touch()
    assert not is_netns(tmp_path / "file")


async def test_cancelled_caller_does_not_stop_the_function() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(5)
        ended.set()

    task = asyncio.create_task(call_in_netns(None, work))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 5)


async def test_address_in_use_is_told() -> None:
    bound = await open_socket(
        None, socket.AF_INET, socket.SOCK_STREAM, bind=("127.0.0.1", 0), backlog=1
    )
    with bound, pytest.raises(NetworkError, match="Address already in use"):
        await open_socket(None, socket.AF_INET, socket.SOCK_STREAM, bind=bound.getsockname())
