"""The linter contract of pure modules: who is meant, and what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from grimp import ImportGraph

from tests.support.pure_contract import declared_pure, impure_chains

MODULES = {
    "__init__": '"""A package."""',
    "decides": '"""What is to be done. Pure."""',
    "folds": '"""Lines.\n\nPure: from text\nto text."""',
    "acts": '"""Does it. Purely for the sake of it; the functions are pure."""',
    "all/__init__": '"""Objects. Everything here\nis pure."""',
    "all/one": '"""One."""',
    "all/deep/two": "x = 1",
    "some/__init__": '"""One file per subject, each Pure in spirit"""',
    "some/three": '"""Three."""',
}


def test_a_module_is_pure_by_its_own_word_or_its_folders(tmp_path: Path) -> None:
    root = tmp_path / "house"
    for name, text in MODULES.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert sorted(declared_pure(root)) == [
        "house.all",
        "house.all.deep.two",
        "house.all.one",
        "house.decides",
        "house.folds",
    ]


@pytest.mark.parametrize(
    ("imports", "chains"),
    [
        pytest.param([("h.decides", "json")], [], id="what is not forbidden"),
        pytest.param([("h.decides", "time")], [("h.decides", "time")], id="itself"),
        pytest.param(
            [("h.decides", "h.acts"), ("h.acts", "time")],
            [("h.decides", "h.acts", "time")],
            id="through another module",
        ),
        pytest.param([("h.acts", "time")], [], id="somebody else"),
    ],
)
def test_imports_that_break_the_promise(
    imports: list[tuple[str, str]], chains: list[tuple[str, ...]]
) -> None:
    graph = ImportGraph()
    for module in ("h.decides", "h.acts", "time"):
        graph.add_module(module)
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    assert list(impure_chains(graph, ["h.decides"], {"time", "asyncio"})) == chains
