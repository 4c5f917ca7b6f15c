"""A lab goes on with the iptables it began with, and says so when the host's is another one."""

from pathlib import Path

import pytest

from netlab.lab import rules_tool
from netlab.lab.ledger import Ledger


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {"tool": "iptables-nft"}

    async def host_tool() -> str:
        return found["tool"]

    monkeypatch.setattr(rules_tool, "host_tool", host_tool)
    return found


async def test_the_tool_is_settled_once(tmp_path: Path, host: dict[str, str]) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert rules_tool.settled_tool(ledger) is None
    assert await rules_tool.settle_tool(ledger) == "iptables-nft"
    host["tool"] = "iptables-legacy"
    assert await rules_tool.settle_tool(ledger) == "iptables-nft"
    assert rules_tool.settled_tool(ledger) == "iptables-nft"


@pytest.mark.parametrize(
    ("began", "now", "said"),
    [
        pytest.param("iptables-nft", "iptables-nft", False, id="as it was"),
        pytest.param("iptables-nft", "iptables-legacy", True, id="switched"),
        pytest.param("iptables", "iptables-legacy", False, id="no choice when it began"),
        pytest.param(None, "iptables-legacy", False, id="not begun"),
    ],
)
async def test_a_switch_is_said(
    tmp_path: Path, host: dict[str, str], began: str | None, now: str, said: bool
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    if began:
        ledger.record("iptables", began)
    host["tool"] = now
    assert bool(await rules_tool.switched_since(ledger)) is said
