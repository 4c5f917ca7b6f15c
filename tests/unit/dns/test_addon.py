"""The DNS add-on is what a cluster's users expect to find, and what the API server accepts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from netlab.api.defaults import apply_defaults
from netlab.api.kinds import builtin_catalog
from netlab.api.validation import validate_create
from netlab.config import LabConfig
from netlab.dns.addon import IMAGE, dns_objects
from netlab.runtime.tags import StandsFor

FOLDER = Path(__file__).parents[3] / "images" / "netlab-dns"


@pytest.mark.parametrize("obj", [pytest.param(o, id=o["kind"]) for o in dns_objects(LabConfig())])
def test_valid(obj: dict[str, Any]) -> None:
    kind = builtin_catalog().by_kind(obj["apiVersion"], obj["kind"])
    assert validate_create(kind, apply_defaults(kind, obj)) == []


def test_the_service_has_the_tenth_address_and_selects_the_pods() -> None:
    _, service, deployment = dns_objects(LabConfig())
    assert service["spec"]["clusterIP"] == "10.96.0.10"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_its_image_is_a_built_in_one() -> None:
    repository, _, tag = IMAGE.partition(":")
    recipe = tomllib.loads((FOLDER / "image.toml").read_text())
    assert repository in recipe["names"]
    assert StandsFor(**recipe["stands_for"][repository]).has(tag)
