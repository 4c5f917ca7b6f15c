"""Sets of unpacked packages on disk, with an apt and a dpkg-deb that are scripts."""

import json
import os
from pathlib import Path

import pytest

from netlab.errors import ImageError
from netlab.runtime.packages import DebianPackages, Wanted

STATUS = """Package: libc6
Status: install ok installed
Version: 2.36

Package: web
Status: install ok installed
Version: 0.9
"""
# A package's archive is here a text whose first lines are its control file.
APT = """#!/bin/sh
echo "$@" >> {calls}
for word in "$@"; do
    case "$word" in
    -oDir::Cache::archives=*) archives=${{word#*=}} ;;
    -oDir::State::status=*) cp "${{word#*=}}" {calls}.status ;;
    -oDir::State::lists=*) lists=1 ;;
    download) archives=. ;;
    update) exit 0 ;;
    esac
done
if [ -n "{old}" ] && [ -z "$lists" ]; then echo "E: Unable to locate package web"; exit 100; fi
if [ -n "{broken}" ]; then echo "E: {broken}"; exit 100; fi
eval last=\\${{$#}}
printf 'Package: %s\\nVersion: 1.0-1\\nDepends: libc6\\n' "$last" > "$archives/$last.deb"
"""
DPKG_DEB = """#!/bin/sh
[ "$1" = -f ] && exec cat "$2"
mkdir -p "$3/etc" "$3/bin" "$3/usr/bin"
echo "$2" > "$3/bin/${2##*/}"
echo conf > "$3/etc/conf"
"""


@pytest.fixture(name="make")
def make_fixture(tmp_path, monkeypatch):
    """Return a function that gives a machine: what apt does, and its sets."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def make(*, old="", broken=""):
        calls = tmp_path / "calls"
        scripts = {"apt-get": APT.format(calls=calls, old=old, broken=broken), "dpkg-deb": DPKG_DEB}
        for name, text in scripts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        status = tmp_path / "status"
        status.write_text(STATUS)
        return DebianPackages(tmp_path / "packages", status=status)

    return make


WANTED = Wanted(["web"], ["tool"])


def test_packages_are_fetched_once(make, tmp_path):
    packages, told = make(), []
    assert packages.find(WANTED) is None
    found = packages.fetch(WANTED, told.append)
    assert dict(found.versions) == {"web": "1.0-1", "tool": "1.0-1"}
    assert sorted(p.name for p in (found.usr / "bin").iterdir()) == ["tool.deb", "web.deb"]
    assert not (found.root / "bin").exists()
    assert (found.root / "etc" / "conf").read_text() == "conf\n"
    assert found.size_bytes > 0
    assert told[0] == "downloading web, tool from Debian"
    calls = (tmp_path / "calls").read_text()
    assert packages.fetch(WANTED) == found
    assert (tmp_path / "calls").read_text() == calls
    assert "--download-only" in calls
    assert [p.name for p in (tmp_path / "packages").glob(".partial-*")] == []


def test_an_installed_package_is_fetched_as_well(make, tmp_path):
    make().fetch(WANTED)
    assert "Package: web" not in (tmp_path / "calls.status").read_text()
    assert "Package: libc6" in (tmp_path / "calls.status").read_text()


def test_a_set_whose_lent_packages_are_gone_is_not_there(make, tmp_path):
    packages = make()
    packages.fetch(WANTED)
    (tmp_path / "status").write_text(STATUS.replace("libc6", "other"))
    os.utime(tmp_path / "status", ns=(1, 1))
    assert packages.find(WANTED) is None


def test_old_package_lists_are_fetched_apart(make, tmp_path):
    packages, told = make(old="yes"), []
    assert packages.fetch(WANTED, told.append).versions
    assert "the machine's package lists are missing or old: fetching new ones" in told
    lists = tmp_path / "packages" / ".lists"
    update = next(c for c in (tmp_path / "calls").read_text().splitlines() if "update" in c)
    assert f"-oDir::State::lists={lists}" in update


def test_a_failure_is_one_line_and_leaves_nothing(make, tmp_path):
    packages = make(broken="Failed to fetch http://h/w.deb  Could not connect")
    with pytest.raises(ImageError) as failed:
        packages.fetch(WANTED)
    assert str(failed.value) == (
        "Debian packages web, tool: Failed to fetch http://h/w.deb  Could not connect"
    )
    assert failed.value.reason == "ErrImagePull"
    assert packages.find(WANTED) is None
    assert [p.name for p in (tmp_path / "packages").iterdir()] == [".lock"]


def test_a_machine_without_apt(make, monkeypatch):
    packages = make()
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ImageError, match="this machine has no apt"):
        packages.fetch(WANTED)


def test_sets_are_told_apart_by_what_was_wanted(make):
    packages = make()
    packages.fetch(WANTED)
    assert packages.find(Wanted(["web"])) is None
    assert packages.find(Wanted(["web", "tool"])) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"wanted": 1}'])
def test_a_spoilt_manifest_counts_as_missing(make, tmp_path, content):
    packages = make()
    packages.fetch(WANTED)
    (manifest,) = (tmp_path / "packages").glob("*/manifest.json")
    whole = json.loads(manifest.read_bytes())
    manifest.write_bytes(content)
    assert packages.find(WANTED) is None
    assert packages.fetch(WANTED).versions == whole["versions"]


def test_forgotten_sets_are_gone(make, tmp_path):
    packages = make()
    packages.fetch(WANTED)
    packages.forget(WANTED)
    assert packages.find(WANTED) is None
    assert not list(Path(tmp_path / "packages").glob("web-*"))
