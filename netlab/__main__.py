"""Where ``netlab``, ``kubectl-netlab`` and ``python -m netlab`` start.

Imports nothing but the command line's thin front, because every import is paid for by each
``netlab get pods``.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = _run()
    except KeyboardInterrupt:  # before the front could see to it, or again while it ended
        code = INTERRUPTED
    # Tearing the interpreter down takes 3 ms and frees only what the kernel frees anyway.
    os._exit(code)


def _run() -> int:
    from netlab.cli.main import run_command_line

    as_plugin = os.path.basename(sys.argv[0]).startswith("kubectl-")  # noqa: PTH119 pathlib is slow
    code = run_command_line(sys.argv[1:], "kubectl netlab" if as_plugin else "netlab")
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 1
    return code


if __name__ == "__main__":
    main()
