"""Objects are checked and pruned as by Kubernetes' decoder."""

import copy
import json

import pytest

from netlab.api import schemas
from netlab.api.bodies import decode_json
from netlab.api.definitions import definition_name, definition_of, definitions_for, fields_of
from netlab.api.kinds import DEPLOYMENT, NODE, POD, SECRET, SERVICE, builtin_catalog
from netlab.api.yaml_bodies import decode_yaml
from netlab.errors import ApiError

KINDS = builtin_catalog().stored()


def pod(**spec):
    container = {"name": "web", "image": "nginx:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [container], **spec},
    }


def test_a_clean_object_is_returned_itself():
    obj = pod(nodeSelector={"a": "b"}, terminationGracePeriodSeconds=0)
    checked, warnings = schemas.check_fields(POD, obj, "Strict")
    assert checked is obj
    assert warnings == []


@pytest.mark.parametrize(
    ("given", "left"),
    [
        pytest.param({"hostNetwork": None}, {}, id="null"),
        pytest.param({"hostNetwork": False}, {}, id="zero of a plain field"),
        pytest.param({"enableServiceLinks": False}, None, id="zero of a pointer stays"),
        pytest.param({"terminationGracePeriodSeconds": 0}, None, id="zero number of a pointer"),
        pytest.param({"volumes": []}, {}, id="empty list"),
        pytest.param({"containers": []}, None, id="empty list of a required field stays"),
        pytest.param({"nodeSelector": {}}, {}, id="empty map"),
        pytest.param({"securityContext": {}}, None, id="empty struct stays"),
        pytest.param({"nodeSelector": {"a": None}}, {"nodeSelector": {"a": ""}}, id="null in map"),
        pytest.param(
            {"overhead": {"cpu": "1000m"}}, {"overhead": {"cpu": "1"}}, id="quantity is canonical"
        ),
        pytest.param({"overhead": {"cpu": 0.5}}, {"overhead": {"cpu": "500m"}}, id="number"),
    ],
)
def test_round_trip(given, left):
    original = pod(**given)
    before = copy.deepcopy(original)
    checked, _ = schemas.check_fields(POD, original, "Strict")
    assert checked == pod(**(given if left is None else left))
    assert original == before
    again, _ = schemas.check_fields(POD, checked, "Strict")
    assert again is checked, "what the slow way leaves, the fast way must accept"


