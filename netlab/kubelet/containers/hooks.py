"""Runs the hooks of a container's life: what is done after its start or before its end.

Mirrors ``pkg/kubelet/lifecycle``. An HTTP hook succeeds with any answer, whatever its status; an
HTTPS one whose server speaks plain HTTP is sent again without TLS, which an event tells. A
``tcpSocket`` hook always fails: the API has it for old manifests only.

Rules for callers: the caller bounds the time by cancelling, which kills a command. The text of
HookError belongs into the container's ``state.waiting`` (reason PostStartHookError); the events
say only ``PostStartHook failed`` and ``PreStopHook failed``, because the output may hold secrets.
"""

from __future__ import annotations

from dataclasses import replace

from netlab.api.containers import Container, ExecAction, HttpGetAction, LifecycleHandler
from netlab.api.kinds import POD
from netlab.api.pods import Pod
from netlab.errors import NetlabError
from netlab.kubelet.node_parts import WARNING, NodeParts
from netlab.kubelet.probes.command import run_command
from netlab.kubelet.probes.dialing import PortError, resolve_port
from netlab.kubelet.probes.http_get import HttpError, get
from netlab.kubelet.probes.http_message import action_url, make_request


class HookError(Exception):
    """A hook failed; the text is the message of the container's waiting state."""


async def run_hook(
    handler: LifecycleHandler,
    *,
    parts: NodeParts,
    pod: Pod,
    container: Container,
    container_id: str,
    pod_ip: str,
) -> None:
    """Run a hook to its end; the caller bounds the time.

    Raises: HookError.
    """
    where = _place(pod, container)
    if handler.exec is not None:
        await _run_exec(handler.exec, parts, container_id, where)
    elif handler.http_get is not None:
        try:
            await _run_http(handler.http_get, parts, pod, container, pod_ip)
        except (HttpError, PortError, NetlabError, OSError) as error:
            path = handler.http_get.path
            raise HookError(f"HTTP lifecycle hook ({path}) {where} failed - error: {error}") from (
                error
            )
    elif handler.sleep is not None:
        await parts.clock.sleep(float(handler.sleep.seconds))
    else:
        raise HookError(f"Cannot run handler: invalid handler: {handler.to_object()}")


def _place(pod: Pod, container: Container) -> str:
    meta = pod.metadata
    return f'for Container "{container.name}" in Pod "{meta.name}_{meta.namespace}({meta.uid})"'


async def _run_exec(action: ExecAction, parts: NodeParts, container_id: str, where: str) -> None:
    words = " ".join(action.command)
    output = ""
    try:
        done = await run_command(parts.runtime, container_id, action.command)
        if done.code == 0:
            return
        output = done.output
        cause = f"command '{words}' exited with {done.code}: {done.stderr}"
    except (NetlabError, OSError) as error:
        cause = str(error)
    shown = output.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    raise HookError(
        f'Exec lifecycle hook ([{words}]) {where} failed - error: {cause}, message: "{shown}"'
    )


async def _run_http(
    action: HttpGetAction, parts: NodeParts, pod: Pod, container: Container, pod_ip: str
) -> None:
    host = action.host or pod_ip
    if not host:
        raise HttpError("failed to find networking container: the pod has no address")
    url = action_url(action, host, resolve_port(action.port, container))
    request = make_request(url, action.http_headers, "lifecycle")
    try:
        await get(parts.config.netns_path, request)
    except HttpError as error:
        if not error.plain_http:
            raise
        headers = tuple(h for h in request.headers if h[0] != "Authorization")
        plain = replace(request, url=replace(url, scheme="http"), headers=headers)
        await get(parts.config.netns_path, plain)
        message = (
            f"request to HTTPS lifecycle hook {url.authority} got HTTP response, "
            "retry with HTTP succeeded"
        )
        parts.events.record(POD, pod, WARNING, "LifecycleHTTPFallback", message)
