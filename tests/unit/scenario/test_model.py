from pathlib import Path

import pytest

from netlab.errors import UsageError
from netlab.scenario.model import Expectation, judge, load_scenario

GOOD = """
title: {en: T, es: T}
summary: {en: S, es: S}
steps:
- say: {en: Look, es: Mira}
  run: echo hi
  expect: {stdout: ['^hi$']}
"""


@pytest.mark.parametrize("folder", sorted(Path("scenarios").glob("*/")), ids=lambda p: p.name)
def test_every_scenario_of_the_project_loads(folder: Path) -> None:
    assert load_scenario(folder).steps


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(("es: Mira", "fr: Voila"), ["steps[0].say", "es"], id="a language is missing"),
        pytest.param(("run:", "ruin:"), ["ruin", "steps[0]"], id="an unknown field"),
        pytest.param(("'^hi$'", "'('"), ["steps[0].expect", "bad pattern"], id="a bad pattern"),
        pytest.param(("steps:", "steps: ["), ["line"], id="bad YAML"),
    ],
)
def test_a_malformed_scenario_says_where(
    tmp_path: Path, change: tuple[str, str], words: list[str]
) -> None:
    (tmp_path / "scenario.yaml").write_text(GOOD.replace(*change))
    with pytest.raises(UsageError) as raised:
        load_scenario(tmp_path)
    for word in ["scenario.yaml", *words]:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("expect", "outcome", "problems"),
    [
        pytest.param(Expectation(), (0, "", ""), 0, id="nothing asked"),
        pytest.param(Expectation(), (1, "", ""), 1, id="wrong code"),
        pytest.param(Expectation(exit=None), (7, "", ""), 0, id="any code"),
        pytest.param(Expectation(stdout=("^b$",)), (0, "a\nb\n", ""), 0, id="a line matches"),
        pytest.param(Expectation(stdout=("^b$",)), (0, "ab\n", ""), 1, id="no line matches"),
        pytest.param(Expectation(stderr=("x",)), (0, "x", ""), 1, id="on the other stream"),
        pytest.param(Expectation(absent=("bad",)), (0, "", "bad"), 1, id="must not be there"),
    ],
)
def test_judge(expect: Expectation, outcome: tuple[int, str, str], problems: int) -> None:
    assert len(judge(expect, *outcome)) == problems
