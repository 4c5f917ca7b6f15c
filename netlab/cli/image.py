"""``netlab image``: the images that pods can use here."""

from __future__ import annotations

import click

from netlab.runtime.images import built_in_images


@click.group("image", short_help="The images that pods can use.")
def image() -> None:
    """The images that pods can use."""


@image.command("ls")
@click.option("--quiet", "-q", is_flag=True, help="Print names only.")
def list_images(quiet: bool) -> None:
    """List the images; any tag of a built-in image is accepted."""
    rows = [
        (i.names[0], i.id.removeprefix("sha256:")[:12], i.description) for i in built_in_images()
    ]
    if quiet:
        for name, _, _ in rows:
            click.echo(name)
        return
    width = max(len(name) for name, _, _ in rows)
    click.echo(f"{'IMAGE':<{width}}   {'IMAGE ID':<12}   DESCRIPTION")
    for name, identifier, description in rows:
        click.echo(f"{name:<{width}}   {identifier:<12}   {description}")
