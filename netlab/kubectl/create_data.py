"""``netlab create configmap`` and ``create secret generic|tls``: objects made from files."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from netlab.errors import UsageError
from netlab.kubectl.create_typed import TYPED_FLAGS, create_typed, exactly_one_name
from netlab.kubectl.flags import Command, Flag, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

DATA_FLAGS = (
    Flag("from-literal", "array", help="KEY=VALUE."),
    Flag("from-file", "strings", help="[KEY=]FILE, or a folder of files."),
    Flag("from-env-file", "strings", help="File of KEY=VALUE lines."),
    Flag("append-hash", "bool", help="Not supported by netlab."),
)

DOCKER_HUB = "https://index.docker.io/v1/"


def read_data(parsed: Parsed) -> dict[str, bytes]:
    """Return the entries that ``--from-…`` name.

    Raises: UsageError when a source is malformed, missing or gives a key twice.
    """
    if parsed["append-hash"]:
        raise UsageError("netlab does not append hashes to names")
    if parsed["from-env-file"] and (parsed["from-file"] or parsed["from-literal"]):
        raise UsageError("from-env-file cannot be combined with from-file or from-literal")
    data: dict[str, bytes] = {}
    for key, value in (*_files(parsed), *_literals(parsed), *_env_files(parsed)):
        if key in data:
            raise UsageError(
                f"cannot add key {key}, another key by that name already exists in Data"
            )
        data[key] = value
    return data


def _literals(parsed: Parsed) -> Iterator[tuple[str, bytes]]:
    for literal in parsed["from-literal"]:
        key, equals, value = literal.partition("=")
        if not equals or not key:
            raise UsageError(f"invalid literal source {literal}, expected key=value")
        if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
            value = value[1:-1]
        yield key, value.encode()


def _files(parsed: Parsed) -> Iterator[tuple[str, bytes]]:
    for source in parsed["from-file"]:
        key, equals, path = source.partition("=")
        if not equals:
            key, path = "", source
        where = Path(path)
        if where.is_dir():
            if key:
                raise UsageError("cannot give a key name for a directory path")
            entries = sorted(entry for entry in where.iterdir() if entry.is_file())
            yield from ((entry.name, _read(entry)) for entry in entries)
        else:
            yield key or where.name, _read(where)


def _env_files(parsed: Parsed) -> Iterator[tuple[str, bytes]]:
    for path in parsed["from-env-file"]:
        for line in _read(Path(path)).decode("utf-8-sig").splitlines():
            text = line.lstrip()
            if text and not text.startswith("#"):
                key, _, value = text.partition("=")
                yield key, value.encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"error reading {path}: {(error.strerror or '').lower()}") from error


def _create_config_map(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    texts: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, value in read_data(parsed).items():
        try:
            texts[key] = value.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(value).decode()
    obj: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"creationTimestamp": None, "name": name},
    }
    if texts:
        obj["data"] = texts
    if binary:
        obj["binaryData"] = binary
    return create_typed(session, parsed, "configmap", obj)


def _create_secret(
    session: Session, parsed: Parsed, type: str, data: dict[str, bytes], name: str
) -> int:
    obj: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"creationTimestamp": None, "name": name},
    }
    if data:
        obj["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
    if type:
        obj["type"] = type
    return create_typed(session, parsed, "secret", obj)


def _create_generic(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    return _create_secret(session, parsed, parsed["type"] or "", read_data(parsed), name)


def _create_tls(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    if not parsed["cert"] or not parsed["key"]:
        raise UsageError("key and cert must be specified")
    data = {"tls.crt": _read(Path(parsed["cert"])), "tls.key": _read(Path(parsed["key"]))}
    return _create_secret(session, parsed, "kubernetes.io/tls", data, name)


def _create_docker_registry(session: Session, parsed: Parsed) -> int:
    name = exactly_one_name(parsed)
    kind = "kubernetes.io/dockerconfigjson"
    if parsed["from-file"]:
        values = [value for _, value in _files(parsed)]
        return _create_secret(session, parsed, kind, {".dockerconfigjson": values[-1]}, name)
    user, password = parsed["docker-username"], parsed["docker-password"]
    if not user or not password:
        raise UsageError(
            "either --from-file or the combination of --docker-username, --docker-password and "
            "--docker-server is required"
        )
    entry = {"username": user, "password": password}
    if parsed["docker-email"]:
        entry["email"] = parsed["docker-email"]
    entry["auth"] = base64.b64encode(f"{user}:{password}".encode()).decode()
    text = json.dumps({"auths": {parsed["docker-server"]: entry}}, separators=(",", ":"))
    return _create_secret(session, parsed, kind, {".dockerconfigjson": text.encode()}, name)


def _refuse(session: Session, parsed: Parsed) -> int:
    raise UsageError("say which kind of secret to create: generic, tls or docker-registry")


CONFIG_MAP = Command(
    "create configmap",
    _create_config_map,
    usage="NAME [--from-literal=KEY=VALUE] [--from-file=[KEY=]FILE]",
    text="Create a config map from literals, files and folders.",
    flags=(*TYPED_FLAGS, *DATA_FLAGS),
)
GENERIC = Command(
    "create secret generic",
    _create_generic,
    usage="NAME [--from-literal=KEY=VALUE] [--from-file=[KEY=]FILE]",
    text="Create a secret from literals, files and folders.",
    flags=(*TYPED_FLAGS, *DATA_FLAGS, Flag("type", help="The secret's type.")),
)
TLS = Command(
    "create secret tls",
    _create_tls,
    usage="NAME --cert=FILE --key=FILE",
    text="Create a secret from a certificate and its key.",
    flags=(*TYPED_FLAGS, Flag("cert", help="Certificate file."), Flag("key", help="Key file.")),
)
DOCKER_REGISTRY = Command(
    "create secret docker-registry",
    _create_docker_registry,
    usage="NAME --docker-server=HOST --docker-username=USER --docker-password=PASSWORD",
    text="Create a secret by which images are pulled.",
    flags=(
        *TYPED_FLAGS,
        Flag("docker-server", default=DOCKER_HUB, help="The registry."),
        Flag("docker-username", help="The user."),
        Flag("docker-password", help="The password."),
        Flag("docker-email", help="The user's address."),
        Flag("from-file", "array", help="A file in the form of .docker/config.json."),
    ),
)
SECRET = Group(
    Command(
        "create secret",
        _refuse,
        usage="generic|tls|docker-registry NAME",
        text="Create a secret.",
    ),
    {
        "docker-registry": ("netlab.kubectl.create_data", "DOCKER_REGISTRY"),
        "generic": ("netlab.kubectl.create_data", "GENERIC"),
        "tls": ("netlab.kubectl.create_data", "TLS"),
    },
)
