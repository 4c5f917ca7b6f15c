"""The import-linter contract that keeps netlab's pure modules pure.

A module declares itself in its docstring, so that the promise moves with the file: the sentence
``Pure.`` (or one that begins ``Pure:``) in a module speaks for that module, ``Everything here is
pure.`` in a folder's ``__init__`` for all modules of the folder and below. Such a module may
import nothing that waits, does I/O, runs programs or reads the clock: neither itself nor through
another module of netlab. What it may not import stands in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

_MODULE_MARK = re.compile(r"\bPure[.:]")
_FOLDER_MARK = "Everything here is pure."


def declared_pure(root: Path) -> Iterator[str]:
    """Yield the modules of the package in folder root that declare themselves pure, by name."""
    folders: list[Path] = []
    for path in sorted(root.rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        text = " ".join(text.split())
        if path.name == "__init__.py" and _FOLDER_MARK in text:
            folders.append(path.parent)
        if _MODULE_MARK.search(text) or any(path.is_relative_to(folder) for folder in folders):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join((root.name, *(part for part in parts if part != "__init__")))


def impure_chains(
    graph: ImportGraph, pure: Iterable[str], forbidden: set[str]
) -> Iterator[tuple[str, ...]]:
    """Yield a shortest chain of imports from each pure module to each thing it must not import."""
    for module in pure:
        for target in sorted(forbidden & graph.find_upstream_modules(module)):
            chain = graph.find_shortest_chain(importer=module, imported=target)
            if chain:
                yield tuple(chain)


class PureContract(Contract):
    """Modules that call themselves pure import nothing of ``forbidden_modules``."""

    type_name = "pure"
    forbidden_modules = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at every declared module; none declared is a breach too."""
        del verbose
        forbidden: set[str] = set(self.forbidden_modules)  # type: ignore[call-overload]
        declared = [
            module
            for package in self.session_options["root_packages"]
            for module in declared_pure(_folder_of(package))
        ]
        chains = list(impure_chains(graph, declared, forbidden))
        return ContractCheck(
            kept=bool(declared) and not chains,
            metadata={"chains": chains, "declared": len(declared)},
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each module, what it imports, and through which others."""
        if not check.metadata["declared"]:
            output.print_error("No module declares itself pure; see tests/support/pure_contract.py")
        for module, *rest in check.metadata["chains"]:
            output.print_error(f"{module} calls itself pure and imports {' -> '.join(rest)}")
        output.new_line()


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent
