import msgspec
import pytest

from netlab.api.kinds import builtin_catalog
from netlab.apiserver.discovery import openapi
from netlab.apiserver.discovery.openapi_v2 import encode_document

KINDS = builtin_catalog().stored()
CORE = builtin_catalog().of_version("", "v1")


def parse(data):
    """A message's fields: number -> list of values, by the wire format alone."""
    fields, place = {}, 0

    def varint():
        nonlocal place
        value, shift = 0, 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(data):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
        else:
            length = varint()
            value = data[place : place + length]
            place += length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def test_the_index_has_a_document_for_each_group_version():
    paths = openapi.index(builtin_catalog(), "f")["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/authorization.k8s.io/v1"} <= paths.keys()
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")
    assert (
        url != openapi.index(builtin_catalog(), "g")["paths"]["apis/apps/v1"]["serverRelativeURL"]
    )


@pytest.fixture(scope="module")
def core():
    return msgspec.json.decode(openapi.document_v3(CORE, "v1.36.2"))


def test_every_kind_can_be_patched_with_field_validation(core):
    for kind in KINDS:
        if kind.group:
            continue
        base = kind.path("{namespace}" if kind.namespaced else None)
        patch = core["paths"][f"{base}/{{name}}"]["patch"]
        assert patch["x-kubernetes-group-version-kind"]["kind"] == kind.kind
        names = {parameter["name"] for parameter in patch["parameters"]}
        assert names >= {"fieldValidation", "dryRun"}


def test_every_reference_leads_somewhere(core):
    schemas = core["components"]["schemas"]

    def references(value):
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "$ref":
                    yield item
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    targets = {text.removeprefix("#/components/schemas/") for text in references(core)}
    assert targets <= schemas.keys()
    assert "io.k8s.api.core.v1.Pod" in targets


def test_v2_is_encoded_as_gnostic_s_messages():
    document = {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1"},
        "paths": {},
        "definitions": {
            "T": {
                "type": "object",
                "description": "a thing",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "other": {"$ref": "#/definitions/T"}},
                "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "T"}],
            }
        },
    }
    fields = parse(encode_document(document))
    assert fields[1] == [b"2.0"]
    named = parse(parse(fields[9][0])[1][0])
    assert named[1] == [b"T"]
    schema = parse(named[2][0])
    assert schema[4] == [b"a thing"]
    assert schema[19] == [b"name"]
    assert parse(schema[22][0])[1] == [b"object"]
    properties = [parse(entry) for entry in parse(schema[25][0])[1]]
    assert [entry[1][0] for entry in properties] == [b"name", b"other"]
    assert parse(properties[1][2][0])[1] == [b"#/definitions/T"]
    extension = parse(schema[31][0])
    assert extension[1] == [b"x-kubernetes-group-version-kind"]
    assert b'"kind":"T"' in parse(extension[2][0])[2][0]


def test_the_v2_document_holds_every_kind():
    document = openapi.document_v2(KINDS, "v1.36.2")
    kinds = {
        (gvk["group"], gvk["kind"])
        for schema in document["definitions"].values()
        for gvk in schema.get("x-kubernetes-group-version-kind", [])
    }
    assert kinds >= {(kind.group, kind.kind) for kind in KINDS}
    assert '"#/components' not in msgspec.json.encode(document).decode()
