"""Pulls images from registries into the store.

Mirrors containerd's pull as the kubelet asks for it, and its error texts. A registry on the
loopback may speak plain HTTP or have any certificate, as docker and containerd allow; every other
one is spoken to over TLS that is verified. What a tag means is asked first (one small request);
only what the store does not have is copied, by that digest.

A sandboxed lab is cut off from the world, and so it only asks registries of its own loopback, from
inside its network namespace; all others are asked from the machine's. Passwords are only those
handed in; the command line also uses those of ``skopeo login`` and ``docker login``.

netlab leaves out images in the registries' format of before 2016, mirrors (skopeo reads
``/etc/containers/registries.conf``), identity tokens and credential helper programs.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import msgspec

from netlab.errors import CommandTimeoutError, ImageError
from netlab.runtime.cri import RegistryCredentials
from netlab.runtime.image_store.records import StoredImage, content_digest
from netlab.runtime.image_store.store import LAYOUT_NAME, ImageStore, Workspace
from netlab.runtime.image_store.tools import run_skopeo
from netlab.runtime.reference import DEFAULT_DOMAIN, ImageReference

ASK_TIMEOUT_S = 60.0
COPY_TIMEOUT_S = 1800.0

_UNKNOWN = re.compile(r"(manifest|name|repository name) (unknown|not known)|404|not found", re.I)
_DENIED = re.compile(
    r"unauthorized|authentication required|invalid username/password|denied|\b40[13]\b", re.I
)
_NETWORK = re.compile(r"\b(dial tcp|tls:|x509:|net/http:|http: server gave|EOF|i/o timeout).*")


@dataclass(frozen=True, slots=True)
class RegistryRules:
    """Which registries a lab may ask, and from where.

    anywhere: False means only those on its loopback. node_netns: where that loopback is; None is
    the machine's own network.
    """

    anywhere: bool = True
    node_netns: Path | None = None

    def allow(self, reference: ImageReference) -> bool:
        """True when the lab may ask the registry of a reference."""
        return self.anywhere or is_loopback(reference.domain)

    def netns(self, reference: ImageReference) -> Path | None:
        """Return the network namespace in which a reference's registry is asked."""
        return self.node_netns if is_loopback(reference.domain) else None


@dataclass(frozen=True, slots=True)
class _Door:
    """How one attempt speaks to a registry. authfile: None means whoever is logged in."""

    scratch: Path
    authfile: Path | None
    netns: Path | None
    verify: bool

    def flags(self, prefix: str) -> list[str]:
        flags = [] if self.verify else [f"--{prefix}tls-verify=false"]
        return flags + ([f"--{prefix}authfile", str(self.authfile)] if self.authfile else [])


def is_loopback(domain: str) -> bool:
    """True for a registry on the loopback, with or without a port."""
    host = domain.rpartition(":")[0] if re.search(r":[0-9]+$", domain) else domain
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def pull_from_registry(
    store: ImageStore,
    reference: ImageReference,
    *,
    rules: RegistryRules,
    credentials: Sequence[RegistryCredentials] = (),
    logins: Path | None = None,
) -> StoredImage:
    """Return the image that a reference means in its registry now, from the store if it is there.

    credentials: tried in order, then none. logins: an auth file of the user's to try instead.
    Raises: ImageError in containerd's words; HostError when skopeo is missing.
    """
    denied: ImageError | None = None
    async with store.workspace() as work:
        for number, login in enumerate([*credentials, None]):
            authfile = work.folder / f"auth-{number}.json"
            _write_logins(authfile, reference, login)
            use = logins if login is None and logins is not None else authfile
            door = _Door(
                work.folder,
                use,
                rules.netns(reference),
                verify=not is_loopback(reference.domain),
            )
            try:
                return await _pull(store, work, reference, door)
            except _DeniedError as error:
                denied = error
        raise ImageError(str(denied)) from denied


class _DeniedError(ImageError):
    """The registry does not know these credentials, or none."""


async def _pull(
    store: ImageStore, work: Workspace, reference: ImageReference, door: _Door
) -> StoredImage:
    digest = await _ask(reference, door)
    pinned = f"{reference.repository}@{digest}"
    name = f"{reference.repository}:{reference.tag}" if reference.tag else ""
    for image in await asyncio.to_thread(store.images):
        if pinned in image.digests:
            if name and name not in image.names:
                return await asyncio.to_thread(store.add_name, image, name)
            return image
    layout = work.layout()
    argv = ["copy", "--quiet", "--dest-compress-format", "gzip", *door.flags("src-")]
    argv += [f"docker://{pinned}", f"oci:{layout}:{LAYOUT_NAME}"]
    await _run(reference, argv, door, COPY_TIMEOUT_S)
    try:
        image = await store.unpack(
            work, layout, source="pulled", names=[name] if name else [], digests=[pinned]
        )
    except ImageError as error:
        raise ImageError(f'failed to pull and unpack image "{reference}": {error}') from error
    return (await asyncio.to_thread(store.put, image))[0]


async def _ask(reference: ImageReference, door: _Door) -> str:
    """Return the digest that a reference means in its registry."""
    if reference.digest:
        return reference.digest
    argv = ["inspect", "--raw", *door.flags(""), f"docker://{reference}"]
    return content_digest(await _run(reference, argv, door, ASK_TIMEOUT_S))


async def _run(
    reference: ImageReference, argv: Sequence[str], door: _Door, timeout_s: float
) -> bytes:
    try:
        return await run_skopeo(argv, scratch=door.scratch, timeout_s=timeout_s, netns=door.netns)
    except ImageError as error:
        if isinstance(error.__cause__, CommandTimeoutError):
            said = f"i/o timeout: no answer within {timeout_s:g} s"
        else:
            said = str(error)
        text, is_denied = explain(reference, said)
        raise (_DeniedError(text) if is_denied else ImageError(text)) from error


def explain(reference: ImageReference, said: str) -> tuple[str, bool]:
    """Return containerd's words for what skopeo said of a pull, and whether it was refused for
    want of credentials.
    """
    denied = False
    if network := _NETWORK.search(said):
        cause = f'failed to do request: Head "{_url(reference)}": {network[0]}'
    elif _DENIED.search(said):
        denied = True
        cause = (
            "pull access denied, repository does not exist or may require authorization: "
            "authorization failed"
        )
    elif _UNKNOWN.search(said):
        cause = f"{reference}: not found"
    else:
        cause = said
    start = f'failed to pull and unpack image "{reference}": failed to resolve reference'
    return f'{start} "{reference}": {cause}', denied


def _url(reference: ImageReference) -> str:
    scheme = "http" if is_loopback(reference.domain) else "https"
    host = "registry-1.docker.io" if reference.domain == DEFAULT_DOMAIN else reference.domain
    what = reference.digest or reference.tag
    return f"{scheme}://{host}/v2/{reference.path}/manifests/{what}"


def _write_logins(path: Path, reference: ImageReference, login: RegistryCredentials | None) -> None:
    """Write the auth file that skopeo reads: with one login or none at all."""
    entries = {}
    if login is not None:
        secret = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        entries[reference.domain] = {"auth": secret}
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode({"auths": entries}))
