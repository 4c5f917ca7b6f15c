"""In which form the caller wants its answer, and in which form it sent its body.

Mirrors ``k8s.io/apiserver/pkg/endpoints/handlers/negotiation``. Answers are JSON or YAML: a client
that prefers protobuf and also takes JSON, as kubectl does, gets JSON. Tables and metadata-only
objects are asked for with parameters of the media type (``as=Table``). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from netlab.api.field_errors import not_acceptable, unsupported_media_type

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
SERVED = (JSON, YAML, PROTOBUF)

_WILDCARDS = ("*/*", "application/*")


@dataclass(frozen=True, slots=True)
class MediaType:
    """One entry of an Accept header; parameters keep their order of preference."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """Return a parameter's value, or ""."""
        return next((value for key, value in self.parameters if key == name), "")


@dataclass(frozen=True, slots=True)
class Output:
    """The form of an answer.

    shape: "" for the object itself, ``Table`` or ``PartialObjectMetadata``. version: of the
    meta.k8s.io group, when there is a shape.
    """

    media_type: str = JSON
    shape: str = ""
    version: str = ""


PLAIN = Output()


@lru_cache(maxsize=256)  # clients send the same few headers over and over
def parse_accept(header: str) -> tuple[MediaType, ...]:
    """Return the media types, the most wanted first (by ``q``, then by place)."""
    weighted: list[tuple[float, int, MediaType]] = []
    for place, entry in enumerate(header.split(",")):
        name, *rest = (part.strip() for part in entry.split(";"))
        if not name:
            continue
        parameters = [(k.strip(), v.strip()) for k, _, v in (part.partition("=") for part in rest)]
        quality = next((_quality(v) for k, v in parameters if k == "q"), 1.0)
        kept = tuple(pair for pair in parameters if pair[0] != "q")
        weighted.append((-quality, place, MediaType(name.lower(), kept)))
    return tuple(media for weight, _, media in sorted(weighted, key=lambda w: w[:2]) if weight)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


@lru_cache(maxsize=256)
def negotiate(header: str, *, shapes: bool = True) -> Output:
    """Return the form for an answer that is an object or a list.

    shapes: whether the answer can also be had as a Table or as metadata only.

    Raises: ApiError NotAcceptable (406) when nothing the caller takes can be served.
    """
    if not header:
        return PLAIN
    accepted = parse_accept(header)
    for media in accepted:
        output = _output(media)
        if output is not None and (shapes or not output.shape):
            return output
    # kubectl's typed clients list protobuf first and JSON second: JSON was found above
    raise not_acceptable(SERVED)


def _output(media: MediaType) -> Output | None:
    if media.name in _WILDCARDS:
        name = JSON
    elif media.name in (JSON, YAML):
        name = media.name
    else:
        return None
    shape = media.parameter("as")
    if not shape:
        return Output(name)
    group, version = media.parameter("g"), media.parameter("v")
    if group != "meta.k8s.io" or version not in ("v1", "v1beta1"):
        return None
    if shape == "Table":
        return Output(name, "Table", version)
    if shape in ("PartialObjectMetadata", "PartialObjectMetadataList"):
        return Output(name, "PartialObjectMetadata", version)
    return None


def body_type(header: str) -> str:
    """Return the media type of a body from its Content-Type; a missing one means JSON.

    Raises: ApiError UnsupportedMediaType (415).
    """
    name = header.partition(";")[0].strip().lower()
    if not name:
        return JSON
    if name not in SERVED:
        raise unsupported_media_type(SERVED)
    return name


def aggregated_discovery_version(header: str) -> str:
    """Return ``v2`` or ``v2beta1`` when aggregated discovery is wanted first, else ""."""
    for media in parse_accept(header):
        if media.name == JSON and media.parameter("as") == "APIGroupDiscoveryList":
            version = media.parameter("v")
            if media.parameter("g") == "apidiscovery.k8s.io" and version in ("v2", "v2beta1"):
                return version
        elif media.name in (JSON, *_WILDCARDS) and not media.parameter("as"):
            return ""
    return ""
