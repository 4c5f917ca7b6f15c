"""Image recipes: what an ``images/NAME/image.toml`` says, checked, and the digest of its content.

A recipe plays the part of an OCI image's config and manifest for the images that netlab brings
itself. Pure: the texts of recipe and files are handed in. The digest covers the recipe, every
file it names and the version of the root layout, so an edited app is another image.

    description = "one line for `netlab image ls`"
    names = ["vfarcic/go-demo-2"]       # repositories; every tag of them is accepted
    root = "python"                     # python | busybox | host-usr | pause
    entrypoint = []                     # as in a Dockerfile, exec form
    cmd = ["go-demo"]
    env = { DB = "db" }
    working_dir = "/"
    stop_signal = "SIGTERM"
    ports = ["8080/tcp"]                # told, not enforced, as EXPOSE
    venv = false                        # python only: bring netlab's own packages
    directories = ["/data/db"]
    [files]                             # path inside = path beside the recipe
    "/app/app.py" = "app.py"
"""

from __future__ import annotations

import hashlib
import signal
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated

import msgspec

from netlab.errors import ImageError
from netlab.runtime.cri import Mount

# Part of every digest: raise it when the curated roots of layout.py change.
LAYOUT_VERSION = 3

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

AbsolutePath = Annotated[str, msgspec.Meta(pattern=r"^/[^:]*$")]


class RootKind(Enum):
    """What an image's root is made of."""

    PYTHON = "python"
    BUSYBOX = "busybox"
    HOST_USR = "host-usr"
    PAUSE = "pause"


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checked recipe; fields as in the module's example."""

    description: str
    names: list[str]
    root: RootKind
    entrypoint: list[str] = []
    cmd: list[str] = []
    env: dict[str, str] = {}
    working_dir: AbsolutePath = "/"
    stop_signal: str = "SIGTERM"
    ports: list[str] = []
    venv: bool = False
    directories: list[AbsolutePath] = []
    files: dict[AbsolutePath, str] = {}


def parse_recipe(text: str, *, source: str) -> Recipe:
    """Return the recipe that a TOML text says; source names it in errors.

    Raises: ImageError with the place and the cause.
    """
    try:
        recipe = msgspec.convert(tomllib.loads(text), type=Recipe)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ImageError(f"image recipe {source}: {error}") from error
    if not recipe.names:
        raise ImageError(f"image recipe {source}: names is empty")
    if recipe.stop_signal not in signal.Signals.__members__:
        raise ImageError(f"image recipe {source}: stop_signal {recipe.stop_signal}: no such signal")
    if recipe.venv and recipe.root is not RootKind.PYTHON:
        raise ImageError(f"image recipe {source}: venv needs root python")
    return recipe


def recipe_digest(recipe: Recipe, files: Mapping[str, bytes]) -> str:
    """Return ``sha256:…`` of a recipe and the files it names (path inside -> content)."""
    hasher = hashlib.sha256(f"layout {LAYOUT_VERSION}\n".encode())
    hasher.update(msgspec.json.encode(recipe, order="sorted"))
    for path in sorted(files):
        content = files[path]
        hasher.update(f"\n{path} {len(content)}\n".encode())
        hasher.update(content)
    return f"sha256:{hasher.hexdigest()}"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about its process, as an OCI image's config."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, slots=True)
class UnpackedImage:
    """An image ready to run. layers: the topmost first; binds: of the host, read-only;
    hidden: paths an empty folder covers.
    """

    id: str
    config: ImageConfig
    layers: Sequence[Path]
    binds: Sequence[Mount] = ()
    hidden: Sequence[str] = ()
