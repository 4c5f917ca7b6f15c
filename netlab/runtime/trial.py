"""Which OCI runtime works on this machine, tried without a lab: for ``netlab doctor``.

What it makes lies in a folder and a control group of its own and is gone afterwards. Synchronous;
not for a running event loop.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from netlab.errors import HostError, ImageError
from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.cgroup_root import claim_root, release_root
from netlab.runtime.cgroups import host_hierarchies, lab_group, remove_group
from netlab.runtime.probe import find_oci_runtime


def try_oci_runtimes(run_root: Path) -> Path:
    """Return the OCI runtime that a lab would use; run_root: where labs have their folders.

    Raises: HostError saying why none works and what to do; ContainerError.
    """
    hierarchies = host_hierarchies()
    claim_root(hierarchies)
    run_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=run_root) as name:
        folder = Path(name)
        group = lab_group(folder.name)
        try:
            images = BuiltInImages(images_dir=default_images_dir(), layers_dir=folder / "layers")
            return asyncio.run(
                find_oci_runtime(
                    pause_layer=images.pause_layer(),
                    cache=folder / "result.json",
                    oci_root=folder / "oci",
                    cgroup=f"{group}/probe",
                )
            )
        except ImageError as error:
            raise HostError(str(error)) from error
        finally:
            remove_group(hierarchies, group)
            release_root(hierarchies)
