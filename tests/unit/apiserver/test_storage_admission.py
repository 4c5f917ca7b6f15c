"""What claims and volumes are given, and refused, as they are written."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from netlab.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS, Kind
from netlab.api.view import Object
from netlab.apiserver.admission.attributes import Attributes
from netlab.apiserver.admission.chain import PLUGINS
from netlab.apiserver.admission.storage import (
    claim_expansion,
    default_storage_class,
    storage_protection,
)
from netlab.errors import ApiError

DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}


def claim(size: str = "1Gi", phase: str = "Bound", **spec: Any) -> Object:
    resources = {"requests": {"storage": size}}
    return {
        "metadata": {"name": "data"},
        "spec": {"resources": resources, **spec},
        "status": {"phase": phase},
    }


def attributes(
    obj: Object,
    *classes: Object,
    kind: Kind[Any] = PERSISTENT_VOLUME_CLAIM,
    old: Object | None = None,
) -> Attributes:
    by_name = {each["metadata"]["name"]: each for each in classes}
    return Attributes(
        operation="CREATE" if old is None else "UPDATE",
        kind=kind,
        namespace="shop",
        name="data",
        object=obj,
        old=old,
        lookup=lambda wanted, _, name: by_name.get(name) if wanted is STORAGE_CLASS else None,
        random=Random(1),
        all_of=lambda wanted, _: classes,
    )


def storage_class(name: str, **fields: Any) -> Object:
    return {"metadata": {"name": name, "annotations": fields.pop("annotations", {})}, **fields}


STANDARD = storage_class("standard", annotations=DEFAULT)


@pytest.mark.parametrize(
    ("spec", "classes", "expected"),
    [
        ({}, (STANDARD,), "standard"),
        ({}, (storage_class("fast"),), None),
        ({"storageClassName": ""}, (STANDARD,), ""),
        ({"storageClassName": "fast"}, (STANDARD,), "fast"),
    ],
)
def test_the_default_class(spec: Object, classes: tuple[Object, ...], expected: str | None) -> None:
    obj = claim(**spec)
    default_storage_class(attributes(obj, *classes))
    assert obj["spec"].get("storageClassName") == expected


def test_finalizers() -> None:
    for kind, finalizer in (
        (PERSISTENT_VOLUME_CLAIM, "kubernetes.io/pvc-protection"),
        (PERSISTENT_VOLUME, "kubernetes.io/pv-protection"),
    ):
        obj: Object = {"metadata": {"name": "x", "finalizers": ["own"]}}
        storage_protection(attributes(obj, kind=kind))
        storage_protection(attributes(obj, kind=kind))
        assert obj["metadata"]["finalizers"] == ["own", finalizer]
    pod = attributes({"metadata": {"name": "x"}}, kind=POD)
    protecting = next(plugin for plugin in PLUGINS if plugin.run is storage_protection)
    assert not protecting.concerns(pod)


GROWING = storage_class("grow", allowVolumeExpansion=True)
NO_SUPPORT = (
    'persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized '
    "and the storageclass that provisions the pvc must support resize"
)
EXPANSIONS: dict[str, tuple[Object, Object, str | None]] = {
    "allowed": (
        claim(storageClassName="grow"),
        claim("2Gi", storageClassName="grow"),
        None,
    ),
    "not by this class": (
        claim(storageClassName="standard"),
        claim("2Gi", storageClassName="standard"),
        NO_SUPPORT,
    ),
    "no class": (claim(), claim("2Gi"), NO_SUPPORT),
    "not bound": (
        claim(phase="Pending", storageClassName="grow"),
        claim("2Gi", phase="Pending", storageClassName="grow"),
        'persistentvolumeclaims "data" is forbidden: '
        "Only bound persistent volume claims can be expanded",
    ),
    "the same size": (claim("1Gi"), claim("1024Mi"), None),
}


@pytest.mark.parametrize("name", EXPANSIONS)
def test_expansion(name: str) -> None:
    old, new, expected = EXPANSIONS[name]
    subject = attributes(new, STANDARD, GROWING, old=old)
    if expected is None:
        claim_expansion(subject)
        return
    with pytest.raises(ApiError) as caught:
        claim_expansion(subject)
    assert caught.value.message == expected
