"""Writes that are lost while nobody looks are told, and what was found is kept."""

import os
import subprocess
import sys

import pytest

from netlab.store.high_water import mark_path
from netlab.store.records import Key
from netlab.store.store import open_store

CRASH = """
import asyncio, os, pathlib, signal
from netlab.store.records import Key
from netlab.store.store import open_store
async def main():
    async with open_store(pathlib.Path({path!r})) as store:
        for number in range(3):
            _, done = store.write(Key("Pod", "d", f"p{{number}}"), 0, lambda revision: b"{{}}")
            await done
        store._reader.checkpoint(beyond_bytes=0)
        for number in range(3, 10):
            _, done = store.write(Key("Pod", "d", f"p{{number}}"), 0, lambda revision: b"{{}}")
            await done
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@pytest.fixture
def killed(tmp_path):
    """A store with ten objects, of which the table holds some; its process was killed."""
    path = tmp_path / "store.db"
    code = CRASH.format(path=str(path))
    subprocess.run([sys.executable, "-c", code], check=False)
    return path


async def reopened(path):
    """Return (warnings, names of the objects, the next revision)."""
    told = []
    async with open_store(path, warn=told.append) as store:
        names = [key.name for key, _ in store.records("Pod", None)]
        record, done = store.write(Key("Pod", "d", "next"), 0, lambda revision: b"{}")
        await done
    return told, names, record.revision


async def test_a_kill_loses_nothing_and_tells_nothing(killed):
    told, names, revision = await reopened(killed)
    assert (told, len(names), revision) == ([], 10, 11)


def wal(path):
    return path.with_name("store.db-wal")


DAMAGES = {
    "emptied": lambda path: wal(path).write_bytes(b""),
    "removed": lambda path: wal(path).unlink(),
    "cut short": lambda path: os.truncate(wal(path), wal(path).stat().st_size - 5000),
    "garbled": lambda path: wal(path).write_bytes(os.urandom(wal(path).stat().st_size)),
    "the table too": lambda path: (wal(path).unlink(), path.unlink()),
    "the table emptied": lambda path: (wal(path).unlink(), path.write_bytes(b"")),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_lost_writes_are_told_in_one_line_and_the_files_are_kept(killed, damage):
    DAMAGES[damage](killed)
    before = {
        each.name: each.read_bytes()
        for each in killed.parent.glob("store.db*")
        if not each.name.endswith("-shm")
    }
    told, names, revision = await reopened(killed)
    (line,) = told
    assert "had reached revision 10" in line
    assert "\n" not in line
    assert len(names) < 10
    assert revision == 11, "a revision that was given out is not given out again"
    kept = killed.parent / "store-found-10"
    assert str(kept) in line
    assert {name: (kept / name).read_bytes() for name in before} == before
    assert (await reopened_again(killed)) == []


async def reopened_again(path):
    told = []
    async with open_store(path, warn=told.append):
        pass
    return told


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\xff" * 21])
async def test_a_mark_that_says_nothing(killed, text):
    mark_path(killed).write_bytes(text)
    told, names, _ = await reopened(killed)
    assert (told, len(names)) == ([], 10)


async def test_a_new_store_tells_nothing(tmp_path):
    told, names, revision = await reopened(tmp_path / "store.db")
    assert (told, names, revision) == ([], [], 1)
