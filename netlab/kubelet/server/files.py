"""The node's logs over HTTP: ``/logs/`` lists folders and sends files, as the kubelet does.

Mirrors the kubelet's system log handler, which serves /var/log; here there are the logs of the
pods, under the names they have there: ``pods/NAMESPACE_NAME_UID/CONTAINER/N.log``. Nothing outside
that folder is ever sent, whatever the path or a link says. Blocking, but short.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from urllib.parse import quote


def locate(state_dir: Path, path: str) -> Path | None:
    """Return the file or folder that ``/logs/PATH`` means; None when there is none.

    state_dir: the node's folder; of it only ``pods`` is to be seen.
    """
    root = (state_dir / "pods").resolve()
    parts = [part for part in path.split("/") if part]
    if not parts:
        return None
    if parts[0] != "pods" or any(part in (".", "..") or "\0" in part for part in parts):
        return None
    found = root.joinpath(*parts[1:]).resolve()
    if found != root and root not in found.parents:
        return None
    return found if found.is_dir() or found.is_file() else None


def listing(names: list[str]) -> str:
    """Return a folder as Go's file server shows it. names: folders end with a slash."""
    lines = [f'<a href="{quote(name)}">{escape(name)}</a>' for name in sorted(names)]
    return "<!doctype html>\n<pre>\n" + "".join(line + "\n" for line in lines) + "</pre>\n"


def names_in(folder: Path) -> list[str]:
    """Return what is in a folder; folders with a slash at the end."""
    return [entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir()]
