"""``netlab image`` without programs that load and pull: listings, refusals, one clear line."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from netlab.cli.image import image, image_rows, table
from netlab.cli.image_words import human_size
from netlab.errors import NetlabError
from netlab.runtime.cri import ImageInfo
from netlab.runtime.image_store.records import StoredImage
from netlab.runtime.image_store.store import ImageStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)

SIZES = {0: "0B", 999: "999B", 1000: "1kB", 1982259: "1.98MB", 126_000_000: "126MB"}


@pytest.mark.parametrize(("size", "text"), [*SIZES.items(), (999_600, "1MB"), (5 * 10**12, "5TB")])
def test_sizes(size, text):
    assert human_size(size) == text


class Still:
    """A clock that stands."""

    def now(self):
        return NOW


def stored(number, *names, source="loaded"):
    return StoredImage(
        id=f"sha256:{number:064x}", source=source, size_bytes=5000, added_at=NOW, names=names
    )


OWN = [
    ImageInfo(
        "sha256:" + "c" * 64,
        ("docker.io/library/nginx:latest",),
        10,
        True,
        "d",
        False,
        tags=("1.7.9 … 1.29.3, latest; alpine",),
    ),
    ImageInfo("sha256:" + "d" * 64, ("docker.io/a/b:v1", "docker.io/a/b:latest"), 20, True),
]


def test_the_listing_tells_where_each_image_is_from():
    mine = (stored(1, "docker.io/library/nginx:1.25", source="pulled"), stored(2))
    lines = table(image_rows(mine, OWN), wide=False)
    assert [line.split() for line in lines] == [
        ["NAME", "TAG", "IMAGE", "ID", "SIZE", "SOURCE", "PRESENT"],
        ["<none>", "<none>", "000000000000", "5kB", "loaded", "yes"],
        ["a/b", "latest", "dddddddddddd", "20B", "built-in", "yes"],
        ["a/b", "v1", "dddddddddddd", "20B", "built-in", "yes"],
        ["nginx", "1.25", "000000000000", "5kB", "pulled,", "before", "built-in", "yes"],
        ["nginx", "1.7.9", "…", "1.29.3,", "latest", "cccccccccccc", "10B", "built-in", "no"],
    ]
    assert "latest; alpine" in table(image_rows((), OWN), wide=True)[-1]


@pytest.fixture
def run(tmp_path):
    def run(*words, text=None):
        arguments = ["--store", str(tmp_path / "store"), *words]
        return CliRunner().invoke(image, arguments, input=text, catch_exceptions=True)

    ImageStore(tmp_path / "store", Still()).put(
        stored(0xAB << 248, "docker.io/ana/app:1", "docker.io/ana/app:2")
    )
    return run


def test_formats(run):
    assert "ana/app:1\nana/app:2\n" in run("ls", "-q").output
    assert run("ls", "-q").output == run("ls", "-o", "name").output
    rows = json.loads(run("ls", "-o", "json").output)
    assert [row["source"] for row in rows if row["name"] == "ana/app"] == ["loaded", "loaded"]
    assert run("ls", "-o", "wide").output.splitlines()[0].split()[-3:] == [
        "USER",
        "ADDED",
        "DESCRIPTION",
    ]


def test_inspect_tells_how_a_built_in_image_is_started(run):
    told = json.loads(run("inspect", "nginx").output)
    assert told["config"]["cmd"] == ["nginx", "-g", "daemon off;"]
    assert told["config"]["stopSignal"] == "SIGQUIT"


def test_names_go_before_the_image(run):
    assert run("rm", "ana/app:1").output == "Untagged docker.io/ana/app:1\n"
    done = run("rm", "ana/app:2")
    assert done.output.startswith("Untagged docker.io/ana/app:2\nDeleted sha256:ab")
    assert run("ls", "-q").output.count("ana/app") == 0


REFUSALS = {
    "unknown": (["rm", "nope"], "image nope: not in the store"),
    "built-in": (["rm", "busybox"], "comes with netlab and stays"),
    "two": (["rm", "nope", "busybox"], "nope: not in the store .*; image .*busybox"),
    "no file": (["load", "/nonexistent"], "load /nonexistent: not readable: No such file"),
    "a name for two": (["load", "a", "b", "--name", "x"], "--name fits only one file"),
    "invalid name": (["pull", "No/../pe"], "couldn't parse image name"),
    "no recipe": (["build", "/nonexistent"], "image recipe /nonexistent"),
    "nothing to inspect": (["inspect", "nope"], "image nope: not in the store"),
}


@pytest.mark.parametrize(("words", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(run, words, message):
    done = run(*words)
    assert isinstance(done.exception, NetlabError), done.exception
    with pytest.raises(NetlabError, match=message):
        raise done.exception


def test_prune_asks(run):
    assert run("prune", text="n\n").exit_code == 1
    assert "Deleted docker.io/ana/app:1\nFreed: 5kB\n" in run("prune", text="y\n").output


def test_disk_use_adds_up(run):
    lines = run("df").output.splitlines()
    assert lines[0].split() == ["WHAT", "SIZE"]
    assert lines[-1].startswith("total")
