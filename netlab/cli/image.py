"""``netlab image``: the images that pods can use here."""

from __future__ import annotations

import click

from netlab.config import STATE_ROOT
from netlab.runtime.images import BuiltInImages, default_images_dir


@click.group("image", short_help="The images that pods can use.")
def image() -> None:
    """The images that pods can use."""


@image.command("ls")
@click.option("--quiet", "-q", is_flag=True, help="Print names only.")
def list_images(quiet: bool) -> None:
    """List the images; any tag of a built-in image is accepted."""
    images = BuiltInImages(images_dir=default_images_dir(), layers_dir=STATE_ROOT / "layers")
    rows = [
        (found.names[0], found.id.removeprefix("sha256:")[:12], found.description)
        for found in images.present()
    ]
    if quiet:
        for name, _, _ in rows:
            click.echo(name)
        return
    width = max(len(name) for name, _, _ in rows)
    click.echo(f"{'IMAGE':<{width}}   {'IMAGE ID':<12}   DESCRIPTION")
    for name, identifier, description in rows:
        click.echo(f"{name:<{width}}   {identifier:<12}   {description}")
