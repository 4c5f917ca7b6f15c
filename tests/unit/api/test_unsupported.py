"""Users are told about every field without effect, and about no other."""

import pytest

from netlab.api.defaults import apply_defaults
from netlab.api.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, POD, SERVICE, builtin_catalog
from netlab.api.unsupported import WARNING, inert_field_warnings

KINDS = builtin_catalog().stored()

CONTAINER = {"name": "a", "image": "b", "ports": [{"containerPort": 80}]}


def paths(kind, obj):
    suffix = f": {WARNING}"
    found = inert_field_warnings(kind, obj)
    assert all(warning.endswith(suffix) for warning in found)
    return [warning.removesuffix(suffix) for warning in found]


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        pytest.param(POD, {"spec": {"containers": [CONTAINER]}}, id="pod"),
        pytest.param(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}),
        pytest.param(SERVICE, {"spec": {"ports": [{"port": 80}]}}),
        pytest.param(SERVICE, {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}),
        pytest.param(CONFIG_MAP, {"data": {"a": "b"}}),
        pytest.param(EVENT, {"related": {"name": "x"}, "action": "y"}),
        pytest.param(POD, {"spec": {"affinity": {}, "hostAliases": []}}, id="empty values"),
        pytest.param(
            POD,
            {"spec": {"tolerations": [{"key": "a", "tolerationSeconds": 300}]}},
            id="what every pod is given",
        ),
    ],
)
def test_no_warning(kind, obj):
    assert paths(kind, obj) == []
    assert paths(kind, apply_defaults(kind, obj)) == []


def test_fields_without_effect_are_named_with_their_path():
    container = {**CONTAINER, "workingDir": "/", "volumeDevices": [{"name": "x"}]}
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [CONTAINER, container], "runtimeClassName": "x"},
    }
    deployment = {"spec": {"template": template}, "status": {"x": 1}, "metadata": {"name": "n"}}
    assert paths(DEPLOYMENT, deployment) == [
        "spec.template.spec.containers[1].volumeDevices",
        "spec.template.spec.runtimeClassName",
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        *(
            pytest.param(POD, {"containers": [CONTAINER], field: value}, f"spec.{field}", id=field)
            for field, value in {
                "affinity": {"nodeAffinity": {}},
                "topologySpreadConstraints": [{"maxSkew": 1}],
                "runtimeClassName": "gvisor",
                "resourceClaims": [{"name": "gpu"}],
            }.items()
        ),
        pytest.param(
            POD,
            {"containers": [CONTAINER], "hostUsers": False},
            "spec.hostUsers",
            id="a user namespace",
        ),
        pytest.param(
            POD,
            {"containers": [{**CONTAINER, "resources": {"claims": [{"name": "gpu"}]}}]},
            "spec.containers[0].resources.claims",
            id="a device",
        ),
        pytest.param(
            SERVICE,
            {
                "type": "LoadBalancer",
                "loadBalancerIP": "192.0.2.1",
                "ipFamilyPolicy": "SingleStack",
            },
            "spec.loadBalancerIP",
            id="a wish that only a cloud could fulfil",
        ),
    ],
)
def test_fields_that_nothing_reads_are_told(kind, spec, expected):
    assert paths(kind, {"spec": spec}) == [expected]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_every_kind_can_be_asked(kind):
    assert inert_field_warnings(kind, apply_defaults(kind, {"metadata": {"name": "x"}})) == []
