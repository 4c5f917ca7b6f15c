"""What labs share of the machine is noted by the first and given back by the last."""

from pathlib import Path

import pytest

from netlab.lab import machine_before


class Machine:
    """A machine with its labs; ``undone`` collects what was put back."""

    def __init__(self) -> None:
        self.labs: list[str] = []
        self.folder = "absent"
        self.controllers = {Path("/cg"): frozenset({"pids"})}
        self.undone: list[object] = []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    for name, fake in {
        "NOTE": tmp_path / "machine.json",
        "known_labs": lambda: iter(made.labs),
        "netns_folder": lambda: made.folder,
        "release_netns_folder": made.undone.append,
        "host_hierarchies": list,
        "enabled_controllers": lambda _: made.controllers,
        "disable_controllers": lambda root, *, but: made.undone.append((root, but)),
    }.items():
        monkeypatch.setattr(machine_before, name, fake)
    return made


def test_the_first_notes_and_the_last_gives_back(machine: Machine) -> None:
    machine.labs = ["a"]
    machine_before.note_machine("a")
    machine.labs, machine.folder = ["a", "b"], "mounted"
    machine.controllers = {Path("/cg"): frozenset({"pids", "cpu"})}
    machine_before.note_machine("b")
    machine.labs = ["b"]
    machine_before.give_back_machine()
    assert machine.undone == []
    machine.labs = []
    machine_before.give_back_machine()
    machine_before.give_back_machine()
    assert machine.undone == ["absent", (Path("/cg"), {"pids"})]


def test_a_lab_that_comes_back_keeps_the_first_note(machine: Machine) -> None:
    machine.labs = ["a"]
    machine_before.note_machine("a")
    machine.folder = "mounted"
    machine_before.note_machine("a")
    machine.labs = []
    machine_before.give_back_machine()
    assert machine.undone[0] == "absent"


def test_beside_a_lab_of_which_nothing_was_noted_nothing_is(machine: Machine) -> None:
    machine.labs = ["older", "a"]
    machine_before.note_machine("a")
    machine.labs = []
    machine_before.give_back_machine()
    assert machine.undone == []
