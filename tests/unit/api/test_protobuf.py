"""Protobuf bodies become the JSON that kubectl would have sent.

The recorded bodies are those of kubectl 1.33. The round trips use a small encoder of this file,
which writes like Go: fields that are kept by value even when they are zero.
"""

import base64
import json
import random
from pathlib import Path

import pytest

from netlab.api.definitions import definition_of
from netlab.api.kinds import CONFIG_MAP, EVENT, LEASE, POD, SECRET, SERVICE, builtin_catalog
from netlab.api.protobuf import decode_protobuf
from netlab.api.schemas import check_fields
from netlab.errors import ApiError

KINDS = builtin_catalog().stored()

GOLDEN = Path(__file__).parents[2] / "golden" / "protobuf" / "kubectl-1.33.json"
RECORDED = json.loads(GOLDEN.read_text())
DATA = Path(__file__).parents[3] / "netlab" / "api" / "data" / "protobuf-v1.36.json"
TYPES = json.loads(DATA.read_text())
META = "k8s.io.apimachinery.pkg.apis.meta.v1"


def recorded(name):
    return decode_protobuf(base64.b64decode(RECORDED[name]["body"]))


def service(name, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"selector": {"app": name}, **spec},
        "status": {"loadBalancer": {}},
    }


TCP = {"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "configmap",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "cm1", "namespace": "default"},
                "data": {"a": "1", "b": "two"},
            },
        ),
        (
            "secret",
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s1", "namespace": "default"},
                "data": {"password": "Z2VoZWlt"},
            },
        ),
        (
            "deployment",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": {"app": "web"}},
                    "strategy": {},
                    "template": {
                        "metadata": {"labels": {"app": "web"}},
                        "spec": {
                            "containers": [
                                {
                                    "name": "nginx",
                                    "image": "nginx:1.27",
                                    "ports": [{"containerPort": 8080}],
                                    "resources": {},
                                }
                            ]
                        },
                    },
                },
                "status": {},
            },
        ),
        ("service-nodeport", service("np", type="NodePort", ports=[{**TCP, "nodePort": 30080}])),
        ("service-headless", service("h1", type="ClusterIP", clusterIP="None")),
        (
            "service-clusterip",
            service(
                "c1",
                type="ClusterIP",
                ports=[
                    TCP,
                    {"name": "81-http", "protocol": "TCP", "port": 81, "targetPort": "http"},
                ],
            ),
        ),
    ],
)
def test_bodies_of_kubectl(name, expected):
    obj = recorded(name)
    kind = next(kind for kind in KINDS if kind.kind == obj["kind"])
    assert check_fields(kind, obj, "Strict")[0] == expected


def test_token_request():
    assert recorded("token")["spec"] == {"audiences": ["x"], "expirationSeconds": 600}


def varint(number):
    number &= 2**64 - 1
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def length_field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def encode_value(kind, value):
    """A value of a type as the bytes behind its length; None for what is a varint."""
    name = kind.rsplit(".", 1)[-1]
    if kind == "string":
        return value.encode()
    if kind == "bytes":
        return base64.b64decode(value)
    if kind in ("int32", "int64", "bool"):
        return None
    if name == "Quantity":
        return length_field(1, value.encode())
    if name == "IntOrString":
        if isinstance(value, str):
            return b"\x08\x01\x10\x00" + length_field(3, value.encode())
        return b"\x08\x00\x10" + varint(value) + b"\x1a\x00"
    if name in ("Time", "MicroTime"):
        return b"\x08" + varint(1_767_225_600) + b"\x10\x00"
    return encode_message(kind, value)


def encode_message(type_name, obj):
    out = b""
    for name, (number, kind) in TYPES[type_name].items():
        inner = kind.removeprefix("[]")
        inline = inner.startswith("k8s.io") and name in (
            "volumeSource",
            "handler",
            "localObjectReference",
            "ephemeralContainerCommon",
        )
        if inline:
            out += length_field(number, encode_message(inner, obj))
        elif name in obj:
            out += encode_field(number, kind, inner, obj[name])
    return out


def encode_field(number, kind, inner, value):
    if kind.startswith("map<"):
        item = kind.removeprefix("map<string,").removesuffix(">")
        return b"".join(
            length_field(
                number, length_field(1, key.encode()) + length_field(2, encode_value(item, v))
            )
            for key, v in value.items()
        )
    values = value if kind.startswith("[]") else [value]
    out = b""
    for one in values:
        body = encode_value(inner, one)
        out += (
            varint(number << 3) + varint(int(one)) if body is None else length_field(number, body)
        )
    return out


