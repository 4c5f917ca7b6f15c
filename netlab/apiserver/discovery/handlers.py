"""Answers that are about the server itself: version, health, discovery, OpenAPI.

Mirrors ``k8s.io/apiserver/pkg/server`` ``routes``. Discovery documents are made once
for each state of the catalog; OpenAPI documents when somebody asks, on a thread, because making one
takes longer than any other request.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from netlab.api.catalog import Catalog
from netlab.api.field_errors import no_such_resource
from netlab.api.kind import Kind
from netlab.api.release import KUBERNETES_MAJOR, KUBERNETES_MINOR, RELEASE, go_architecture
from netlab.apiserver.discovery import openapi
from netlab.apiserver.discovery.documents import (
    Document,
    aggregated,
    api_group,
    api_group_list,
    api_resource_list,
    api_versions,
    group_names,
    resources,
)
from netlab.apiserver.http.exchange import (
    Answer,
    Exchange,
    answer_bytes,
    answer_object,
    answer_text,
    base_headers,
    method_not_allowed,
)
from netlab.apiserver.http.negotiation import JSON, aggregated_discovery_version, parse_accept

HEALTH_PATHS = ("healthz", "livez", "readyz")

Check: TypeAlias = Callable[[], bool]
"""Tells whether one part of the lab is well; must not wait."""

Page: TypeAlias = Callable[[], tuple[bytes, str]]
"""Returns a body and its content type."""

_OPENAPI_PROTOBUFS = (openapi.V2_PROTOBUF, openapi.V2_PROTOBUF.replace("v2.v1.0", "v2@v1.0"))


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of one state of the catalog; documents by path and version of discovery."""

    revision: int
    items: list[Kind[Any]]
    documents: dict[tuple[str, str], Document]
    fingerprint: str


def _fingerprint(items: list[Kind[Any]]) -> str:
    """Changes with whatever an OpenAPI document depends on."""
    served = [(kind.type, kind.plural, kind.namespaced, kind.verbs) for kind in items]
    parts = [[(sub.name, sub.verbs) for sub in kind.subresources] for kind in items]
    return hashlib.sha256(f"{RELEASE} {served} {parts}".encode()).hexdigest()


def _make_documents(items: list[Kind[Any]], server_address: str) -> dict[tuple[str, str], Document]:
    documents = {
        ("/api", ""): Document.of(api_versions(server_address)),
        ("/apis", ""): Document.of(api_group_list(items)),
    }
    for version in ("v2", "v2beta1"):
        for path in ("/api", "/apis"):
            found = aggregated(items, core=path == "/api", version=version)
            documents[(path, version)] = Document.of(found)
    for group in group_names(items):
        documents[(f"/apis/{group}", "")] = Document.of(api_group(items, group) or {})
    for group, version in {(item.group, item.version) for item in items}:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        listed = api_resource_list(items, group, version) or {}
        documents[(path, "")] = Document.of(listed)
    return documents


