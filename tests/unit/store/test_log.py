"""The file: what is appended is there, what is compacted is not, damage is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import StorageError
from netlab.store.log import MAX_ROWS, Log, Row, batch_length, locked


def row(revision: int, name: str, *, previous: int | None = None, deleted: bool = False) -> Row:
    return Row(
        revision, "pods", "shop", name, "u", deleted, previous, f'{{"rv":{revision}}}'.encode()
    )


@pytest.fixture
def storage(tmp_path: Path):
    opened = Log(tmp_path / "store.db")
    yield opened
    opened.close()


def current(storage: Log) -> dict[str, int]:
    return {key.name: record.revision for key, record in storage.current()}


def test_current_is_each_objects_newest_version(storage: Log):
    storage.append([row(1, "a"), row(2, "b"), row(3, "a", previous=1)])
    storage.append([row(4, "b", previous=2, deleted=True)])
    assert current(storage) == {"a": 3}
    assert storage.newest_revision() == 4


def test_the_largest_batch_fits_one_statement(storage: Log):
    storage.append([row(i, f"p{i}") for i in range(1, MAX_ROWS + 1)])
    assert len(current(storage)) == MAX_ROWS


def test_batches_have_few_lengths():
    lengths = {batch_length(waiting) for waiting in range(1, 10_000)}
    assert lengths == {1, 2, 4, 8, 16, MAX_ROWS}
    assert all(batch_length(waiting) <= waiting for waiting in range(1, 100))


def test_a_batch_is_whole_or_absent(storage: Log):
    storage.append([row(1, "a")])
    with pytest.raises(StorageError, match="UNIQUE"):
        storage.append([row(2, "b"), row(1, "c")])
    assert current(storage) == {"a": 1}


def test_history_tells_what_was_before(storage: Log):
    storage.append([row(1, "a"), row(2, "b"), row(3, "a", previous=1)])
    storage.append([row(4, "a", previous=3, deleted=True)])
    _, changes = storage.history("pods", None, 1, 4)
    assert [(c.revision, c.deleted, c.before) for c in changes] == [
        (2, False, None),
        (3, False, b'{"rv":1}'),
        (4, True, b'{"rv":3}'),
    ]
    assert storage.history("pods", "elsewhere", 0, 4)[1] == []
    assert storage.history("services", None, 0, 4)[1] == []


@pytest.mark.parametrize(
    ("revision", "names"),
    [(0, []), (1, ["a1"]), (2, ["a1", "b2"]), (3, ["a3", "b2"]), (4, ["b2"])],
)
def test_snapshot_is_the_state_at_a_revision(storage: Log, revision: int, names: list[str]):
    storage.append(
        [row(1, "a"), row(2, "b"), row(3, "a", previous=1), row(4, "a", previous=3, deleted=True)]
    )
    _, found = storage.snapshot("pods", "shop", revision)
    assert [f"{key.name}{record.revision}" for key, record in found] == names


def test_compaction_keeps_what_later_revisions_need(storage: Log):
    storage.append(
        [
            row(1, "a"),
            row(2, "a", previous=1),
            row(3, "gone"),
            row(4, "gone", previous=3, deleted=True),
            row(5, "a", previous=2),
        ]
    )
    storage.compact(2)
    storage.compact(4)
    assert storage.compacted == 4
    left = [revision for (revision,) in storage._db.execute("SELECT revision FROM log")]
    assert left == [2, 5]
    horizon, changes = storage.history("pods", None, 4, 5)
    assert horizon == 4
    assert [(c.revision, c.before) for c in changes] == [(5, b'{"rv":2}')]
    assert [record.revision for _, record in storage.snapshot("pods", None, 4)[1]] == [2]


def test_revisions_never_go_back_after_everything_was_compacted(storage: Log):
    storage.append([row(1, "a"), row(2, "a", previous=1, deleted=True)])
    storage.compact(2)
    assert current(storage) == {}
    assert storage.newest_revision() == 2


@pytest.mark.parametrize("damage", ["garbage", "page", "empty directory"])
def test_damage_is_told(tmp_path: Path, damage: str):
    path = tmp_path / "store.db"
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 400)
    elif damage == "empty directory":
        path.mkdir()
    else:
        whole = Log(path)
        whole.append([row(i, f"p{i}") for i in range(1, MAX_ROWS)])
        whole.close()
        data = bytearray(path.read_bytes())
        data[4096 * 2 : 4096 * 6] = b"\xff" * 4096 * 4
        path.write_bytes(bytes(data))
    with pytest.raises(StorageError, match=r"store .*store\.db"):
        Log(path)


def test_another_format_is_refused(tmp_path: Path):
    path = tmp_path / "store.db"
    first = Log(path)
    first._db.execute("UPDATE facts SET value = 99 WHERE name = 'format'")
    first.close()
    with pytest.raises(StorageError, match="written by another netlab"):
        Log(path)


def test_one_process_at_a_time(tmp_path: Path):
    path = tmp_path / "store.db"
    with (
        locked(path),
        pytest.raises(StorageError, match="another netlab daemon uses it"),
        locked(path),
    ):
        pass
    with locked(path):
        pass


def test_a_full_disk_is_told_and_nothing_is_saved(storage: Log):
    storage.append([row(1, "a")])
    pages = storage._db.execute("PRAGMA page_count").fetchone()[0]
    storage._db.execute(f"PRAGMA max_page_count = {pages}")
    big = Row(2, "pods", "shop", "big", "u", False, None, b"x" * 100_000)
    with pytest.raises(StorageError, match="no space left on the disk; nothing was saved"):
        storage.append([big])
    assert current(storage) == {"a": 1}
    storage._db.execute("PRAGMA max_page_count = 100000")
    storage.append([big])
    assert current(storage) == {"a": 1, "big": 2}
