"""Which logins of pull secrets fit an image."""

import base64
import json

import pytest

from netlab.api.core import Secret
from netlab.api.kinds import SECRET
from netlab.api.pods import Pod
from netlab.kubelet.images.pull_secrets import (
    fitting_credentials,
    key_fits,
    pull_credentials,
    registry_key,
    secret_logins,
)
from netlab.runtime.cri import RegistryCredentials

ANA, BEN, EVE = (RegistryCredentials(name, f"{name}-pw") for name in ("ana", "ben", "eve"))


def secret(auths, *, kind="kubernetes.io/dockerconfigjson", name="s"):
    content = {"auths": auths} if kind.endswith("json") else auths
    key = ".dockerconfigjson" if kind.endswith("json") else ".dockercfg"
    data = base64.b64encode(json.dumps(content).encode()).decode()
    return {"metadata": {"name": name, "namespace": "shop"}, "type": kind, "data": {key: data}}


def packed(login):
    return {"auth": base64.b64encode(f"{login.username}:{login.password}".encode()).decode()}


KEYS = {
    "https://index.docker.io/v1/": "index.docker.io",
    "index.docker.io": "index.docker.io",
    "http://reg:5000/v2/team": "reg:5000/team",
    "reg.example.com/": "reg.example.com",
    "reg.example.com/a/b": "reg.example.com/a/b",
}


@pytest.mark.parametrize(("place", "key"), KEYS.items())
def test_places_as_they_are_compared(place, key):
    assert registry_key(place) == key


FITS = {
    "host": ("reg.io", "reg.io/a/b", True),
    "other host": ("reg.io", "reg.com/a", False),
    "path": ("reg.io/a", "reg.io/a/b", True),
    "other path": ("reg.io/x", "reg.io/a/b", False),
    "port": ("reg.io:5000", "reg.io:5000/a", True),
    "port missing": ("reg.io", "reg.io:5000/a", False),
    "glob": ("*.reg.io", "eu.reg.io/a", True),
    "glob is one part": ("*.reg.io", "a.b.reg.io/a", False),
    "glob in a part": ("r?g*.io", "regx.io/a", True),
    "glob does not cover the port": ("*", "localhost:5000/a", False),
}


@pytest.mark.parametrize(("key", "repository", "expected"), FITS.values(), ids=FITS.keys())
def test_which_places_cover_an_image(key, repository, expected):
    assert key_fits(key, repository) is expected


def test_the_most_specific_place_comes_first_and_each_login_once():
    first = {"reg.io": ANA, "reg.io/team/app": BEN}
    second = {"reg.io/team": EVE, "https://reg.io/v2/": ANA, "other": EVE}
    assert fitting_credentials([first, second], "reg.io/team/app:1") == (BEN, EVE, ANA)
    assert fitting_credentials([first, second], "reg.io/x") == (ANA,)


HUB = {
    "short name": "nginx",
    "owner": "ana/app:1",
    "complete": "docker.io/library/nginx",
}


@pytest.mark.parametrize("image", HUB.values(), ids=HUB.keys())
@pytest.mark.parametrize("place", ["https://index.docker.io/v1/", "docker.io"])
def test_docker_hub(image, place):
    assert fitting_credentials([{place: ANA}], image) == (ANA,)
    assert fitting_credentials([{place: ANA}], "quay.io/a") == ()


def test_an_invalid_image_name_fits_nothing():
    assert fitting_credentials([{"reg.io": ANA}], "No/../pe") == ()


CONTENTS = {
    "packed": (secret({"reg.io": packed(ANA)}), {"reg.io": ANA}),
    "in plain": (
        secret({"reg.io": {"username": "ana", "password": "ana-pw", "email": "x"}}),
        {"reg.io": ANA},
    ),
    "old format": (
        secret({"reg.io": packed(ANA)}, kind="kubernetes.io/dockercfg"),
        {"reg.io": ANA},
    ),
    "a colon in the password": (
        secret({"r": packed(RegistryCredentials("a", "b:c"))}),
        {"r": RegistryCredentials("a", "b:c")},
    ),
    "another type": ({**secret({"reg.io": packed(ANA)}), "type": "Opaque"}, {}),
    "not base64": (
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "!"}},
        {},
    ),
    "not JSON": (
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}},
        {},
    ),
    "no data": ({"type": "kubernetes.io/dockerconfigjson"}, {}),
    "a damaged auth": (secret({"reg.io": {"auth": "/w=="}}), {}),
}


@pytest.mark.parametrize(("obj", "logins"), CONTENTS.values(), ids=CONTENTS.keys())
def test_what_secrets_hold(obj, logins):
    assert secret_logins(Secret.parse({"metadata": {"name": "s"}, **obj})) == logins


async def test_a_pods_secrets_and_which_are_missing(world):
    pod = Pod.parse(
        {
            "metadata": {"name": "p", "namespace": "shop"},
            "spec": {
                "containers": [{"name": "c", "image": "reg.io/a"}],
                "imagePullSecrets": [{"name": "one"}, {"name": "gone"}, {"name": "two"}, {}],
            },
        }
    )
    for name, login in (("one", ANA), ("two", BEN)):
        await world.api.create(SECRET, "shop", secret({"reg.io": packed(login)}, name=name))
    found = await pull_credentials(world.api, pod, "reg.io/a")
    assert (found.credentials, found.missing) == ((ANA, BEN), ("gone",))
    assert found.warning == (
        "Unable to retrieve some image pull secrets (gone); attempting to pull the image may not "
        "succeed."
    )
