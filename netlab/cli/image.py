"""``netlab image``: the images that pods can use here, and what they take of the disk.

Works on the machine's store itself (``runtime.image_store``), with or without a lab; a lab that
runs sees the change when it next looks for an image. Plays the part of ``docker image`` or
``crictl images`` on a node.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from netlab.cli.image_changes import build, load, prune, pull, remove
from netlab.cli.image_words import human_size, own_images
from netlab.clock import SystemClock
from netlab.config import RUN_ROOT, STATE_ROOT
from netlab.errors import HostError, ImageError
from netlab.runtime.cri import ImageInfo
from netlab.runtime.image_store.records import StoredImage
from netlab.runtime.image_store.store import IMAGES_ROOT, ImageStore
from netlab.runtime.image_store.usage import disk_bytes
from netlab.runtime.reference import parse_reference
from netlab.timestamps import rfc3339


@dataclass(frozen=True, slots=True)
class Row:
    """One name of one image. tag: of a built-in image that stands for many, which they are."""

    name: str
    tag: str
    id: str
    size_bytes: int
    source: str
    present: bool
    description: str = ""
    user: str = ""
    added_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the row for programs."""
        return {
            "name": self.name,
            "tag": self.tag,
            "id": self.id,
            "sizeBytes": self.size_bytes,
            "source": self.source,
            "present": self.present,
            "description": self.description,
            "user": self.user,
            "addedAt": rfc3339(self.added_at) if self.added_at else None,
        }


@click.group("image", short_help="The images that pods can use.")
@click.option(
    "--store",
    "root",
    # what may not be read is told by whoever needs it
    type=click.Path(path_type=Path, readable=False),
    default=IMAGES_ROOT,
    show_default=True,
    help="Folder of the images that were loaded, pulled or built.",
)
@click.pass_context
def image(context: click.Context, root: Path) -> None:
    """The images that pods can use: netlab's own, and those brought to this machine."""
    context.obj = ImageStore(root, SystemClock())


@image.command("ls")
@click.option("--quiet", "-q", is_flag=True, help="Print names only.")
@click.option("--output", "-o", type=click.Choice(["wide", "json", "name"]), help="Output format.")
@click.pass_obj
def list_images(store: ImageStore, quiet: bool, output: str | None) -> None:
    """List the images, and the tags that a built-in one stands for."""
    try:
        stored = store.images()
    except HostError as error:
        click.echo(f"netlab: only the built-in images are shown: {error}", err=True)
        stored = ()
    rows = image_rows(stored, own_images(store).present())
    if output == "json":
        click.echo(json.dumps([row.as_json() for row in rows], indent=2))
    elif quiet or output == "name":
        for row in rows:
            tagged = row.tag != "<none>" and "," not in row.tag
            click.echo(f"{row.name}:{row.tag}" if tagged else row.name)
    else:
        click.echo("\n".join(table(rows, wide=output == "wide")))


def image_rows(stored: tuple[StoredImage, ...], built_in: list[ImageInfo]) -> list[Row]:
    """Return a row per name, by name; names of the store that hide a built-in image say so."""
    rows = [row for info in built_in for row in _built_in_rows(info)]
    own = {row.name for row in rows}
    for each in stored:
        rows += _stored_rows(each, own)
    return sorted(rows, key=lambda row: (row.name, row.tag))


def _built_in_rows(info: ImageInfo) -> list[Row]:
    rows = []
    for number, name in enumerate(info.names):
        parsed = parse_reference(name)
        tag = info.tags[number] if info.tags else parsed.tag
        rows.append(
            Row(
                parsed.familiar,
                tag,
                info.id,
                info.size_bytes,
                "built-in",
                info.present,
                info.description,
                info.user,
            )
        )
    return rows


def _stored_rows(stored: StoredImage, own: set[str]) -> list[Row]:
    names = [parse_reference(name) for name in stored.names or stored.digests]
    pairs = [(name.familiar, name.tag or "<none>") for name in names] or [("<none>", "<none>")]
    return [
        Row(
            name,
            tag,
            stored.id,
            stored.size_bytes,
            f"{stored.source}, before built-in" if name in own else stored.source,
            present=True,
            description=stored.description,
            user=stored.user,
            added_at=stored.added_at,
        )
        for name, tag in pairs
    ]


def table(rows: list[Row], *, wide: bool) -> list[str]:
    """Return the lines of the listing, headings first."""
    head = ["NAME", "TAG", "IMAGE ID", "SIZE", "SOURCE", "PRESENT"]
    cells = [
        [
            row.name,
            row.tag if wide else row.tag.partition(";")[0],
            row.id.removeprefix("sha256:")[:12],
            human_size(row.size_bytes) if row.present or row.size_bytes else "",
            row.source,
            "yes" if row.present else "no",
        ]
        for row in rows
    ]
    if wide:
        head += ["USER", "ADDED", "DESCRIPTION"]
        for line, row in zip(cells, rows, strict=True):
            added = rfc3339(row.added_at) if row.added_at else ""
            line += [row.user or "root", added, row.description]
    widths = [max(len(line[at]) for line in [head, *cells]) for at in range(len(head))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *cells]
    ]


@image.command("inspect")
@click.argument("name")
@click.pass_obj
def inspect(store: ImageStore, name: str) -> None:
    """Show what is known of an image, and how its process is started, as JSON."""
    try:
        stored = store.lookup(name)
    except ImageError:
        own = own_images(store)
        reference = parse_reference(name)
        info, process = own.find(reference), own.config(reference)
        if info is None:
            raise
        (row, *_) = _built_in_rows(info)
        told = row.as_json()
    else:
        (row, *_) = _stored_rows(stored, set())
        told = row.as_json()
        config = None if stored.recipe else store.config(stored)
        process = config.process if config is not None else None
        if config is not None:
            told["platform"] = config.platform
    if process is not None:
        told["config"] = {
            "entrypoint": list(process.entrypoint),
            "cmd": list(process.cmd),
            "env": dict(process.env),
            "workingDir": process.working_dir,
            "user": process.user,
            "stopSignal": process.stop_signal,
        }
    click.echo(json.dumps(told, indent=2))


@image.command("df")
@click.pass_obj
def disk_use(store: ImageStore) -> None:
    """Show what images and containers take of the disk."""
    store.images()
    rows = [
        ("layers as pulled or loaded", disk_bytes(store.blobs)),
        ("images unpacked", disk_bytes(store.root / "rootfs")),
        ("recipes", disk_bytes(store.recipes)),
        ("packages of built-in images", disk_bytes(store.root / "packages")),
        ("layers of built-in images", _sum(RUN_ROOT, "*/runtime/layers")),
        ("what containers wrote", _sum(STATE_ROOT, "labs/*/containers")),
    ]
    rows.append(("total", sum(size for _, size in rows)))
    width = max(len(name) for name, _ in rows)
    click.echo(f"{'WHAT':<{width}}   {'SIZE':>8}")
    for name, size in rows:
        click.echo(f"{name:<{width}}   {human_size(size):>8}")


def _sum(root: Path, pattern: str) -> int:
    return sum(disk_bytes(folder) for folder in root.glob(pattern))


for command in (load, pull, remove, build, prune):
    image.add_command(command)
