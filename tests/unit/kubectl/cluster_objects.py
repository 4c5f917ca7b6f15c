# ruff: noqa: E501 - rows of tables
"""The objects of the recorded cluster: one of everything the printers have to tell apart."""

from __future__ import annotations

from typing import Any

CREATED = "2020-01-02T03:04:05Z"


def meta(name: str, namespace: str | None = "default", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "100",
        "creationTimestamp": CREATED,
        **more,
    }
    if namespace:
        found["namespace"] = namespace
    return found


def container(name: str = "c", image: str = "busybox:1.36", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        **more,
    }


def running(name: str = "c", image: str = "busybox:1.36", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imageID": f"sha256:{name}",
        "containerID": f"netlab://{name}",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": CREATED}},
        "lastState": {},
        **more,
    }


MOUNT = {
    "name": "kube-api-access-abcde",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}
TOKEN_VOLUME = {
    "name": "kube-api-access-abcde",
    "projected": {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {
                "configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }
            },
            {
                "downwardAPI": {
                    "items": [
                        {
                            "path": "namespace",
                            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                        }
                    ]
                }
            },
        ],
    },
}
TOLERATIONS = [
    {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    },
    {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    },
]


def conditions(*, ready: bool = True) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": CREATED}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    ] + [{"type": "PodScheduled", "status": "True", "lastTransitionTime": CREATED}]


def pod(
    name: str,
    statuses: list[dict[str, Any]],
    *,
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    containers = [container(s["name"], s["image"], volumeMounts=[MOUNT]) for s in statuses]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name, **more),
        "spec": {
            "containers": containers,
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": True,
            "nodeName": "node0",
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccount": "default",
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
            "tolerations": TOLERATIONS,
            "volumes": [TOKEN_VOLUME],
            **(spec or {}),
        },
        "status": {
            "phase": "Running",
            "conditions": conditions(),
            "hostIP": "10.100.199.200",
            "podIP": "10.244.0.5",
            "podIPs": [{"ip": "10.244.0.5"}],
            "startTime": CREATED,
            "qosClass": "BestEffort",
            "containerStatuses": statuses,
            **(status or {}),
        },
    }


def owned_by(kind: str, name: str) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "name": name,
            "uid": f"uid-{name}",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


FULL_CONTAINER = container(
    "api",
    "vfarcic/go-demo-2",
    command=["/bin/sh", "-c"],
    args=["go-demo-2 --verbose"],
    ports=[
        {"containerPort": 8080, "protocol": "TCP", "name": "http"},
        {"containerPort": 53, "protocol": "UDP"},
    ],
    env=[
        {"name": "DB", "value": "localhost"},
        {"name": "EMPTY"},
        {"name": "LINES", "value": "one\ntwo"},
        {
            "name": "IP",
            "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}},
        },
        {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
        {
            "name": "CONF",
            "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k", "optional": True}},
        },
        {
            "name": "CPU",
            "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}},
        },
    ],
    envFrom=[{"configMapRef": {"name": "cm"}}, {"prefix": "P_", "secretRef": {"name": "s"}}],
    livenessProbe={
        "httpGet": {"path": "/demo/hello", "port": 8080, "scheme": "HTTP"},
        "initialDelaySeconds": 5,
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    },
    readinessProbe={
        "tcpSocket": {"port": "http"},
        "timeoutSeconds": 1,
        "periodSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    },
    startupProbe={
        "exec": {"command": ["cat", "/x"]},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    },
    resources={
        "limits": {"cpu": "500m", "memory": "128Mi"},
        "requests": {"cpu": "250m", "memory": "64Mi"},
    },
    volumeMounts=[
        MOUNT,
        {"name": "data", "mountPath": "/data", "subPath": "x"},
        {"name": "conf", "mountPath": "/conf"},
    ],
)

