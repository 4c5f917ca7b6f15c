"""Decides the environment variables of a container.

Mirrors the kubelet's ``makeEnvironmentVariables`` and ``pkg/kubelet/envvars``. Order, from weak to
strong: variables of Services, ``envFrom`` in the order written, ``env`` in the order written. A
value may refer to what stands before it with ``$(NAME)``, including Service variables.

Any key of a ConfigMap or Secret makes a variable: since v1.34 a name may hold every printable
character but ``=``. Service variables are a snapshot: a Service made after the container has no
variables in it, as in Kubernetes. HOSTNAME comes first; PATH is the image's, and the runtime's
default where the image names none. Pure.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from netlab.api.containers import Container, EnvFromSource, EnvVar, KeySelector
from netlab.api.core import ConfigMap, Secret, Service
from netlab.api.pods import Pod
from netlab.kubelet.containers.expansion import expand
from netlab.kubelet.containers.resource_fields import UnknownResourceError, resource_field_value

ObjectName: TypeAlias = tuple[str, str]
"""("configmap" | "secret", name in the pod's namespace)."""

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


class ConfigError(Exception):
    """A container cannot be configured; the text is what CreateContainerConfigError shows."""


@dataclass(frozen=True, slots=True)
class PodAddresses:
    """What ``status.podIP``, ``status.hostIP`` and their kin stand for."""

    pod_ip: str
    host_ip: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What a container's variables are made from.

    services: all Services of the pod's namespace, and default/kubernetes. config_maps and
    secrets: by name, those of ``needed_objects`` that exist. allocatable: what the node has to
    give, by resource; needed where ``needs_allocatable``.
    """

    addresses: PodAddresses
    services: Iterable[Service] = ()
    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)


def needs_allocatable(container: Container) -> bool:
    """Return whether a variable of the container tells an amount of a resource."""
    return any(
        variable.value_from is not None and variable.value_from.resource_field_ref is not None
        for variable in container.env
    )


def needed_objects(container: Container) -> set[ObjectName]:
    """Return the ConfigMaps and Secrets that the container's variables come from."""
    names: set[ObjectName] = set()
    for source in container.env_from:
        if source.config_map_ref is not None:
            names.add(("configmap", source.config_map_ref.name))
        if source.secret_ref is not None:
            names.add(("secret", source.secret_ref.name))
    for variable in container.env:
        if variable.value_from is None:
            continue
        if variable.value_from.config_map_key_ref is not None:
            names.add(("configmap", variable.value_from.config_map_key_ref.name))
        if variable.value_from.secret_key_ref is not None:
            names.add(("secret", variable.value_from.secret_key_ref.name))
    return names


def container_environment(
    pod: Pod, container: Container, sources: Sources, *, hostname: str
) -> dict[str, str]:
    """Return the container's variables in order.

    Raises: ConfigError when a ConfigMap, Secret or key that is not optional does not exist.
    """
    service_values = service_variables(visible_services(pod, sources.services))
    explicit: dict[str, str] = {}
    for source in container.env_from:
        explicit.update(_values_from(pod, source, sources))
    known = {**service_values, **explicit}
    for variable in container.env:
        value = _value_of(pod, container, variable, known, sources)
        if value is not None:
            explicit[variable.name] = known[variable.name] = value
    remaining = {name: text for name, text in service_values.items() if name not in explicit}
    return {"HOSTNAME": hostname, **explicit, **remaining}


def expand_command(words: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return command or arguments with ``$(NAME)`` expanded."""
    return tuple(expand(word, environment) for word in words)


def field_value(pod: Pod, path: str, addresses: PodAddresses) -> str:
    """Return a field of the pod as the downward API gives it.

    Raises: ConfigError for a path that is no such field.
    """
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        mapping = pod.metadata.labels if subscript[1] == "labels" else pod.metadata.annotations
        return mapping.get(subscript[2], "")
    values = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "metadata.labels": _format_map(pod.metadata.labels),
        "metadata.annotations": _format_map(pod.metadata.annotations),
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.podIP": addresses.pod_ip,
        "status.podIPs": addresses.pod_ip,
        "status.hostIP": addresses.host_ip,
        "status.hostIPs": addresses.host_ip,
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return values[path]


def _format_map(values: Mapping[str, str]) -> str:
    # as the downward API writes maps: sorted, one KEY="VALUE" per line, escaped like a Go string
    lines = []
    for key in sorted(values):
        escaped = values[key].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'{key}="{escaped}"')
    return "\n".join(lines)


def _values_from(pod: Pod, source: EnvFromSource, sources: Sources) -> dict[str, str]:
    if source.config_map_ref is not None:
        config_map = sources.config_maps.get(source.config_map_ref.name)
        if config_map is None and not source.config_map_ref.optional:
            raise ConfigError(f'configmap "{source.config_map_ref.name}" not found')
        data = dict(config_map.data) if config_map else {}
    elif source.secret_ref is not None:
        secret = sources.secrets.get(source.secret_ref.name)
        if secret is None and not source.secret_ref.optional:
            raise ConfigError(f'secret "{source.secret_ref.name}" not found')
        data = {key: _decode(text) for key, text in secret.data.items()} if secret else {}
    else:
        data = {}
    return {source.prefix + key: data[key] for key in sorted(data)}


def _value_of(
    pod: Pod, container: Container, variable: EnvVar, known: Mapping[str, str], sources: Sources
) -> str | None:
    origin = variable.value_from
    if origin is None:
        return expand(variable.value, known)
    if origin.field_ref is not None:
        return field_value(pod, origin.field_ref.field_path, sources.addresses)
    if origin.resource_field_ref is not None:
        try:
            return resource_field_value(
                pod, origin.resource_field_ref, sources.allocatable, container=container
            )
        except UnknownResourceError as error:
            raise ConfigError(str(error)) from error
    if origin.config_map_key_ref is not None:
        return _config_map_value(pod, origin.config_map_key_ref, sources)
    if origin.secret_key_ref is not None:
        return _secret_value(pod, origin.secret_key_ref, sources)
    # a source that netlab has no view of; the API server has warned about it
    return ""


def _config_map_value(pod: Pod, reference: KeySelector, sources: Sources) -> str | None:
    config_map = sources.config_maps.get(reference.name)
    if config_map is not None and reference.key in config_map.data:
        return config_map.data[reference.key]
    if reference.optional:
        return None
    if config_map is None:
        raise ConfigError(f'configmap "{reference.name}" not found')
    raise _missing_key(pod, reference, "ConfigMap")


def _secret_value(pod: Pod, reference: KeySelector, sources: Sources) -> str | None:
    secret = sources.secrets.get(reference.name)
    if secret is not None and reference.key in secret.data:
        return _decode(secret.data[reference.key])
    if reference.optional:
        return None
    if secret is None:
        raise ConfigError(f'secret "{reference.name}" not found')
    raise _missing_key(pod, reference, "Secret")


def _missing_key(pod: Pod, reference: KeySelector, kind: str) -> ConfigError:
    where = f"{pod.metadata.namespace}/{reference.name}"
    return ConfigError(f"couldn't find key {reference.key} in {kind} {where}")


def _decode(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "replace")


def visible_services(pod: Pod, services: Iterable[Service]) -> list[Service]:
    """Return the Services whose variables the pod gets, in order of name.

    Those of its namespace unless enableServiceLinks is false; default/kubernetes always, hidden
    by a Service of that name in the pod's own namespace.
    """
    chosen: dict[str, Service] = {}
    for service in services:
        meta = service.metadata
        if service.spec.cluster_ip in ("", "None"):
            continue
        own = meta.namespace == pod.metadata.namespace and pod.spec.enable_service_links
        master = (meta.namespace, meta.name) == ("default", "kubernetes")
        if own or (master and meta.name not in chosen):
            chosen[meta.name] = service
    return [chosen[name] for name in sorted(chosen)]


def service_variables(services: Iterable[Service]) -> dict[str, str]:
    """Return the variables of Services that have a ClusterIP.

    ``DB_SERVICE_HOST``, ``DB_SERVICE_PORT``, ``DB_SERVICE_PORT_<NAME>`` for named ports, and the
    variables of Docker links: ``DB_PORT``, ``DB_PORT_27017_TCP``, ``…_PROTO``, ``…_PORT``,
    ``…_ADDR``.
    """
    variables: dict[str, str] = {}
    for service in services:
        if not service.spec.ports:
            continue
        prefix = _variable_name(service.metadata.name)
        address = service.spec.cluster_ip
        variables[f"{prefix}_SERVICE_HOST"] = address
        variables[f"{prefix}_SERVICE_PORT"] = str(service.spec.ports[0].port)
        for port in service.spec.ports:
            if port.name:
                variables[f"{prefix}_SERVICE_PORT_{_variable_name(port.name)}"] = str(port.port)
        variables.update(_link_variables(prefix, address, service))
    return variables


def _link_variables(prefix: str, address: str, service: Service) -> dict[str, str]:
    variables: dict[str, str] = {}
    host = f"[{address}]" if ":" in address else address
    for index, port in enumerate(service.spec.ports):
        protocol = port.protocol or "TCP"
        url = f"{protocol.lower()}://{host}:{port.port}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        variables[link] = url
        variables[f"{link}_PROTO"] = protocol.lower()
        variables[f"{link}_PORT"] = str(port.port)
        variables[f"{link}_ADDR"] = address
    return variables


def _variable_name(name: str) -> str:
    return name.replace("-", "_").upper()
