"""Where the cluster is and who we are: kubeconfig files, flags and in-pod credentials.

Mirrors client-go's ``clientcmd``: the files of ``$KUBECONFIG`` (the first one to name a thing
wins), else ``~/.kube/config``; flags override; without any of these the service account of the
pod we run in, and last ``http://localhost:8080``. Relative paths count from the file they stand in.

netlab leaves out ``auth-provider`` plugins, which Kubernetes removed in 1.26, and password
prompts. YAML as client-go writes it is read by the small reader of ``plain_yaml``; PyYAML, which
costs 20 ms to import, is loaded only for files that use more of the language.
"""

from __future__ import annotations

import os

from netlab.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"


class ClusterAccess:
    """How to reach one cluster. Credentials are PEM bytes; None means not given."""

    __slots__ = (
        "as_groups",
        "ca",
        "cert",
        "context",
        "headers",
        "insecure",
        "key",
        "namespace",
        "namespace_is_set",
        "server",
        "tls_server_name",
    )

    def __init__(self, server: str) -> None:
        self.server = server
        self.context = ""
        self.namespace = "default"
        self.namespace_is_set = False
        self.ca: bytes | None = None
        self.insecure = False
        self.tls_server_name = ""
        self.cert: bytes | None = None
        self.key: bytes | None = None
        self.headers: dict[str, str] = {}
        self.as_groups: tuple[str, ...] = ()


def config_paths(explicit: str = "") -> list[str]:
    """Return the kubeconfig files to read, those of the highest precedence first."""
    if explicit:
        return [explicit]
    listed = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return listed or [os.path.expanduser("~/.kube/config")]  # noqa: PTH111 pathlib costs 5 ms


def load_config(explicit: str = "") -> dict[str, Any]:
    """Return the merged kubeconfig; ``clusters``, ``contexts`` and ``users`` map names to entries.

    Raises: UsageError when the file given with ``--kubeconfig`` is missing, or one cannot be read.
    """
    merged: dict[str, Any] = {"current-context": "", "clusters": {}, "contexts": {}, "users": {}}
    for path in config_paths(explicit):
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            if explicit:
                raise UsageError(f"stat {path}: no such file or directory") from None
            continue
        except OSError as error:
            raise UsageError(f"open {path}: {(error.strerror or '').lower()}") from error
        _merge(merged, parse_config(text, path), os.path.dirname(path))  # noqa: PTH120
    return merged


def parse_config(text: str, path: str) -> dict[str, Any]:
    """Return one kubeconfig file as parsed YAML or JSON.

    Raises: UsageError when it is neither.
    """
    from netlab.client.plain_yaml import parse_plain_yaml

    parsed = parse_plain_yaml(text)
    if parsed is None:
        import yaml

        try:
            parsed = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 safe loaders
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())  # PyYAML's has several lines
            raise UsageError(f'error loading config file "{path}": {reason}') from error
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise UsageError(f'error loading config file "{path}": it is not a kubeconfig')
    return parsed


def _merge(merged: dict[str, Any], config: Mapping[str, Any], folder: str) -> None:
    merged["current-context"] = merged["current-context"] or config.get("current-context") or ""
    for plural, singular in (("clusters", "cluster"), ("contexts", "context"), ("users", "user")):
        for entry in config.get(plural) or ():
            body = dict(entry.get(singular) or {})
            for field in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
                if body.get(field):
                    body[field] = os.path.join(folder, body[field])  # noqa: PTH118
            merged[plural].setdefault(str(entry.get("name")), body)


def resolve(flags: Mapping[str, Any]) -> ClusterAccess:
    """Return the access that the flags and the kubeconfig describe.

    flags: values of kubectl's global options by their long names; missing or "" means not given.

    Raises: UsageError when a context, cluster or file that is named does not exist.
    """
    config = load_config(flags.get("kubeconfig") or "")
    context_name = flags.get("context") or config["current-context"]
    context = config["contexts"].get(context_name)
    if context is None:
        if flags.get("context"):
            raise UsageError(f'context "{context_name}" does not exist')
        context = {}
    cluster = _named(config, "clusters", flags.get("cluster") or context.get("cluster"))
    user = _named(config, "users", flags.get("user") or context.get("user"))
    server = flags.get("server") or cluster.get("server") or ""
    if not server:
        access = _in_cluster() or ClusterAccess("http://localhost:8080")
    else:
        access = ClusterAccess(server if "://" in server else "http://" + server)
    access.context = context_name
    if context.get("namespace"):
        access.namespace = context["namespace"]
    if flags.get("namespace"):
        access.namespace = flags["namespace"]
        access.namespace_is_set = True
    _set_trust(access, cluster, flags)
    _set_identity(access, user, flags)
    return access


