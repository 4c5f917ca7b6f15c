"""How much longer things take here than on the machine that the tests' limits were chosen on.

Limits of time are there to end what hangs. On a machine that others use too, or one that is
emulated, everything takes longer, and nothing hangs: limits are stretched by what starting an
interpreter takes, measured once.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time

USUAL_START_S = 0.03
MOST = 15.0


@functools.cache
def patience() -> float:
    """Return the factor for limits of time: 1 on an idle machine, never more than MOST."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    return min(max((time.perf_counter() - begun) / USUAL_START_S, 1.0), MOST)
