"""What the kernel offers, asked by lines of shell."""

import subprocess

import pytest

from netlab.lab.facts import is_or_loads


@pytest.mark.parametrize(
    ("test", "modprobe", "holds"),
    [
        ("true", None, True),
        ("true", "exit 1", True),
        ("false", "exit 0", True),
        ("false", "exit 1", False),
        ("false", None, False),
    ],
)
def test_what_is_there_needs_no_modprobe(tmp_path, test, modprobe, holds):
    if modprobe:
        (tmp_path / "modprobe").write_text(f"#!/bin/sh\n{modprobe}\n")
        (tmp_path / "modprobe").chmod(0o755)
    line = is_or_loads(test, "overlay")
    done = subprocess.run(
        ["/bin/sh", "-c", line], env={"PATH": str(tmp_path)}, capture_output=True, check=False
    )
    assert (done.returncode == 0) is holds
    assert done.stderr == b""
