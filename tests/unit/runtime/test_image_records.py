"""What the image store writes down, reads of OCI images, and says of registries: all pure."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from netlab.errors import CommandError, HostError, ImageError
from netlab.runtime.cri import RegistryCredentials
from netlab.runtime.image_store.records import (
    StoredImage,
    parse_config,
    parse_manifest,
    require_digest,
    require_platform,
    signal_name,
    with_image,
)
from netlab.runtime.image_store.registry import RegistryRules, _write_logins, explain, is_loopback
from netlab.runtime.image_store.store import ImageStore
from netlab.runtime.image_store.tools import (
    _program,
    clean_environment,
    skopeo_reason,
    umoci_reason,
)
from netlab.runtime.image_store.usage import lower_folders, users_of
from netlab.runtime.reference import parse_reference

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def stored(number, *names, source="loaded", digests=(), **more):
    return StoredImage(
        id=f"sha256:{number:064x}",
        source=source,
        size_bytes=number,
        added_at=NOW,
        names=tuple(str(parse_reference(name)) for name in names),
        digests=tuple(digests),
        **more,
    )


class Still:
    """A clock that stands."""

    def now(self):
        return NOW


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "store", Still())


ANSWERS = {
    "its name": ("web:1", True),
    "another tag": ("web:2", False),
    "no tag is latest": ("web", False),
    "registry digest": (f"web@{DIGEST}", True),
    "digest says more than the tag": (f"web:9@{DIGEST}", True),
    "own id": ("web@sha256:" + f"{7:064x}", True),
    "own id of another name": ("other@sha256:" + f"{7:064x}", False),
    "foreign digest": ("web@sha256:" + "b" * 64, False),
}


@pytest.mark.parametrize(("text", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_what_an_image_answers_to(text, expected):
    image = stored(7, "web:1", digests=[f"docker.io/library/web@{DIGEST}"])
    assert image.answers(parse_reference(text)) is expected


def test_a_name_belongs_to_the_newest_image():
    first, second = stored(1, "a", "b"), stored(2, "b")
    images = with_image((first,), second)
    assert [image.names for image in images] == [
        ("docker.io/library/a:latest",),
        ("docker.io/library/b:latest",),
    ]


def test_the_same_image_again_is_one_image_with_all_names():
    (image,) = with_image((stored(1, "a", source="pulled", digests=["r@x"]),), stored(1, "b"))
    assert image.names == ("docker.io/library/a:latest", "docker.io/library/b:latest")
    assert (image.digests, image.source) == (("r@x",), "pulled")


def test_a_config_with_nothing_in_it():
    for text in (b"{}", b'{"config": null}', b'{"config": {"Cmd": null, "Env": null}}'):
        image = parse_config(text)
        assert (image.process.cmd, image.process.env, image.process.working_dir) == ((), {}, "/")
        assert (image.process.stop_signal, image.process.user, image.platform) == (
            "SIGTERM",
            "",
            "",
        )


@pytest.mark.parametrize("text", [b"", b"x", b"[]", b'{"config": {"Cmd": "sh"}}', b'{"os": 1}'])
def test_configs_that_are_none(text):
    with pytest.raises(ImageError, match="image config: "):
        parse_config(text)


def test_manifests_that_are_none():
    for text in (b"{}", b"x", b'{"manifests": []}'):
        with pytest.raises(ImageError, match="image manifest: "):
            parse_manifest(text)
    outside = json.dumps({"config": {"digest": "sha256:../../etc/passwd"}}).encode()
    with pytest.raises(ImageError, match="is not a sha256 digest"):
        parse_manifest(outside)


@pytest.mark.parametrize("text", ["", "sha256:", "sha512:" + "a" * 64, DIGEST + "/..", "SHA256:a"])
def test_digests_are_safe_file_names(text):
    with pytest.raises(ImageError, match="is not a sha256 digest"):
        require_digest(text)


def test_platforms():
    arm = parse_config(b'{"os": "linux", "architecture": "arm64"}')
    require_platform(arm, "aarch64")
    require_platform(parse_config(b"{}"), "x86_64")
    with pytest.raises(ImageError, match="the image is for linux/arm64; this machine is linux/amd"):
        require_platform(arm, "x86_64")
    windows = parse_config(b'{"os": "windows", "architecture": "amd64"}')
    with pytest.raises(ImageError, match="windows/amd64"):
        require_platform(windows, "x86_64")


SIGNALS = {"": "SIGTERM", "SIGQUIT": "SIGQUIT", "QUIT": "SIGQUIT", "3": "SIGQUIT", "99": "SIGTERM"}


@pytest.mark.parametrize(("text", "name"), [*SIGNALS.items(), ("SIGRTMIN+3", "SIGTERM")])
def test_stop_signals(text, name):
    assert signal_name(text) == name


MOUNTS = (
    "30 1 0:30 / /run/a/runtime/containers/c1/rootfs rw - overlay overlay "
    "rw,lowerdir=/store/rootfs/aa,upperdir=/u,workdir=/w\n"
    "31 1 0:31 / /merged\\040dir rw shared:1 - overlay overlay "
    "rw,lowerdir=/l/b\\134:c:/store/rootfs/aa:/l/d\\054e,upperdir=/u2,workdir=/w2\n"
    "32 1 8:1 / /boot rw - ext4 /dev/sda1 rw,lowerdir=/no\n"
)


def test_the_kernel_tells_which_layers_are_in_use():
    found = lower_folders(MOUNTS)
    assert found[Path("/store/rootfs/aa")] == [
        Path("/run/a/runtime/containers/c1/rootfs"),
        Path("/merged dir"),
    ]
    assert set(found) == {Path("/store/rootfs/aa"), Path("/l/b:c"), Path("/l/d,e")}


def test_who_uses_an_image(tmp_path):
    folder = tmp_path / "lab1" / "runtime" / "containers" / "c1"
    folder.mkdir(parents=True)
    record = {
        "id": "c1", "sandbox_id": "s", "namespace": "shop", "pod_name": "web-1", "pod_uid": "u",
        "name": "web", "attempt": 0, "image": "my:1", "image_id": "i", "log_path": "/l",
        "stop_signal": "SIGTERM", "stdin": False, "tty": False,
        "shares_processes": False, "cgroup": "g", "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))
    mounted = {Path("/store/rootfs/aa"): [folder / "rootfs", Path("/elsewhere/x/y/z/rootfs")]}
    words = ["a container at /elsewhere/x/y/z/rootfs", "container web of pod shop/web-1 (lab lab1)"]
    assert users_of(stored(1, "x"), Path("/store/rootfs/aa"), mounted) == words
    assert users_of(stored(1, "x"), Path("/store/rootfs/bb"), mounted) == []
    recipe = stored(2, "my:1", recipe="r")
    assert users_of(recipe, Path("/store/rootfs/bb"), mounted) == words[1:]


LOOPBACK = {
    "localhost": True,
    "localhost:5000": True,
    "127.0.0.1:5000": True,
    "127.1.2.3": True,
    "[::1]:5000": True,
    "docker.io": False,
    "10.0.0.1:5000": False,
    "localhost.example.com": False,
    "127.0.0.1.example.com": False,
    "registry.default.svc:5000": False,
}


@pytest.mark.parametrize(("domain", "expected"), LOOPBACK.items())
def test_which_registries_are_on_the_loopback(domain, expected):
    assert is_loopback(domain) is expected


def test_where_a_registry_is_asked():
    rules = RegistryRules(anywhere=False, node_netns=Path("/run/netns/x"))
    local, far = parse_reference("localhost:5000/a"), parse_reference("nginx")
    assert (rules.allow(local), rules.allow(far)) == (True, False)
    assert (rules.netns(local), rules.netns(far)) == (Path("/run/netns/x"), None)
    assert RegistryRules().allow(far)


NAME = "localhost:5000/web:1"
SAID = {
    "no such tag": (
        "initializing source docker://localhost:5000/web:1: reading manifest 1 in "
        "localhost:5000/web: manifest unknown: manifest unknown",
        f"{NAME}: not found",
        False,
    ),
    "no such repository": (
        "reading manifest 1 in localhost:5000/web: name unknown: repository name not known",
        f"{NAME}: not found",
        False,
    ),
    "wants a password": (
        "reading manifest 1 in localhost:5000/web: unauthorized: authentication required",
        "pull access denied, repository does not exist or may require authorization: "
        "authorization failed",
        True,
    ),
    "docker hub hides what is private": (
        "reading manifest latest in docker.io/x/y: errors:\\ndenied: requested access to the "
        "resource is denied",
        "pull access denied, repository does not exist or may require authorization: "
        "authorization failed",
        True,
    ),
    "nobody listens": (
        'pinging container registry localhost:5000: Get "http://localhost:5000/v2/": dial tcp '
        "127.0.0.1:5000: connect: connection refused",
        'failed to do request: Head "http://localhost:5000/v2/web/manifests/1": dial tcp '
        "127.0.0.1:5000: connect: connection refused",
        False,
    ),
    "no such host": (
        'pinging container registry x: Get "https://x/v2/": dial tcp: lookup x on 10.0.0.2:53: no '
        "such host",
        'failed to do request: Head "http://localhost:5000/v2/web/manifests/1": dial tcp: lookup '
        "x on 10.0.0.2:53: no such host",
        False,
    ),
    "something else": ("disk on fire", "disk on fire", False),
}


@pytest.mark.parametrize(("said", "cause", "denied"), SAID.values(), ids=SAID.keys())
def test_what_a_registry_says_in_containerds_words(said, cause, denied):
    start = f'failed to pull and unpack image "{NAME}": failed to resolve reference "{NAME}": '
    assert explain(parse_reference(NAME), said) == (start + cause, denied)


def test_what_the_programs_say():
    skopeo = 'time="x" level=warning msg="w"\ntime="x" level=fatal msg="reading \\"a\\": no"\n'
    assert skopeo_reason(CommandError(["skopeo"], 1, skopeo)) == 'reading "a": no'
    assert skopeo_reason(CommandError(["skopeo"], 1, "plain\n")) == "plain"
    umoci = "   • unpacking ...\n   ⨯ create runtime bundle: no\n"
    assert umoci_reason(CommandError(["umoci"], 1, umoci)) == "create runtime bundle: no"


def test_nobodys_passwords_reach_the_programs(monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", "/root/.docker")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/root/auth.json")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    environment = clean_environment(Path("/scratch"))
    assert environment["https_proxy"] == "http://proxy:3128"
    assert {environment["HOME"], environment["XDG_RUNTIME_DIR"]} == {"/scratch"}
    assert "DOCKER_CONFIG" not in environment
    assert "REGISTRY_AUTH_FILE" not in environment


def test_the_index_is_replaced_in_one_step_and_read_when_it_changed(store):
    assert store.images() == ()
    store.put(stored(1, "a"), stored(2, "b"))
    other = ImageStore(store.root, Still())
    assert other.images() == store.images()
    assert store.images() is store.images()
    store.remove("a")
    assert [image.hex for image in other.images()] == [f"{2:064x}"]
    assert not list(store.root.glob(".index*"))


def test_looking_up_by_name_and_by_the_beginning_of_an_id(store):
    one, two = stored(0xABCD01 << 232, "a"), stored(0xABCD02 << 232, "b")
    store.put(one, two)
    assert store.lookup("b") == two
    assert store.lookup(one.id) == one
    assert store.lookup(two.hex[:8]) == two
    with pytest.raises(ImageError, match="2 images have an id like that"):
        store.lookup("abcd")
    with pytest.raises(ImageError, match="image nope: not in the store"):
        store.lookup("nope")
    with pytest.raises(ImageError, match="couldn't parse image name"):
        store.lookup("No/../pe")


def test_a_damaged_index_is_one_clear_line(store):
    store.put(stored(1, "a"))
    (store.root / "index.json").write_text("{")
    with pytest.raises(ImageError, match=r"image store .*: index\.json: "):
        store.images()


def test_a_missing_program_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="skopeo: not installed; run: sudo apt-get install skopeo"):
        _program("skopeo")


def test_credentials_go_through_a_file_that_only_root_reads(tmp_path):
    path = tmp_path / "auth.json"
    _write_logins(path, parse_reference("localhost:5000/a"), RegistryCredentials("ana", "s:1"))
    assert path.stat().st_mode & 0o777 == 0o600
    logins = msgspec.json.decode(path.read_bytes())
    assert logins == {"auths": {"localhost:5000": {"auth": "YW5hOnM6MQ=="}}}
