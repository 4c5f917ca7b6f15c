# ruff: noqa: E501 - rows of tables
"""Every field of a pod is judged as by Kubernetes: same path, same words."""

import copy

import pytest

from netlab.api.defaults import apply_defaults
from netlab.api.kinds import LIMIT_RANGE, POD, RESOURCE_QUOTA, SECRET
from netlab.api.validation import validate_create, validate_update
from netlab.api.validation.pod_update import validate_ephemeral_update, validate_resize

C = "spec.containers[0]"
RANGE = "must be between 1 and 65535, inclusive"
ID_RANGE = "must be between 0 and 2147483647, inclusive"
NOT_NEGATIVE = "must be greater than or equal to 0"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
    " start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
EXEC = {"exec": {"command": ["true"]}}


def pod(container=None, **spec):
    one = {"name": "c", "image": "i:1", **(container or {})}
    return {
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"serviceAccountName": "default", "containers": [one], **spec},
    }


def refused(obj, kind=POD):
    return [str(error) for error in validate_create(kind, apply_defaults(kind, obj))]


CONTAINERS = [
    # ports
    ("port 0", {"ports": [{"containerPort": 0}]}, [f"{C}.ports[0].containerPort: Required value"]),
    (
        "port",
        {"ports": [{"containerPort": 70000}]},
        [f"{C}.ports[0].containerPort: Invalid value: 70000: {RANGE}"],
    ),
    (
        "host port",
        {"ports": [{"containerPort": 1, "hostPort": -1}]},
        [f"{C}.ports[0].hostPort: Invalid value: -1: {RANGE}"],
    ),
    (
        "port name",
        {"ports": [{"containerPort": 1, "name": "a" * 16}]},
        [f'{C}.ports[0].name: Invalid value: "{"a" * 16}": must be no more than 15 bytes'],
    ),
    (
        "port name twice",
        {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
        [f'{C}.ports[1].name: Duplicate value: "a"'],
    ),
    # environment
    (
        "env name",
        {"env": [{"name": "a=b"}]},
        [
            f"{C}.env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='"
        ],
    ),
    ("env name with a dot", {"env": [{"name": "a.b-c d"}]}, []),
    (
        "no env source",
        {"env": [{"name": "A", "valueFrom": {}}]},
        [
            f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'
        ],
    ),
    (
        "two env sources",
        {
            "env": [
                {
                    "name": "A",
                    "valueFrom": {
                        "configMapKeyRef": {"name": "a", "key": "b"},
                        "secretKeyRef": {"name": "a", "key": "b"},
                    },
                }
            ]
        },
        [
            f'{C}.env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time'
        ],
    ),
    (
        "no key",
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}]},
        [f"{C}.env[0].valueFrom.secretKeyRef.key: Required value"],
    ),
    (
        "no name",
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "a"}}}]},
        [f'{C}.env[0].valueFrom.secretKeyRef.name: Invalid value: "": {SUBDOMAIN}'],
    ),
    (
        "labels in env",
        {
            "env": [
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}}
            ]
        },
        None,
    ),
    (
        "unknown resource",
        {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.pods"}}}]},
        [
            f'{C}.env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.pods": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"'
        ],
    ),
    (
        "divisor",
        {
            "env": [
                {
                    "name": "A",
                    "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}},
                }
            ]
        },
        [
            f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported with the cpu resource'
        ],
    ),
    (
        "good divisor",
        {
            "env": [
                {
                    "name": "A",
                    "valueFrom": {
                        "resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}
                    },
                }
            ]
        },
        [],
    ),
    (
        "no envFrom source",
        {"envFrom": [{"prefix": "A_"}]},
        [f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
    ),
    (
        "envFrom name",
        {"envFrom": [{"secretRef": {"name": ""}}]},
        [f"{C}.envFrom[0].secretRef.name: Required value"],
    ),
    # probes and hooks
    (
        "no handler",
        {"livenessProbe": {}},
        [f"{C}.livenessProbe: Required value: must specify a handler type"],
    ),
    (
        "two handlers",
        {"livenessProbe": {**EXEC, "tcpSocket": {"port": 1}}},
        [f"{C}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    (
        "no command",
        {"startupProbe": {"exec": {}}},
        [f"{C}.startupProbe.exec.command: Required value"],
    ),
    (
        "threshold",
        {"livenessProbe": {**EXEC, "successThreshold": 2}},
        [f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    ),
    ("readiness threshold", {"readinessProbe": {**EXEC, "successThreshold": 2}}, []),
    (
        "negative delay",
        {"livenessProbe": {**EXEC, "initialDelaySeconds": -1}},
        [f"{C}.livenessProbe.initialDelaySeconds: Invalid value: -1: {NOT_NEGATIVE}"],
    ),
    (
        "readiness grace",
        {"readinessProbe": {**EXEC, "terminationGracePeriodSeconds": 5}},
        [
            f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"
        ],
    ),
    (
        "zero grace",
        {"livenessProbe": {**EXEC, "terminationGracePeriodSeconds": 0}},
        [
            f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"
        ],
    ),
    (
        "scheme",
        {"livenessProbe": {"httpGet": {"port": 1, "scheme": "FTP"}}},
        [
            f'{C}.livenessProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"'
        ],
    ),
    (
        "header",
        {"livenessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": "c"}]}}},
        [
            f"{C}.livenessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
        ],
    ),
    (
        "grpc port",
        {"livenessProbe": {"grpc": {"port": 0}}},
        [f"{C}.livenessProbe.grpc.port: Invalid value: 0: {RANGE}"],
    ),
    (
        "port without letters",
        {"livenessProbe": {"tcpSocket": {"port": "80"}}},
        [
            f'{C}.livenessProbe.tcpSocket.port: Invalid value: "80": must contain at least one letter (a-z)'
        ],
    ),
    (
        "no hook handler",
        {"lifecycle": {"preStop": {}}},
        [f"{C}.lifecycle.preStop: Required value: must specify a handler type"],
    ),
    (
        "long sleep",
        {"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
        [
            f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"
        ],
    ),
    ("no such signal", {"lifecycle": {"stopSignal": "SIGNOPE"}}, None),
    # mounts
    (
        "no such volume",
        {"volumeMounts": [{"name": "w", "mountPath": "/a"}]},
        [f'{C}.volumeMounts[0].name: Not found: "w"'],
    ),
    (
        "same path",
        {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]},
        [f'{C}.volumeMounts[1].mountPath: Invalid value: "/a": must be unique'],
    ),
    (
        "absolute subPath",
        {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "/b"}]},
        [f'{C}.volumeMounts.subPath: Invalid value: "/b": must be a relative path'],
    ),
    (
        "subPath that leaves",
        {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "a/../../b"}]},
        [f"{C}.volumeMounts.subPath: Invalid value: \"a/../../b\": must not contain '..'"],
    ),
    (
        "both sub paths",
        {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "a", "subPathExpr": "b"}]},
        [
            f'{C}.volumeMounts[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive'
        ],
    ),
    (
        "propagation",
        {"volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]},
        [
            f"{C}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers"
        ],
    ),
    # resources
    (
        "resource name",
        {"resources": {"limits": {"foo": "1"}}},
        [
            f'{C}.resources.{part}[foo]: Invalid value: "foo": {detail}'
            for part in ("limits", "requests")
            for detail in (
                "must be a standard resource type or fully qualified",
                "must be a standard resource for containers",
            )
        ],
    ),
    (
        "negative",
        {"resources": {"requests": {"cpu": "-1"}}},
        [f'{C}.resources.requests[cpu]: Invalid value: "-1": {NOT_NEGATIVE}'],
    ),
    (
        "more than the limit",
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        [
            f'{C}.resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi'
        ],
    ),
    (
        "half a device",
        {"resources": {"limits": {"x.y/gpu": "500m"}}},
        [
            f'{C}.resources.{part}[x.y/gpu]: Invalid value: "500m": must be an integer'
            for part in ("limits", "requests")
        ],
    ),
    (
        "device without limit",
        {"resources": {"requests": {"x.y/gpu": "1"}}},
        [
            f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"
        ],
    ),
    (
        "huge pages alone",
        {"resources": {"limits": {"hugepages-2Mi": "4Mi"}}},
        [f"{C}.resources: Forbidden: HugePages require cpu or memory"],
    ),
    (
        "huge pages in parts",
        {"resources": {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}},
        [
            f'{C}.resources.{part}[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi'
            for part in ("limits", "requests")
        ],
    ),
    # rights
    (
        "user",
        {"securityContext": {"runAsUser": -1}},
        [f"{C}.securityContext.runAsUser: Invalid value: -1: {ID_RANGE}"],
    ),
    (
        "group",
        {"securityContext": {"runAsGroup": 2**31}},
        [f"{C}.securityContext.runAsGroup: Invalid value: {2**31}: {ID_RANGE}"],
    ),
    (
        "privileged",
        {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
        [
            f'{C}.securityContext: Invalid value: {{"privileged":true,"allowPrivilegeEscalation":false}}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true'
        ],
    ),
    (
        "sys admin",
        {
            "securityContext": {
                "capabilities": {"add": ["CAP_SYS_ADMIN"]},
                "allowPrivilegeEscalation": False,
            }
        },
        [
            f'{C}.securityContext: Invalid value: {{"capabilities":{{"add":["CAP_SYS_ADMIN"]}},"allowPrivilegeEscalation":false}}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'
        ],
    ),
    (
        "seccomp type",
        {"securityContext": {"seccompProfile": {"type": "Loose"}}},
        [
            f'{C}.securityContext.seccompProfile.type: Unsupported value: "Loose": supported values: "Localhost", "RuntimeDefault", "Unconfined"'
        ],
    ),
    (
        "seccomp file",
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        [
            f"{C}.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"
        ],
    ),
    (
        "seccomp path",
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "../x"}}},
        [
            f"{C}.securityContext.seccompProfile.localhostProfile: Invalid value: \"../x\": must not contain '..'"
        ],
    ),
    (
        "proc",
        {"securityContext": {"procMount": "Unmasked"}},
        [
            f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'
        ],
    ),
    # restarts
    (
        "policy",
        {"restartPolicy": "Maybe"},
        [
            f'{C}.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", "OnFailure"'
        ],
    ),
    (
        "rules alone",
        {
            "restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
            ]
        },
        [
            f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"
        ],
    ),
    (
        "action",
        {
            "restartPolicy": "Never",
            "restartPolicyRules": [{"action": "Stop", "exitCodes": {"operator": "In"}}],
        },
        [
            f'{C}.restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"'
        ],
    ),
    (
        "exit codes",
        {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]},
        [f"{C}.restartPolicyRules[0].exitCodes: Required value: must be specified"],
    ),
    (
        "good rules",
        {
            "restartPolicy": "Never",
            "restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
            ],
        },
        [],
    ),
    (
        "resize policy",
        {"resizePolicy": [{"resourceName": "pods", "restartPolicy": "NotRequired"}]},
        [f'{C}.resizePolicy: Unsupported value: "pods": supported values: "cpu", "memory"'],
    ),
]


