"""Objects and changes are judged as by Kubernetes: same paths, same words."""

import copy

import pytest

from netlab.api.defaults import apply_defaults
from netlab.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    EVENT,
    LEASE,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from netlab.api.validation import validate_create, validate_update
from netlab.api.validation.pod_update import POD_UPDATE_MESSAGE

META = {"name": "x", "namespace": "default"}
LABELS = {"app": "web"}
CONTAINER = {"name": "c", "image": "i:1"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}


def edited(obj, path, value):
    """A copy of ``obj`` with one field set; a path of names and indices."""
    obj = copy.deepcopy(obj)
    target = obj
    *parents, last = path.split(".")
    for name in parents:
        target = target[int(name)] if isinstance(target, list) else target.setdefault(name, {})
    if isinstance(target, list):
        target[int(last)] = value
    else:
        target[last] = value
    return obj


BASE = {
    POD: {"metadata": META, "spec": {"containers": [CONTAINER]}},
    SERVICE: {"metadata": META, "spec": {"ports": [{"port": 80}], "selector": LABELS}},
    REPLICA_SET: {
        "metadata": META,
        "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE},
    },
    DEPLOYMENT: {
        "metadata": META,
        "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE},
    },
    CONFIG_MAP: {"metadata": META, "data": {"a": "b"}},
    SECRET: {"metadata": META, "data": {"a": "YQ=="}},
    SERVICE_ACCOUNT: {"metadata": META},
    NAMESPACE: {"metadata": {"name": "x"}},
    NODE: {"metadata": {"name": "x"}},
    LEASE: {"metadata": META, "spec": {"leaseDurationSeconds": 40}},
    EVENT: {"metadata": META, "involvedObject": {"namespace": "default"}},
    ENDPOINTS: {
        "metadata": META,
        "subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80}]}],
    },
    ENDPOINT_SLICE: {
        "metadata": META,
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.1.1"]}],
        "ports": [{"port": 80}],
    },
}


@pytest.mark.parametrize("kind", BASE, ids=lambda kind: kind.plural)
def test_good_objects_pass(kind):
    obj = apply_defaults(kind, BASE[kind])
    assert validate_create(kind, obj) == []
    assert validate_update(kind, obj, copy.deepcopy(obj)) == []


NOT_NEGATIVE = "must be greater than or equal to 0"
PORT = "must be between 1 and 65535, inclusive"
INIT = "may not be set for init containers without restartPolicy=Always"
C0 = "spec.containers.0"
P0 = "spec.containers[0]"

