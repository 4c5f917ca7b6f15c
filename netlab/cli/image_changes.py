"""The verbs of ``netlab image`` that bring images to this machine and take them away."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from netlab.cli.image_words import human_size, own_images
from netlab.clock import SystemClock
from netlab.errors import ImageError, NetlabError, UsageError
from netlab.kubectl.failures import CombinedError
from netlab.runtime.builtin import BuiltInImages
from netlab.runtime.dockerfile.building import BuildRequest, build_dockerfile
from netlab.runtime.image_store.archives import load_archive
from netlab.runtime.image_store.recipes import build_image
from netlab.runtime.image_store.records import StoredImage
from netlab.runtime.image_store.registry import RegistryRules, pull_from_registry
from netlab.runtime.image_store.store import ImageStore
from netlab.runtime.image_store.usage import mounted_layers, users_where
from netlab.runtime.reference import ImageReference, parse_reference


@click.command("load")
@click.argument("files", nargs=-1)
@click.option("--input", "-i", "inputs", multiple=True, help="File to load, as for docker load.")
@click.option("--name", default="", help="Name of the image, instead of those in the archive.")
@click.pass_obj
def load(store: ImageStore, files: Sequence[str], inputs: Sequence[str], name: str) -> None:
    """Load images from archives of docker or OCI, from OCI layouts, or from standard input (-)."""
    sources = [*files, *inputs]
    if not sources:
        if sys.stdin.isatty():
            raise UsageError("give a file, or '-' for standard input")
        sources = ["-"]
    if name and len(sources) > 1:
        raise UsageError("--name fits only one file")
    for source in sources:
        stream = sys.stdin.buffer if source == "-" else Path(source)
        _say("Loaded", asyncio.run(load_archive(store, stream, name=name)))


@click.command("pull")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--from-registry", is_flag=True, help="Also for a name that netlab has an image of its own for."
)
@click.pass_obj
def pull(store: ImageStore, names: Sequence[str], from_registry: bool) -> None:
    """Pull images from their registries; of netlab's own, fetch the parts that are missing."""
    references = [parse_reference(name) for name in names]
    for reference in references:
        if from_registry or not _fetch_own(store, reference):
            click.echo(f"Pulling {reference} ...", err=True)
            _say("Pulled", [asyncio.run(_pull(store, reference))])


async def _pull(store: ImageStore, reference: ImageReference) -> StoredImage:
    return await pull_from_registry(
        store, reference, rules=RegistryRules(), logins=_own_logins(os.environ)
    )


def _own_logins(environment: os._Environ[str]) -> Path | None:
    """Return the file in which ``skopeo login`` or ``docker login`` noted the user's passwords."""
    candidates = [environment.get("REGISTRY_AUTH_FILE", "")]
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        candidates.append(f"{runtime}/containers/auth.json")
    candidates.append(f"/run/containers/{os.getuid()}/auth.json")
    candidates.append(str(Path.home() / ".docker/config.json"))
    found = (Path(path) for path in candidates if path)
    return next((path for path in found if path.is_file()), None)


def _fetch_own(store: ImageStore, reference: ImageReference) -> bool:
    """Fetch what a built-in image lacks; return whether there is one of that name."""
    own = own_images(store)
    found = own.find(reference)
    if found is None:
        return False
    if own.build_busybox(reference, _tell_progress):
        click.echo(f"Built the busybox of {reference}")
    elif found.present:
        click.echo(f"{reference} comes with netlab and is complete.")
    else:
        own.fetch(reference, _tell_progress)
        click.echo(f"Fetched {reference}")
    return True


@click.command("rm")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--force", "-f", is_flag=True, help="Also images in use; their files go with the containers."
)
@click.pass_obj
def remove(store: ImageStore, names: Sequence[str], force: bool) -> None:
    """Remove images, by name or by the beginning of their id."""
    errors: list[NetlabError] = []
    for name in names:
        try:
            _told(_remove(store, name, force=force))
        except NetlabError as error:
            errors.append(error)
    if errors:
        raise CombinedError(errors) if len(errors) > 1 else errors[0]


def _remove(store: ImageStore, name: str, *, force: bool) -> list[str]:
    """Remove an image of the store, or what was fetched for one of netlab's own; return what to
    say of it.
    """
    try:
        store.lookup(name)
    except ImageError:
        own, reference = own_images(store), parse_reference(name)
        if own.find(reference) is None:
            raise
        _forget(own, reference)
        return [f"Removed what was fetched for {reference}"]
    gone, image = store.remove(name, force=force)
    return [f"Untagged {each}" for each in gone] + ([f"Deleted {image.id}"] if image else [])


def _forget(own: BuiltInImages, reference: ImageReference) -> None:
    """Remove what was fetched for a built-in image.

    Raises: ImageError when a container uses it, or nothing was fetched.
    """
    if not own.was_fetched(reference):
        raise ImageError(f"image {reference}: comes with netlab and stays")
    mine = own.find(reference)
    users = users_where(
        lambda other: (found := own.find(other)) is not None and found.id == (mine and mine.id),
        mounted_layers(),
    )
    if users:
        words = ", ".join(user.words for user in users)
        raise ImageError(f"image {reference}: in use by {words}; delete the pod first")
    own.forget(reference)


@click.command("build")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Name of the image, instead of the recipe's.")
@click.option("--tag", "-t", "tags", multiple=True, help="Name for what a Dockerfile builds.")
@click.option(
    "--file", "-f", type=click.Path(path_type=Path), help="The Dockerfile, if not FOLDER's own."
)
@click.option("--build-arg", "arguments", multiple=True, help="NAME=VALUE for an ARG.")
@click.pass_obj
def build(
    store: ImageStore,
    folder: Path,
    name: str,
    tags: Sequence[str],
    file: Path | None,
    arguments: Sequence[str],
) -> None:
    """Build an image from a folder with a Dockerfile, or with a recipe (image.toml).

    docs/images.md tells which of a Dockerfile's instructions there are.
    """
    if file is not None or (folder / "Dockerfile").exists() or tags:
        given = [word.partition("=") for word in arguments]
        if wrong := [word for word, equals, _ in given if not equals]:
            raise UsageError(f"--build-arg {wrong[0]}: want NAME=VALUE")
        request = BuildRequest(
            folder,
            file or folder / "Dockerfile",
            [*tags, *([name] if name else [])],
            {word: value for word, _, value in given},
        )
        made = build_dockerfile(store, request, clock=SystemClock(), progress=_tell_progress)
        _say("Built", [asyncio.run(made)])
        return
    built = build_image(store, folder, name=name, clock=SystemClock(), progress=_tell_progress)
    _say("Built", asyncio.run(built))


@click.command("prune")
@click.option("--force", "-f", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(store: ImageStore, force: bool) -> None:
    """Remove all loaded, pulled and built images that no container uses."""
    store.images()
    if not force:
        click.confirm("Remove all images that no container uses?", abort=True)
    gone = store.prune()
    _told(f"Deleted {(image.names or (image.id,))[0]}" for image in gone)
    click.echo(f"Freed: {human_size(sum(image.size_bytes for image in gone))}")


def _say(done: str, images: Sequence[StoredImage]) -> None:
    for image in images:
        names = ", ".join(image.names or image.digests) or image.id
        click.echo(f"{done} {names} ({image.hex[:12]}, {human_size(image.size_bytes)})")


def _tell_progress(line: str) -> None:
    click.echo(line, err=True)


def _told(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
