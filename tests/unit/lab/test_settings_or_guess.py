"""A lab whose settings are damaged is still removed, and nothing that is not its own."""

import pytest

from netlab.config import LabConfig, encode_config
from netlab.errors import HostError
from netlab.lab import labs
from netlab.lab.ledger import Ledger

HOST = LabConfig(name="x", pod_cidr=LabConfig().pod_cidr, node_name="vm")
SANDBOX = LabConfig(name="x", sandbox=True, node_name="vm")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Settings and ledger in a folder; no namespaces but those of ``netns``."""
    netns = []
    monkeypatch.setattr(labs, "config_path", lambda name: tmp_path / "config.json")
    monkeypatch.setattr(labs, "host_ledger", lambda config: Ledger(tmp_path / "ledger.jsonl"))
    monkeypatch.setattr(labs, "list_netns", lambda: netns)
    monkeypatch.setattr(labs, "all_labs", lambda: ["x"])
    return tmp_path, netns


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "not JSON": lambda path: path.write_bytes(b"\xff\xfe"),
    "another lab's": lambda path: path.write_bytes(encode_config(LabConfig(name="y"))),
    "wrong types": lambda path: path.write_bytes(b'{"name": 5}'),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_ledger_has_a_copy(machine, damage):
    folder, _ = machine
    path = folder / "config.json"
    path.write_bytes(encode_config(SANDBOX))
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.record("netns", "netlab-x")
    ledger.record("settings", "x", encode_config(SANDBOX).decode())
    assert labs.settings_or_guess("x") == SANDBOX
    DAMAGES[damage](path)
    assert labs.settings_or_guess("x") == SANDBOX
    with pytest.raises(HostError, match="'netlab down --name x' still removes it"):
        labs.load_config("x")


def test_without_a_copy_the_ledger_tells_where_it_was(machine):
    folder, _ = machine
    Ledger(folder / "ledger.jsonl").record("rules", "tables", "nat")
    assert not labs.settings_or_guess("x").sandbox


@pytest.mark.parametrize("text", [b"", b"\xff\xff\n{", b'{"what": "nonsense", "name": ""}\n[1]\n'])
def test_the_hosts_own_network_is_not_touched_without_a_sign(machine, text):
    folder, _ = machine
    (folder / "ledger.jsonl").write_bytes(text)
    assert labs.settings_or_guess("x").sandbox


def test_pods_of_another_lab_are_no_sign(machine):
    _, netns = machine
    netns.append("netlab-xy_default_web_0")
    assert labs.settings_or_guess("x").sandbox
