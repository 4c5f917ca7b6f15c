"""Image references: ``nginx:1.25`` becomes ``docker.io/library/nginx:1.25``.

Mirrors ``github.com/distribution/reference`` (``ParseNormalizedNamed``), which the kubelet and
containerd use. Pure. netlab leaves out identifiers (64 hex digits instead of a name).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from netlab.errors import ImageError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"

_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
# The registries' limit for domain and path together.
_NAME_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A complete image name. tag is ``latest`` when neither tag nor digest was given, and empty
    when only a digest was; digest is empty or ``sha256:…``.
    """

    domain: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        """Domain and path: ``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The repository as people write it: ``busybox``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        return self.path.removeprefix("library/")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_reference(text: str) -> ImageReference:
    """Return the complete form of what a pod spec says in ``image``.

    Raises: ImageError (reason ``InvalidImageName``) worded as the kubelet words it.
    Source: https://github.com/distribution/reference (grammar in reference.go)
    """
    rest, digest = _split_digest(text)
    name, tag = _split_tag(rest)
    domain, path = _split_domain(name)
    valid = (
        _DOMAIN.fullmatch(domain)
        and _PATH.fullmatch(path)
        and (tag is None or _TAG.fullmatch(tag))
        and (digest is None or _DIGEST.fullmatch(digest))
        and len(domain) + 1 + len(path) <= _NAME_LENGTH_MAX
    )
    if not valid:
        cause = "invalid reference format"
        if path != path.lower():
            cause += f": repository name ({path}) must be lowercase"
        raise ImageError(
            f'Failed to apply default image tag "{text}": couldn\'t parse image name "{text}": '
            f"{cause}",
            reason="InvalidImageName",
        )
    if tag is None:
        tag = "" if digest else DEFAULT_TAG
    return ImageReference(domain, path, tag, digest or "")


def _split_digest(text: str) -> tuple[str, str | None]:
    rest, at, digest = text.partition("@")
    return rest, digest if at else None


def _split_tag(text: str) -> tuple[str, str | None]:
    # A colon before the last slash belongs to the registry's port.
    head, colon, tail = text.rpartition(":")
    if not colon or "/" in tail:
        return text, None
    return head, tail


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    if is_domain:
        domain, path = first, rest
    else:
        domain, path = DEFAULT_DOMAIN, name
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path
