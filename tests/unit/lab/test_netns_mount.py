"""The mount that labs share is noted by the first and given back by the last."""

from pathlib import Path

import pytest

from netlab.lab import netns_mount


class Machine:
    """A machine with its labs; ``undone`` collects what was put back."""

    def __init__(self) -> None:
        self.labs: list[str] = []
        self.folder = "absent"
        self.undone: list[str] = []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(netns_mount, "NOTE", tmp_path / "note")
    monkeypatch.setattr(netns_mount, "known_labs", lambda: iter(made.labs))
    monkeypatch.setattr(netns_mount, "netns_folder", lambda: made.folder)
    monkeypatch.setattr(netns_mount, "release_netns_folder", made.undone.append)
    return made


def test_the_first_notes_and_the_last_gives_back(machine: Machine) -> None:
    machine.labs = ["a"]
    netns_mount.note_netns_folder("a")
    machine.labs, machine.folder = ["a", "b"], "mounted"
    netns_mount.note_netns_folder("b")
    machine.labs = ["b"]
    netns_mount.give_back_netns_folder()
    assert machine.undone == []
    machine.labs = []
    netns_mount.give_back_netns_folder()
    netns_mount.give_back_netns_folder()
    assert machine.undone == ["absent"]


def test_a_lab_that_comes_back_keeps_the_first_note(machine: Machine) -> None:
    machine.labs = ["a"]
    netns_mount.note_netns_folder("a")
    machine.folder = "mounted"
    netns_mount.note_netns_folder("a")
    machine.labs = []
    netns_mount.give_back_netns_folder()
    assert machine.undone == ["absent"]


def test_beside_a_lab_of_which_nothing_was_noted_nothing_is(machine: Machine) -> None:
    machine.labs = ["older", "a"]
    netns_mount.note_netns_folder("a")
    machine.labs = []
    netns_mount.give_back_netns_folder()
    assert machine.undone == []
