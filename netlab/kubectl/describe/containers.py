"""Containers and volumes, as pods and pod templates show them."""

from __future__ import annotations

from netlab.kubectl.describe.lines import NONE, Lines, boolean, lower_boolean, rfc1123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


def add_containers(
    lines: Lines,
    title: str,
    containers: Sequence[Mapping[str, Any]],
    statuses: Iterable[Mapping[str, Any]],
    pod: Mapping[str, Any] | None,
    indent: str = "",
) -> None:
    """Add a block for each container. pod: where fields of the environment come from."""
    if not containers:
        lines.add(f"{indent}{title}: {NONE}")
        return
    lines.add(f"{indent}{title}:")
    by_name = {status["name"]: status for status in statuses}
    for container in containers:
        status = by_name.get(container["name"])
        _add_basics(lines, container, status, " " if indent else "")
        _add_words(lines, "Command", container.get("command"))
        _add_words(lines, "Args", container.get("args"))
        if status is not None:
            _add_state(lines, status)
        _add_resources(lines, container.get("resources") or {})
        for name, field in (
            ("Liveness", "livenessProbe"),
            ("Readiness", "readinessProbe"),
            ("Startup", "startupProbe"),
        ):
            if container.get(field):
                lines.add(f"{name}:\t{format_probe(container[field])}", 2)
        _add_env_from(lines, container.get("envFrom") or ())
        _add_env(lines, container, pod)
        _add_mounts(lines, container.get("volumeMounts") or ())


def _add_basics(
    lines: Lines, container: Mapping[str, Any], status: Mapping[str, Any] | None, indent: str
) -> None:
    lines.add(f"{indent}{container['name']}:", 1)
    if status is not None:
        lines.add(f"Container ID:\t{status.get('containerID', '')}", 2)
    lines.add(f"Image:\t{container.get('image', '')}", 2)
    if status is not None:
        lines.add(f"Image ID:\t{status.get('imageID', '')}", 2)
    ports = container.get("ports") or ()
    shown = [f"{port.get('containerPort')}/{port.get('protocol', 'TCP')}" for port in ports]
    lines.add(f"{'Ports' if len(shown) > 1 else 'Port'}:\t{', '.join(shown) or NONE}", 2)
    shown = [f"{port.get('hostPort', 0)}/{port.get('protocol', 'TCP')}" for port in ports]
    lines.add(f"{'Host Ports' if len(shown) > 1 else 'Host Port'}:\t{', '.join(shown) or NONE}", 2)


def _add_words(lines: Lines, title: str, words: Sequence[str] | None) -> None:
    if words:
        lines.add(f"{title}:", 2)
        for word in words:
            for line in word.split("\n"):
                lines.add(line, 3)


def _add_state(lines: Lines, status: Mapping[str, Any]) -> None:
    _add_one_state(lines, "State", status.get("state") or {})
    if (status.get("lastState") or {}).get("terminated"):
        _add_one_state(lines, "Last State", status["lastState"])
    lines.add(f"Ready:\t{boolean(status.get('ready'))}", 2)
    lines.add(f"Restart Count:\t{status.get('restartCount', 0)}", 2)


def _add_one_state(lines: Lines, title: str, state: Mapping[str, Any]) -> None:
    if state.get("running") is not None:
        lines.add(f"{title}:\tRunning", 2)
        lines.add(f"Started:\t{rfc1123(state['running'].get('startedAt'))}", 3)
        return
    terminated = state.get("terminated")
    if terminated is None:
        lines.add(f"{title}:\tWaiting", 2)
        if (state.get("waiting") or {}).get("reason"):
            lines.add(f"Reason:\t{state['waiting']['reason']}", 3)
        return
    lines.add(f"{title}:\tTerminated", 2)
    for name in ("reason", "message"):
        if terminated.get(name):
            lines.add(f"{name.capitalize()}:\t{terminated[name]}", 3)
    lines.add(f"Exit Code:\t{terminated.get('exitCode', 0)}", 3)
    if terminated.get("signal"):
        lines.add(f"Signal:\t{terminated['signal']}", 3)
    lines.add(f"Started:\t{rfc1123(terminated.get('startedAt'))}", 3)
    lines.add(f"Finished:\t{rfc1123(terminated.get('finishedAt'))}", 3)


