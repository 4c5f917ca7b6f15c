"""Debian's control files and apt's messages, parsed."""

import pytest

from netlab.runtime.dpkg import (
    apt_cause,
    closure,
    lists_are_old,
    parse_packages,
    without_packages,
)

STATUS = """Package: libc6
Status: install ok installed
Version: 2.36
Description: the library
 of everything
 .
 Depends: not-a-field

Package: web
Status: install ok installed
Version: 1:2.0-1
Depends: libc6 (>= 2.3), web-common (= 1:2.0-1),
 mail-agent | postfix

Package: web-common
Status: hold ok installed
Version: 2.0-1

Package: web-extra
Status: install ok installed
Version: 2
Pre-Depends: web

Package: exim4
Status: install ok installed
Version: 4
Provides: mail-agent (= 4), other
Depends: libc6, missing-since-long

Package: gone
Status: deinstall ok config-files
Version: 1
"""


@pytest.fixture(name="installed")
def installed_fixture():
    return parse_packages(STATUS)


def test_installed_packages(installed):
    assert list(installed) == ["libc6", "web", "web-common", "web-extra", "exim4"]
    web = installed["web"]
    assert web.version == "1:2.0-1"
    assert web.needs == (("libc6",), ("web-common",), ("mail-agent", "postfix"))
    assert installed["libc6"].needs == ()
    assert installed["exim4"].provides == ("mail-agent", "other")


def test_an_empty_list_and_rubbish():
    assert parse_packages("") == {}
    assert parse_packages("rubbish\n\nPackage: x\n") == {}


WITHOUT = {
    "a leaf": (["web-extra"], {"libc6", "web", "web-common", "exim4"}),
    "what others need": (["web-common"], {"libc6", "exim4"}),
    "a provider": (["exim4"], {"libc6", "web-common"}),
    "not installed": (["x"], {"libc6", "web", "web-common", "web-extra", "exim4"}),
}


@pytest.mark.parametrize(("names", "left"), WITHOUT.values(), ids=WITHOUT.keys())
def test_without_packages_goes_what_needs_them(installed, names, left):
    assert set(without_packages(installed, names)) == left


def test_the_text_is_kept_whole(installed):
    kept = without_packages(installed, [])
    assert parse_packages("\n\n".join(package.text for package in kept.values())) == installed


def test_closure_follows_providers(installed):
    assert closure(["web"], {}, installed) == {"web", "libc6", "web-common", "exim4"}
    assert closure(["x"], {}, installed) == set()


APT = {
    "unknown": ("Reading\nE: Unable to locate package x\n", True, "Unable to locate package x"),
    "old": (
        "E: Failed to fetch http://h/x.deb  404  Not Found\nE: Unable to fetch some archives\n",
        True,
        "Failed to fetch http://h/x.deb  404  Not Found",
    ),
    "offline": (
        "E: Failed to fetch http://h/x.deb  Could not connect to h:80\n"
        "E: Unable to fetch some archives, maybe run apt-get update\n",
        False,
        "Failed to fetch http://h/x.deb  Could not connect to h:80",
    ),
    "silent": ("", False, "apt-get failed and said nothing"),
    "no mark": ("one\ntwo\n", False, "two"),
}


@pytest.mark.parametrize(("output", "old", "cause"), APT.values(), ids=APT.keys())
def test_what_apt_complains_of(output, old, cause):
    assert lists_are_old(output) == old
    assert apt_cause(output) == cause