PODS = [
    pod("go-demo-2-api-abcde", [running("api", "vfarcic/go-demo-2")],
        labels={"type": "api", "service": "go-demo-2"},
        annotations={"note": "hello", "long": "x " * 90, "multi": "one\ntwo"},
        generateName="go-demo-2-api-",
        ownerReferences=owned_by("ReplicaSet", "go-demo-2-api"),
        spec={"containers": [FULL_CONTAINER],
              "nodeSelector": {"disk": "ssd", "arch": "amd64"},
              "volumes": [TOKEN_VOLUME,
                          {"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                          {"name": "conf", "configMap": {"name": "cm", "defaultMode": 420}},
                          {"name": "sec", "secret": {"secretName": "s", "optional": True}},
                          {"name": "host", "hostPath": {"path": "/tmp", "type": "Directory"}}]},
        status={"qosClass": "Burstable"}),
    pod("go-demo-2-db-zzzzz", [running("db", "mongo:3.3", restartCount=3, lastState={
            "terminated": {"exitCode": 137, "reason": "Error", "message": "boom",
                           "startedAt": CREATED, "finishedAt": "2020-01-02T04:04:05Z"}})],
        labels={"type": "db", "service": "go-demo-2"}),
    pod("crash", [running(ready=False, started=False, restartCount=5, state={
            "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed"}})],
        status={"conditions": conditions(ready=False)}),
    pod("done", [running(ready=False, state={"terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": CREATED, "finishedAt": CREATED}})],
        status={"phase": "Succeeded", "conditions": conditions(ready=False)}),
    pod("failed", [running(ready=False, state={"terminated": {
            "exitCode": 3, "startedAt": CREATED, "finishedAt": CREATED}})],
        status={"phase": "Failed", "conditions": conditions(ready=False)}),
    pod("init", [running(ready=False, state={"waiting": {"reason": "PodInitializing"}})],
        spec={"initContainers": [container("first"), container("second"),
                                 container("side", restartPolicy="Always")]},
        status={"phase": "Pending", "conditions": conditions(ready=False), "initContainerStatuses": [
            running("first", ready=True, state={"terminated": {
                "exitCode": 0, "reason": "Completed", "startedAt": CREATED, "finishedAt": CREATED}}),
            running("second", ready=False, state={"running": {"startedAt": CREATED}}),
            running("side", ready=False, state={"waiting": {"reason": "PodInitializing"}})]}),
    pod("pending", [], spec={"nodeName": "", "containers": [container()]},
        status={"phase": "Pending", "podIP": "", "podIPs": [], "hostIP": "", "startTime": None,
                "containerStatuses": [], "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                     "lastTransitionTime": CREATED}]}),
    pod("terminating", [running()], deletionTimestamp="2020-01-02T04:00:00Z",
        deletionGracePeriodSeconds=30, finalizers=["example.com/hold"]),
    pod("two", [running("one"), running("other", ready=False, restartCount=1, state={
            "terminated": {"exitCode": 0, "reason": "Completed", "startedAt": CREATED,
                           "finishedAt": CREATED}})], labels={"app": "two"}),
]  # fmt: skip

SERVICES = [
    {
        "apiVersion": "v1", "kind": "Service", "metadata": meta("kubernetes", labels={
            "component": "apiserver", "provider": "kubernetes"}),
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "type": "ClusterIP",
                 "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                 "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                 "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
        "status": {"loadBalancer": {}},
    },
    {
        "apiVersion": "v1", "kind": "Service", "metadata": meta("go-demo-2-svc", labels={
            "app": "x"}, annotations={"a": "b"}),
        "spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"], "type": "NodePort",
                 "externalTrafficPolicy": "Cluster", "externalIPs": ["1.2.3.4", "1.2.3.5"],
                 "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                 "ipFamilyPolicy": "SingleStack", "sessionAffinity": "ClientIP",
                 "selector": {"type": "api", "service": "go-demo-2"},
                 "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "targetPort": "http",
                            "nodePort": 30080},
                           {"name": "mon", "port": 28017, "protocol": "UDP", "targetPort": 28017,
                            "nodePort": 30081}]},
        "status": {"loadBalancer": {}},
    },
    {
        "apiVersion": "v1", "kind": "Service", "metadata": meta("go-demo-2-db"),
        "spec": {"clusterIP": "None", "clusterIPs": ["None"], "type": "ClusterIP",
                 "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                 "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                 "selector": {"type": "db"},
                 "ports": [{"port": 27017, "protocol": "TCP", "targetPort": 27017}]},
        "status": {"loadBalancer": {}},
    },
    {
        "apiVersion": "v1", "kind": "Service", "metadata": meta("ext"),
        "spec": {"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"},
        "status": {"loadBalancer": {}},
    },
    {
        "apiVersion": "v1", "kind": "Service", "metadata": meta("lb"),
        "spec": {"clusterIP": "10.96.8.8", "clusterIPs": ["10.96.8.8"], "type": "LoadBalancer",
                 "allocateLoadBalancerNodePorts": True, "externalTrafficPolicy": "Local",
                 "healthCheckNodePort": 31000, "internalTrafficPolicy": "Cluster",
                 "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                 "loadBalancerSourceRanges": ["10.0.0.0/8"],
                 "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30090}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.100.199.240", "ipMode": "VIP"}]}},
    },
]  # fmt: skip


