"""Makes the folder of volumes in memory one from which programs can be run.

Many distributions mount /run ``noexec``, and every bind mount of a folder inherits that; then a
script in a ConfigMap could not be executed. The kubelet's own folder is on a disk that allows it.
Where /run does not, a tmpfs of the lab's own takes its place. Blocking; runs before any pod is
looked at; it goes with the lab (``removal``).
"""

from __future__ import annotations

import os
from pathlib import Path

from netlab.runtime.mounts import mount_tmpfs

MODE = 0o700


def ensure_place(folder: Path) -> None:
    """Make the folder; mount a tmpfs there when nothing below it could be executed.

    Raises: ContainerError, OSError.
    """
    folder.mkdir(mode=MODE, parents=True, exist_ok=True)
    forbidden = os.statvfs(folder).f_flag & os.ST_NOEXEC
    # what is in there already is in use by running pods
    if forbidden and not folder.is_mount() and not any(folder.iterdir()):
        mount_tmpfs(folder, mode=MODE)
