import pytest

from netlab.apiserver.http.negotiation import (
    JSON,
    YAML,
    Output,
    aggregated_discovery_version,
    body_type,
    negotiate,
)
from netlab.errors import ApiError

TABLES = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
ROWS = {
    "nothing": ("", Output()),
    "anything": ("*/*", Output()),
    "json first": ("application/json, */*", Output(JSON)),
    "kubectl get": (TABLES, Output(JSON, "Table", "v1")),
    "old table": (
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
        Output(JSON, "Table", "v1beta1"),
    ),
    "table of an unknown version": ("application/json;as=Table;v=v9;g=meta.k8s.io,*/*", Output()),
    "metadata": (
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        Output(JSON, "PartialObjectMetadata", "v1"),
    ),
    "protobuf or json": ("application/vnd.kubernetes.protobuf,application/json", Output(JSON)),
    "yaml": ("application/yaml", Output(YAML)),
    "weights": ("application/json;q=0.5,application/yaml;q=0.9", Output(YAML)),
}


@pytest.mark.parametrize(("header", "expected"), ROWS.values(), ids=ROWS)
def test_an_accept_header_chooses(header, expected):
    assert negotiate(header) == expected


@pytest.mark.parametrize("header", ["application/vnd.kubernetes.protobuf", "text/html"])
def test_what_cannot_be_served_is_406(header):
    with pytest.raises(ApiError) as raised:
        negotiate(header)
    assert (raised.value.code, raised.value.reason) == (406, "NotAcceptable")


def test_an_unknown_body_type_is_415():
    assert body_type("") == JSON
    assert body_type("application/json; charset=utf-8") == JSON
    with pytest.raises(ApiError) as raised:
        body_type("text/plain")
    assert raised.value.code == 415
    assert raised.value.message.startswith("the body of the request was in an unknown format")


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
DISCOVERY = {
    "kubectl 1.30": (
        f"{AGGREGATED.format('v2')},{AGGREGATED.format('v2beta1')},application/json",
        "v2",
    ),
    "kubectl 1.27": (f"{AGGREGATED.format('v2beta1')},application/json", "v2beta1"),
    "plain": ("application/json, */*", ""),
    "nothing": ("", ""),
    "plain first": (f"application/json,{AGGREGATED.format('v2')}", ""),
}


@pytest.mark.parametrize(("header", "version"), DISCOVERY.values(), ids=DISCOVERY)
def test_aggregated_discovery_is_recognised(header, version):
    assert aggregated_discovery_version(header) == version