def _named(config: Mapping[str, Any], plural: str, name: object) -> Mapping[str, Any]:
    if not name:
        return {}
    entry: Mapping[str, Any] | None = config[plural].get(name)
    if entry is None:
        raise UsageError(f'{plural[:-1]} "{name}" does not exist')
    return entry


def _in_cluster() -> ClusterAccess | None:
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    token_path = f"{SERVICE_ACCOUNT_DIR}/token"
    if not host or not os.path.exists(token_path):  # noqa: PTH110
        return None
    bracketed = f"[{host}]" if ":" in host else host
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    access = ClusterAccess(f"https://{bracketed}:{port}")
    access.ca = _read(f"{SERVICE_ACCOUNT_DIR}/ca.crt")
    access.headers["Authorization"] = "Bearer " + _read(token_path).decode().strip()
    access.namespace = _read(f"{SERVICE_ACCOUNT_DIR}/namespace").decode().strip() or "default"
    return access


def _set_trust(access: ClusterAccess, cluster: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    insecure = flags.get("insecure-skip-tls-verify")
    access.insecure = bool(
        cluster.get("insecure-skip-tls-verify") if insecure is None else insecure
    )
    access.tls_server_name = flags.get("tls-server-name") or cluster.get("tls-server-name") or ""
    if flags.get("certificate-authority"):
        access.ca = _read(flags["certificate-authority"])
    else:
        access.ca = _data_or_file(cluster, "certificate-authority") or access.ca


def _set_identity(access: ClusterAccess, user: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    access.cert = _data_or_file(user, "client-certificate")
    access.key = _data_or_file(user, "client-key")
    if flags.get("client-certificate"):
        access.cert = _read(flags["client-certificate"])
    if flags.get("client-key"):
        access.key = _read(flags["client-key"])
    token = flags.get("token") or user.get("token")
    if not token and user.get("tokenFile"):
        token = _read(user["tokenFile"]).decode().strip()
    if not token and not access.cert and user.get("exec"):
        token = _run_credential_plugin(access, user["exec"])
    if token:
        access.headers["Authorization"] = f"Bearer {token}"
    elif user.get("username"):
        import base64

        pair = f"{user['username']}:{user.get('password', '')}"
        access.headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    acting_as = flags.get("as") or user.get("as")
    if acting_as:
        access.headers["Impersonate-User"] = acting_as
    access.as_groups = tuple(flags.get("as-group") or user.get("as-groups") or ())


def _run_credential_plugin(access: ClusterAccess, plugin: Mapping[str, Any]) -> str:
    """Return the token an exec plugin prints; certificates it gives are put into ``access``."""
    import json
    import subprocess

    environment = dict(os.environ)
    environment.update({e["name"]: e["value"] for e in plugin.get("env") or ()})
    info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential"}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(info)
    argv = [plugin["command"], *(plugin.get("args") or ())]
    try:
        done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, check=True, timeout=60)
        status = json.loads(done.stdout).get("status") or {}
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UsageError(f"getting credentials: exec: {argv[0]}: {error}") from error
    if status.get("clientCertificateData"):
        access.cert = status["clientCertificateData"].encode()
        access.key = status.get("clientKeyData", "").encode()
    return status.get("token") or ""


def _data_or_file(entry: Mapping[str, Any], field: str) -> bytes | None:
    data = entry.get(field + "-data")
    if data:
        import binascii

        try:
            return binascii.a2b_base64(data)
        except ValueError as error:
            raise UsageError(f"kubeconfig: {field}-data: {error}") from error
    return _read(entry[field]) if entry.get(field) else None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"unable to read {path}: {(error.strerror or '').lower()}") from error