def envelope(obj):
    group, _, version = obj["apiVersion"].rpartition("/")
    name = f"k8s.io.api.{group.split('.')[0] or 'core'}.{version}.{obj['kind']}"
    if obj["kind"] == "DeleteOptions":
        name = f"{META}.DeleteOptions"
    unknown = {
        "typeMeta": {"apiVersion": obj["apiVersion"], "kind": obj["kind"]},
        "raw": base64.b64encode(encode_message(name, obj)).decode(),
    }
    return b"k8s\x00" + encode_message("k8s.io.apimachinery.pkg.runtime.Unknown", unknown)


TIME = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "gracePeriodSeconds": 0,
                "propagationPolicy": "Background",
                "preconditions": {"uid": "u"},
                "dryRun": ["All"],
                "orphanDependents": False,
            },
            id="delete options",
        ),
        pytest.param(
            {
                "apiVersion": LEASE.api_version,
                "kind": "Lease",
                "metadata": {"name": "a", "creationTimestamp": TIME},
                "spec": {"holderIdentity": "x", "renewTime": "2026-01-01T00:00:00.000000Z"},
            },
            id="times",
        ),
        pytest.param(
            {
                "apiVersion": SECRET.api_version,
                "kind": "Secret",
                "metadata": {"name": "a", "annotations": {"k": "v"}},
                "data": {"x": "AAEC"},
                "immutable": False,
            },
            id="bytes and a pointer to false",
        ),
        pytest.param(
            {
                "apiVersion": EVENT.api_version,
                "kind": "Event",
                "metadata": {"name": "a"},
                "involvedObject": {"kind": "Pod", "name": "x"},
                "count": 3,
                "source": {"component": "kubelet"},
                "type": "Normal",
            },
            id="event",
        ),
        pytest.param(
            {
                "apiVersion": POD.api_version,
                "kind": "Pod",
                "metadata": {"name": "a"},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [{"key": "k", "tolerationSeconds": -1}],
                    "volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 420}}],
                    "containers": [
                        {
                            "name": "c",
                            "image": "i",
                            "command": ["a", ""],
                            "env": [
                                {
                                    "name": "E",
                                    "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}},
                                }
                            ],
                            "livenessProbe": {
                                "httpGet": {"path": "/", "port": "http"},
                                "periodSeconds": 5,
                            },
                            "resources": {"limits": {"cpu": "500m"}},
                            "securityContext": {"runAsUser": 0, "privileged": False},
                        }
                    ],
                },
            },
            id="pod with embedded structs",
        ),
    ],
)
def test_round_trips(obj):
    assert decode_protobuf(envelope(obj)) == obj


def random_text(source):
    return "".join(source.choices("abcü/.-0", k=source.randint(1, 20)))


def test_random_objects_round_trip():
    source = random.Random(3)
    for _ in range(100):
        ports = [
            {"port": source.randint(1, 65535), "targetPort": source.choice(["http", 0, 8080])}
            for _ in range(source.randint(1, 4))
        ]
        for kind, fields in (
            (CONFIG_MAP, {"data": {random_text(source): random_text(source) for _ in range(3)}}),
            (SERVICE, {"spec": {"ports": ports, "externalIPs": [random_text(source)]}}),
        ):
            meta = {"name": random_text(source), "generation": source.randint(1, 2**62)}
            obj = {"apiVersion": "v1", "kind": kind.kind, "metadata": meta, **fields}
            assert decode_protobuf(envelope(obj)) == obj


def test_every_kind_is_in_the_table():
    for kind in KINDS:
        assert definition_of(kind).replace("io.k8s.", "k8s.io.", 1) in TYPES


GOOD = base64.b64decode(RECORDED["configmap"]["body"])


def answer(body):
    """The status code of the answer: 200 when the body can be read."""
    try:
        decode_protobuf(body)
    except ApiError as error:
        return error.code
    return 200


def test_truncated_bodies_are_no_crash():
    assert {answer(GOOD[:end]) for end in range(len(GOOD))} <= {200, 400}


def test_random_damage_is_no_crash():
    source = random.Random(5)
    for _ in range(2000):
        body = bytearray(GOOD)
        body[source.randrange(4, len(body))] = source.randrange(256)
        assert answer(bytes(body)) in (200, 400)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "provided data does not appear to be a protobuf message"),
        (b"k8s\x00", 'no kind "" is registered for version ""'),
        (envelope({"apiVersion": "v1", "kind": "Pod"})[:-5], "unexpected EOF"),
    ],
)
def test_bad_bodies(body, message):
    with pytest.raises(ApiError, match=message):
        decode_protobuf(body)
