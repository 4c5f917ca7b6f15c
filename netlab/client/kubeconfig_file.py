"""Merge a lab's context into a kubeconfig file, and take it out again.

Works as ``kind`` and ``kubectl config`` do: the file keeps every other cluster, user and context;
the new context becomes the current one; the file is replaced in one step, under a lock, with mode
0600. It stays its owner's, also under sudo, and where it was, also behind a symbolic link. Comments
in the file are lost, as they are with kubectl.

Rule for callers that change a kubeconfig otherwise: read and ``replace_kubeconfig`` inside one
``locked_kubeconfig``.
"""

from __future__ import annotations

import base64
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from netlab.errors import UsageError
from netlab.locks import locked_folder


def kubeconfig_paths() -> list[Path]:
    """Return the files to merge into: the first of $KUBECONFIG, or ~/.kube/config.

    Under sudo that is the calling user's file (kubectl is called without sudo) and root's own.
    """
    variable = os.environ.get("KUBECONFIG", "")
    if variable:
        return [Path(next(part for part in variable.split(os.pathsep) if part))]
    homes = [Path.home()]
    user = os.environ.get("SUDO_USER", "")
    if user and user != "root":
        with suppress(KeyError):
            homes.insert(0, Path(pwd.getpwnam(user).pw_dir))
    return [home / ".kube" / "config" for home in dict.fromkeys(homes)]


def merge_context(
    path: Path, context: str, *, server: str, ca_pem: bytes, cert_pem: bytes, key_pem: bytes
) -> None:
    """Add or replace the cluster, user and context named ``context`` and make it current.

    Raises: UsageError when the file is no kubeconfig.
    """
    cluster = {"server": server, "certificate-authority-data": _base64(ca_pem)}
    user = {"client-certificate-data": _base64(cert_pem), "client-key-data": _base64(key_pem)}
    with locked_kubeconfig(path):
        config = _read(path)
        _put(config, "clusters", context, "cluster", cluster)
        _put(config, "users", context, "user", user)
        _put(config, "contexts", context, "context", {"cluster": context, "user": context})
        config["current-context"] = context
        _write(path, config)


def remove_context(path: Path, context: str) -> None:
    """Take the cluster, user and context out; a file that we made and that is empty then goes."""
    if not path.exists():
        return
    with locked_kubeconfig(path):
        config = _read(path)
        before = repr(config)
        for section in ("clusters", "users", "contexts"):
            config[section] = [e for e in config.get(section) or [] if e.get("name") != context]
        if config.get("current-context") == context:
            config["current-context"] = ""
        if not any(config.get(section) for section in ("clusters", "users", "contexts")):
            path.unlink()
        elif repr(config) != before:
            _write(path, config)


def _put(config: dict[str, Any], section: str, name: str, key: str, value: dict[str, str]) -> None:
    entries = [entry for entry in config.get(section) or [] if entry.get("name") != name]
    config[section] = [*entries, {"name": name, key: value}]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        config = None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not a kubeconfig: {' '.join(str(error).split())}") from error
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise UsageError(f"{path}: not a kubeconfig: it holds no mapping; move it away")
    config.setdefault("apiVersion", "v1")
    config.setdefault("kind", "Config")
    config.setdefault("preferences", {})
    return config


def _write(path: Path, config: dict[str, Any]) -> None:
    replace_kubeconfig(path, yaml.safe_dump(config), mode=0o600)


def replace_kubeconfig(path: Path, text: str, *, mode: int) -> None:
    """Write the file in one step, so that a reader never sees half of it; the owner stays.

    Raises: OSError when it cannot be written.
    """
    path = path.resolve()
    owner = path if path.exists() else path.parent
    stat = owner.stat()
    temporary = path.with_name(f"{path.name}.netlab-new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chown(temporary, stat.st_uid, stat.st_gid)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def locked_kubeconfig(path: Path) -> Iterator[None]:
    """Keep other netlab commands from changing the file; its folder is made where missing.

    Raises: UsageError when folder or file cannot be made, read or written.
    """
    try:
        with _locked_folder(path.resolve().parent):
            yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be changed: {error.strerror or error}") from error


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    if not folder.exists():
        home = folder.parent
        folder.mkdir(parents=True, mode=0o700)
        if home.exists():
            stat = home.stat()
            os.chown(folder, stat.st_uid, stat.st_gid)
    with locked_folder(folder):
        yield