ROWS = [
    # metadata
    (
        POD,
        "metadata",
        {"namespace": "default"},
        "metadata.name: Required value: name or generateName is required",
    ),
    (POD, "metadata", {"name": "x"}, "metadata.namespace: Required value"),
    (
        NODE,
        "metadata",
        {"name": "x", "namespace": "y"},
        "metadata.namespace: Forbidden: not allowed on this type",
    ),
    (
        NAMESPACE,
        "metadata.name",
        "a.b",
        'metadata.name: Invalid value: "a.b": must not contain dots',
    ),
    (
        POD,
        "metadata.labels",
        {"a": "b" * 64},
        f'metadata.labels: Invalid value: "{"b" * 64}": must be no more than 63 bytes',
    ),
    (
        POD,
        "metadata.annotations",
        {"a": "b" * 262144},
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ),
    (
        POD,
        "metadata.ownerReferences",
        [{"apiVersion": "v1", "kind": "Pod", "name": "x"}],
        'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
    ),
    (
        POD,
        "metadata.finalizers",
        ["mine"],
        'metadata.finalizers[0]: Invalid value: "mine": '
        "name is neither a standard finalizer name nor is it fully qualified",
    ),
    # pods
    (POD, "spec.containers", [], "spec.containers: Required value"),
    (
        POD,
        "spec.containers",
        [CONTAINER, CONTAINER],
        'spec.containers[1].name: Duplicate value: "c"',
    ),
    (POD, f"{C0}.name", "", f"{P0}.name: Required value"),
    (POD, f"{C0}.image", "", f"{P0}.image: Required value"),
    (
        POD,
        f"{C0}.image",
        " i",
        f'{P0}.image: Invalid value: " i": must not have leading or trailing whitespace',
    ),
    (
        POD,
        f"{C0}.imagePullPolicy",
        "Sometimes",
        f'{P0}.imagePullPolicy: Unsupported value: "Sometimes": '
        'supported values: "Always", "IfNotPresent", "Never"',
    ),
    (
        POD,
        f"{C0}.ports",
        [{"containerPort": 70000}],
        f"{P0}.ports[0].containerPort: Invalid value: 70000: {PORT}",
    ),
    (POD, f"{C0}.ports", [{"name": "a"}], f"{P0}.ports[0].containerPort: Required value"),
    (
        POD,
        f"{C0}.ports",
        [{"containerPort": 1, "protocol": "tcp"}],
        f'{P0}.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        POD,
        f"{C0}.ports",
        [{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}],
        f'{P0}.ports[1].hostPort: Duplicate value: "TCP//5"',
    ),
    (
        POD,
        f"{C0}.volumeMounts",
        [{"name": "v", "mountPath": "/x"}],
        f'{P0}.volumeMounts[0].name: Not found: "v"',
    ),
    (
        POD,
        f"{C0}.livenessProbe",
        {"periodSeconds": 1},
        f"{P0}.livenessProbe: Required value: must specify a handler type",
    ),
    (
        POD,
        f"{C0}.livenessProbe",
        {"httpGet": {"port": 0}},
        f"{P0}.livenessProbe.httpGet.port: Invalid value: 0: {PORT}",
    ),
    (
        POD,
        f"{C0}.resources",
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        f'{P0}.resources.requests: Invalid value: "2": '
        "must be less than or equal to cpu limit of 1",
    ),
    (
        POD,
        f"{C0}.env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}],
        f'{P0}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": '
        "error converting fieldPath: field label not supported: spec.foo",
    ),
    (
        POD,
        f"{C0}.env",
        [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        f'{P0}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        POD,
        "spec.initContainers",
        [{"name": "c", "image": "i"}],
        'spec.initContainers[0].name: Duplicate value: "c"',
    ),
    (
        POD,
        "spec.initContainers",
        [{"name": "d", "image": "i", "readinessProbe": {"exec": {"command": ["a"]}}}],
        f"spec.initContainers[0].readinessProbe: Forbidden: {INIT}",
    ),
    (
        POD,
        "spec.restartPolicy",
        "Maybe",
        'spec.restartPolicy: Unsupported value: "Maybe": '
        'supported values: "Always", "Never", "OnFailure"',
    ),
    (
        POD,
        "spec.dnsPolicy",
        "None",
        "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    ),
    (
        POD,
        "spec.volumes",
        [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}],
        "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
    ),
    (
        POD,
        "spec.volumes",
        [{"name": "v"}, {"name": "v"}],
        'spec.volumes[1].name: Duplicate value: "v"',
    ),
    (
        POD,
        "spec.terminationGracePeriodSeconds",
        -1,
        "[]",  # counts as 1, and earns a warning
    ),
    (
        POD,
        "spec.tolerations",
        [{"operator": "Equal"}],
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key`'
        ' is empty, which means "match all values and all keys"',
    ),
    # services
    (SERVICE, "spec.ports", [], "spec.ports: Required value"),
    (
        SERVICE,
        "spec.ports",
        [{"port": 70000, "targetPort": 1}],
        f"spec.ports[0].port: Invalid value: 70000: {PORT}",
    ),
    (
        SERVICE,
        "spec.ports",
        [{"port": 80, "protocol": "tcp"}],
        'spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        SERVICE,
        "spec.ports",
        [{"port": 80, "nodePort": 30080}],
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    (
        SERVICE,
        "spec.ports",
        [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}],
        'spec.ports[1].name: Duplicate value: "a"',
    ),
    (
        SERVICE,
        "spec.ports",
        [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}],
        'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":1,'
        '"TargetPort":0,"NodePort":0}',
    ),
    (
        SERVICE,
        "spec.type",
        "nodeport",
        'spec.type: Unsupported value: "nodeport": '
        'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ),
    (
        SERVICE,
        "spec.clusterIP",
        "10.96.0.999",
        'spec.clusterIPs[0]: Invalid value: "10.96.0.999": '
        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    ),
    (
        SERVICE,
        "spec",
        {"type": "NodePort", "clusterIP": "None", "ports": [{"port": 80}]},
        "spec.clusterIPs[0]: Invalid value: "
        "\"None\": may not be set to 'None' for NodePort services",
    ),
    (SERVICE, "spec", {"type": "ExternalName"}, "spec.externalName: Required value"),
    (
        SERVICE,
        "spec.externalTrafficPolicy",
        "Local",
        'spec.externalTrafficPolicy: Invalid value: "Local": '
        "may only be set for externally-accessible services",
    ),
    (
        SERVICE,
        "spec.sessionAffinity",
        "Cookie",
        'spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"',
    ),
    (
        SERVICE,
        "spec.externalIPs",
        ["127.0.0.1"],
        'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
        "may not be in the loopback range (127.0.0.0/8, ::1/128)",
    ),
    (
        SERVICE,
        "spec.externalIPs",
        ["::ffff:127.0.0.1"],
        'spec.externalIPs[0]: Invalid value: "::ffff:127.0.0.1": '
        "may not be in the loopback range (127.0.0.0/8, ::1/128)",
    ),
    # workloads
    (REPLICA_SET, "spec.replicas", -1, f"spec.replicas: Invalid value: -1: {NOT_NEGATIVE}"),
    (
        REPLICA_SET,
        "spec.selector",
        {"matchLabels": {"a": "c"}},
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
        "`selector` does not match template `labels`",
    ),
    (
        REPLICA_SET,
        "spec.selector",
        {},
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
    ),
    (
        REPLICA_SET,
        "spec.selector",
        {"matchExpressions": [{"key": "app"}]},
        'spec.selector.matchExpressions[0].operator: Invalid value: "": '
        "not a valid selector operator",
    ),
    (
        DEPLOYMENT,
        "spec.selector",
        None,
        "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: "
        '{"app":"web"}: `selector` does not match template `labels`]',
    ),
    (
        DEPLOYMENT,
        "spec.template.spec.restartPolicy",
        "Never",
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    (
        DEPLOYMENT,
        "spec.template.spec.containers",
        [],
        "spec.template.spec.containers: Required value",
    ),
    (
        DEPLOYMENT,
        "spec.strategy",
        {"type": "Recreate", "rollingUpdate": {}},
        "spec.strategy.rollingUpdate: Forbidden: "
        "may not be specified when strategy `type` is 'Recreate'",
    ),
    (
        DEPLOYMENT,
        "spec.strategy",
        {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: "
        "may not be 0 when `maxSurge` is 0",
    ),
    (
        DEPLOYMENT,
        "spec.strategy",
        {"rollingUpdate": {"maxUnavailable": "101%"}},
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": '
        "must not be greater than 100%",
    ),
    (
        DEPLOYMENT,
        "spec.minReadySeconds",
        600,
        "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
    ),
    # endpoints
    (
        ENDPOINTS,
        "subsets",
        [{"ports": [{"port": 1}]}],
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
    ),
    (
        ENDPOINT_SLICE,
        "addressType",
        "IPv5",
        'addressType: Unsupported value: "IPv5": supported values: "FQDN", "IPv4", "IPv6"',
    ),
    (
        ENDPOINT_SLICE,
        "endpoints",
        [{"addresses": ["fd00::1"]}],
        'endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address',
    ),
    # the rest
    (
        SECRET,
        "type",
        "kubernetes.io/tls",
        "[data[tls.crt]: Required value, data[tls.key]: Required value]",
    ),
    (
        CONFIG_MAP,
        "data",
        {"a": "x" * 1048577},
        "[]: Too long: may not be more than 1048576 bytes",
    ),
    (
        NODE,
        "spec.taints",
        [{"key": "a", "effect": "Sometimes"}],
        'spec.taints[0].effect: Unsupported value: "Sometimes": '
        'supported values: "NoExecute", "NoSchedule", "PreferNoSchedule"',
    ),
    (
        LEASE,
        "spec.leaseDurationSeconds",
        0,
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
    ),
    (
        EVENT,
        "involvedObject.namespace",
        "other",
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
    ),
]


def told(errors):
    texts = [str(error) for error in errors]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [pytest.param(*row, id=f"{row[0].plural} {row[1]} {index}") for index, row in enumerate(ROWS)],
)
def test_refused(kind, path, value, expected):
    obj = apply_defaults(kind, edited(BASE[kind], path, value))
    assert told(validate_create(kind, obj)) == expected


FORBIDDEN_UPDATE = f"spec: Forbidden: {POD_UPDATE_MESSAGE}"
IMMUTABLE = "field is immutable when `immutable` is set"

UPDATES = [
    (POD, "metadata.labels", {"a": "b"}, "[]"),
    (POD, f"{C0}.image", "other:2", "[]"),
    (POD, f"{C0}.image", "", f"{P0}.image: Required value"),
    (POD, f"{C0}.command", ["x"], FORBIDDEN_UPDATE),
    (POD, "spec.nodeName", "n", FORBIDDEN_UPDATE),
    (POD, "spec.terminationGracePeriodSeconds", 1, FORBIDDEN_UPDATE),
    (POD, "spec.activeDeadlineSeconds", 5, "[]"),
    (POD, "spec.tolerations", [{"key": "a", "operator": "Exists"}], "[]"),
    (
        POD,
        "spec.containers",
        [CONTAINER, CONTAINER],
        "spec.containers: Forbidden: pod updates may not add or remove containers",
    ),
    (POD, "metadata.uid", "other", 'metadata.uid: Invalid value: "other": field is immutable'),
    (SERVICE, "spec.type", "NodePort", "[]"),
    (
        SERVICE,
        "spec.clusterIP",
        "10.96.0.7",
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.7"]: may not change once set',
    ),
    (
        DEPLOYMENT,
        "spec.selector.matchExpressions",
        [{"key": "app", "operator": "Exists"}],
        'spec.selector: Invalid value: {"matchLabels":{"app":"web"},'
        '"matchExpressions":[{"key":"app","operator":"Exists"}]}: field is immutable',
    ),
    (SECRET, "type", "x/y", 'type: Invalid value: "x/y": field is immutable'),
    (CONFIG_MAP, "data", {"a": "c"}, f"data: Forbidden: {IMMUTABLE}"),
    (CONFIG_MAP, "immutable", False, f"immutable: Forbidden: {IMMUTABLE}"),
    (
        ENDPOINT_SLICE,
        "addressType",
        "FQDN",
        'addressType: Invalid value: "FQDN": field is immutable',
    ),
]


def stored(kind):
    obj = edited(BASE[kind], "metadata.uid", "u")
    if kind is SERVICE:
        obj["spec"]["clusterIP"] = "10.96.0.5"
    if kind is CONFIG_MAP:
        obj["immutable"] = True
    if kind is ENDPOINT_SLICE:
        obj["endpoints"] = []
    return apply_defaults(kind, obj)


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [pytest.param(*row, id=f"{row[0].plural} {row[1]} {i}") for i, row in enumerate(UPDATES)],
)
def test_updates(kind, path, value, expected):
    old = stored(kind)
    new = apply_defaults(kind, edited(old, path, value))
    if path == "spec.type":
        new["spec"]["externalTrafficPolicy"] = "Cluster"
    assert told(validate_update(kind, old, new)) == expected


def test_tolerations_may_only_be_added():
    old = stored(POD)
    old["spec"]["tolerations"] = [{"key": "a", "operator": "Exists"}]
    new = edited(old, "spec.tolerations", [])
    assert told(validate_update(POD, old, new)) == (
        "spec.tolerations: Forbidden: "
        "existing toleration can not be modified except its tolerationSeconds"
    )


def test_no_finalizer_is_added_to_a_dying_object():
    old = edited(stored(POD), "metadata.deletionTimestamp", "2026-01-01T00:00:00Z")
    new = edited(old, "metadata.finalizers", ["a/b"])
    assert told(validate_update(POD, old, new)) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being"
        ' deleted, found new finalizers []string{"a/b"}'
    )


def test_headless_service_may_have_no_ports():
    obj = {"metadata": META, "spec": {"clusterIP": "None", "selector": LABELS}}
    assert validate_create(SERVICE, apply_defaults(SERVICE, obj)) == []


def test_service_names_start_with_a_letter():
    obj = apply_defaults(SERVICE, edited(BASE[SERVICE], "metadata.name", "1x"))
    (error,) = validate_create(SERVICE, obj)
    assert str(error).startswith('metadata.name: Invalid value: "1x": a DNS-1035 label must')
