"""Where requests of the ``proxy`` subresource go: to pods, services, nodes and their kubelets.

Mirrors the ``ProxyREST`` storages of kube-apiserver. Pods and services are reached from the control
plane's network, as their addresses are; a node without a port means its kubelet, which is spoken
to as everything else of it is (``kubelets``), and ``nodes/NAME:PORT`` any other server on it.
"""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import quote

from aiohttp import web

from netlab.api.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE, Kind
from netlab.api.streams import ByteStream
from netlab.apiserver.http.exchange import Answer, Exchange, method_not_allowed
from netlab.apiserver.http.paths import Target
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import ListOptions
from netlab.apiserver.streams import backend
from netlab.apiserver.streams.backend import BackendError
from netlab.apiserver.streams.kubelets import Dial, Kubelets
from netlab.apiserver.streams.location import (
    Candidate,
    Location,
    ProxyName,
    no_endpoints,
    node_location,
    parse_name,
    pod_location,
    service_candidates,
)
from netlab.apiserver.streams.passage import Passage, dial_reason, unreachable, upgrades
from netlab.errors import ApiError, is_not_found

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ProxyHandlers:
    """Answers ``…/proxy`` and all below it."""

    def __init__(self, registry: Registry, kubelets: Kubelets, dial: Dial) -> None:
        self._registry = registry
        self._kubelets = kubelets
        self._dial = dial
        self._chooser = random.Random()

    async def handle(self, exchange: Exchange, target: Target) -> Answer:
        """Answer a request.

        Raises: ApiError with the Status to answer.
        """
        if exchange.request.method not in METHODS:
            raise method_not_allowed()
        location = await self._locate(target)
        prefix = exchange.path.removesuffix(target.tail) if target.tail else exchange.path
        if location is None:
            node = parse_name("node", target.name).name
            return await self._kubelets.proxy(exchange, node, _path(exchange, target), prefix)
        reads = exchange.request.method in ("GET", "HEAD")
        if reads and not target.tail and not upgrades(exchange.request):
            return _redirect(exchange)
        stream = await self._connect(location)
        passage = Passage(exchange.request, _path(exchange, target), location.host, prefix=prefix)
        return await passage.carry(stream)

    async def _connect(self, location: Location) -> ByteStream:
        try:
            stream = await self._dial(location.address, location.port)
        except OSError as error:
            raise unreachable(f"dial tcp {location.host}: {dial_reason(error)}") from error
        if location.tls:
            try:
                await backend.start_tls(stream, location.address)
            except BackendError as error:
                stream.writer.close()
                raise unreachable(str(error)) from error
            except BaseException:
                stream.writer.close()
                raise
        return stream

    async def _locate(self, target: Target) -> Location | None:
        """Where to; None for a kubelet."""
        name = parse_name(target.resource.removesuffix("s"), target.name)
        if target.resource == "pods":
            return pod_location(name, await self._get(POD, target, name))
        if target.resource == "nodes":
            return node_location(name, await self._get(NODE, target, name))
        service = await self._get(SERVICE, target, name)
        options = ListOptions(label_selector=f"kubernetes.io/service-name={name.name}")
        slices = await self._registry.list(ENDPOINT_SLICE, target.namespace, options)
        objects = [item.object for item in slices.items]
        for candidate in service_candidates(name, service, objects, self._chooser):
            if await self._is_of_its_pod(candidate, target.namespace):
                return candidate.location
        raise no_endpoints(name)

    async def _is_of_its_pod(self, candidate: Candidate, namespace: str) -> bool:
        try:
            pod = (await self._registry.get(POD, namespace, candidate.pod)).object
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        return candidate.is_of(pod)

    async def _get(self, kind: Kind[Any], target: Target, name: ProxyName) -> dict[str, Any]:
        return (await self._registry.get(kind, target.namespace or None, name.name)).object


def _path(exchange: Exchange, target: Target) -> str:
    """The path at the server, with the query."""
    query = exchange.request.rel_url.raw_query_string
    path = quote(target.tail or "/", safe="%/:=&?~#+!$,;'@()*[]")
    return path + (f"?{query}" if query else "")


def _redirect(exchange: Exchange) -> Answer:
    """Send a caller from ``…/proxy`` to ``…/proxy/``, from where relative links work."""
    query = exchange.request.rel_url.raw_query_string
    location = f"{exchange.path}/" + (f"?{query}" if query else "")
    return web.Response(status=301, headers={"Location": location})
