import pytest

from netlab.api.kinds import POD, builtin_catalog
from netlab.apiserver.http.decoding import decode_object, summarize
from netlab.apiserver.http.negotiation import JSON, YAML
from netlab.errors import ApiError

CATALOG = builtin_catalog()


def test_a_body_may_leave_out_its_type():
    body = decode_object(b'{"metadata":{"name":"x"}}', JSON, POD, CATALOG)
    assert body.object == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}


def test_yaml_is_read():
    body = decode_object(b"kind: Pod\nmetadata:\n  name: 2026-01-01\n", YAML, POD, CATALOG)
    assert body.object["metadata"] == {"name": "2026-01-01"}


def test_fields_given_twice_are_told():
    assert decode_object(b'{"spec":{"a":1,"a":2}}', JSON, POD, CATALOG).duplicates == ("spec.a",)


REFUSED = {
    "empty": (
        b"",
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; "
        "json parse error: unexpected end of JSON input (<empty>)",
    ),
    "cut off": (
        b'{"kind":"Pod"',
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; "
        'json parse error: unexpected end of JSON input ({"kind":"Pod")',
    ),
    "not json": (
        b"}",
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; "
        "json parse error: invalid character '}' looking for beginning of value (7d)",
    ),
    "another kind": (
        b'{"kind":"Service","apiVersion":"v1"}',
        'Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to '
        "(core.Pod): unknown conversion",
    ),
    "no kind at all": (
        b'{"kind":"Foo","apiVersion":"v1"}',
        'Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version '
        '"v1" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"',
    ),
    "another version": (
        b'{"kind":"Pod","apiVersion":"v2"}',
        "the API version in the data (v2) does not match the expected API version (v1)",
    ),
    "a number as kind": (
        b'{"kind":3}',
        "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go "
        "struct field .kind of type string",
    ),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_body_is_told_as_kubernetes_tells_it(data, message):
    with pytest.raises(ApiError) as raised:
        decode_object(data, JSON, POD, CATALOG)
    assert (raised.value.code, raised.value.reason) == (400, "BadRequest")
    assert raised.value.message == message


def test_a_long_body_is_cut():
    assert summarize(b"{" + b"x" * 50) == "{" + "x" * 29 + " ..."
