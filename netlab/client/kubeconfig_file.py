"""Merge a lab's context into a kubeconfig file, and take it out again.

Works as ``kind`` and ``kubectl config`` do: the file keeps every other cluster, user and context;
the new context becomes the current one; the file is replaced in one step, under a lock, with mode
0600. It stays its owner's, also under sudo, and where it was, also behind a symbolic link; root
goes only where the owner could go (``owned_files``). Comments in the file are lost, as they are
with kubectl.
"""

from __future__ import annotations

import base64
import os
import pwd
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from netlab.errors import UsageError
from netlab.owned_files import update_file

SECTIONS = ("clusters", "users", "contexts")


def kubeconfig_paths() -> list[Path]:
    """Return the files to merge into: the first of $KUBECONFIG, or ~/.kube/config.

    Under sudo that is the calling user's file (kubectl is called without sudo) and root's own.
    """
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return [Path(listed[0])]
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

    Raises: UsageError when the file is no kubeconfig, or cannot be changed.
    """
    cluster = {"server": server, "certificate-authority-data": _base64(ca_pem)}
    user = {"client-certificate-data": _base64(cert_pem), "client-key-data": _base64(key_pem)}

    def merge(data: bytes | None) -> bytes:
        config = _parse(path, data)
        _put(config, "clusters", context, "cluster", cluster)
        _put(config, "users", context, "user", user)
        _put(config, "contexts", context, "context", {"cluster": context, "user": context})
        config["current-context"] = context
        return _to_bytes(config)

    change_kubeconfig(path, merge, private=True)


def remove_context(path: Path, context: str, *, successors: Collection[str] = ()) -> str:
    """Take the cluster, user and context out; a file that is then empty goes.

    successors: contexts of which the one that was merged last becomes the current one, if it was
    ours that was. Returns its name; "" when the current context did not change to another.
    Raises: UsageError when the file is no kubeconfig, or cannot be changed.
    """
    chosen = ""

    def remove(data: bytes | None) -> bytes | None:
        nonlocal chosen
        if data is None:
            return None
        config = _parse(path, data)
        before = repr(config)
        for section in SECTIONS:
            config[section] = [e for e in _entries(config, section) if e.get("name") != context]
        if config.get("current-context") == context:
            left = [str(entry.get("name")) for entry in config["contexts"]]
            chosen = next((name for name in reversed(left) if name in successors), "")
            config["current-context"] = chosen
        if not any(config[section] for section in SECTIONS):
            return b""
        return _to_bytes(config) if repr(config) != before else None

    # a folder that is not there is not made for this
    if path.exists():
        change_kubeconfig(path, remove)
    return chosen


def change_kubeconfig(
    path: Path, rewrite: Callable[[bytes | None], bytes | None], *, private: bool = False
) -> None:
    """Replace the file's content by what ``rewrite`` makes of it (see ``update_file``).

    private: the file is for its owner only from now on, whatever its mode was.
    Raises: UsageError when folder or file cannot be made, read or written.
    """
    try:
        update_file(path, rewrite, mode=0o600, private=private)
    except OSError as error:
        raise UsageError(f"{path}: cannot be changed: {error.strerror or error}") from error


def _put(config: dict[str, Any], section: str, name: str, key: str, value: dict[str, str]) -> None:
    entries = [entry for entry in _entries(config, section) if entry.get("name") != name]
    config[section] = [*entries, {"name": name, key: value}]


def _entries(config: dict[str, Any], section: str) -> list[dict[str, Any]]:
    return [entry for entry in config.get(section) or [] if isinstance(entry, dict)]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _parse(path: Path, data: bytes | None) -> dict[str, Any]:
    try:
        config = yaml.safe_load(data or b"")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a kubeconfig: {' '.join(str(error).split())}") from error
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise UsageError(f"{path}: not a kubeconfig: it holds no mapping; move it away")
    for section in SECTIONS:
        if not isinstance(config.get(section) or [], list):
            raise UsageError(f"{path}: not a kubeconfig: {section} is no list; move it away")
    config.setdefault("apiVersion", "v1")
    config.setdefault("kind", "Config")
    config.setdefault("preferences", {})
    return config


def _to_bytes(config: dict[str, Any]) -> bytes:
    return yaml.safe_dump(config).encode()