class InformationHandlers:
    """Answers every GET that is not about a resource.

    server_address: ``host:port`` for clients. checks: parts of the lab that ``/readyz`` looks at,
    by name; ``/healthz`` and ``/livez`` only tell that the server answers. pages: what is told at
    further paths.
    """

    def __init__(
        self,
        catalog: Catalog,
        server_address: str,
        checks: Mapping[str, Check],
        pages: Mapping[str, Page],
    ) -> None:
        self._catalog = catalog
        self._server_address = server_address
        self._checks = dict(checks)
        self._pages = dict(pages)
        self._told: _Told | None = None
        self.stopping = False

    def _current(self) -> _Told:
        """What to tell of the catalog as it is now."""
        if self._told is None or self._told.revision != self._catalog.revision:
            items = resources(self._catalog)
            self._told = _Told(
                self._catalog.revision,
                items,
                _make_documents(items, self._server_address),
                _fingerprint(items),
            )
        return self._told

    async def handle(self, exchange: Exchange) -> Answer:
        """Answer a request for a path that is no resource's.

        Raises: ApiError NotFound or MethodNotAllowed.
        """
        path = exchange.path.rstrip("/") or "/"
        if exchange.request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if path == "/version":
            return answer_object(version_info(), exchange.plain_form())
        if path.lstrip("/").partition("/")[0] in HEALTH_PATHS:
            return self._health(exchange, path)
        if path in self._pages:
            body, content_type = self._pages[path]()
            return answer_bytes(body, content_type)
        if path == "/openapi/v2" or path.startswith("/openapi/v3"):
            return await self._openapi(exchange, path)
        if path == "/":
            return answer_object({"paths": self._known_paths()}, exchange.plain_form())
        return self._discovery(exchange, path)

    def _known_paths(self) -> list[str]:
        paths = {path for path, _ in self._current().documents}
        checks = {f"/{name}" for name in HEALTH_PATHS}
        return sorted({*paths, *checks, *self._pages, "/openapi/v2", "/openapi/v3", "/version"})

    def _discovery(self, exchange: Exchange, path: str) -> Answer:
        version = aggregated_discovery_version(exchange.accept)
        documents = self._current().documents
        document = documents.get((path, version)) or documents.get((path, ""))
        if document is None:
            if path.startswith(("/api/", "/apis/")):
                raise no_such_resource()
            return answer_text("404 page not found\n", code=404)
        content_type = JSON
        if version and (path, version) in documents:
            content_type = f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        return _with_etag(exchange, document.body, document.etag, content_type)

    def _health(self, exchange: Exchange, path: str) -> Answer:
        name, _, single = path.lstrip("/").partition("/")
        results = self._check(name)
        if single:
            if single not in results:
                return answer_text("404 page not found\n", code=404)
            results = {single: results[single]}
        well = all(results.values())
        if well and "verbose" not in exchange.query:
            return answer_text("ok")
        lines = [
            f"[+]{check} ok" if good else f"[-]{check} failed: reason withheld"
            for check, good in results.items()
        ]
        verdict = f"{name} check {'passed' if well else 'failed'}"
        return answer_text("\n".join([*lines, verdict, ""]), code=200 if well else 500)

    def _check(self, name: str) -> dict[str, bool]:
        results = {"ping": True}
        if name == "readyz":
            results |= {check: test() for check, test in self._checks.items()}
            results["shutdown"] = not self.stopping
        return results

    async def _openapi(self, exchange: Exchange, path: str) -> Answer:
        if path == "/openapi/v2":
            return await self._openapi_v2(exchange)
        if path == "/openapi/v3":
            told = self._current()
            document = Document.of(openapi.index(told.items, told.fingerprint))
            return _with_etag(exchange, document.body, document.etag, JSON)
        return await self._openapi_v3(exchange, path)

    async def _openapi_v2(self, exchange: Exchange) -> Answer:
        told = self._current()
        wanted = {media.name for media in parse_accept(exchange.accept)}
        protobuf = bool(wanted.intersection(_OPENAPI_PROTOBUFS))
        etag = f'"{openapi.document_hash(told.fingerprint, "v2", str(protobuf))}"'
        content_type = openapi.V2_PROTOBUF if protobuf else JSON
        if _unchanged(exchange, etag):
            return _not_modified(etag, content_type)
        make = openapi.document_v2_protobuf if protobuf else openapi.document_v2_json
        return _tagged(await asyncio.to_thread(make, told.items, RELEASE), etag, content_type)

    async def _openapi_v3(self, exchange: Exchange, path: str) -> Answer:
        parts = path.removeprefix("/openapi/v3/").split("/")
        group, version = (parts[1], parts[2]) if len(parts) == 3 else ("", parts[-1])
        told = self._current()
        known = (group, version) in openapi.group_versions(told.items)
        if not known or parts[0] != ("apis" if group else "api"):
            return answer_text("404 page not found\n", code=404)
        digest = openapi.document_hash(told.fingerprint, group, version)
        given = exchange.query.get("hash", digest)
        if given != digest:
            return _redirect(f"{path}?hash={digest}")
        etag = f'"{digest}"'
        if _unchanged(exchange, etag):
            return _not_modified(etag, JSON)
        kinds = [kind for kind in told.items if (kind.group, kind.version) == (group, version)]
        body = await asyncio.to_thread(openapi.document_v3, kinds, RELEASE)
        response = _tagged(body, etag, JSON)
        if "hash" in exchange.query:
            # the URL changes with the content, so clients may keep what they got
            response.headers["Cache-Control"] = "public, immutable"
        return response


def version_info() -> dict[str, Any]:
    """Return ``/version``."""
    return {
        "major": KUBERNETES_MAJOR,
        "minor": KUBERNETES_MINOR,
        "emulationMajor": KUBERNETES_MAJOR,
        "emulationMinor": KUBERNETES_MINOR,
        "minCompatibilityMajor": KUBERNETES_MAJOR,
        "minCompatibilityMinor": "35",
        "gitVersion": RELEASE,
        # netlab runs from its source: there is no build to tell of
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{go_architecture(platform.machine())}",
    }


def _unchanged(exchange: Exchange, etag: str) -> bool:
    return exchange.request.headers.get("If-None-Match", "") == etag


def _not_modified(etag: str, content_type: str) -> web.Response:
    response = web.Response(status=304, headers=base_headers(content_type))
    response.headers["ETag"] = etag
    return response


def _tagged(body: bytes, etag: str, content_type: str) -> web.Response:
    response = answer_bytes(body, content_type)
    response.headers["ETag"] = etag
    response.headers["Vary"] = "Accept"
    response.headers["Cache-Control"] = "public"
    return response


def _with_etag(exchange: Exchange, body: bytes, etag: str, content_type: str) -> web.Response:
    if _unchanged(exchange, etag):
        return _not_modified(etag, content_type)
    return _tagged(body, etag, content_type)


def _redirect(location: str) -> web.Response:
    response = web.Response(status=301, headers=base_headers("text/plain"))
    response.headers["Location"] = location
    return response
