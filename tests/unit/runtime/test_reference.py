import pytest

from netlab.errors import ImageError
from netlab.runtime.reference import parse_reference

DIGEST = "sha256:" + "a" * 64

NAMES = {
    "short": ("nginx", "docker.io/library/nginx:latest"),
    "tag": ("nginx:1.25", "docker.io/library/nginx:1.25"),
    "owner": ("vfarcic/go-demo-2", "docker.io/vfarcic/go-demo-2:latest"),
    "registry": ("k8s.gcr.io/pause:3.1", "k8s.gcr.io/pause:3.1"),
    "port": ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
    "localhost": ("localhost/a", "localhost/a:latest"),
    "upper-case first part is a registry": ("Reg/a", "Reg/a:latest"),
    "old docker hub": ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
    "digest": (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
    "tag and digest": (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}"),
    "separators": ("a__b/c.d-e", "docker.io/a__b/c.d-e:latest"),
}


@pytest.mark.parametrize(("text", "full"), NAMES.values(), ids=NAMES.keys())
def test_names_are_completed(text, full):
    assert str(parse_reference(text)) == full


@pytest.mark.parametrize(
    "text",
    ["", "nginx:", "Nginx", "a//b", "-a", "a:b:c", "a b", "a@sha256:12", "a" * 300, "a/../b"],
)
def test_invalid_names(text):
    with pytest.raises(ImageError, match="couldn't parse image name") as refused:
        parse_reference(text)
    assert refused.value.reason == "InvalidImageName"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Nginx:1", ": repository name (library/Nginx) must be lowercase"),
        ("quay.io/Me/App", ": repository name (Me/App) must be lowercase"),
        ("NOT AN IMAGE!", ": repository name (library/NOT AN IMAGE!) must be lowercase"),
        ("a b", ""),
    ],
)
def test_capitals_are_told_apart_from_other_faults(text, cause):
    with pytest.raises(ImageError) as refused:
        parse_reference(text)
    assert str(refused.value) == (
        f'Failed to apply default image tag "{text}": couldn\'t parse image name "{text}": '
        f"invalid reference format{cause}"
    )


@pytest.mark.parametrize(
    ("text", "familiar"),
    [("busybox:1", "busybox"), ("vfarcic/x", "vfarcic/x"), ("quay.io/a", "quay.io/a")],
)
def test_familiar_names(text, familiar):
    assert parse_reference(text).familiar == familiar
