"""Which tags the built-in images stand for: real ones and no others."""

import pytest

import netlab
from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.reference import parse_reference
from netlab.runtime.tags import StandsFor

REAL = [
    "nginx",
    "nginx:latest",
    "nginx:stable",
    "nginx:mainline",
    "nginx:alpine",
    "nginx:1",
    "nginx:1.7.9",
    "nginx:1.9.14",
    "nginx:1.10.0",
    "nginx:1.14",
    "nginx:1.14.2",
    "nginx:1.15",
    "nginx:1.16.1",
    "nginx:1.19-alpine",
    "nginx:1.21.6",
    "nginx:1.25",
    "nginx:1.25.3-alpine",
    "nginx:1.27",
    "nginx:1-alpine",
    "nginx:stable-alpine",
    "nginx:stable-perl",
    "redis:alpine",
    "redis:3.2",
    "redis:5.0.4",
    "redis:6-alpine",
    "redis:7.2",
    "redis:7.2.4-bookworm",
    "redis:8",
    "busybox",
    "busybox:1",
    "busybox:1.28",
    "busybox:1.28.4",
    "busybox:1.35",
    "busybox:1.36",
    "busybox:1.36.1-musl",
    "busybox:glibc",
    "busybox:stable",
    "busybox:1.36-uclibc",
    "alpine:3",
    "alpine:3.5",
    "alpine:3.18",
    "alpine:3.19.1",
    "alpine:edge",
    "alpine:3.20",
    "mysql:5.6",
    "mysql:5.7",
    "mysql:8",
    "mysql:8.0",
    "mysql:8.0.32",
    "mariadb:10.6",
    "mariadb:11",
    "mongo:3.3",
    "mongo:3.4",
    "mongo:4",
    "mongo:4.4.6",
    "mongo:5.0",
    "mongo:7.0-jammy",
    "vfarcic/go-demo-2:1.0",
    "vfarcic/go-demo-2:2.0",
    "dockercoins/worker:v0.1",
    "dockercoins/worker:v0.2",
    "andr35/imagen:v0.2.0",
    "registry.k8s.io/pause:3.9",
    "registry.k8s.io/pause:3.10.1",
    "k8s.gcr.io/pause:3.1",
    "k8s.gcr.io/echoserver:1.4",
    "netlab/tools",
]
NEVER_MADE = [
    "nginx:9.99",
    "nginx:1.161",
    "nginx:1.91",
    "nginx:2",
    "nginx:1.14.3",
    "nginx:1.7.99",
    "nginx:lates",
    "nginx:1.16.01",
    "nginx:1.25-alpin",
    "nginx:1.25.3.1",
    "nginx:does-not-exist",
    "nginx:v1.25",
    "nginx:1.",
    "nginx:01",
    "redis:99",
    "redis:7.3",
    "redis:6.2.99",
    "busybox:9",
    "busybox:1.99",
    "busybox:1.36-alpine",
    "alpine:9.9",
    "alpine:3.99",
    "mysql:10.6",
    "mysql:5.66",
    "mysql:99",
    "mariadb:8.0",
    "mongo:3.35",
    "mongo:99",
    "mongo:latests",
    "vfarcic/go-demo-2:does-not-exist",
    "vfarcic/go-demo-2:3.0",
    "dockercoins/worker:v0.3",
    "dockercoins/worker:0.1",
    "andr35/imagen:v9",
    "andr35/imagen",
    "registry.k8s.io/pause:4",
    "netlab/tools:1",
    "jpetazzo/httpenv:1",
]


@pytest.fixture(scope="module")
def built_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tags")
    return BuiltInImages(images_dir=default_images_dir(), layers_dir=folder, packages_dir=folder)


@pytest.mark.parametrize("name", REAL)
def test_tags_of_real_versions(built_in, name):

    assert built_in.find(parse_reference(name)) is not None


@pytest.mark.parametrize("name", NEVER_MADE)
def test_tags_that_nobody_made(built_in, name):
    assert built_in.find(parse_reference(name)) is None


def test_the_image_of_the_clusters_dns_server_is_there(built_in):
    assert built_in.find(parse_reference(f"netlab/dns:{netlab.__version__}")) is not None


SUMMARIES = {
    "nothing said": (StandsFor(), "latest"),
    "versions": (StandsFor(versions=("1.7.9-12", "1.8.0-1")), "1.7.9 … 1.8.1, latest"),
    "one version": (StandsFor(versions=("v2",), words=("x",)), "v2, x"),
    "variants": (StandsFor(variants=("alpine", "perl")), "latest; alpine, perl"),
}


@pytest.mark.parametrize(("tags", "words"), SUMMARIES.values(), ids=SUMMARIES.keys())
def test_told_in_few_words(tags, words):
    assert tags.summary == words
