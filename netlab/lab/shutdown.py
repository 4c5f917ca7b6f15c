"""``python -m netlab.lab.shutdown LAB``: end a lab's pods at once, when the machine shuts down.

What systemd calls when it stops the unit of ``units.own_scope``. Containers and their conmon are
killed without grace, as by the power switch: what a pod wants to keep lies on a volume.
"""

from __future__ import annotations

import sys

from netlab.errors import ContainerError
from netlab.runtime.cgroups import host_hierarchies, kill_processes, lab_group


def main() -> None:
    """Kill what runs in the lab's control groups."""
    try:
        kill_processes(host_hierarchies(), lab_group(sys.argv[1]))
    except ContainerError as error:
        sys.exit(f"netlab: {error}")


if __name__ == "__main__":
    main()
