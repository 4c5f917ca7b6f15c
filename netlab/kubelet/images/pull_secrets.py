"""Decides which passwords of a pod's image pull secrets fit an image.

Mirrors ``pkg/credentialprovider`` (``BasicDockerKeyring``) and how the kubelet reads
``imagePullSecrets``. Those of the pod's ServiceAccount are already in the pod: admission puts them
there. An entry of a secret is a registry, maybe with a path, maybe with globs in the parts of its
host name: ``*.example.com/team``; more than one may fit, and the most specific ones come first.

netlab leaves out credential provider plugins, the node's own ``config.json``, identity tokens, and
the check that a pod may use an image that another pod's secret brought here
(``KubeletEnsureSecretPulledImages``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import msgspec

from netlab.api.core import Secret
from netlab.api.kinds import SECRET
from netlab.api.pods import Pod
from netlab.client.interface import Client
from netlab.errors import ApiError, ImageError
from netlab.runtime.cri import RegistryCredentials
from netlab.runtime.reference import DEFAULT_DOMAIN, parse_reference

MISSING_REASON = "FailedToRetrieveImagePullSecret"

_DOCKER_HUB_KEYS = ("index.docker.io", "docker.io")
_TYPES = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}


@dataclass(frozen=True, slots=True)
class PullCredentials:
    """What a pod has for one image. credentials: to be tried in this order; missing: names of the
    secrets that could not be read, in the pod's order.
    """

    credentials: tuple[RegistryCredentials, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """The text of the event ``MISSING_REASON``; "" when nothing is missing."""
        if not self.missing:
            return ""
        return (
            f"Unable to retrieve some image pull secrets ({', '.join(self.missing)}); "
            "attempting to pull the image may not succeed."
        )


class _Entry(msgspec.Struct, frozen=True):
    username: str = ""
    password: str = ""
    auth: str = ""


class _DockerConfig(msgspec.Struct, frozen=True):
    auths: dict[str, _Entry] = {}


async def pull_credentials(client: Client, pod: Pod, image: str) -> PullCredentials:
    """Return what the pod's image pull secrets have for an image.

    A secret that is missing or cannot be read is no error: the registry may let anybody in.
    """
    found: list[Mapping[str, RegistryCredentials]] = []
    missing = []
    for reference in pod.spec.image_pull_secrets:
        if not reference.name:
            continue
        try:
            secret = await client.get(SECRET, pod.metadata.namespace, reference.name)
        except ApiError:
            missing.append(reference.name)
            continue
        found.append(secret_logins(Secret.parse(secret)))
    return PullCredentials(fitting_credentials(found, image), tuple(missing))


def secret_logins(secret: Secret) -> Mapping[str, RegistryCredentials]:
    """Return the logins in a secret by registry, as written there; none when it is of another type
    or damaged.
    """
    key = _TYPES.get(secret.type, "")
    try:
        data = base64.b64decode(secret.data.get(key, ""))
        if secret.type == "kubernetes.io/dockercfg":
            entries = msgspec.json.decode(data, type=dict[str, _Entry])
        else:
            entries = msgspec.json.decode(data, type=_DockerConfig).auths
        return {place: _login(entry) for place, entry in entries.items()}
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError):
        return {}


def _login(entry: _Entry) -> RegistryCredentials:
    if not entry.auth:
        return RegistryCredentials(entry.username, entry.password)
    # docker pads the text with zero bytes
    user, _, password = base64.b64decode(entry.auth).decode().strip("\0").partition(":")
    return RegistryCredentials(user, password)


def fitting_credentials(
    secrets: Sequence[Mapping[str, RegistryCredentials]], image: str
) -> tuple[RegistryCredentials, ...]:
    """Return the logins that fit an image, the longest place first, then in the secrets' order."""
    try:
        reference = parse_reference(image)
    except ImageError:
        return ()
    pairs = [(registry_key(place), login) for secret in secrets for place, login in secret.items()]
    pairs.sort(key=lambda pair: pair[0], reverse=True)
    found = [login for key, login in pairs if key_fits(key, reference.repository)]
    if not found and reference.domain == DEFAULT_DOMAIN:
        found = [login for key, login in pairs if key in _DOCKER_HUB_KEYS]
    return _once(found)


def _once(logins: Iterable[RegistryCredentials]) -> tuple[RegistryCredentials, ...]:
    return tuple(dict.fromkeys(logins))


def registry_key(place: str) -> str:
    """Return an entry's place as it is compared: host and path, no scheme, no API version."""
    url = urlsplit(place if "://" in place else f"https://{place}")
    path = url.path
    for version in ("/v1/", "/v2/"):
        if path.startswith(version):
            path = path[len(version) - 1 :]
    return url.netloc + (path if path not in ("", "/") else "")


def key_fits(key: str, repository: str) -> bool:
    """True when a place, whose host may have globs, covers a repository."""
    key_host, _, key_path = key.partition("/")
    host, _, path = repository.partition("/")
    key_name, _, key_port = key_host.partition(":")
    name, _, port = host.partition(":")
    wanted, given = key_name.split("."), name.split(".")
    return (
        key_port == port
        and len(wanted) == len(given)
        and all(fnmatchcase(one, glob) for glob, one in zip(wanted, given, strict=True))
        and f"/{path}".startswith(f"/{key_path}" if key_path else "")
    )
