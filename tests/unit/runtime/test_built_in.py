"""The built-in images: recipes of the courses, tags, packages, layers."""

from pathlib import Path

import pytest

from netlab.dns.addon import IMAGE
from netlab.errors import ImageError
from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.layers import write_layer
from netlab.runtime.layout import image_entries
from netlab.runtime.packages import PackageSet
from netlab.runtime.recipe import parse_recipe
from netlab.runtime.reference import parse_reference


@pytest.fixture(name="images")
def images_fixture(tmp_path):
    return BuiltInImages(
        images_dir=default_images_dir(), layers_dir=tmp_path, packages_dir=tmp_path / "packages"
    )


NAMED_BY_THE_COURSES = [
    "alpine",
    "andr35/imagen:v0.1.0",
    "andr35/imagen:v0.2.0",
    "andr35/imagen:v0.3.0",
    "dockercoins/hasher:v0.1",
    "dockercoins/rng:v0.1",
    "dockercoins/webui:v0.1",
    "dockercoins/worker:v0.1",
    "jpetazzo/httpenv",
    "k8s.gcr.io/echoserver:1.4",
    "mariadb",
    "nginx",
    "nginx:1.10.0",
    "nginx:1.9.14",
    "redis",
    "udacity/example-auth:1.0.0",
    "udacity/example-monolith:1.0.0",
    "udacity/example-monolith:2.0.0",
]


@pytest.mark.parametrize("name", NAMED_BY_THE_COURSES)
def test_images_that_the_courses_name(images, name):
    assert images.find(parse_reference(name)).built_in


def test_the_image_of_this_releases_dns_is_there(images):
    assert images.find(parse_reference(IMAGE)) is not None


def test_an_unknown_tag_of_an_image_with_tags_is_unknown(images):
    assert images.find(parse_reference("andr35/imagen:v9")) is None
    assert images.find(parse_reference("andr35/imagen")) is None


def test_each_tag_is_an_image_of_its_own(images):
    one, two = (images.find(parse_reference(f"andr35/imagen:v0.{n}.0")) for n in (1, 2))
    assert one.id != two.id
    names = [image.names[0] for image in images.present() if "imagen" in image.names[0]]
    assert names == [f"docker.io/andr35/imagen:v0.{n}.0" for n in (1, 2, 3)]


def test_images_with_packages_are_not_present_before_they_are_fetched(images, monkeypatch):
    nginx = images.find(parse_reference("nginx"))
    assert not nginx.present
    assert images.find(parse_reference("alpine")).present
    fetched = PackageSet(Path("/p"), {"nginx": "1:1.22.1-9+deb12u1"}, 1000)
    monkeypatch.setattr("netlab.runtime.packages.DebianPackages.find", lambda *_: fetched)
    after = images.find(parse_reference("nginx"))
    assert after.present
    assert after.id != nginx.id
    assert after.size_bytes == nginx.size_bytes + 1000
    assert after.description == "the real nginx web server (nginx 1.22.1 from Debian)"


def test_usr_is_stacked_above_the_hosts(images, monkeypatch):
    fetched = PackageSet(Path("/p"), {"nginx": "1"}, 1)
    monkeypatch.setattr("netlab.runtime.packages.DebianPackages.find", lambda *_: fetched)
    monkeypatch.setattr("netlab.runtime.packages.DebianPackages.fetch", lambda *_: fetched)
    nginx = images.unpack(parse_reference("nginx"))
    own, packages, _base = nginx.layers
    assert packages == Path("/p")
    (usr,) = nginx.stacked
    assert usr.target == "/usr"
    assert usr.lower == [own / "usr", Path("/p/usr"), Path("/usr")]
    assert (own / "var/log/nginx/access.log").readlink() == Path("/dev/stdout")
    assert nginx.hidden == ["/usr/local"]


def test_a_failed_fetch_says_which_image(images, monkeypatch):
    def fail(*_):
        raise ImageError("Debian packages nginx: offline")

    monkeypatch.setattr("netlab.runtime.packages.DebianPackages.fetch", fail)
    with pytest.raises(ImageError) as failed:
        images.fetch(parse_reference("nginx:1"))
    assert str(failed.value) == (
        'failed to pull and unpack image "docker.io/library/nginx:1": '
        "Debian packages nginx: offline"
    )


def test_fetching_what_needs_nothing_or_is_unknown(images):
    assert images.fetch(parse_reference("alpine")).present
    assert images.fetch(parse_reference("no/such")) is None


RECIPE = 'description = "d"\nnames = ["a/b"]\n'
DEBIAN = RECIPE + 'root = "debian"\npackages = ["web"]\n'
WRONG = {
    "debian without packages": (RECIPE + 'root = "debian"\n', "need each other"),
    "packages elsewhere": (RECIPE + 'root = "busybox"\npackages = ["x1"]\n', "need each other"),
    "alone without packages": (
        RECIPE + 'root = "busybox"\npackages_alone = ["x1"]\n',
        "packages_alone needs packages",
    ),
    "an option as package": (DEBIAN.replace('"web"', '"-oA=b"'), "packages"),
    "a path as package": (DEBIAN.replace('"web"', '"./web.deb"'), "packages"),
    "wrong user": (DEBIAN + 'users = { "a:b" = 5 }\n', "users"),
    "root again": (DEBIAN + "users = { toor = 0 }\n", "users"),
    "wrong tag": (DEBIAN + '[tags."a b"]\n', "tags"),
    "unknown field of a tag": (DEBIAN + '[tags.a]\nfiles = "x"\n', "files"),
}


@pytest.mark.parametrize(("text", "cause"), WRONG.values(), ids=WRONG.keys())
def test_wrong_recipes(text, cause):
    with pytest.raises(ImageError, match=cause):
        parse_recipe(text, source="x")


def test_a_tag_changes_env_and_cmd():
    text = DEBIAN + 'env = { A = "1", B = "1" }\n[tags.x]\nenv = { B = "2" }\ncmd = ["c"]\n'
    recipe = parse_recipe(text, source="x").for_tag("x")
    assert (recipe.env, recipe.cmd) == ({"A": "1", "B": "2"}, ["c"])


def test_users_and_links_are_in_the_images_own_layer(tmp_path):
    entries = image_entries(
        [], ["/data"], links={"/var/log/x": "/dev/stdout"}, users={"redis": 999}
    )
    write_layer(tmp_path / "layer", entries)
    passwd = (tmp_path / "layer/etc/passwd").read_text()
    assert passwd.endswith("redis:x:999:999:redis:/nonexistent:/usr/sbin/nologin\n")
    assert passwd.startswith("root:x:0:0:")
    assert "redis:x:999:\n" in (tmp_path / "layer/etc/group").read_text()
    assert (tmp_path / "layer/data").is_dir()
    assert (tmp_path / "layer/var/log/x").is_symlink()
