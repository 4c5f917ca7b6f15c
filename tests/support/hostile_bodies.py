"""Bodies that ask for far more work than they have bytes, or just as much as is allowed."""

import json
from dataclasses import dataclass

from netlab.api.bodies import MAX_NODES

NAMESPACE = "/api/v1/namespaces/default"
MAPS, PODS = f"{NAMESPACE}/configmaps", f"{NAMESPACE}/pods"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SELECTOR = ",".join(f"a{i}" for i in range(10_000))[:60_000]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes
    media: str = "application/json"


def _post(path, obj):
    return Request("POST", path, json.dumps(obj, separators=(",", ":")).encode())


def _patch(kind, patch):
    body = json.dumps(patch, separators=(",", ":")).encode()
    return Request("PATCH", f"{MAPS}/ok", body, f"application/{kind}+json")


def _yaml(path, body):
    return Request("POST", path, body, "application/yaml")


def _aliases(levels=9, width=10):
    lines = [f"a: &a0 [{','.join('x' * width)}]"]
    for level in range(1, levels + 1):
        lines.append(f"b{level}: &a{level} [{','.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines).encode()


def _many(count, make):
    return [make(index) for index in range(count)]


def _pod(**spec):
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}], **spec}}


def hostile_bodies():
    """Requests by name. Those with many fields have nearly as many as a body may have."""
    n = MAX_NODES - 50
    names = {f"k{i}": "v" for i in range(n)}
    bad = {f"_k{i}": "v!" for i in range(n)}
    doubling = [{"op": "add", "path": "/data", "value": {"a": "x" * 1000}}]
    doubling += [{"op": "copy", "from": "/data", "path": f"/data/k{i}"} for i in range(26)]
    test = {"op": "test", "path": "/metadata/name", "value": "ok"}
    empty = b",".join([b"{}"] * 900_000)
    return {
        "aliases of aliases": _yaml(REVIEW, _aliases()),
        "flat YAML": _yaml(MAPS, b"".join(b"k%d: v\n" % i for i in range(270_000))),
        "allowed YAML": _yaml(MAPS, b"".join(b"k%d: v\n" % i for i in range(n))),
        "deep YAML": _yaml(MAPS, b"a: " + b"[" * 1_000_000),
        "directives": _yaml(MAPS, b"".join(b"%%TAG !a%d! x\n" % i for i in range(150_000))),
        "flat JSON": _post(MAPS, {f"k{i}": 1 for i in range(250_000)}),
        "empty objects": Request("POST", MAPS, b'{"a":[' + empty + b"]}"),
        "deep JSON": Request("POST", MAPS, b'{"a":' + b"[" * 1_000_000),
        "twice each": Request("POST", MAPS, b"{" + b'"k" :1,' * n + b'"k":1}'),
        "unknown fields": _post(MAPS, {"metadata": {"name": "a"}, **names}),
        "labels": _post(MAPS, {"metadata": {"name": "b", "labels": names}}),
        "bad labels": _post(MAPS, {"metadata": {"name": "c", "labels": bad}}),
        "bad annotations": _post(MAPS, {"metadata": {"name": "c", "annotations": bad}}),
        "finalizers": _post(MAPS, {"metadata": {"name": "d", "finalizers": list(bad)}}),
        "owners": _post(
            MAPS,
            {
                "metadata": {
                    "name": "e",
                    "ownerReferences": _many(n // 2, lambda i: {"uid": f"{i}"}),
                }
            },
        ),
        "containers": _post(PODS, _pod(containers=_many(n // 2, lambda i: {"name": f"a{i}"}))),
        "same containers": _post(PODS, _pod(containers=_many(n // 2, lambda i: {"name": "a"}))),
        "volumes": _post(PODS, _pod(volumes=_many(n // 2, lambda i: {"name": f"v{i}"}))),
        "environment": _post(
            PODS,
            _pod(containers=[{"name": "a", "env": _many(n // 2, lambda i: {"name": f"E{i}"})}]),
        ),
        "tolerations": _post(PODS, _pod(tolerations=_many(n // 2, lambda i: {"key": "_"}))),
        "ports": _post(
            f"{NAMESPACE}/services",
            {"metadata": {"name": "s"}, "spec": {"ports": _many(n // 2, lambda i: {"port": 1})}},
        ),
        "endpoints": _post(
            SLICES,
            {"metadata": {"name": "s"}, "endpoints": _many(n // 3, lambda i: {"addresses": ["1"]})},
        ),
        "expressions": _post(
            DEPLOYMENTS,
            {
                "metadata": {"name": "d"},
                "spec": {"selector": {"matchExpressions": _many(n // 2, lambda i: {"key": "a"})}},
            },
        ),
        "doubling copies": _patch("json-patch", doubling),
        "many operations": _patch("json-patch", [test] * 7_000),
        "too many operations": _patch("json-patch", [test] * 50_000),
        "merge patch": _patch("merge-patch", {"data": names}),
        "strategic lists": _patch(
            "strategic-merge-patch", {"metadata": {"finalizers": [f"k/{i}" for i in range(n)]}}
        ),
        "strategic maps": _patch(
            "strategic-merge-patch",
            {"metadata": {"ownerReferences": _many(n // 2, lambda i: {"uid": f"{i}"})}},
        ),
        "label selector": Request("GET", f"{PODS}?labelSelector={SELECTOR}", b""),
        "field selector": Request(
            "GET", f"{PODS}?fieldSelector={'metadata.name=a,' * 3500}a=b", b""
        ),
        "groups": _post(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {"spec": {"user": "a", "groups": list(names), "resourceAttributes": {"verb": "get"}}},
        ),
        "delete options": Request("DELETE", f"{MAPS}/ok", json.dumps(names).encode()),
    }


async def send(http, request):
    """Send it; return the code of the answer."""
    from io import BytesIO

    async with http.request(
        request.method,
        request.path,
        data=BytesIO(request.body),
        headers={"Content-Type": request.media},
    ) as response:
        await response.read()
        return response.status