def _add_resources(lines: Lines, resources: Mapping[str, Any]) -> None:
    for title, field in (("Limits", "limits"), ("Requests", "requests")):
        amounts = resources.get(field) or {}
        if amounts:
            from netlab.kubectl.describe.amounts import canonical

            lines.add(f"{title}:", 2)
            for name in sorted(amounts):
                lines.add(f"{name}:\t{canonical(amounts[name])}", 3)


def format_probe(probe: Mapping[str, Any]) -> str:
    """Return ``http-get http://:8080/ delay=0s timeout=1s period=10s #success=1 #failure=3``."""
    times = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 0)}s "
        f"period={probe.get('periodSeconds', 0)}s #success={probe.get('successThreshold', 0)} "
        f"#failure={probe.get('failureThreshold', 0)}"
    )
    if probe.get("exec"):
        return f"exec [{' '.join(probe['exec'].get('command') or ())}] {times}"
    if probe.get("httpGet"):
        get = probe["httpGet"]
        scheme = get.get("scheme", "").lower()
        host, port, path = get.get("host", ""), get.get("port", ""), get.get("path", "")
        address = f"{host}:{port}" if port != "" else host
        return f"http-get {scheme}://{address}{path} {times}"
    if probe.get("tcpSocket"):
        tcp = probe["tcpSocket"]
        return f"tcp-socket {tcp.get('host', '')}:{tcp.get('port', '')} {times}"
    if probe.get("grpc"):
        return (
            f"grpc <pod>:{probe['grpc'].get('port')} {probe['grpc'].get('service') or ''} {times}"
        )
    return f"unknown {times}"


def _add_env_from(lines: Lines, sources: Sequence[Mapping[str, Any]]) -> None:
    if not sources:
        return
    lines.add("Environment Variables from:", 2)
    for source in sources:
        kind, ref = ("ConfigMap", source.get("configMapRef"))
        if ref is None:
            kind, ref = ("Secret", source.get("secretRef") or {})
        prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
        optional = lower_boolean(ref.get("optional"))
        lines.add(f"{ref.get('name', '')}\t{kind}{prefix}\tOptional: {optional}", 3)


def _add_env(lines: Lines, container: Mapping[str, Any], pod: Mapping[str, Any] | None) -> None:
    variables = container.get("env") or ()
    lines.add(f"Environment:{'' if variables else chr(9) + NONE}", 2)
    for variable in variables:
        source = variable.get("valueFrom")
        name = variable["name"]
        if not source:
            first, *others = str(variable.get("value", "")).split("\n")
            lines.add(f"{name}:\t{first}", 3)
            for other in others:
                lines.add(f"\t{other}", 3)
        elif source.get("fieldRef"):
            ref = source["fieldRef"]
            value = field_value(pod, ref.get("fieldPath", "")) if pod is not None else ""
            lines.add(f"{name}:\t{value} ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})", 3)
        elif source.get("resourceFieldRef"):
            ref = source["resourceFieldRef"]
            lines.add(f"{name}:\t{resource_value(container, ref)} ({ref['resource']})", 3)
        elif source.get("secretKeyRef"):
            ref = source["secretKeyRef"]
            optional = lower_boolean(ref.get("optional"))
            lines.add(
                f"{name}:\t<set to the key '{ref['key']}' in secret '{ref['name']}'>"
                f"\tOptional: {optional}",
                3,
            )
        elif source.get("configMapKeyRef"):
            ref = source["configMapKeyRef"]
            optional = lower_boolean(ref.get("optional"))
            lines.add(
                f"{name}:\t<set to the key '{ref['key']}' of config map '{ref['name']}'>"
                f"\tOptional: {optional}",
                3,
            )


def field_value(pod: Mapping[str, Any], path: str) -> str:
    """Return the pod's field of the downward API: ``metadata.name``, ``metadata.labels['a']``.

    Fields outside of the metadata are known to the container only, and are "" here.
    """
    if not path.startswith("metadata."):
        return ""
    name, bracket, key = path.partition("['")
    current: Any = pod
    for part in name.split("."):
        current = (current or {}).get(part)
    if bracket:
        current = (current or {}).get(key.removesuffix("']"))
    return "" if current is None else str(current)


