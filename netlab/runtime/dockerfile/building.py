"""Builds an image from a Dockerfile: ``netlab image build -t NAME FOLDER``.

Everything that can be wrong with the text is found before anything is done, and the image counts
only when it is whole. A stage is an overlay like a container's: below it the base, above it a
folder that COPY and RUN write. Over one of netlab's own images that folder is all that is kept,
for the rest is the machine's; over an image of the store the files are put together, so that the
base may go.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from netlab.clock import Clock
from netlab.errors import ContainerError, ImageError
from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.cgroup_root import claim_root, release_root
from netlab.runtime.cgroups import host_hierarchies, lab_group, remove_group
from netlab.runtime.dockerfile.copying import Origin, carry_out
from netlab.runtime.dockerfile.ignoring import Ignoring
from netlab.runtime.dockerfile.planning import (
    SCRATCH,
    CopyStep,
    FolderStep,
    RunStep,
    Stage,
    plan_build,
)
from netlab.runtime.dockerfile.reading import read_dockerfile
from netlab.runtime.dockerfile.running import Workshop, run_step
from netlab.runtime.image_store.records import StoredImage, content_digest
from netlab.runtime.image_store.store import ImageStore
from netlab.runtime.image_store.usage import file_bytes
from netlab.runtime.images import Images
from netlab.runtime.inside import make_folders, open_folder
from netlab.runtime.mounts import mount_overlay, mounts_below, unmount
from netlab.runtime.probe import find_oci_runtime
from netlab.runtime.recipe import ImageConfig, UnpackedImage
from netlab.runtime.reference import DEFAULT_TAG, parse_reference

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What ``image build`` was told. context: the folder; names: as typed."""

    context: Path
    dockerfile: Path
    names: Sequence[str] = ()
    arguments: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    """A finished or open stage. root: where it is mounted; upper: what it wrote; base: the name
    of netlab's own image below it, "" when all its files are in upper.
    """

    root: Path
    upper: Path
    image: UnpackedImage
    base: str


async def build_dockerfile(
    store: ImageStore, request: BuildRequest, *, clock: Clock, progress: Progress
) -> StoredImage:
    """Build an image and put it into the store.

    Raises: ImageError with file and line; HostError.
    """
    names = [_tagged(name) for name in request.names]
    async with store.workspace() as work:
        bench = _Bench(store, work.folder, request, progress)
        stages = await asyncio.to_thread(bench.plan)
        shop = await bench.open_shop(stages)
        try:
            built = await asyncio.to_thread(bench.build, stages, shop, names, clock)
        finally:
            await asyncio.to_thread(bench.close, shop)
        return (await asyncio.to_thread(store.put, built))[0]


def _tagged(name: str) -> str:
    reference = parse_reference(name)
    if reference.digest:
        raise ImageError(f"image {name}: a name with a digest cannot be given")
    return f"{reference.repository}:{reference.tag or DEFAULT_TAG}"


