"""Removing folders that the kernel guards: unchangeable files, and what is mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime.trees import remove_tree

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


def run(*words):
    return subprocess.run(words, check=False, capture_output=True)


@pytest.mark.parametrize("flag", ["+i", "+a"])
def test_what_nobody_may_change_is_removed_all_the_same(tmp_path, flag):
    top = tmp_path / "volume"
    (top / "folder/below").mkdir(parents=True)
    (top / "folder/file").write_text("x")
    if run("chattr", flag, str(top / "folder/file"), str(top / "folder"), str(top)).returncode:
        pytest.skip("this file system has no such flag")
    with pytest.raises(PermissionError):
        (top / "folder/file").unlink()
    remove_tree(top)
    assert not top.exists()


@pytest.mark.parametrize("place", ["direct", "a/b/deep"])
def test_what_is_mounted_stays_untouched(tmp_path, place):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    top = tmp_path / "volume"
    point = top / place
    point.mkdir(parents=True)
    assert run("mount", "--bind", str(kept), str(point)).returncode == 0
    try:
        with pytest.raises(ContainerError, match="busy"):
            remove_tree(top)
        assert (kept / "file").read_text() == "x"
    finally:
        mounts = [
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if str(top) in line.split()[4]
        ]
        for mount in mounts:
            run("umount", mount)
    remove_tree(top)
    assert not top.exists()
    assert (kept / "file").read_text() == "x"
