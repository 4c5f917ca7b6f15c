"""Runs skopeo and umoci, and turns what they say into one line.

skopeo copies images between registries, archives and OCI layouts and checks every digest on the
way; umoci unpacks layers, as root and without following links out of the folder. Both are given
folders of the store to work in and read no settings of whoever started netlab, but for those of a
proxy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from netlab.command import run
from netlab.errors import CommandError, HostError, ImageError

UNPACK_TIMEOUT_S = 900.0

_FATAL = re.compile(r'level=fatal msg=("(?:[^"\\]|\\.)*")')
_KEPT_VARIABLES = re.compile(r"(?i)(PATH|SSL_CERT_(FILE|DIR)|(HTTPS?|ALL|NO)_PROXY)")


async def run_skopeo(
    arguments: Sequence[str], *, scratch: Path, timeout_s: float, netns: Path | None = None
) -> bytes:
    """Return what a skopeo command printed; scratch holds its temporary files.

    Raises: ImageError with skopeo's own reason; HostError when it is not installed.
    """
    # who may have signed an image is decided nowhere in a cluster by itself either
    argv = [_program("skopeo"), "--insecure-policy", "--tmpdir", str(scratch), *arguments]
    try:
        done = await run(argv, timeout_s=timeout_s, netns=netns, env=clean_environment(scratch))
    except CommandError as error:
        raise ImageError(skopeo_reason(error)) from error
    return done.stdout


async def unpack_layers(layout: Path, name: str, target: Path) -> None:
    """Make target the root of the image called name in an OCI layout.

    Raises: ImageError; HostError when umoci is not installed.
    """
    argv = [_program("umoci"), "raw", "unpack", "--image", f"{layout}:{name}", str(target)]
    try:
        await run(argv, timeout_s=UNPACK_TIMEOUT_S, env=clean_environment(layout))
    except CommandError as error:
        raise ImageError(f"unpack layers: {umoci_reason(error)}") from error


def clean_environment(home: Path) -> Mapping[str, str]:
    """Return an environment in which nobody's registry passwords or mirrors are found."""
    kept = {name: value for name, value in os.environ.items() if _KEPT_VARIABLES.fullmatch(name)}
    return {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "LC_ALL": "C.UTF-8"}


def skopeo_reason(error: CommandError) -> str:
    """Return the last fatal message of skopeo, or its last line."""
    found = _FATAL.findall(error.stderr)
    if found:
        return str(json.loads(found[-1], strict=False))
    return _last_line(error)


def umoci_reason(error: CommandError) -> str:
    """Return umoci's message without its mark."""
    return _last_line(error).lstrip(" \u2a2f\u2022").strip()


def _last_line(error: CommandError) -> str:
    lines = [line for line in error.stderr.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else str(error)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise HostError(f"{name}: not installed; run: sudo apt-get install {name}")
    return found