def resource_value(container: Mapping[str, Any], ref: Mapping[str, Any]) -> str:
    """Return a limit or request divided by its divisor, rounded up, as the container sees it."""
    from netlab.kubectl.describe.amounts import amount

    field, _, name = ref["resource"].partition(".")
    found = ((container.get("resources") or {}).get(field) or {}).get(name)
    if found is None:
        return "0"
    divisor = amount(ref.get("divisor") or "1") or amount("1")
    return str(-(-amount(found) // divisor))


def _add_mounts(lines: Lines, mounts: Sequence[Mapping[str, Any]]) -> None:
    lines.add(f"Mounts:{'' if mounts else chr(9) + NONE}", 2)
    for mount in sorted(mounts, key=lambda mount: str(mount["mountPath"])):
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f'path="{mount["subPath"]}"')
        lines.add(f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})", 3)


def add_volumes(lines: Lines, volumes: Sequence[Mapping[str, Any]], indent: str = "") -> None:
    """Add a block for each volume."""
    if not volumes:
        lines.add(f"{indent}Volumes:\t{NONE}")
        return
    lines.add(f"{indent}Volumes:")
    for volume in volumes:
        lines.add(f"{' ' if indent else ''}{volume['name']}:", 1)
        for line in _volume_lines(volume):
            lines.add(line, 2)


def _volume_lines(volume: Mapping[str, Any]) -> list[str]:
    if "hostPath" in volume:
        host = volume["hostPath"]
        return [
            "Type:\tHostPath (bare host directory volume)",
            f"Path:\t{host.get('path', '')}",
            f"HostPathType:\t{host.get('type', NONE)}",
        ]
    if "emptyDir" in volume:
        empty = volume["emptyDir"] or {}
        return [
            "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)",
            f"Medium:\t{empty.get('medium', '')}",
            f"SizeLimit:\t{empty.get('sizeLimit', '<unset>')}",
        ]
    if "secret" in volume:
        secret = volume["secret"]
        return [
            "Type:\tSecret (a volume populated by a Secret)",
            f"SecretName:\t{secret.get('secretName', '')}",
            f"Optional:\t{lower_boolean(secret.get('optional'))}",
        ]
    if "configMap" in volume:
        config_map = volume["configMap"]
        return [
            "Type:\tConfigMap (a volume populated by a ConfigMap)",
            f"Name:\t{config_map.get('name', '')}",
            f"Optional:\t{lower_boolean(config_map.get('optional'))}",
        ]
    if "projected" in volume:
        found = ["Type:\tProjected (a volume that contains injected data from multiple sources)"]
        for source in volume["projected"].get("sources") or ():
            found += _projected_lines(source)
        return found
    if "persistentVolumeClaim" in volume:
        claim = volume["persistentVolumeClaim"]
        return [
            "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same "
            "namespace)",
            f"ClaimName:\t{claim.get('claimName', '')}",
            f"ReadOnly:\t{lower_boolean(claim.get('readOnly'))}",
        ]
    if "downwardAPI" in volume:
        items = volume["downwardAPI"].get("items") or ()
        return [
            "Type:\tDownwardAPI (a volume populated by information about the pod)",
            "Items:",
            *(f"  {(i.get('fieldRef') or {}).get('fieldPath', '')} -> {i['path']}" for i in items),
        ]
    return ["<unknown>"]


def _projected_lines(source: Mapping[str, Any]) -> list[str]:
    if source.get("secret"):
        return [
            f"SecretName:\t{source['secret'].get('name', '')}",
            f"Optional:\t{lower_boolean(source['secret'].get('optional'))}",
        ]
    if source.get("downwardAPI"):
        return ["DownwardAPI:\ttrue"]
    if source.get("configMap"):
        return [
            f"ConfigMapName:\t{source['configMap'].get('name', '')}",
            f"Optional:\t{lower_boolean(source['configMap'].get('optional'))}",
        ]
    if source.get("serviceAccountToken"):
        seconds = source["serviceAccountToken"].get("expirationSeconds", 3600)
        return [f"TokenExpirationSeconds:\t{seconds}"]
    return []
