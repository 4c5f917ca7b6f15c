# ruff: noqa: E501 - rows of tables
"""Tables: columns as Kubernetes v1.36 has them, cells as its printers compute them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from netlab.api.kinds import LEASE, NODE, POD, RESOURCE_QUOTA, Kind, builtin_kinds
from netlab.api.kinds.metrics import POD_METRICS
from netlab.api.meta import AnyObject
from netlab.api.printing import DEFAULT_PRINTER
from netlab.api.tables import network, table_for, workloads

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "tables" / "tables-v1.36.json").read_text(
        encoding="utf-8"
    )
)
NOW = datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC)
BORN = "2026-01-01T00:00:00Z"


KINDS = builtin_kinds()
# printers of kinds that are not served yet
COMING = {
    "ingresses": network.INGRESS_PRINTER,
    "ingressclasses": network.INGRESS_CLASS_PRINTER,
    "networkpolicies": network.NETWORK_POLICY_PRINTER,
    "daemonsets": workloads.DAEMON_SET_PRINTER,
    "statefulsets": workloads.STATEFUL_SET_PRINTER,
}


def by_plural(plural):
    return COMING.get(plural) or kind_of(plural).printer


@pytest.mark.parametrize("plural", [p for p in GOLDEN if p != "jobs"])
def test_columns(plural):
    columns = [column.definition() for column in by_plural(plural).columns]
    for column in columns:
        assert column.pop("description")
    assert columns == GOLDEN[plural]["columns"]


# Kubernetes, too, shows only the name and the time of these
PLAIN = {"limitranges", "roles", "clusterroles"}


def test_every_kind_has_a_printer():
    without = {kind.plural for kind in KINDS if kind.printer is DEFAULT_PRINTER and kind.stored}
    assert without <= PLAIN


def test_a_quota_shows_what_is_used():
    hard = {"limits.cpu": "2", "pods": "4", "requests.memory": "1Gi"}
    used = {"limits.cpu": "500m", "pods": "1", "requests.memory": "0"}
    assert cells(RESOURCE_QUOTA, {"status": {"hard": hard, "used": used}}) == [
        "x",
        "pods: 1/4, requests.memory: 0/1Gi",
        "limits.cpu: 500m/2",
        "60s",
    ]


def test_metrics_of_a_pod_are_summed():
    containers = [
        {"name": "a", "usage": {"cpu": "1500000n", "memory": "1024Ki"}},
        {"name": "b", "usage": {"cpu": "0", "memory": "1Mi"}},
    ]
    found = cells(POD_METRICS, {"containers": containers, "window": "15s"})
    assert found == ["x", "1500u", "2Mi", "15s"]


def cells(kind, obj):
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    obj.setdefault("metadata", {}).update(name="x", creationTimestamp=BORN)
    return table_for(kind, [obj], NOW)["rows"][0]["cells"]


def kind_of(plural):
    return next(kind for kind in KINDS if kind.plural == plural and kind.stored)


def status(**more):
    return {"status": {"phase": "Running", **more}, "spec": {"containers": [{"name": "c"}]}}


def container(state, ready=False, restarts=0, last=None, **more):
    return {
        "name": "c",
        "ready": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": {"finishedAt": last}} if last else {},
        **more,
    }


RUNNING = {"running": {"startedAt": BORN}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}


@pytest.mark.parametrize(
    ("name", "pod", "expected"),
    [
        ("running", status(containerStatuses=[container(RUNNING, ready=True)]), ("1/1", "Running", "0")),
        ("no status yet", {"spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}}, ("0/1", "Pending", "0")),
        ("waiting", status(containerStatuses=[container({"waiting": {"reason": "ErrImagePull"}})]), ("0/1", "ErrImagePull", "0")),
        ("restarted", status(containerStatuses=[container(RUNNING, True, 2, "2026-01-01T00:00:47Z")]), ("1/1", "Running", "2 (13s ago)")),
        ("completed", {**status(), "status": {"phase": "Succeeded", "containerStatuses": [container(DONE)]}}, ("0/1", "Completed", "0")),
        ("error", status(containerStatuses=[container({"terminated": {"exitCode": 1, "reason": "Error"}})]), ("0/1", "Error", "0")),
        ("exit code", status(containerStatuses=[container({"terminated": {"exitCode": 3}})]), ("0/1", "ExitCode:3", "0")),
        ("signal", status(containerStatuses=[container({"terminated": {"exitCode": 137, "signal": 9}})]), ("0/1", "Signal:9", "0")),
        ("evicted", status(reason="Evicted"), ("0/1", "Evicted", "0")),
        ("gated", status(conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]), ("0/1", "SchedulingGated", "0")),
        ("one done, one ready", status(conditions=[{"type": "Ready", "status": "True"}], containerStatuses=[container(DONE), container(RUNNING, True)]), ("1/1", "Running", "0")),
        ("one done, pod not ready", status(containerStatuses=[container(DONE), container(RUNNING, True)]), ("1/1", "NotReady", "0")),
    ],
)  # fmt: skip
def test_pod_status(name, pod, expected):
    assert tuple(cells(POD, pod)[1:4]) == expected


@pytest.mark.parametrize(
    ("name", "statuses", "expected"),
    [
        ("first runs", [container(RUNNING)], ("0/1", "Init:0/2", "0")),
        ("second runs", [container(DONE), container(RUNNING, restarts=1)], ("0/1", "Init:1/2", "1")),
        ("failed", [container({"terminated": {"exitCode": 1}})], ("0/1", "Init:ExitCode:1", "0")),
        ("error", [container({"terminated": {"exitCode": 1, "reason": "Error"}})], ("0/1", "Init:Error", "0")),
        ("crashing", [container({"waiting": {"reason": "CrashLoopBackOff"}})], ("0/1", "Init:CrashLoopBackOff", "0")),
        ("not begun", [container({"waiting": {"reason": "PodInitializing"}})], ("0/1", "Init:0/2", "0")),
        ("all done", [container(DONE), container(DONE)], ("0/1", "PodInitializing", "0")),
    ],
)  # fmt: skip
def test_pod_init_containers(name, statuses, expected):
    pod = {
        "spec": {
            "containers": [{"name": "main"}],
            "initContainers": [{"name": "a"}, {"name": "b"}],
        },
        "status": {
            "phase": "Pending",
            "initContainerStatuses": statuses,
            "containerStatuses": [container({"waiting": {"reason": "PodInitializing"}})],
        },
    }
    assert tuple(cells(POD, pod)[1:4]) == expected


def test_sidecars_count_as_containers():
    pod = {
        "spec": {
            "containers": [{"name": "main"}],
            "initContainers": [{"name": "c", "restartPolicy": "Always"}],
        },
        "status": {
            "phase": "Running",
            "initContainerStatuses": [container(RUNNING, True, 1, started=True)],
            "containerStatuses": [container(RUNNING, True, 2)],
        },
    }
    assert cells(POD, pod)[1:4] == ["2/2", "Running", "3"]


def test_deleted_pods():
    deleted = {"metadata": {"deletionTimestamp": BORN}}
    assert cells(POD, {**status(), **deleted})[2] == "Terminating"
    assert cells(POD, {"status": {"phase": "Failed"}, **deleted})[2] == "Failed"
    assert cells(POD, {**status(reason="NodeLost"), **deleted})[2] == "Unknown"


def test_finished_pods_are_marked():
    obj = {"metadata": {"name": "x"}, "status": {"phase": "Succeeded"}}
    row = table_for(POD, [obj], NOW)["rows"][0]
    assert row["conditions"][0]["reason"] == "Succeeded"
    assert "conditions" not in table_for(POD, [{"metadata": {"name": "x"}}], NOW)["rows"][0]


def service(**spec):
    return {"spec": {"clusterIPs": ["10.96.0.5"], **spec}}


PORTS = [{"port": 80, "protocol": "TCP"}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]


@pytest.mark.parametrize(
    ("name", "obj", "expected"),
    [
        ("cluster ip", service(type="ClusterIP", ports=PORTS), ["ClusterIP", "10.96.0.5", "<none>", "80/TCP,53:30053/UDP"]),
        ("headless", {"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}}, ["ClusterIP", "None", "<none>", "<none>"]),
        ("external ips", service(type="NodePort", externalIPs=["1.1.1.1", "2.2.2.2"]), ["NodePort", "10.96.0.5", "1.1.1.1,2.2.2.2", "<none>"]),
        ("pending", service(type="LoadBalancer"), ["LoadBalancer", "10.96.0.5", "<pending>", "<none>"]),
        ("balanced", {**service(type="LoadBalancer", externalIPs=["9.9.9.9"]), "status": {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "1.1.1.1"}]}}}, ["LoadBalancer", "10.96.0.5", "1.1.1.1,b,9.9.9.9", "<none>"]),
        ("name", {"spec": {"type": "ExternalName", "externalName": "x.y"}}, ["ExternalName", "<none>", "x.y", "<none>"]),
    ],
)  # fmt: skip
def test_services(name, obj, expected):
    assert cells(kind_of("services"), obj)[1:5] == expected


def test_endpoints():
    kind = kind_of("endpoints")
    addresses = [{"ip": f"10.0.0.{n}"} for n in range(1, 6)]
    ports = [{"port": 80}, {"port": 81}]
    assert cells(kind, {})[1] == "<none>"
    assert cells(kind, {"subsets": [{"notReadyAddresses": addresses, "ports": ports}]})[1] == ""
    assert (
        cells(kind, {"subsets": [{"addresses": addresses, "ports": ports}]})[1]
        == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 7 more..."
    )
    assert cells(kind, {"subsets": [{"addresses": addresses[:2]}]})[1] == "10.0.0.1,10.0.0.2"
    assert cells(kind, {"subsets": [{"addresses": [{"ip": "fd::1"}], "ports": ports[:1]}]})[1] == (
        "[fd::1]:80"
    )


def test_endpoint_slices():
    kind = kind_of("endpointslices")
    assert cells(kind, {"addressType": "IPv4"})[1:4] == ["IPv4", "<unset>", "<unset>"]
    slice_ = {
        "addressType": "IPv4",
        "ports": [{"port": n} for n in (1, 2, 3, 4)],
        "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}],
    }
    assert cells(kind, slice_)[2:4] == ["1,2,3 + 1 more...", "10.0.0.1,10.0.0.2"]


def test_nodes():
    node = {
        "metadata": {
            "labels": {
                "node-role.kubernetes.io/control-plane": "",
                "kubernetes.io/role": "edge",
                "node-role.kubernetes.io/": "",
            }
        },
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2", "osImage": "Debian"},
        },
    }
    assert cells(NODE, node)[1:] == [
        "Ready,SchedulingDisabled",
        "control-plane,edge",
        "60s",
        "v1.36.2",
        "10.0.0.1",
        "<none>",
        "Debian",
        "<unknown>",
        "<unknown>",
    ]
    assert cells(NODE, {})[1:3] == ["Unknown", "<none>"]


def test_workloads():
    spec = {
        "replicas": 3,
        "selector": {
            "matchLabels": {"b": "1"},
            "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["y", "x"]},
                {"key": "c", "operator": "DoesNotExist"},
                {"key": "d", "operator": "Exists"},
                {"key": "e", "operator": "NotIn", "values": ["z"]},
            ],
        },
        "template": {"spec": {"containers": [{"name": "n", "image": "i"}, {"name": "m"}]}},
    }
    state = {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
    obj = {"spec": spec, "status": state}
    wide = ["n,m", "i,", "a in (x,y),b=1,!c,d,e notin (z)"]
    assert cells(kind_of("deployments"), obj)[1:] == ["1/3", 2, 1, "60s", *wide]
    assert cells(kind_of("replicasets"), obj)[1:] == [3, 2, 1, "60s", *wide]


def test_events():
    kind = kind_of("events")
    old = {
        "type": "Warning",
        "reason": "BackOff",
        "message": " text \n",
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "firstTimestamp": BORN,
        "lastTimestamp": "2026-01-01T00:00:30Z",
        "count": 4,
        "source": {"component": "kubelet", "host": "n"},
    }
    expected = ["30s", "Warning", "BackOff", "pod/p", "spec.containers{c}", "kubelet, n"]
    assert cells(kind, old) == [*expected, "text", "60s", 4, "x"]
    new = {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingComponent": "scheduler",
        "series": {"count": 7, "lastObservedTime": "2026-01-01T00:00:50.000000Z"},
    }
    assert [cells(kind, new)[index] for index in (0, 3, 5, 7, 8)] == [
        "10s",
        "",
        "scheduler",
        "60s",
        7,
    ]


def test_the_others():
    assert cells(LEASE, {"spec": {"holderIdentity": "me"}})[1] == "me"
    assert cells(kind_of("configmaps"), {"data": {"a": ""}, "binaryData": {"b": ""}})[1] == 2
    assert cells(kind_of("secrets"), {"type": "Opaque", "data": {"a": ""}})[1:3] == ["Opaque", 1]
    assert cells(kind_of("namespaces"), {"status": {"phase": "Active"}})[1] == "Active"


def test_unknown_kinds_show_when_they_were_created():
    kind = Kind("example.com", "v1", "Thing", "things", AnyObject)
    table = table_for(kind, [{"metadata": {"name": "x", "creationTimestamp": BORN}}], NOW)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Created At"]
    assert table["rows"][0]["cells"] == ["x", BORN]


def test_include_object():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}
    tables = {
        include: table_for(POD, [pod], NOW, include_object=include, list_metadata={"a": "b"})
        for include in ("None", "Metadata", "Object")
    }
    assert "object" not in tables["None"]["rows"][0]
    assert tables["Object"]["rows"][0]["object"] == pod
    assert tables["Metadata"]["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "x"},
    }
    assert tables["None"]["metadata"] == {"a": "b"}
    assert tables["None"]["kind"] == "Table"
