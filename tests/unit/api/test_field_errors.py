"""Status errors are worded as Kubernetes words them."""

import pytest

from netlab.api import field_errors as fe
from netlab.api.kinds import DEPLOYMENT, POD


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            fe.invalid_value("spec.replicas", -1, "must be greater than or equal to 0"),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (fe.invalid_value("a", 'x"y', "no"), 'a: Invalid value: "x\\"y": no'),
        (fe.invalid_value("a", {"b": ["c"]}, "no"), 'a: Invalid value: {"b":["c"]}: no'),
        (fe.required("spec.ports"), "spec.ports: Required value"),
        (fe.duplicate("a[1].name", "x"), 'a[1].name: Duplicate value: "x"'),
        (
            fe.not_supported("a", "x", ("TCP", "SCTP")),
            'a: Unsupported value: "x": supported values: "SCTP", "TCP"',
        ),
        (fe.forbidden_field("spec", "no"), "spec: Forbidden: no"),
        (fe.too_long("a", 5), "a: Too long: may not be more than 5 bytes"),
        (fe.too_many("a", 7, 5), "a: Too many: 7: must have at most 5 items"),
        (fe.not_found_field("a", "x"), 'a: Not found: "x"'),
    ],
)
def test_field_errors(error, text):
    assert str(error) == text


def test_invalid_names_kind_object_and_causes():
    errors = [fe.required("a"), fe.required("b")]
    one, two = fe.invalid(POD, "x", errors[:1]), fe.invalid(DEPLOYMENT, "x", errors)
    assert one.message == 'Pod "x" is invalid: a: Required value'
    assert two.message == 'Deployment.apps "x" is invalid: [a: Required value, b: Required value]'
    assert (two.code, two.reason) == (422, "Invalid")
    assert two.status()["details"] == {
        "name": "x",
        "group": "apps",
        "kind": "Deployment",
        "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "a"},
            {"reason": "FieldValueRequired", "message": "Required value", "field": "b"},
        ],
    }


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (fe.not_found(POD, "x"), 404, "NotFound", 'pods "x" not found'),
        (
            fe.already_exists(DEPLOYMENT, "x"),
            409,
            "AlreadyExists",
            'deployments.apps "x" already exists',
        ),
        (
            fe.conflict(POD, "x"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on pods "x": the object has been modified; please apply'
            " your changes to the latest version and try again",
        ),
        (fe.forbidden(POD, "x", "no"), 403, "Forbidden", 'pods "x" is forbidden: no'),
        (fe.forbidden(POD, "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (fe.too_old_resource_version(1, 5), 410, "Expired", "too old resource version: 1 (5)"),
        (fe.unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (
            fe.method_not_supported(POD, "deletecollection"),
            405,
            "MethodNotAllowed",
            'deletecollection is not supported on resources of kind "pods"',
        ),
    ],
)
def test_status_errors(error, code, reason, message):
    assert (error.code, error.reason, error.message) == (code, reason, message)