def test_times_are_written_in_utc():
    obj = pod()
    obj["metadata"]["creationTimestamp"] = "2026-01-01T02:00:00.5+02:00"
    checked, _ = schemas.check_fields(POD, obj, "Strict")
    assert checked["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"


def test_unknown_fields():
    obj = pod(replicaz=1)
    obj["spec"]["containers"][0]["imagee"] = "x"
    fields = 'unknown field "spec.containers[0].imagee", unknown field "spec.replicaz"'
    with pytest.raises(ApiError) as caught:
        schemas.check_fields(POD, obj, "Strict")
    assert caught.value.code == 400
    assert caught.value.message == (
        f'Pod in version "v1" cannot be handled as a Pod: strict decoding error: {fields}'
    )
    checked, warnings = schemas.check_fields(POD, obj, "Warn")
    assert checked == pod()
    assert warnings == fields.split(", ")
    assert schemas.check_fields(POD, obj, "Ignore") == (pod(), [])


def test_unknown_fields_of_a_patch():
    with pytest.raises(ApiError) as caught:
        schemas.check_fields(POD, pod(foo=1), "Strict", patch={"spec": {"foo": 1}})
    assert caught.value.code == 422
    assert caught.value.message == (
        ' "" is invalid: patch: Invalid value: {"spec":{"foo":1}}:'
        ' strict decoding error: unknown field "spec.foo"'
    )


def test_duplicates_are_told_with_unknown_fields():
    _, warnings = schemas.check_fields(POD, pod(), "Warn", duplicates=["spec.x"])
    assert warnings == ['duplicate field "spec.x"']


UNMARSHAL = "json: cannot unmarshal"


@pytest.mark.parametrize(
    ("kind", "obj", "message"),
    [
        (
            DEPLOYMENT,
            {"spec": {"replicas": "3"}},
            f"{UNMARSHAL} string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            POD,
            pod(containers=[{"name": 1}]),
            f"{UNMARSHAL} number into Go struct field Container.spec.containers.name of type"
            " string",
        ),
        (
            POD,
            pod(containers="x"),
            f"{UNMARSHAL} string into Go struct field PodSpec.spec.containers of type"
            " []v1.Container",
        ),
        (
            POD,
            {"metadata": {"labels": {"a": True}}},
            f"{UNMARSHAL} bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            POD,
            {"metadata": []},
            f"{UNMARSHAL} array into Go struct field Pod.metadata of type v1.ObjectMeta",
        ),
        (
            SERVICE,
            {"spec": {"ports": [{"port": 80.5}]}},
            f"{UNMARSHAL} number 80.5 into Go struct field ServicePort.spec.ports.port of type"
            " int32",
        ),
        (
            SERVICE,
            {"spec": {"ports": [{"targetPort": True}]}},
            f"{UNMARSHAL} bool into Go value of type int32",
        ),
        (SECRET, {"data": {"a": "no base64"}}, "illegal base64 data at input byte 2"),
        (SECRET, {"data": {"a": "YWI"}}, "illegal base64 data at input byte 0"),
        (
            POD,
            pod(overhead={"cpu": "much"}),
            "quantities must match the regular expression"
            " '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_wrong_types(kind, obj, message):
    with pytest.raises(ApiError) as caught:
        schemas.check_fields(kind, obj, "Ignore")
    prefix = f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: '
    assert (caught.value.code, caught.value.message) == (400, prefix + message)


def test_node_status_passes():
    node = {
        "metadata": {"name": "node0"},
        "status": {
            "capacity": {"cpu": "2", "memory": "4030956Ki"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "10.100.199.200"}],
        },
    }
    assert schemas.check_fields(NODE, node, "Strict") == (node, [])


def test_types_of_subresources():
    name = definition_name("autoscaling", "v1", "Scale")
    scale = {"kind": "Scale", "spec": {"replicas": 3}, "statu": {}}
    _, warnings = schemas.check_definition(name, "Scale", "v1", scale, "Warn")
    assert warnings == ['unknown field "statu"']


def test_every_kind_has_a_definition():
    for kind in KINDS:
        assert fields_of(definition_of(kind))["metadata"].shape.definition.endswith("ObjectMeta")


def test_openapi_schemas_are_closed_under_references():
    found = definitions_for(builtin_catalog().of_version("apps", "v1"))
    assert {"io.k8s.api.apps.v1.Deployment", "io.k8s.api.apps.v1.DeploymentList"} <= set(found)
    assert "io.k8s.api.autoscaling.v1.Scale" in found
    prefix = "#/components/schemas/"

    def check(value):
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "$ref" and isinstance(item, str):
                    assert item.removeprefix(prefix) in found
                check(item)
            assert not isinstance(value.get("type"), list)
        elif isinstance(value, list):
            for item in value:
                check(item)

    check(found)


@pytest.mark.parametrize(
    ("body", "obj", "duplicates"),
    [
        pytest.param(b'{"a":1}', {"a": 1}, [], id="compact"),
        pytest.param(b'{ "a" : 1 }', {"a": 1}, [], id="spaces"),
        pytest.param(b'{"a":1,"a":2}', {"a": 2}, ["a"], id="last wins"),
        pytest.param(
            b'{"s":{"p":[{"x":1},{"x":1,"x":2}]}}',
            {"s": {"p": [{"x": 1}, {"x": 2}]}},
            ["s.p[1].x"],
            id="path",
        ),
        pytest.param(b'{"a":"\\":\\":"}', {"a": '":":'}, [], id="marks inside a text"),
        pytest.param(b'{"a\\\\":1,"a\\\\":2}', {"a\\": 2}, ["a\\"], id="key ends in a backslash"),
    ],
)
def test_json_bodies(body, obj, duplicates):
    assert decode_json(body) == (obj, duplicates)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b"null", b'{"a":1}x', b"\xff", b"[" * 9999]
)
def test_bad_json_bodies(body):
    with pytest.raises(ApiError) as caught:
        decode_json(body)
    assert caught.value.code == 400
    assert caught.value.message.startswith("couldn't get version/kind; json parse error: ")


def test_usual_bodies_are_parsed_once(monkeypatch):
    monkeypatch.setattr("netlab.api.bodies.json.loads", None)
    annotation = json.dumps({"spec": {"a": 1}})
    body = json.dumps({"metadata": {"annotations": {"last": annotation}}}, separators=(",", ":"))
    decode_json(body.encode())


def test_yaml_bodies():
    body = b"a: 1\na: yes\nday: 2020-01-01\nm: {1: x, b: 1, b: 2}\n"
    expected = {"a": True, "day": "2020-01-01", "m": {"1": "x", "b": 2}}
    assert decode_yaml(body) == (expected, ["a", "m.b"])


def test_bad_yaml_tells_line_and_column():
    with pytest.raises(ApiError, match=r"yaml: line 2, column 3: "):
        decode_yaml(b"a: 1\n b: 2\n")
