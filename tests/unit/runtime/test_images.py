import os
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.errors import ImageError
from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.layers import write_layer
from netlab.runtime.layout import (
    CopiedFile,
    Directory,
    HostParts,
    Link,
    TextFile,
    base_entries,
    hidden_paths,
    host_binds,
    image_entries,
)
from netlab.runtime.recipe import RootKind, parse_recipe, recipe_digest
from netlab.runtime.reference import parse_reference

RECIPE = 'description = "d"\nnames = ["a/b"]\nroot = "busybox"\n'


@pytest.fixture
def built_in(tmp_path):
    return BuiltInImages(
        images_dir=default_images_dir(),
        layers_dir=tmp_path / "layers",
        packages_dir=tmp_path / "packages",
    )


@pytest.mark.parametrize(
    "reference",
    [
        "vfarcic/go-demo-2",
        "vfarcic/go-demo-2:2.0",
        "mongo:3.3",
        "alpine",
        "busybox:1.36",
        "netlab/dns",
        "registry.k8s.io/pause:3.9",
        "docker.io/library/mongo",
    ],
)
def test_built_in_names_resolve_with_tags_of_real_versions(built_in, reference):
    found = built_in.find(parse_reference(reference))
    assert found.built_in
    assert found.id.startswith("sha256:")


def test_the_asked_tag_is_reported(built_in):
    found = built_in.find(parse_reference("mongo:3.3"))
    assert found.names == ("docker.io/library/mongo:3.3",)


def test_an_own_digest_resolves_and_a_foreign_one_does_not(built_in):
    own = built_in.find(parse_reference("busybox")).id
    assert built_in.find(parse_reference(f"busybox@{own}")).id == own
    assert built_in.find(parse_reference("busybox@sha256:" + "0" * 64)) is None


def test_every_image_has_a_line_of_description(built_in):
    assert all(image.description for image in built_in.present())
    assert len({image.id for image in built_in.present()}) == len(built_in.present())


RECIPE_ERRORS = {
    "not toml": ("x =", "Invalid value"),
    "unknown field": (RECIPE + "foo = 1\n", "foo"),
    "unknown root": (RECIPE.replace("busybox", "x"), "root"),
    "no names": (RECIPE.replace('["a/b"]', "[]"), "names is empty"),
    "no such signal": (RECIPE + 'stop_signal = "SIGX"\n', "no such signal"),
    "venv without python": (RECIPE + "venv = true\n", "needs root python"),
    "relative path": (RECIPE + '[files]\n"a" = "b"\n', "files"),
}


@pytest.mark.parametrize(("text", "cause"), RECIPE_ERRORS.values(), ids=RECIPE_ERRORS.keys())
def test_wrong_recipes(text, cause):
    with pytest.raises(ImageError, match=cause) as refused:
        parse_recipe(text, source="x.toml")
    assert str(refused.value).startswith("image recipe x.toml: ")


def test_the_digest_covers_recipe_and_files():
    recipe = parse_recipe(RECIPE, source="x")
    other = parse_recipe(RECIPE + 'cmd = ["x"]\n', source="x")
    digests = {
        recipe_digest(recipe, {}),
        recipe_digest(other, {}),
        recipe_digest(recipe, {"/a": b"1"}),
        recipe_digest(recipe, {"/a": b"2"}),
        recipe_digest(recipe, {"/a2": b""}),
    }
    assert len(digests) == 5
    assert recipe_digest(recipe, {}) == recipe_digest(recipe, {})


def test_a_recipe_cannot_reach_outside_the_images_folder(tmp_path):
    (tmp_path / "images" / "x").mkdir(parents=True)
    recipe = tmp_path / "images" / "x" / "image.toml"
    recipe.write_text(RECIPE + '[files]\n"/a" = "../../secret"\n')
    (tmp_path / "secret").write_text("s")
    with pytest.raises(ImageError, match="outside the images folder"):
        BuiltInImages(images_dir=tmp_path / "images", layers_dir=tmp_path)