def endpoint_slice(name: str, service: str, addresses: list[str], ports: list[dict[str, Any]],
                   ready: bool = True) -> dict[str, Any]:  # fmt: skip
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(name, labels={"kubernetes.io/service-name": service}),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": ready, "serving": ready, "terminating": False},
                "nodeName": "node0",
                "targetRef": {"kind": "Pod", "name": f"p{address[-1]}", "namespace": "default"},
            }
            for address in addresses
        ],
        "ports": ports,
    }


HTTP_PORT = {"name": "http", "port": 8080, "protocol": "TCP"}
MON_PORT = {"name": "mon", "port": 28017, "protocol": "UDP"}
ENDPOINT_SLICES = [
    endpoint_slice("kubernetes", "kubernetes", ["10.100.199.200"],
                   [{"name": "https", "port": 6443, "protocol": "TCP"}]),
    endpoint_slice("go-demo-2-svc-aaaaa", "go-demo-2-svc",
                   ["10.244.0.5", "10.244.0.6", "10.244.0.7", "10.244.0.8"], [HTTP_PORT, MON_PORT]),
    endpoint_slice("go-demo-2-svc-bbbbb", "go-demo-2-svc", ["10.244.0.9"], [HTTP_PORT], ready=False),
    endpoint_slice("none", "none", [], []),
]  # fmt: skip
ENDPOINTS = [
    {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta("kubernetes"),
     "subsets": [{"addresses": [{"ip": "10.100.199.200"}],
                  "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}]},
    {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta("go-demo-2-svc", labels={"a": "b"}),
     "subsets": [{"addresses": [{"ip": f"10.244.0.{n}"} for n in (5, 6, 7, 8)],
                  "notReadyAddresses": [{"ip": "10.244.0.9"}],
                  "ports": [HTTP_PORT, MON_PORT]}]},
    {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta("empty")},
]  # fmt: skip


def workload(kind: str, name: str, spec: dict[str, Any], status: dict[str, Any],
             **more: Any) -> dict[str, Any]:  # fmt: skip
    labels = {"app": name.split("-0")[0]}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta(name, labels=labels, generation=1, **more),
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"creationTimestamp": None, "labels": labels},
                "spec": {
                    "containers": [
                        container(
                            "web",
                            "nginx:1.25",
                            ports=[{"containerPort": 80, "protocol": "TCP"}],
                            env=[{"name": "A", "value": "1"}],
                        ),
                        container("side", "busybox"),
                    ],
                    "dnsPolicy": "ClusterFirst",
                    "restartPolicy": "Always",
                    "schedulerName": "default-scheduler",
                    "securityContext": {},
                    "terminationGracePeriodSeconds": 30,
                },
            },
            **spec,
        },
        "status": status,
    }


