"""Image recipes: what an ``images/NAME/image.toml`` says, checked, and the digest of its content.

A recipe plays the part of an OCI image's config and manifest for the images that netlab brings
itself. Pure: the texts of recipe and files are handed in. The digest covers the recipe, every
file it names and the version of the root layout, so an edited app is another image.

    description = "one line for `netlab image ls`"
    names = ["vfarcic/go-demo-2"]       # repositories; every tag of them is accepted
    root = "python"                     # python | busybox | debian | host-usr | pause
    entrypoint = []                     # as in a Dockerfile, exec form
    cmd = ["go-demo"]
    env = { DB = "db" }
    working_dir = "/"
    stop_signal = "SIGTERM"
    ports = ["8080/tcp"]                # told, not enforced, as EXPOSE
    venv = false                        # python only: bring netlab's own packages
    directories = ["/data/db"]
    user = ""                           # whom it runs as; empty means root
    users = { redis = 999 }             # added to the root's /etc/passwd and /etc/group
    packages = ["nginx"]                # root debian only: from Debian, with their dependencies
    packages_alone = ["mariadb-client"] # the same, without their dependencies
    [files]                             # path inside = path beside the recipe
    "/app/app.py" = "app.py"
    [links]
    "/var/log/nginx/access.log" = "/dev/stdout"
    [tags."v0.1.0"]                     # with this table only its tags exist; each may change
    env = { VERSION = "1" }             # env and cmd
    [stands_for.NAME]                   # else: the tags of a name that mean this image, whose
    versions = ["1.0-2"]                # version they do not change (``tags.py``); without either
                                        # there is the tag latest
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
from netlab.runtime.tags import ONLY_LATEST, StandsFor

# Part of every digest: raise it when the curated roots of layout.py change.
LAYOUT_VERSION = 5

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

AbsolutePath = Annotated[str, msgspec.Meta(pattern=r"^/[^:]*$")]
PackageName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
UserName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]*$")]
UserId = Annotated[int, msgspec.Meta(ge=1, le=65533)]
Tag = Annotated[str, msgspec.Meta(pattern=r"^\w[\w.-]{0,127}$")]


class RootKind(Enum):
    """What an image's root is made of."""

    PYTHON = "python"
    BUSYBOX = "busybox"
    DEBIAN = "debian"
    HOST_USR = "host-usr"
    PAUSE = "pause"


class TagVariant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one tag of an image changes: env adds to the recipe's, cmd replaces it when given."""

    env: dict[str, str] = {}
    cmd: list[str] | None = None


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
    user: str = ""
    users: dict[UserName, UserId] = {}
    packages: list[PackageName] = []
    packages_alone: list[PackageName] = []
    files: dict[AbsolutePath, str] = {}
    links: dict[AbsolutePath, str] = {}
    tags: dict[Tag, TagVariant] = {}
    stands_for: dict[str, StandsFor] = {}

    def tags_of(self, name: str) -> StandsFor:
        """Return which tags of one of its names the recipe has."""
        if self.tags:
            return StandsFor(words=tuple(sorted(self.tags)))
        return self.stands_for.get(name, ONLY_LATEST)

    def for_tag(self, tag: str) -> Recipe:
        """Return the recipe as one of its tags changes it; itself where tags mean nothing."""
        variant = self.tags.get(tag)
        if variant is None:
            return self
        return msgspec.structs.replace(
            self,
            env={**self.env, **variant.env},
            cmd=self.cmd if variant.cmd is None else variant.cmd,
            tags={tag: variant},
        )


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
    if bool(recipe.packages) != (recipe.root is RootKind.DEBIAN):
        raise ImageError(f"image recipe {source}: root debian and packages need each other")
    if recipe.stands_for and recipe.tags:
        raise ImageError(f"image recipe {source}: tags and stands_for exclude each other")
    if unknown := recipe.stands_for.keys() - set(recipe.names):
        raise ImageError(f"image recipe {source}: stands_for {min(unknown)}: not one of its names")
    if recipe.packages_alone and not recipe.packages:
        raise ImageError(f"image recipe {source}: packages_alone needs packages")
    return recipe


def recipe_digest(
    recipe: Recipe, files: Mapping[str, bytes], versions: Mapping[str, str] | None = None
) -> str:
    """Return ``sha256:…`` of a recipe, the files it names (path inside -> content) and the
    versions of its packages.
    """
    hasher = hashlib.sha256(f"layout {LAYOUT_VERSION}\n".encode())
    hasher.update(msgspec.json.encode(recipe, order="sorted"))
    for path in sorted(files):
        content = files[path]
        hasher.update(f"\n{path} {len(content)}\n".encode())
        hasher.update(content)
    for name, version in sorted((versions or {}).items()):
        hasher.update(f"\n{name}={version}".encode())
    return f"sha256:{hasher.hexdigest()}"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about its process, as an OCI image's config."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    stop_signal: str = "SIGTERM"
    user: str = ""


@dataclass(frozen=True, slots=True)
class StackedFolder:
    """A folder of an image's root that is an overlay of its own: target is its path inside, lower
    the folders it shows, the topmost first. A container's changes stay the container's.
    """

    target: str
    lower: Sequence[Path]


@dataclass(frozen=True, slots=True)
class UnpackedImage:
    """An image ready to run. layers: the topmost first; stacked: folders that cover part of the
    layers; binds: of the host, read-only; hidden: paths an empty folder covers.
    """

    id: str
    config: ImageConfig
    layers: Sequence[Path]
    binds: Sequence[Mount] = ()
    hidden: Sequence[str] = ()
    stacked: Sequence[StackedFolder] = ()
