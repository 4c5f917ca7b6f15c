"""Logs of containers, processes in them, and connections into pods: what is asked of kubelets.

Mirrors the ``pods/log``, ``pods/exec``, ``pods/attach``, ``pods/portforward`` and ``…/proxy``
storages of kube-apiserver: a request is checked, its pod and container found, and then it is passed
on to the kubelet of the pod's node, which speaks the caller's protocol.
"""

from __future__ import annotations

from netlab.api.field_errors import bad_request
from netlab.api.kinds import POD
from netlab.api.view import Object
from netlab.apiserver.http.exchange import Answer, Exchange, answer_bytes, method_not_allowed
from netlab.apiserver.http.paths import Target
from netlab.apiserver.registry import Registry
from netlab.apiserver.streams.command_query import check_command, parse_command
from netlab.apiserver.streams.kubelets import (
    Door,
    Kubelets,
    command_path,
    forward_path,
    logs_path,
)
from netlab.apiserver.streams.log_messages import send_log_messages, wants_websocket
from netlab.apiserver.streams.logs import choose_container, parse_log_options
from netlab.apiserver.streams.passage import upgrades
from netlab.apiserver.streams.proxying import ProxyHandlers
from netlab.streaming.portforward import parse_ports


def is_stream(target: Target) -> bool:
    """True when the path names something that lasts and is not answered from the store."""
    part = None if target.kind is None else target.kind.subresource(target.subresource)
    return part is not None and part.streamed


class StreamHandlers:
    """Answers everything for which ``is_stream`` is true."""

    def __init__(self, registry: Registry, door: Door) -> None:
        self._registry = registry
        self.kubelets = Kubelets(registry, door)
        self._proxy = ProxyHandlers(registry, self.kubelets, door.dial)

    async def handle(self, exchange: Exchange, target: Target) -> Answer:
        """Answer a request.

        Raises: ApiError with the Status to answer.
        """
        if target.subresource == "proxy":
            return await self._proxy.handle(exchange, target)
        method = exchange.request.method
        if target.subresource == "log":
            if method != "GET":
                raise method_not_allowed()
            return await self._log(exchange, target)
        if method not in ("GET", "POST"):
            raise method_not_allowed()
        if target.subresource == "portforward":
            return await self._forward(exchange, target)
        return await self._command(exchange, target)

    async def _pod(self, target: Target) -> Object:
        return (await self._registry.get(POD, target.namespace, target.name)).object

    async def _log(self, exchange: Exchange, target: Target) -> Answer:
        pod = await self._pod(target)
        container = choose_container(pod, exchange.query.get("container", ""))
        options = parse_log_options(exchange.query, target.name, exchange.now)
        node = pod.get("spec", {}).get("nodeName")
        if not node:
            return answer_bytes(b"", "text/plain")  # nothing can have been written yet
        path = logs_path(target.namespace, target.name, container, options)
        if wants_websocket(exchange.request):
            return await send_log_messages(exchange.request, self.kubelets.pieces(node, path))
        return await self.kubelets.pass_on(exchange, node, path)

    async def _command(self, exchange: Exchange, target: Target) -> Answer:
        attach = target.subresource == "attach"
        pod = await self._pod(target)
        request = parse_command(exchange.request.rel_url.raw_query_string)
        container = choose_container(pod, exchange.query.get("container", ""))
        check_command(request, attach=attach)
        node = _node_of(pod)
        _check_upgrade(exchange)
        verb = "attach" if attach else "exec"
        path = command_path(verb, target.namespace, target.name, container, request)
        return await self.kubelets.pass_on(exchange, node, path)

    async def _forward(self, exchange: Exchange, target: Target) -> Answer:
        pod = await self._pod(target)
        node = _node_of(pod)
        ports = parse_ports(exchange.request.rel_url.raw_query_string)
        _check_upgrade(exchange)
        path = forward_path(target.namespace, target.name, pod["metadata"]["uid"], ports)
        return await self.kubelets.pass_on(exchange, node, path)


def _node_of(pod: Object) -> str:
    node = pod.get("spec", {}).get("nodeName")
    if not node:
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def _check_upgrade(exchange: Exchange) -> None:
    if not upgrades(exchange.request):
        raise bad_request("Upgrade request required")
