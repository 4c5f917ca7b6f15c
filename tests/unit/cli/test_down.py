"""``netlab down --all`` removes nothing that was not seen and agreed to."""

import click.testing
import pytest
from click.testing import CliRunner

from netlab.cli import down as module
from netlab.config import LabConfig
from netlab.errors import UsageError
from netlab.lab.process import RunningDaemon
from netlab.lab.stop import Stopped


@pytest.fixture
def machine(monkeypatch):
    removed = []

    def stop_lab(name, *, waiting):
        removed.append(name)
        return Stopped(name, existed=name in ("mine", "theirs"))

    monkeypatch.setattr(module, "need_root", lambda: None)
    monkeypatch.setattr(module, "all_labs", lambda: ["mine", "theirs"])
    monkeypatch.setattr(
        module, "settings_or_guess", lambda name: LabConfig(name=name, sandbox=name == "mine")
    )
    monkeypatch.setattr(
        module, "running_daemon", lambda c: RunningDaemon(42) if c.name == "mine" else None
    )
    monkeypatch.setattr(module, "stop_lab", stop_lab)
    return removed


def run(*words, typed=None, monkeypatch=None):
    if typed is not None:
        stdin = click.testing._NamedTextIOWrapper
        monkeypatch.setattr(stdin, "isatty", lambda self: True, raising=False)
    return CliRunner().invoke(module.down, words, input=typed)


def test_where_nobody_can_be_asked_the_labs_are_listed_and_stay(machine):
    done = run("--all")
    assert isinstance(done.exception, UsageError)
    assert "--yes" in str(done.exception)
    assert "mine                 running, pid 42, sandbox" in done.stderr
    assert "theirs               not running, the host's own network" in done.stderr
    assert machine == []


def test_yes_is_enough(machine):
    done = run("--all", "--yes")
    assert machine == ["mine", "theirs"]
    assert 'Deleted lab "theirs"' in done.stdout


@pytest.mark.parametrize(("typed", "gone"), [("y\n", ["mine", "theirs"]), ("n\n", []), ("\n", [])])
def test_on_a_terminal_the_user_decides(machine, monkeypatch, typed, gone):
    run("--all", typed=typed, monkeypatch=monkeypatch)
    assert machine == gone


def test_all_and_a_name_exclude_each_other(machine):
    assert isinstance(run("--all", "--name", "mine").exception, UsageError)
    assert machine == []


def test_one_lab_goes_without_a_question(machine):
    assert 'Deleted lab "mine"' in run("--name", "mine").stdout
    assert "nothing to remove" in run("--name", "none").stdout


def test_no_lab_at_all(machine, monkeypatch):
    monkeypatch.setattr(module, "all_labs", list)
    done = run("--all")
    assert (done.exit_code, machine) == (0, [])
    assert "no lab on this machine" in done.stdout
