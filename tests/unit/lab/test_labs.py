"""The folders of a lab: root's own, whatever stands there already."""

import os
import stat

import pytest

from netlab.errors import HostError
from netlab.lab.labs import PRIVATE, PUBLIC, ensure_folder, no_such_lab


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("wanted", [PUBLIC, PRIVATE])
def test_the_mode_does_not_hang_on_the_umask(tmp_path, umask, wanted):
    before = os.umask(umask)
    try:
        ensure_folder(tmp_path / "a", wanted)
        ensure_folder(tmp_path / "a", wanted)
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == wanted


def test_a_folder_that_others_may_write_to_is_closed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o777)
    ensure_folder(tmp_path / "a", PUBLIC)
    assert mode(tmp_path / "a") == PUBLIC


def test_a_link_or_a_file_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        with pytest.raises(HostError, match="not a folder of root's"):
            ensure_folder(tmp_path / name, PRIVATE)
    assert mode(tmp_path / "elsewhere") != PRIVATE


@pytest.mark.parametrize(
    ("name", "labs", "wanted"),
    [
        ("netlab", [], "there is no lab 'netlab'; 'netlab up' starts it"),
        ("b", [], "there is no lab 'b'; 'netlab up --name b' starts it"),
        (
            "netlab",
            ["a", "c"],
            "there is no lab 'netlab'; --name chooses one of a, c; 'netlab up' starts it",
        ),
    ],
)
def test_who_names_no_lab_is_told_which_there_are(name, labs, wanted):
    assert no_such_lab(name, labs) == wanted