REPLICA_SETS = [
    workload("ReplicaSet", "web-0c0ffee", {}, {
        "replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "fullyLabeledReplicas": 3,
        "observedGeneration": 1}, annotations={"deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3", "deployment.kubernetes.io/max-replicas": "4"},
        ownerReferences=owned_by("Deployment", "web")),
    workload("ReplicaSet", "go-demo-2", {"selector": {"matchLabels": {"service": "go-demo-2"},
        "matchExpressions": [{"key": "type", "operator": "In", "values": ["b", "a"]},
                             {"key": "x", "operator": "DoesNotExist"}]}},
        {"replicas": 0, "observedGeneration": 1}),
]  # fmt: skip
DEPLOYMENTS = [
    workload("Deployment", "web", {
        "strategy": {"type": "RollingUpdate",
                     "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
        {"replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 3,
         "unavailableReplicas": 1, "observedGeneration": 1, "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
             "message": "Deployment has minimum availability.", "lastTransitionTime": CREATED,
             "lastUpdateTime": CREATED},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
             "message": "ok", "lastTransitionTime": CREATED, "lastUpdateTime": CREATED}]},
        annotations={"deployment.kubernetes.io/revision": "1"}),
]  # fmt: skip
NODES = [
    {"apiVersion": "v1", "kind": "Node", "metadata": meta("node0", None, labels={
        "kubernetes.io/hostname": "node0", "node-role.kubernetes.io/control-plane": ""},
        annotations={"node.alpha.kubernetes.io/ttl": "0"}),
     "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]},
     "status": {
        "addresses": [{"type": "InternalIP", "address": "10.100.199.200"},
                      {"type": "Hostname", "address": "node0"}],
        "allocatable": {"cpu": "2", "memory": "4000Mi", "pods": "110", "ephemeral-storage": "10Gi"},
        "capacity": {"cpu": "2", "memory": "4096Mi", "pods": "110", "ephemeral-storage": "11Gi"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                        "message": "the node is ready", "lastHeartbeatTime": CREATED,
                        "lastTransitionTime": CREATED}],
        "nodeInfo": {"architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "netlab://1",
                     "kernelVersion": "6.1.0", "kubeProxyVersion": "v1.36.2", "kubeletVersion": "v1.36.2",
                     "machineID": "m", "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12",
                     "systemUUID": "s"}}},
    {"apiVersion": "v1", "kind": "Node", "metadata": meta("node1", None),
     "spec": {"unschedulable": True,
              "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
                         {"key": "k", "value": "v", "effect": "NoExecute"}]},
     "status": {"conditions": [{"type": "Ready", "status": "Unknown",
                                "lastHeartbeatTime": CREATED, "lastTransitionTime": CREATED}]}},
]  # fmt: skip
NAMESPACES = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": meta(name, None, labels={
        "kubernetes.io/metadata.name": name}), "spec": {"finalizers": ["kubernetes"]},
     "status": {"phase": "Active"}}
    for name in ("default", "empty", "kube-system")
]  # fmt: skip
CONFIG_MAPS = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("cm"),
     "data": {"k": "v", "multi": "one\ntwo\n", "empty": ""}, "binaryData": {"b": "AAEC"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("bare", annotations={"x": "y"})},
]  # fmt: skip
SECRETS = [
    {"apiVersion": "v1", "kind": "Secret", "metadata": meta("s"), "type": "Opaque",
     "data": {"p": "c2VjcmV0", "user": "YQ=="}},
]  # fmt: skip
SERVICE_ACCOUNTS = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("default")},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("bot", labels={"a": "b"}),
     "imagePullSecrets": [{"name": "reg"}], "secrets": [{"name": "tok"}]},
]  # fmt: skip


def event(
    name: str, kind: str, target: str, reason: str, message: str, **more: Any
) -> dict[str, Any]:
    api_version = "apps/v1" if kind in ("ReplicaSet", "Deployment") else "v1"
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": meta(name), "type": "Normal",
        "reason": reason, "message": message, "count": 1,
        "involvedObject": {"kind": kind, "name": target, "namespace": "default",
                           "uid": f"uid-{target}", "apiVersion": api_version},
        "firstTimestamp": CREATED, "lastTimestamp": CREATED,
        "source": {"component": "kubelet", "host": "node0"}, **more,
    }  # fmt: skip


EVENTS = [
    event("e1", "Pod", "go-demo-2-api-abcde", "Scheduled", "Successfully assigned default/x to node0",
          source={}, reportingComponent="default-scheduler", firstTimestamp=None,
          lastTimestamp=None, eventTime="2020-01-02T03:04:05.123456Z", count=None),
    event("e2", "Pod", "go-demo-2-api-abcde", "Pulled", "Container image present",
          lastTimestamp="2020-01-02T03:05:05Z", count=4),
    event("e3", "Pod", "crash", "BackOff", "Back-off restarting\nfailed container ", type="Warning",
          lastTimestamp="2021-01-02T03:05:05Z", count=12, involvedObject={
              "kind": "Pod", "name": "crash", "namespace": "default", "uid": "uid-crash",
              "apiVersion": "v1", "fieldPath": "spec.containers{c}"}),
    event("e4", "Deployment", "web", "ScalingReplicaSet", "Scaled up replica set web-0c0ffee to 3",
          source={"component": "deployment-controller"}),
]  # fmt: skip
LEASES = [
    {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta("node0"),
     "spec": {"holderIdentity": "node0", "leaseDurationSeconds": 40,
              "renewTime": "2020-01-02T03:04:05.000000Z"}},
]  # fmt: skip

EVERYTHING = [
    *PODS, *SERVICES, *ENDPOINT_SLICES, *ENDPOINTS, *REPLICA_SETS, *DEPLOYMENTS, *NODES,
    *NAMESPACES, *CONFIG_MAPS, *SECRETS, *SERVICE_ACCOUNTS, *EVENTS, *LEASES,
]  # fmt: skip