@pytest.mark.parametrize(
    ("container", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CONTAINERS]
)
def test_containers(container, expected):
    found = refused(pod(container, volumes=[{"name": "v"}]))
    if expected is None:  # only that it is refused
        assert len(found) == 1
    else:
        assert found == expected


VOLUME = "spec.volumes[0]"
SPECS = [
    (
        "deadline",
        {"activeDeadlineSeconds": 0},
        [
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"
        ],
    ),
    (
        "hostname",
        {"hostname": "a.b"},
        ['spec.hostname: Invalid value: "a.b": must not contain dots'],
    ),
    (
        "host network port",
        {
            "hostNetwork": True,
            "containers": [
                {"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 2}]}
            ],
        },
        [
            f"{C}.ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true"
        ],
    ),
    (
        "host alias",
        {"hostAliases": [{"ip": "x", "hostnames": ["a"]}]},
        [
            'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
        ],
    ),
    (
        "name server",
        {"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}},
        [
            'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]: must not have more than 3 nameservers'
        ],
    ),
    ("gate", {"readinessGates": [{"conditionType": "a b"}]}, None),
    (
        "pid namespaces",
        {"shareProcessNamespace": True, "hostPID": True},
        [
            "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"
        ],
    ),
    (
        "fs group",
        {"securityContext": {"fsGroup": -1}},
        [f"spec.securityContext.fsGroup: Invalid value: -1: {ID_RANGE}"],
    ),
    (
        "groups",
        {"securityContext": {"supplementalGroups": [1, -2]}},
        [f"spec.securityContext.supplementalGroups[1]: Invalid value: -2: {ID_RANGE}"],
    ),
    (
        "change policy",
        {"securityContext": {"fsGroupChangePolicy": "Never"}},
        [
            'spec.securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"'
        ],
    ),
    ("sysctl", {"securityContext": {"sysctls": [{"name": "A", "value": "1"}]}}, None),
    (
        "sysctl twice",
        {
            "securityContext": {
                "sysctls": [{"name": "a.b", "value": "1"}, {"name": "a.b", "value": "2"}]
            }
        },
        ['spec.securityContext.sysctls[1].name: Duplicate value: "a.b"'],
    ),
    (
        "sysctl of the node",
        {"hostNetwork": True, "securityContext": {"sysctls": [{"name": "net.a", "value": "1"}]}},
        [
            "spec.securityContext.sysctls[0].name: Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true"
        ],
    ),
    (
        "pod resources",
        {"resources": {"requests": {"ephemeral-storage": "1"}}},
        [
            'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"'
        ],
    ),
    (
        "less than its containers",
        {
            "resources": {"requests": {"cpu": "1"}},
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}],
        },
        [
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2'
        ],
    ),
    (
        "init and container of one name",
        {"initContainers": [{"name": "c", "image": "i"}]},
        ['spec.initContainers[0].name: Duplicate value: "c"'],
    ),
    (
        "hook of an init container",
        {"initContainers": [{"name": "d", "image": "i", "lifecycle": {"preStop": EXEC}}]},
        [
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"
        ],
    ),
    (
        "sidecar",
        {
            "initContainers": [
                {
                    "name": "d",
                    "image": "i",
                    "restartPolicy": "Always",
                    "lifecycle": {"preStop": EXEC},
                    "livenessProbe": EXEC,
                }
            ]
        },
        [],
    ),
    (
        "same host port in turn",
        {
            "initContainers": [
                {"name": n, "image": "i", "ports": [{"containerPort": 1, "hostPort": 1}]}
                for n in "de"
            ]
        },
        [],
    ),
    (
        "ephemeral",
        {"ephemeralContainers": [{"name": "d", "image": "i"}]},
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
    (
        "token without account",
        {
            "serviceAccountName": "",
            "volumes": [
                {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
            ],
        },
        [
            f"{VOLUME}.projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set"
        ],
    ),
    (
        "toleration",
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        [
            "spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"
        ],
    ),
    # volumes
    (
        "host path",
        {"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
        [f"{VOLUME}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
    ),
    (
        "host path type",
        {"volumes": [{"name": "v", "hostPath": {"path": "/a", "type": "Dir"}}]},
        None,
    ),
    (
        "size",
        {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]},
        [
            f"{VOLUME}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"
        ],
    ),
    (
        "no claim",
        {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]},
        [f"{VOLUME}.persistentVolumeClaim.claimName: Required value"],
    ),
    (
        "mode",
        {"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 0o1000}}]},
        [
            f"{VOLUME}.secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive"
        ],
    ),
    (
        "item path",
        {
            "volumes": [
                {"name": "v", "configMap": {"name": "m", "items": [{"key": "a", "path": "../b"}]}}
            ]
        },
        [f"{VOLUME}.configMap.items[0].path: Invalid value: \"../b\": must not contain '..'"],
    ),
    (
        "item name",
        {
            "volumes": [
                {"name": "v", "configMap": {"name": "m", "items": [{"key": "a", "path": "..data"}]}}
            ]
        },
        [f"{VOLUME}.configMap.items[0].path: Invalid value: \"..data\": must not start with '..'"],
    ),
    (
        "short token",
        {
            "volumes": [
                {
                    "name": "v",
                    "projected": {
                        "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]
                    },
                }
            ]
        },
        [
            f"{VOLUME}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"
        ],
    ),
    (
        "same path twice",
        {
            "volumes": [
                {
                    "name": "v",
                    "projected": {
                        "sources": [
                            {"configMap": {"name": "m", "items": [{"key": "a", "path": "b"}]}},
                            {"secret": {"name": "s", "items": [{"key": "a", "path": "b"}]}},
                        ]
                    },
                }
            ]
        },
        [f'{VOLUME}.projected: Invalid value: "s": conflicting duplicate paths'],
    ),
    (
        "downward resource",
        {
            "volumes": [
                {
                    "name": "v",
                    "downwardAPI": {
                        "items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]
                    },
                }
            ]
        },
        [f"{VOLUME}.downwardAPI.items[0].resourceFieldRef.containerName: Required value"],
    ),
]


@pytest.mark.parametrize(("spec", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SPECS])
def test_specs(spec, expected):
    found = refused(pod(**spec))
    if expected is None:
        assert len(found) == 1
    else:
        assert found == expected


def running(container=None, **spec):
    return apply_defaults(POD, pod(container, **spec))


DEBUGGER = {"name": "d", "image": "i:1"}
EPHEMERAL = "spec.ephemeralContainers"
DEBUG = [
    ("added", [], [DEBUGGER], []),
    (
        "changed",
        [DEBUGGER],
        [{**DEBUGGER, "image": "j:1"}],
        [f'{EPHEMERAL}: Forbidden: existing ephemeral containers "d" may not be changed\n'],
    ),
    (
        "removed",
        [DEBUGGER],
        [],
        [f'{EPHEMERAL}: Forbidden: existing ephemeral containers "d" may not be removed\n'],
    ),
    (
        "of a container's name",
        [],
        [{**DEBUGGER, "name": "c"}],
        [f'{EPHEMERAL}[0].name: Duplicate value: "c"'],
    ),
    (
        "at no container",
        [],
        [{**DEBUGGER, "targetContainerName": "e"}],
        [f'{EPHEMERAL}[0].targetContainerName: Not found: "e"'],
    ),
    (
        "with a port",
        [],
        [{**DEBUGGER, "ports": [{"containerPort": 1}]}],
        [f"{EPHEMERAL}[0].ports: Forbidden: cannot be set for an Ephemeral Container"],
    ),
    (
        "with a sub path",
        [],
        [{**DEBUGGER, "volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "b"}]}],
        [
            f"{EPHEMERAL}[0].volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container"
        ],
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "expected"), [pytest.param(*row[1:], id=row[0]) for row in DEBUG]
)
def test_ephemeral_containers(before, after, expected):
    old = running(volumes=[{"name": "v"}], ephemeralContainers=before)
    new = running(volumes=[{"name": "v"}], ephemeralContainers=after)
    assert [str(error) for error in validate_ephemeral_update(old, new)] == expected


def sized(**resources):
    return running({"resources": resources})


BURST = {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}
RESIZE = [
    (
        "more",
        sized(**BURST),
        sized(requests={"cpu": "2", "memory": "1Gi"}, limits={"cpu": "3", "memory": "2Gi"}),
        [],
    ),
    ("request removed", sized(**BURST), sized(limits={"cpu": "2"}), None),
    (
        "class",
        sized(requests={"cpu": "1"}, limits={"cpu": "2", "memory": "1Gi"}),
        sized(requests={"cpu": "2"}, limits={"cpu": "2", "memory": "1Gi"}),
        ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'],
    ),
    (
        "disk",
        sized(requests={"cpu": "1"}),
        sized(requests={"cpu": "1", "ephemeral-storage": "1Gi"}),
        ["spec: Forbidden: only cpu and memory resources are mutable"],
    ),
    (
        "of the whole pod",
        running(resources={"limits": {"cpu": "1"}}),
        running(),
        [": Forbidden: pods with pod-level resources cannot be resized"],
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [pytest.param(*row[1:], id=row[0]) for row in RESIZE]
)
def test_resize(old, new, expected):
    found = [str(error) for error in validate_resize(old, new)]
    assert found if expected is None else found == expected


L = "spec.limits[0]"
LIMITS = [
    (
        "type",
        {"type": "Box"},
        [f'{L}.type: Invalid value: "Box": must be a standard limit type or fully qualified'],
    ),
    (
        "pod default",
        {"type": "Pod", "default": {"cpu": "1"}},
        [f"{L}.default: Forbidden: may not be specified when `type` is 'Pod'"],
    ),
    (
        "min over max",
        {"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
        [f'{L}.min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
    ),
    (
        "default over max",
        {
            "type": "Container",
            "default": {"cpu": "2"},
            "max": {"cpu": "1"},
            "defaultRequest": {"cpu": "1"},
        },
        [f'{L}.default[cpu]: Invalid value: "2": default value 2 is greater than max value 1'],
    ),
    (
        "ratio",
        {"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}},
        [f'{L}.maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
    ),
    (
        "claim",
        {"type": "PersistentVolumeClaim"},
        [
            f"{L}.limits: Required value: either minimum or maximum storage value is required, but neither was provided"
        ],
    ),
]


@pytest.mark.parametrize(
    ("item", "expected"), [pytest.param(*row[1:], id=row[0]) for row in LIMITS]
)
def test_limit_ranges(item, expected):
    obj = {"metadata": {"name": "x", "namespace": "default"}, "spec": {"limits": [item]}}
    assert refused(obj, LIMIT_RANGE) == expected


QUOTAS = [
    (
        "name",
        {"hard": {"dogs": "1"}},
        [
            'spec.hard[dogs]: Invalid value: "dogs": must be a standard resource type or fully qualified',
            'spec.hard[dogs]: Invalid value: "dogs": must be a standard resource for quota',
        ],
    ),
    (
        "half a pod",
        {"hard": {"pods": "500m"}},
        ['spec.hard[pods]: Invalid value: "500m": must be an integer'],
    ),
    ("scope", {"hard": {"pods": "1"}, "scopes": ["Big"]}, None),
    (
        "both",
        {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
        ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
    ),
    (
        "scope of pods",
        {"hard": {"services": "1"}, "scopes": ["Terminating"]},
        ['spec.scopes: Invalid value: ["Terminating"]: unsupported scope applied to resource'],
    ),
    (
        "values",
        {
            "hard": {"pods": "1"},
            "scopeSelector": {
                "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]
            },
        },
        [
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        ],
    ),
    (
        "good",
        {
            "hard": {
                "pods": "1",
                "count/deployments.apps": "2",
                "requests.storage": "1Gi",
                "a.storageclass.storage.k8s.io/requests.storage": "1",
            }
        },
        [],
    ),
]


@pytest.mark.parametrize(
    ("spec", "expected"), [pytest.param(*row[1:], id=row[0]) for row in QUOTAS]
)
def test_quotas(spec, expected):
    found = refused(
        {"metadata": {"name": "x", "namespace": "default"}, "spec": spec}, RESOURCE_QUOTA
    )
    assert found if expected is None else found == expected


def test_the_scopes_of_a_quota_stay():
    old = {"metadata": {"name": "x", "namespace": "a"}, "spec": {"hard": {"pods": "1"}}}
    new = copy.deepcopy(old)
    new["spec"]["scopes"] = ["BestEffort"]
    found = validate_update(RESOURCE_QUOTA, old, new)
    assert [str(error) for error in found] == [
        'spec.scopes: Invalid value: ["BestEffort"]: field is immutable'
    ]


JSON_SECRETS = [
    ("empty", "", "unexpected end of JSON input"),
    ("a word", "bm90IGpzb24=", "invalid character 'n' looking for beginning of value"),
    (
        "a list",
        "W10=",
        "json: cannot unmarshal array into Go value of type map[string]interface {}",
    ),
]


@pytest.mark.parametrize(
    ("data", "expected"), [pytest.param(*row[1:], id=row[0]) for row in JSON_SECRETS]
)
def test_registry_secrets_are_json(data, expected):
    secret = {
        "metadata": {"name": "x", "namespace": "default"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": data},
    }
    assert refused(secret, SECRET) == [
        f'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": {expected}'
    ]