class _Bench:
    """One build's place and state."""

    def __init__(
        self, store: ImageStore, folder: Path, request: BuildRequest, progress: Progress
    ) -> None:
        self._store = store
        self._folder = folder
        self._request = request
        self._tell = progress
        layers = folder / "layers"
        self._own = BuiltInImages(images_dir=default_images_dir(), layers_dir=layers)
        self._images = Images(built_in=self._own, layers_dir=layers, store=store)
        self._made: list[_Made] = []
        self._hierarchies = host_hierarchies()

    def plan(self) -> list[Stage]:
        path, context = self._request.dockerfile, self._request.context
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ImageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        if not context.is_dir():
            raise ImageError(f"{context}: not a folder")
        instructions = read_dockerfile(text, path.name)
        return plan_build(instructions, self._find_config, self._request.arguments or {})

    async def open_shop(self, stages: Sequence[Stage]) -> Workshop | None:
        """Return where RUN runs; None when nothing does."""
        if not any(isinstance(step, RunStep) for stage in stages for step in stage.steps):
            return None
        group = lab_group(f".{self._folder.name}")
        await asyncio.to_thread(claim_root, self._hierarchies)
        oci = await find_oci_runtime(
            pause_layer=await asyncio.to_thread(self._own.pause_layer),
            cache=self._store.root / "oci-runtime.json",
            oci_root=self._folder / "oci",
            cgroup=f"{group}/probe",
        )
        return Workshop(oci, self._folder, f"{group}/run", self._hierarchies)

    def build(
        self, stages: Sequence[Stage], shop: Workshop | None, names: Sequence[str], clock: Clock
    ) -> StoredImage:
        for number, stage in enumerate(stages):
            with _disk_errors(self._request.dockerfile.name):
                made = self._begin(number, stage)
            self._made.append(made)
            for step in stage.steps:
                with _disk_errors(step.place):
                    self._carry_out(step, made, shop)
        return self._finish(stages[-1], self._made[-1], names, clock)

    def close(self, shop: Workshop | None) -> None:
        for point in mounts_below(self._folder):
            unmount(point)
        if shop is not None:
            remove_group(self._hierarchies, shop.group.rpartition("/")[0])
            release_root(self._hierarchies)

    def _find_config(self, name: str) -> ImageConfig | None:
        reference = parse_reference(name)
        stored = self._store.find(reference)
        if stored is not None:
            if stored.recipe:
                raise ImageError(f"image {name}: is of a recipe; a Dockerfile cannot build on it")
            return self._store.config(stored).process
        return self._own.config(reference)

    def _begin(self, number: int, stage: Stage) -> _Made:
        place = self._folder / f"stage-{number}"
        root, upper, empty = place / "root", place / "upper", place / "empty"
        for folder in (place, root, empty):
            folder.mkdir()
        below = UnpackedImage(id="", config=stage.config, layers=())
        base = ""
        if isinstance(stage.base, int):
            earlier = self._made[stage.base]
            self._merge_usr(earlier)
            _copy_tree(earlier.upper, upper)
            below, base = earlier.image, earlier.base
        elif stage.base != SCRATCH:
            upper.mkdir()
            below, base = self._base(stage.base, upper)
        upper.mkdir(exist_ok=True)
        upper.chmod(0o755)
        (place / "work").mkdir()
        mount_overlay([*below.layers, empty], upper=upper, work=place / "work", target=root)
        for index, stacked in enumerate(below.stacked):
            own, work = place / f"upper-{index}", place / f"work-{index}"
            _take(upper / stacked.target.lstrip("/"), own)
            work.mkdir()
            target = root / stacked.target.lstrip("/")
            mount_overlay(stacked.lower, upper=own, work=work, target=target)
        return _Made(root, upper, below, base)

    def _base(self, name: str, upper: Path) -> tuple[UnpackedImage, str]:
        """Return what a stage stands on; what an image of the store wrote comes into upper."""
        stored = self._store.find(parse_reference(name))
        if stored is None:
            self._own.fetch(parse_reference(name), self._tell)
            return self._images.unpack(name), name
        _copy_tree(self._store.rootfs(stored), upper)
        if not stored.base:
            return UnpackedImage(id="", config=ImageConfig(), layers=()), ""
        return self._images.unpack(stored.base), stored.base

    def _carry_out(
        self, step: CopyStep | RunStep | FolderStep, made: _Made, shop: Workshop | None
    ) -> None:
        match step:
            case FolderStep(path=path):
                root = open_folder(made.root)
                try:
                    os.close(make_folders(root, path))
                finally:
                    os.close(root)
            case CopyStep(stage=None):
                carry_out(step, Origin(self._request.context, self._ignoring()), made.root)
            case CopyStep(stage=number):
                assert number is not None
                origin = Origin(self._made[number].root, Ignoring(), is_context=False)
                carry_out(step, origin, made.root)
            case RunStep():
                assert shop is not None
                run_step(step, made.image, made.root, shop, self._tell)

    def _ignoring(self) -> Ignoring:
        path = self._request.context / ".dockerignore"
        return Ignoring(path.read_text()) if path.is_file() else Ignoring()

    def _merge_usr(self, made: _Made) -> None:
        """Put what was written into folders that are mounted apart to the rest."""
        for index, folder in enumerate(made.image.stacked):
            with contextlib.suppress(ContainerError):
                unmount(made.root / folder.target.lstrip("/"))
            own = made.upper.parent / f"upper-{index}"
            if own.is_dir():
                target = made.upper / folder.target.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                _take(own, target)

    def _finish(self, stage: Stage, made: _Made, names: Sequence[str], clock: Clock) -> StoredImage:
        self._merge_usr(made)
        unmount(made.root)
        config = _oci_config(stage, made, clock)
        identifier = content_digest(config)
        rootfs = self._store.root / "rootfs" / identifier.removeprefix("sha256:")
        if not rootfs.is_dir():
            made.upper.rename(rootfs)
        self._store.blob_path(identifier).write_bytes(config)
        return StoredImage(
            id=identifier,
            source="built",
            size_bytes=file_bytes(rootfs),
            added_at=clock.now(),
            names=tuple(names),
            blobs=(identifier,),
            base=made.base,
            user=stage.config.user,
            description=f"built on {made.base or 'files of its own'}",
        )


def _oci_config(stage: Stage, made: _Made, clock: Clock) -> bytes:
    process = stage.config
    written: dict[str, Any] = {
        "User": process.user,
        "Env": [f"{name}={value}" for name, value in process.env.items()],
        "Entrypoint": list(process.entrypoint),
        "Cmd": list(process.cmd),
        "WorkingDir": process.working_dir,
        "StopSignal": process.stop_signal,
        "Labels": dict(stage.labels),
    }
    return msgspec.json.encode(
        {
            "created": clock.now(),
            "os": "linux",
            "config": written,
            "rootfs": {"type": "layers", "diff_ids": [_tree_digest(made.upper), made.base]},
        }
    )


def _tree_digest(folder: Path) -> str:
    """Return ``sha256:…`` of a folder's files: their places, modes, owners and content."""
    hasher = hashlib.sha256()
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            facts = path.lstat()
            hasher.update(f"{path.relative_to(folder)}\0{facts.st_mode:o}".encode())
            hasher.update(f"\0{facts.st_uid}:{facts.st_gid}\0".encode())
            if stat.S_ISLNK(facts.st_mode):
                hasher.update(os.fsencode(path.readlink()))
            elif stat.S_ISREG(facts.st_mode):
                with path.open("rb") as file:
                    hasher.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{hasher.hexdigest()}"


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a layer with owners, links, and the marks of what an overlay hides."""
    argv = [
        "cp",
        "--archive",
        "--reflink=auto",
        "--no-target-directory",
        "--",
        str(source),
        str(target),
    ]
    subprocess.run(argv, check=True, capture_output=True)


def _take(source: Path, target: Path) -> None:
    """Move a folder to a place that may be there, empty."""
    if target.is_dir():
        target.rmdir()
    if source.is_dir():
        source.rename(target)
    else:
        target.mkdir()


@contextlib.contextmanager
def _disk_errors(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ContainerError) as error:
        raise ImageError(f"{place}: {error}") from error
