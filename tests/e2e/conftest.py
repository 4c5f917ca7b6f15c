from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import Lab, new_lab
from tests.support.traces import NOTHING, host_state, traces_of


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab for the tests of one module; nothing of it may be left afterwards."""
    before = host_state()
    made = new_lab(tmp_path_factory.mktemp("lab"))
    try:
        made.up()
        yield made
    finally:
        made.down()
    assert traces_of(made.name) == NOTHING
    assert host_state() == before


@pytest.fixture
def unstarted_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab the test starts itself; it is brought down whatever happened."""
    made = new_lab(tmp_path_factory.mktemp("lab"))
    try:
        yield made
    finally:
        made.down()
    assert traces_of(made.name) == NOTHING
