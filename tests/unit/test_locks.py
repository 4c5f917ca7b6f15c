"""Locks on folders: one holder at a time, and no waiting for ever."""

from pathlib import Path

import pytest

from netlab.errors import HostError
from netlab.locks import locked_folder


def test_the_next_one_gets_it_when_it_is_let_go(tmp_path: Path) -> None:
    with locked_folder(tmp_path):
        pass
    with locked_folder(tmp_path, give_up_after_s=0):
        pass


def test_who_waits_too_long_is_told_where(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path),
        pytest.raises(HostError, match="another process has held the lock"),
        locked_folder(tmp_path, give_up_after_s=0.1),
    ):
        pass


def test_a_holder_that_fails_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked_folder(tmp_path):
        raise ValueError("inside")
    with locked_folder(tmp_path, give_up_after_s=0):
        pass
