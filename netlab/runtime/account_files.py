"""An image's ``/etc/passwd`` and ``/etc/group``, looked up inside its root.

A link in an image never leads to the host's files. What stands in them is the subject of ``users``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from netlab.runtime.inside import open_in_root
from netlab.runtime.users import Accounts

LARGEST_FILE_BYTES: Final = 1 << 20


def read_accounts(root: Path) -> Accounts:
    """Return the accounts of an image whose root is mounted; files that are missing are empty."""
    return Accounts(_read_inside(root, "etc/passwd"), _read_inside(root, "etc/group"))


def _read_inside(root: Path, path: str) -> str:
    """Return the text of a file below root, all links resolved as if root were ``/``."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        number = open_in_root(folder, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    finally:
        os.close(folder)
    with os.fdopen(number, "rb") as file:
        return file.read(LARGEST_FILE_BYTES).decode(errors="replace")
