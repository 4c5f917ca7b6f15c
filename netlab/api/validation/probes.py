"""Rules for probes and lifecycle hooks.

Mirrors ``validateProbe``, ``validateLifecycle`` and ``validateHandler`` of Kubernetes.

netlab leaves out upstream's demand that ``stopSignal`` comes with ``spec.os.name``: there is one
operating system here.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.validation.numbers import not_negative, port_or_name

PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "sleep")
_SCHEMES: Final = ("HTTP", "HTTPS")
_COUNTS: Final = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
STOP_SIGNALS: Final = (
    *(each.name for each in signal.Signals if not each.name.startswith(("SIGRT", "SIGCLD"))),
    *(f"SIGRTMIN+{n}" for n in range(1, 16)),
    *(f"SIGRTMAX-{n}" for n in range(1, 15)),
    "SIGRTMIN",
    "SIGRTMAX",
)


def validate_probes(container: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with the probes of a container; path is the container's."""
    return [
        error
        for name in PROBES
        if container.get(name) is not None
        for error in _validate_probe(container[name], f"{path}.{name}", name)
    ]


def _validate_probe(probe: Mapping[str, Any], path: str, name: str) -> list[FieldError]:
    errors = _validate_handler(probe, path, _PROBE_HANDLERS, None)
    for field in _COUNTS:
        errors += not_negative(probe, field, path)
    here = f"{path}.terminationGracePeriodSeconds"
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(invalid_value(here, grace, "must be greater than 0"))
    threshold = probe.get("successThreshold", 1)
    if name != "readinessProbe" and threshold != 1:
        errors.append(invalid_value(f"{path}.successThreshold", threshold, "must be 1"))
    if name == "readinessProbe" and grace is not None:
        errors.append(invalid_value(here, grace, "must not be set for readinessProbes"))
    return errors


def validate_lifecycle(
    lifecycle: Mapping[str, Any], path: str, grace_s: int | None
) -> list[FieldError]:
    """Return what is wrong with the hooks of a container; grace_s: the pod's grace period."""
    errors = []
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            here = f"{path}.{hook}"
            errors += _validate_handler(lifecycle[hook], here, _HOOK_HANDLERS, grace_s)
    stop = lifecycle.get("stopSignal")
    if stop and stop not in STOP_SIGNALS:
        errors.append(not_supported(f"{path}.stopSignal", stop, STOP_SIGNALS))
    return errors


def _validate_handler(
    handler: Mapping[str, Any], path: str, known: tuple[str, ...], grace_s: int | None
) -> list[FieldError]:
    given = [name for name in known if handler.get(name) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    errors = _validate_action(given[0], handler[given[0]], f"{path}.{given[0]}", grace_s)
    return errors + [
        forbidden_field(f"{path}.{name}", "may not specify more than 1 handler type")
        for name in given[1:]
    ]


def _validate_action(
    name: str, action: Mapping[str, Any], path: str, grace_s: int | None
) -> list[FieldError]:
    if name == "exec":
        return [] if action.get("command") else [required(f"{path}.command")]
    if name == "httpGet":
        return _validate_http_get(action, path)
    if name == "sleep":
        return _validate_sleep(action.get("seconds", 0), path, grace_s)
    return port_or_name(action.get("port", 0), f"{path}.port")


def _validate_sleep(seconds: int, path: str, grace_s: int | None) -> list[FieldError]:
    if grace_s is None or 0 <= seconds <= grace_s:
        return []
    detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
    return [invalid_value(path, seconds, detail)]


def _validate_http_get(action: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    if not action.get("path"):
        errors.append(required(f"{path}.path"))
    errors += port_or_name(action.get("port", 0), f"{path}.port")
    scheme = action.get("scheme") or ""
    if scheme not in _SCHEMES:
        errors.append(not_supported(f"{path}.scheme", scheme, _SCHEMES))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        messages = names.http_header_name(name)
        errors += [invalid_value(f"{path}.httpHeaders", name, message) for message in messages]
    return errors
