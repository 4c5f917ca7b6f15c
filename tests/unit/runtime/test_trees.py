"""Folders are removed whatever is in them, and nothing but them."""

from __future__ import annotations

import os

import pytest

from netlab.errors import ContainerError
from netlab.runtime.trees import remove_tree


def test_a_folder_goes_with_all_it_holds(tmp_path):
    top = tmp_path / "volume"
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/b/c/file").write_text("x")
    (top / "a/.hidden").write_text("x")
    os.mkfifo(top / "fifo")
    (top / "dangling").symlink_to("nowhere")
    remove_tree(top)
    assert list(tmp_path.iterdir()) == []


def test_what_links_lead_to_stays(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    top = tmp_path / "volume"
    top.mkdir()
    (top / "folder").symlink_to(kept)
    (top / "file").symlink_to(kept / "file")
    os.link(kept / "file", top / "hard")
    remove_tree(top)
    assert (kept / "file").read_text() == "x"
    assert not top.exists()


def test_depth_does_not_matter(tmp_path):
    top = tmp_path / "volume"
    top.mkdir()
    above = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deeper", dir_fd=above)
        below = os.open("deeper", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    remove_tree(top)
    assert not top.exists()


def test_gone_already_is_fine(tmp_path):
    remove_tree(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_refused(tmp_path, kind):
    there = tmp_path / "there"
    if kind == "file":
        there.write_text("x")
    else:
        there.symlink_to(tmp_path)
    with pytest.raises(ContainerError, match=r"remove .*there"):
        remove_tree(there)
    assert there.is_symlink() or there.exists()
