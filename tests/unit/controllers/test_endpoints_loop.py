"""EndpointSlices and Endpoints follow Services and pods."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import ENDPOINT_SLICE, ENDPOINTS, POD


def service(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"tier": "front"}},
        "spec": {
            "clusterIP": "10.96.0.20",
            "selector": {"app": "web"},
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}],
            **spec,
        },
    }


def pod(name: str, ip: str, *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web", "x": "y"}},
        "spec": {
            "nodeName": "node0",
            "containers": [
                {
                    "name": "c",
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                }
            ],
            **spec,
        },
        "status": {
            "phase": "Running",
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


async def test_a_slice_and_endpoints_as_kubernetes_writes_them(clusters: Any) -> None:
    async with clusters() as cluster:
        svc = cluster.api.put(service())
        web = cluster.api.put(pod("web-1", "10.244.0.5"))
        cluster.api.put(pod("web-2", "10.244.0.6", ready=False))
        await cluster.settle()
        (piece,) = cluster.api.find(ENDPOINT_SLICE)
        assert piece["metadata"]["generateName"] == "web-"
        assert piece["metadata"]["labels"] == {
            "tier": "front",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert piece["metadata"]["ownerReferences"][0]["uid"] == svc["metadata"]["uid"]
        assert piece["addressType"] == "IPv4"
        assert piece["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
        assert [e["conditions"]["ready"] for e in piece["endpoints"]] == [True, False]
        target = {"kind": "Pod", "namespace": "default", "name": "web-1"}
        assert piece["endpoints"][0] == {
            "addresses": ["10.244.0.5"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {**target, "uid": web["metadata"]["uid"]},
            "nodeName": "node0",
        }
        (old,) = cluster.api.find(ENDPOINTS)
        (subset,) = old["subsets"]
        assert [a["ip"] for a in subset["addresses"]] == ["10.244.0.5"]
        assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.244.0.6"]
        assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
        assert old["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"] == (
            "endpoint-controller"
        )


async def test_nothing_is_written_twice(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        cluster.api.put(pod("web-1", "10.244.0.5"))
        await cluster.settle()
        writes = len(cluster.api.writes)
        for loop in cluster.manager._loops[2:4]:
            loop.queue.add(("default", "web"))
        await cluster.settle()
        assert len(cluster.api.writes) == writes


async def test_a_terminating_pod_serves_but_is_not_ready(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        cluster.api.put(pod("web-1", "10.244.0.5"))
        await cluster.settle()
        await cluster.api.delete(POD, "default", "web-1")
        await cluster.settle()
        (piece,) = cluster.api.find(ENDPOINT_SLICE)
        assert piece["endpoints"][0]["conditions"] == {
            "ready": False,
            "serving": True,
            "terminating": True,
        }
        assert "subsets" not in cluster.api.find(ENDPOINTS)[0]
        cluster.finish_pod("web-1")
        await cluster.settle()
        (piece,) = cluster.api.find(ENDPOINT_SLICE)
        assert piece["endpoints"] == []
        assert piece["ports"] == []


async def test_a_terminating_pod_that_is_not_ready_any_more_does_not_serve(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        cluster.api.put(pod("web-1", "10.244.0.5", ready=False))
        await cluster.settle()
        await cluster.api.delete(POD, "default", "web-1")
        await cluster.settle()
        (piece,) = cluster.api.find(ENDPOINT_SLICE)
        assert piece["endpoints"][0]["conditions"] == {
            "ready": False,
            "serving": False,
            "terminating": True,
        }


async def test_a_sidecar_can_serve_a_named_port(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        made = pod("web-1", "10.244.0.5", containers=[{"name": "c"}])
        port = {"name": "http", "protocol": "TCP"}
        made["spec"]["initContainers"] = [
            {"name": "init", "ports": [{**port, "containerPort": 1}]},
            {"name": "side", "restartPolicy": "Always", "ports": [{**port, "containerPort": 81}]},
        ]
        cluster.api.put(made)
        await cluster.settle()
        (piece,) = cluster.api.find(ENDPOINT_SLICE)
        assert piece["ports"] == [{"name": "", "port": 81, "protocol": "TCP"}]


async def test_at_most_a_hundred_endpoints_stand_in_a_slice(clusters: Any) -> None:
    async with clusters() as cluster:
        for n in range(150):
            cluster.api.put(pod(f"web-{n}", f"10.244.1.{n}"))
        cluster.api.put(service())
        await cluster.settle()
        sizes = sorted(len(piece["endpoints"]) for piece in cluster.api.find(ENDPOINT_SLICE))
        assert sizes == [50, 100]
        cluster.finish_pod("web-7")
        writes = cluster.api.count("patch", ENDPOINT_SLICE)
        await cluster.settle()
        assert cluster.api.count("patch", ENDPOINT_SLICE) == writes + 1


async def test_newcomers_that_do_not_fit_leave_the_other_slices_alone(clusters: Any) -> None:
    async with clusters() as cluster:
        for n in range(60):
            cluster.api.put(pod(f"web-{n}", f"10.244.1.{n}"))
        cluster.api.put(service())
        await cluster.settle()
        for n in range(60, 120):
            cluster.api.put(pod(f"web-{n}", f"10.244.1.{n}"))
        await cluster.settle(2000)
        assert cluster.api.count("patch", ENDPOINT_SLICE) == 0
        sizes = [len(piece["endpoints"]) for piece in cluster.api.find(ENDPOINT_SLICE)]
        assert sizes == [60, 60]


async def test_pods_with_other_port_numbers_have_a_slice_of_their_own(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        cluster.api.put(pod("web-1", "10.244.0.5"))
        other = pod("web-2", "10.244.0.6")
        other["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090
        cluster.api.put(other)
        await cluster.settle()
        numbers = [piece["ports"][0]["port"] for piece in cluster.api.find(ENDPOINT_SLICE)]
        assert sorted(numbers) == [8080, 9090]


def without_port(pod_name: str, ip: str, **port: Any) -> dict[str, Any]:
    """A pod whose container has other ports than the one named http over TCP."""
    obj = pod(pod_name, ip)
    obj["spec"]["containers"][0]["ports"] = [port] if port else []
    return obj


OTHER_PORTS = {
    "no port": {},
    "another name": {"name": "admin", "containerPort": 8080, "protocol": "TCP"},
    "another protocol": {"name": "http", "containerPort": 8080, "protocol": "UDP"},
    "the right number without a name": {"containerPort": 8080, "protocol": "TCP"},
}


@pytest.mark.parametrize("port", OTHER_PORTS.values(), ids=OTHER_PORTS.keys())
async def test_a_pod_without_the_named_port_is_no_address(
    clusters: Any, port: dict[str, Any]
) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        cluster.api.put(pod("web-1", "10.244.0.5"))
        cluster.api.put(without_port("web-2", "10.244.0.6", **port))
        await cluster.settle()
        (endpoints,) = cluster.api.find(ENDPOINTS)
        (subset,) = endpoints["subsets"]
        assert [address["ip"] for address in subset["addresses"]] == ["10.244.0.5"]
        assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
        served = {
            tuple(port["port"] for port in piece["ports"]): [
                endpoint["addresses"][0] for endpoint in piece["endpoints"]
            ]
            for piece in cluster.api.find(ENDPOINT_SLICE)
        }
        # as Kubernetes: a slice of its own, which leads nowhere
        assert served == {(8080,): ["10.244.0.5"], (): ["10.244.0.6"]}


async def test_a_pod_with_one_of_two_ports_serves_that(clusters: Any) -> None:
    ports = [
        {"name": "web", "port": 80, "protocol": "TCP", "targetPort": "http"},
        {"name": "admin", "port": 81, "protocol": "TCP", "targetPort": "admin"},
    ]
    async with clusters() as cluster:
        cluster.api.put(service(ports=ports))
        both = pod("web-1", "10.244.0.5")
        both["spec"]["containers"][0]["ports"].append(
            {"name": "admin", "containerPort": 9090, "protocol": "TCP"}
        )
        cluster.api.put(both)
        cluster.api.put(pod("web-2", "10.244.0.6"))
        await cluster.settle()
        (endpoints,) = cluster.api.find(ENDPOINTS)
        found = {
            tuple(port["name"] for port in subset["ports"]): subset["addresses"][0]["ip"]
            for subset in endpoints["subsets"]
        }
        assert found == {("admin", "web"): "10.244.0.5", ("web",): "10.244.0.6"}


async def test_nobody_with_the_named_port_means_no_addresses(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        cluster.api.put(without_port("web-1", "10.244.0.5"))
        await cluster.settle()
        (endpoints,) = cluster.api.find(ENDPOINTS)
        assert "subsets" not in endpoints
        cluster.api.put(pod("web-1", "10.244.0.5"))
        await cluster.settle()
        (endpoints,) = cluster.api.find(ENDPOINTS)
        assert endpoints["subsets"][0]["addresses"][0]["ip"] == "10.244.0.5"


@pytest.mark.parametrize(
    ("spec", "conditions"),
    [
        pytest.param({}, {"ready": False, "serving": False, "terminating": False}, id="plain"),
        pytest.param(
            {"publishNotReadyAddresses": True},
            {"ready": True, "serving": False, "terminating": False},
            id="published",
        ),
    ],
)
async def test_not_ready_addresses(
    clusters: Any, spec: dict[str, Any], conditions: dict[str, bool]
) -> None:
    async with clusters() as cluster:
        cluster.api.put(service(**spec))
        cluster.api.put(pod("web-1", "10.244.0.5", ready=False))
        await cluster.settle()
        (piece,) = cluster.api.find(ENDPOINT_SLICE)
        assert piece["endpoints"][0]["conditions"] == conditions


async def test_a_headless_service_names_its_pods(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service(clusterIP="None", ports=[]))
        cluster.api.put(pod("web-1", "10.244.0.5", hostname="one", subdomain="web"))
        await cluster.settle()
        (piece,) = cluster.api.find(ENDPOINT_SLICE)
        assert piece["endpoints"][0]["hostname"] == "one"
        assert piece["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
        assert piece["ports"] == []


async def test_services_without_selector_are_left_alone(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service(selector=None))
        await cluster.settle()
        assert cluster.api.find(ENDPOINT_SLICE) == []
        assert cluster.api.find(ENDPOINTS) == []


async def test_endpoints_and_slices_go_with_their_service(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(service())
        await cluster.settle()
        assert len(cluster.api.find(ENDPOINT_SLICE)) == 1
        from netlab.api.kinds import SERVICE

        await cluster.api.delete(SERVICE, "default", "web")
        await cluster.settle()
        assert cluster.api.find(ENDPOINT_SLICE) == []
        assert cluster.api.find(ENDPOINTS) == []
