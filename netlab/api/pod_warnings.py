"""What Kubernetes v1.36 itself warns of when a pod, or a template of pods, is written.

Mirrors ``pkg/api/pod/warnings.go``, the parts that concern fields netlab knows. Pure. (Fields that
netlab stores without acting on them are the subject of ``api.unsupported``.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netlab.api.names import dns1123_label
from netlab.api.view import Object


def pod_warnings(pod: Object) -> Iterator[str]:
    """Yield the warnings that a pod earns."""
    yield from _host_name(pod)
    yield from pod_spec_warnings(pod.get("spec") or {}, "spec")


def _host_name(pod: Object) -> Iterator[str]:
    name = (pod.get("metadata") or {}).get("name") or ""
    if name and not (pod.get("spec") or {}).get("hostname"):
        messages = dns1123_label(name)
        if messages:
            yield (
                "metadata.name: this is used in the Pod's hostname, which can result in surprising"
                f" behavior; a DNS label is recommended: [{' '.join(messages)}]"
            )


def pod_spec_warnings(spec: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the warnings that a pod's spec at ``path`` earns, in a pod or in a template."""
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container(container, f"{path}.{field}[{index}]")
    yield from _ports(spec, path)
    grace_s = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace_s, int) and grace_s < 0:
        yield (
            f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and"
            " will be treated as 1"
        )


def _container(container: dict[str, Any], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        if name in seen:
            yield (
                f'{path}.env[{index}]: hides previous definition of "{name}",'
                " which may be dropped when using apply"
            )
        seen.add(name)


def _ports(spec: dict[str, Any], path: str) -> Iterator[str]:
    """A port twice in one container, or the same in two: the kernel gives it to the first."""
    for container_index, container in enumerate(spec.get("containers") or ()):
        seen: dict[tuple[Any, ...], str] = {}
        for index, port in enumerate(container.get("ports") or ()):
            here = f"{path}.containers[{container_index}].ports[{index}]"
            key = (
                port.get("containerPort"),
                port.get("protocol") or "TCP",
                port.get("hostPort") or 0,
                port.get("hostIP") or "",
            )
            if key in seen:
                yield f"{here}: duplicate port definition with {seen[key]}"
            seen.setdefault(key, here)