HOST = HostParts(
    python=Path("/usr/bin/python3.11"),
    python_prefix=Path("/usr"),
    venv=Path("/opt/venv"),
    package=Path("/src/netlab"),
    busybox=Path("/bin/busybox"),
    catatonit=Path("/usr/bin/catatonit"),
    applets=("bin/busybox", "bin/sh", "usr/bin/wget", "linuxrc"),
    loader_links=(("ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),),
    alternatives=(("which", "/usr/bin/which.debianutils"),),
)


@pytest.mark.parametrize("kind", RootKind)
def test_roots_hold_no_secret_of_the_host(kind):
    copied = {entry.source for entry in base_entries(kind, HOST) if isinstance(entry, CopiedFile)}
    public = {"services", "protocols", "ca-certificates.crt", "ld.so.cache", "busybox", "catatonit"}
    assert {source.name for source in copied} <= public
    binds = {str(mount.source) for mount in host_binds(kind, HOST, venv=True)}
    assert binds <= {"/usr", "/usr/lib", "/usr/bin/python3.11", "/opt/venv", "/src/netlab"}
    assert all(mount.read_only for mount in host_binds(kind, HOST, venv=True))


@pytest.mark.parametrize("kind", RootKind)
def test_entries_come_after_their_folders(kind):
    folders = {""}
    for entry in base_entries(kind, HOST):
        parent = os.path.dirname(entry.path)  # noqa: PTH120 paths inside a root
        if isinstance(entry, CopiedFile | Link | Directory):
            assert parent in folders, entry.path
        if isinstance(entry, Directory):
            folders.add(entry.path)


def test_bash_prompts_as_in_debians_images():
    (content,) = [
        entry.content
        for entry in base_entries(RootKind.DEBIAN, HOST)
        if isinstance(entry, TextFile) and entry.path == "etc/bash.bashrc"
    ]
    assert content == r"PS1='\u@\h:\w\$ '" + "\n"


def test_a_python_root_shows_the_applets_and_the_interpreter():
    links = {e.path: e.target for e in base_entries(RootKind.PYTHON, HOST) if isinstance(e, Link)}
    assert links["usr/bin/wget"] == links["bin/sh"] == links["linuxrc"] == "/bin/busybox"
    assert links["usr/bin/python3"] == "/usr/bin/python3.11"
    assert links["lib64"] == "usr/lib64"


def test_another_python_than_the_systems_is_bound_whole():
    host = replace(HOST, python=Path("/opt/py/bin/python3.12"), python_prefix=Path("/opt/py"))
    targets = [mount.target for mount in host_binds(RootKind.PYTHON, host, venv=False)]
    assert targets == ["/usr/lib", "/opt/py"]


def test_netlabs_packages_do_not_show_where_the_host_keeps_them():
    targets = [mount.target for mount in host_binds(RootKind.PYTHON, HOST, venv=True)]
    assert targets[2:] == ["/usr/local/lib/netlab/venv", "/usr/local/lib/netlab/source/netlab"]
    (script,) = [
        entry.content
        for entry in base_entries(RootKind.PYTHON, HOST)
        if isinstance(entry, TextFile) and entry.path.endswith("netlab-python")
    ]
    assert "exec /usr/local/lib/netlab/venv/bin/python3 " in script
    assert "PYTHONPATH=/usr/local/lib/netlab/source " in script


def test_the_hosts_local_programs_stay_hidden():
    assert hidden_paths(RootKind.HOST_USR) == ["/usr/local"]


def test_an_images_own_layer_makes_its_folders_first():
    entries = image_entries([("/a/b/x.py", Path("/src"), 0o644)], ["/data/db"])
    assert [entry.path for entry in entries] == ["a", "data", "a/b", "data/db", "a/b/x.py"]


def test_a_layer_is_written_once_and_whole(tmp_path):
    source = tmp_path / "m.py"
    source.write_text("x = 1\n")
    entries = [
        Directory("tmp", 0o1777),
        Directory("d"),
        Link("l", "/d"),
        TextFile("d/t", "text"),
        CopiedFile("d/m.py", source, 0o755),
        CopiedFile("d/none", tmp_path / "none", optional=True),
    ]
    layer = tmp_path / "layers" / "one"
    assert write_layer(layer, entries) == 4 + 6
    assert (layer / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert os.readlink(layer / "l") == "/d"  # noqa: PTH115
    assert (layer / "d/m.py").stat().st_mode & 0o777 == 0o755
    assert len(list((layer / "d/__pycache__").iterdir())) == 1
    source.unlink()
    assert write_layer(layer, entries) == 10
    assert [path.name for path in layer.parent.iterdir()] == ["one"]


def test_a_failed_layer_leaves_nothing(tmp_path):
    with pytest.raises(ImageError):
        write_layer(tmp_path / "layers" / "x", [CopiedFile("a", tmp_path / "missing")])
    assert list((tmp_path / "layers").iterdir()) == []
