"""Shows a part of a volume (``subPath``) at a place of its own, from where a container mounts it.

Mirrors ``makeMounts`` and ``pkg/volume/util/subpath``: the OCI runtime mounts by path, and a path
inside a volume is the container's to change; so what the path leads to is opened safely
(``paths``), bound to the pod's own folder, and mounted from there.

A start of the container binds anew; what an earlier run had mounted stays as it is. Mounts go with
the pod's folder (``removal``). Blocking, but short.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from netlab.api.containers import Container, VolumeMount
from netlab.errors import ContainerError
from netlab.kubelet.containers.expansion import expand, unknown_names
from netlab.kubelet.volumes.content import VolumeError
from netlab.kubelet.volumes.paths import check_sub_path, open_beneath
from netlab.runtime.mounts import mount_descriptor, unmount


def sub_path_of(mount: VolumeMount, environment: Mapping[str, str]) -> str:
    """Return the sub-path a mount asks for, "" for the whole volume.

    Raises: VolumeError, worded for CreateContainerConfigError.
    """
    path = mount.sub_path
    if mount.sub_path_expr:
        missing = unknown_names(mount.sub_path_expr, environment)
        if missing:
            raise VolumeError(f'missing value for "{missing[0]}"')
        path = expand(mount.sub_path_expr, environment)
    try:
        check_sub_path(path)
    except ValueError as error:
        raise VolumeError(str(error)) from error
    return path


def show_sub_path(
    volume: Path, sub_path: str, place: Path, mount: VolumeMount, container: Container
) -> None:
    """Mount a part of a volume at ``place``; folders that are missing are made.

    Raises: VolumeError. It does not say what is in the way: that may be the node's secret.
    """
    subject = f'volumeMount "{mount.name}" of container "{container.name}"'
    try:
        with open_beneath(volume, sub_path, make_folders=True) as descriptor:
            try:
                _make_place(place, is_folder=stat.S_ISDIR(os.fstat(descriptor).st_mode))
                mount_descriptor(descriptor, place)
            except (OSError, ContainerError) as error:
                raise VolumeError(f"failed to prepare subPath for {subject}") from error
    except OSError as error:
        raise VolumeError(f"failed to create subPath directory for {subject}") from error


def _make_place(place: Path, *, is_folder: bool) -> None:
    """Make an empty folder or file to mount on; only what is empty is ever removed."""
    unmount(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir() and not is_folder:
        place.rmdir()
    elif place.is_file() and is_folder:
        place.unlink()
    if is_folder:
        place.mkdir(exist_ok=True)
    else:
        place.touch()
