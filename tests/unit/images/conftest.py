"""The apps of the built-in images are no packages: they are imported from their folders."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

IMAGES = Path(__file__).resolve().parents[3] / "images"


def load_app(folder: str, *names: str, beside: tuple[str, ...] = ("mongo",)) -> SimpleNamespace:
    """Import an app's modules together, and leave neither path nor module names behind.

    beside: further folders that the image takes modules from.
    """
    added = [str(IMAGES / name) for name in (folder, *beside)]
    before = set(sys.modules)
    sys.path[:0] = added
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        del sys.path[: len(added)]
        local = {path.stem for folder_path in added for path in Path(folder_path).glob("*.py")}
        for name in set(sys.modules) - before:
            if name in local:
                del sys.modules[name]


@pytest.fixture(scope="session")
def mongo() -> SimpleNamespace:
    return load_app("mongo", "bson_codec", "wire", "query", "storage", "commands", "server")


@pytest.fixture(scope="session")
def demo() -> SimpleNamespace:
    return load_app("go-demo-2", "bson_codec", "wire", "people", "app")
