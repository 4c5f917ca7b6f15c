"""Makes one attempt of a probe: whichever of the four actions it has, within its time.

Mirrors ``runProbe`` of ``pkg/kubelet/prober`` and the packages below ``pkg/probe``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from netlab.api.containers import Container, ExecAction, HttpGetAction, Probe, TcpSocketAction
from netlab.errors import NetlabError
from netlab.kubelet.probes.command import run_command
from netlab.kubelet.probes.dialing import (
    DialError,
    PortError,
    dial_tcp,
    join_host_port,
    resolve_port,
)
from netlab.kubelet.probes.health_call import probe_grpc
from netlab.kubelet.probes.http_get import probe_http
from netlab.kubelet.probes.http_message import action_url, make_request
from netlab.kubelet.probes.results import Outcome, ProbeError, ProbeResult
from netlab.runtime.cri import ContainerRuntime


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What is probed, and from where.

    netns: the node's network namespace, None for the process's own. pod_ip: where the pod
    answers.
    """

    runtime: ContainerRuntime
    netns: Path | None
    container: Container
    container_id: str
    pod_ip: str


async def run_probe(target: ProbeTarget, probe: Probe) -> ProbeResult:
    """Return what one attempt finds.

    Raises: ProbeError when it finds nothing out.
    """
    timeout_s = float(probe.timeout_seconds)
    try:
        if probe.exec is not None:
            return await _run_exec(target, probe.exec, timeout_s)
        if probe.http_get is not None:
            return await _run_http(target, probe.http_get, timeout_s)
        if probe.tcp_socket is not None:
            return await _run_tcp(target, probe.tcp_socket, timeout_s)
        if probe.grpc is not None:
            return await probe_grpc(target.netns, target.pod_ip, probe.grpc, timeout_s)
    except (NetlabError, PortError, OSError) as error:
        raise ProbeError(str(error)) from error
    raise ProbeError(f"missing probe handler for {target.container.name}")


async def _run_exec(target: ProbeTarget, action: ExecAction, timeout_s: float) -> ProbeResult:
    try:
        async with asyncio.timeout(timeout_s):
            done = await run_command(target.runtime, target.container_id, action.command)
    except TimeoutError:
        words = " ".join(action.command)
        text = f'command timed out: "{words}" timed out after {timeout_s:g}s'
        return ProbeResult(Outcome.FAILURE, text)
    return ProbeResult(Outcome.SUCCESS if done.code == 0 else Outcome.FAILURE, done.output)


async def _run_http(target: ProbeTarget, action: HttpGetAction, timeout_s: float) -> ProbeResult:
    port = resolve_port(action.port, target.container)
    url = action_url(action, action.host or target.pod_ip, port)
    return await probe_http(
        target.netns, make_request(url, action.http_headers, "probe"), timeout_s
    )


async def _run_tcp(target: ProbeTarget, action: TcpSocketAction, timeout_s: float) -> ProbeResult:
    port = resolve_port(action.port, target.container)
    host = action.host or target.pod_ip
    try:
        async with asyncio.timeout(timeout_s):
            connection = await dial_tcp(target.netns, host, port)
    except TimeoutError:
        text = f"dial tcp {join_host_port(host, port)}: i/o timeout"
        return ProbeResult(Outcome.FAILURE, text)
    except DialError as error:
        return ProbeResult(Outcome.FAILURE, str(error))
    connection.close()
    return ProbeResult(Outcome.SUCCESS)
