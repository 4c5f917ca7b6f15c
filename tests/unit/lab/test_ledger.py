from pathlib import Path

from netlab.lab.ledger import Entry, Ledger


def test_entries_come_back_newest_first(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run" / "ledger.jsonl")
    ledger.record("netns", "netlab")
    ledger.record("sysctl", "net.ipv4.ip_forward", "0")
    assert ledger.newest_first() == [
        Entry("sysctl", "net.ipv4.ip_forward", "0"),
        Entry("netns", "netlab", ""),
    ]


def test_the_first_value_of_a_thing_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record("sysctl", "net.ipv4.ip_forward", "0")
    ledger.record("sysctl", "net.ipv4.ip_forward", "1")
    assert ledger.entries() == [Entry("sysctl", "net.ipv4.ip_forward", "0")]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.record("netns", "netlab")
    with path.open("ab") as file:
        file.write(b'{"what":"link","na')
    assert ledger.entries() == [Entry("netns", "netlab")]


def test_no_file_means_no_entries(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "none").entries() == []
