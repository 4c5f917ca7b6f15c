# ruff: noqa: E501 - rows of tables
"""A small working API server for tests: canned objects, real discovery, tables, verbs and watches.

It answers kubectl and netlab alike over plain HTTP on loopback, keeps what was written in memory
and remembers every request that changes something, so that tests can compare what both clients
send. Not a model of the API server's rules: it validates nothing.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from netlab.api import kinds
from netlab.api.kinds import Kind
from netlab.api.protobuf import decode_protobuf
from netlab.api.tables import table_for

# those with which the real kubectl was recorded: a kind more would change what it printed
KINDS = (
    kinds.NAMESPACE,
    kinds.NODE,
    kinds.POD,
    kinds.SERVICE,
    kinds.ENDPOINTS,
    kinds.CONFIG_MAP,
    kinds.SECRET,
    kinds.SERVICE_ACCOUNT,
    kinds.EVENT,
    kinds.REPLICA_SET,
    kinds.DEPLOYMENT,
    kinds.ENDPOINT_SLICE,
    kinds.LEASE,
    kinds.LIMIT_RANGE,
    kinds.RESOURCE_QUOTA,
    kinds.PERSISTENT_VOLUME,
    kinds.PERSISTENT_VOLUME_CLAIM,
    kinds.STORAGE_CLASS,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0",
    "gitCommit": "abc",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.24",
    "compiler": "gc",
    "platform": "linux/amd64",
}
OPENAPI_V2 = b"\n\x032.0\x12\x0b\n\x03lab\x12\x04v1.0"


class FakeCluster:
    """Objects by resource, namespace and name, and what was asked."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.writes: list[tuple[str, str, Any]] = []
        self.requests: list[str] = []
        self.logs: dict[str, bytes] = {}
        self.watch_events: list[dict[str, Any]] = []
        self.on_exec: Callable[[BaseHTTPRequestHandler], None] | None = None
        for obj in objects:
            self.put(copy.deepcopy(obj))

    def put(self, obj: dict[str, Any]) -> None:
        kind = next(k for k in KINDS if (k.api_version, k.kind) == (obj["apiVersion"], obj["kind"]))
        meta = obj["metadata"]
        namespace = meta.get("namespace", "") if kind.namespaced else ""
        self.objects[kind.group_resource, namespace, meta["name"]] = obj

    def select(
        self, kind: Kind[Any], namespace: str, query: dict[str, str]
    ) -> list[dict[str, Any]]:
        found = [
            obj
            for (resource, ns, _), obj in sorted(self.objects.items(), key=lambda kv: kv[0])
            if resource == kind.group_resource and (not namespace or ns == namespace)
        ]
        for term in filter(None, query.get("labelSelector", "").split(",")):
            key, _, value = term.partition("=")
            found = [o for o in found if (o["metadata"].get("labels") or {}).get(key) == value]
        for term in filter(None, query.get("fieldSelector", "").split(",")):
            negated = "!=" in term
            path, _, value = term.replace("!=", "=").partition("=")
            found = [o for o in found if (_field(o, path) == value) != negated]
        return found


def _field(obj: Any, path: str) -> str:
    for key in path.split("."):
        obj = (obj or {}).get(key)
    return str(obj or "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: Any) -> None:
        pass

    def _send(self, code: int, body: Any, content_type: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response_only(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _status(self, code: int, reason: str, message: str, **details: Any) -> None:
        status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "details": details, "code": code,
        }  # fmt: skip
        self._send(code, status)

    def _handle(self) -> None:
        cluster = self.server.cluster
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        cluster.requests.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        body = _decode(raw) if raw else None
        if url.path == "/version":
            return self._send(200, VERSION)
        if url.path in ("/healthz", "/readyz", "/livez"):
            return self._send(200, b"ok", "text/plain")
        if url.path in ("/api", "/apis"):
            aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return self._send(200, discovery(core=url.path == "/api"), aggregated)
        if url.path.startswith("/openapi/"):
            return self._openapi(url.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        found = _route(parts)
        if found is None:
            return self._send(404, b"404 page not found\n", "text/plain")
        kind, namespace, name, subresource = found
        if self.command != "GET":
            cluster.writes.append((self.command, self.path, body))
        return self._serve(kind, namespace, name, subresource, query, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _openapi(self, path: str) -> None:
        if path == "/openapi/v2":
            kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
            return self._send(200, OPENAPI_V2, kind)
        versions = sorted({kind.api_version for kind in KINDS})
        if path == "/openapi/v3":
            index = {
                ("apis/" if "/" in v else "api/") + v: {
                    "serverRelativeURL": f"/openapi/v3/{'apis' if '/' in v else 'api'}/{v}?hash=A"
                }
                for v in versions
            }
            return self._send(200, {"paths": index})
        parameters = [{"name": n, "in": "query"} for n in ("dryRun", "fieldValidation")]
        paths = {
            f"/x/{kind.plural}": {
                "patch": {
                    "parameters": parameters,
                    "x-kubernetes-group-version-kind": {
                        "group": kind.group, "version": kind.version, "kind": kind.kind},
                }
            }
            for kind in KINDS
            if path.endswith("/" + kind.api_version)
        }  # fmt: skip
        return self._send(200, {"openapi": "3.0.0", "paths": paths})

    def _serve(
        self, kind: Kind[Any], namespace: str, name: str, subresource: str,
        query: dict[str, str], body: Any,
    ) -> None:  # fmt: skip
        cluster = self.server.cluster
        if self.command == "GET" and not name:
            return self._list(kind, namespace, query)
        if self.command == "POST" and not name:
            return self._create(kind, namespace, query, body)
        if self.command == "DELETE" and not name:
            for obj in cluster.select(kind, namespace, query):
                self._forget(kind, obj)
            return self._send(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
        obj = cluster.objects.get((kind.group_resource, namespace, name))
        if obj is None:
            message = f'{kind.group_resource} "{name}" not found'
            group = {"group": kind.group} if kind.group else {}
            return self._status(404, "NotFound", message, name=name, kind=kind.plural, **group)
        if subresource == "log":
            return self._log(name, query)
        if subresource == "exec":
            assert cluster.on_exec is not None
            self.close_connection = True
            return cluster.on_exec(self)
        if subresource == "scale":
            return self._scale(kind, obj, body)
        if self.command == "GET":
            return self._one(kind, obj, query)
        if self.command == "DELETE":
            if "dryRun" not in query:
                self._forget(kind, obj)
            if kind.plural == "pods":
                return self._send(200, obj)
            details = {"name": name, "kind": kind.plural, "uid": obj["metadata"].get("uid", "")}
            return self._send(200, {
                "kind": "Status", "apiVersion": "v1", "status": "Success", "details": details})  # fmt: skip
        changed = merge(obj, body) if self.command == "PATCH" else body
        if "dryRun" not in query:
            cluster.put(changed)
        return self._send(200, changed)

    def _forget(self, kind: Kind[Any], obj: dict[str, Any]) -> None:
        meta = obj["metadata"]
        namespace = meta.get("namespace", "") if kind.namespaced else ""
        self.server.cluster.objects.pop((kind.group_resource, namespace, meta["name"]))

    def _log(self, name: str, query: dict[str, str]) -> None:
        text = self.server.cluster.logs.get(f"{name}/{query.get('container', '')}", b"")
        if query.get("tailLines"):
            count = int(query["tailLines"])
            text = b"".join(text.splitlines(keepends=True)[-count:]) if count else b""
        self._send(200, text, "text/plain")

    def _scale(self, kind: Kind[Any], obj: dict[str, Any], body: Any) -> None:
        if (body is not None and "kind" in (body or {})) or body:
            obj["spec"]["replicas"] = body["spec"]["replicas"]
        meta = {k: obj["metadata"].get(k) for k in ("name", "namespace", "uid", "resourceVersion")}
        self._send(200, {
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
            "spec": {"replicas": obj["spec"]["replicas"]},
            "status": {"replicas": obj["status"].get("replicas", 0)}})  # fmt: skip

    def _one(self, kind: Kind[Any], obj: dict[str, Any], query: dict[str, str]) -> None:
        if "as=Table" in self.headers.get("Accept", ""):
            include = query.get("includeObject", "Metadata")
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            table = table_for(kind, [obj], NOW, include_object=include, list_metadata=metadata)
            return self._send(200, table)
        return self._send(200, obj)

    def _list(self, kind: Kind[Any], namespace: str, query: dict[str, str]) -> None:
        cluster = self.server.cluster
        if query.get("watch") in ("true", "1"):
            return self._watch(kind)
        found = cluster.select(kind, namespace, query)
        metadata = {"resourceVersion": "200"}
        if "as=Table" in self.headers.get("Accept", ""):
            include = query.get("includeObject", "Metadata")
            table = table_for(kind, found, NOW, include_object=include, list_metadata=metadata)
            return self._send(200, table)
        items = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in found]
        return self._send(200, {
            "kind": kind.kind + "List", "apiVersion": kind.api_version,
            "metadata": metadata, "items": items})  # fmt: skip

    def _watch(self, kind: Kind[Any]) -> None:
        lines = []
        for event in self.server.cluster.watch_events:
            sent = event["object"]
            if "as=Table" in self.headers.get("Accept", ""):
                sent = table_for(kind, [sent], NOW)
            lines.append(json.dumps({"type": event["type"], "object": sent}).encode() + b"\n")
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def _create(
        self, kind: Kind[Any], namespace: str, query: dict[str, str], body: dict[str, Any]
    ) -> None:
        obj = copy.deepcopy(body)
        obj.setdefault("apiVersion", kind.api_version)
        obj.setdefault("kind", kind.kind)
        meta = obj.setdefault("metadata", {})
        if kind.namespaced:
            meta["namespace"] = namespace
        if not meta.get("name"):
            meta["name"] = meta.get("generateName", "") + "abcde"
        if (kind.group_resource, namespace if kind.namespaced else "", meta["name"]) in (
            self.server.cluster.objects
        ):
            message = f'{kind.group_resource} "{meta["name"]}" already exists'
            return self._status(409, "AlreadyExists", message, name=meta["name"], kind=kind.plural)
        meta.update(
            uid=f"uid-{meta['name']}",
            resourceVersion="300",
            creationTimestamp="2020-01-01T00:00:00Z",
        )
        if "dryRun" not in query:
            self.server.cluster.put(obj)
        return self._send(201, obj)


def _decode(raw: bytes) -> Any:
    return decode_protobuf(raw) if raw.startswith(b"k8s\0") else json.loads(raw)


def _route(parts: list[str]) -> tuple[Kind[Any], str, str, str] | None:
    """Return (kind, namespace, name, subresource) of a path."""
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    for kind in KINDS:
        if (kind.group, kind.version, kind.plural) == (group, version, rest[0]):
            name = rest[1] if len(rest) > 1 else ""
            return kind, namespace, name, rest[2] if len(rest) > 2 else ""
    return None


def merge(target: Any, patch: Any) -> Any:
    """Return ``target`` with a merge patch applied (RFC 7386); directives of others are dropped."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def discovery(*, core: bool) -> dict[str, Any]:
    """Return the aggregated discovery document of the served kinds."""
    groups: dict[str, list[Kind[Any]]] = {}
    for kind in KINDS:
        if (kind.group == "") == core:
            groups.setdefault(kind.group, []).append(kind)
    items = []
    for group, members in groups.items():
        resources = [
            {
                "resource": kind.plural,
                "responseKind": {"group": group, "version": kind.version, "kind": kind.kind},
                "scope": "Namespaced" if kind.namespaced else "Cluster",
                "singularResource": kind.singular,
                "verbs": sorted(kind.verbs),
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
                "subresources": [
                    {"subresource": name, "verbs": ["get", "patch", "update"],
                     "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}
                     if name == "scale" else {"group": "", "version": "", "kind": kind.kind}}
                    for name in (sub.name for sub in kind.subresources)
                ],
            }
            for kind in members
        ]  # fmt: skip
        versions = [{"version": members[0].version, "resources": resources, "freshness": "Current"}]
        items.append({"metadata": {"name": group} if group else {}, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items,
    }  # fmt: skip


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    cluster: FakeCluster


@contextmanager
def serve(cluster: FakeCluster) -> Iterator[str]:
    """Serve ``cluster`` on loopback; yields the address, ``http://127.0.0.1:PORT``."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.cluster = cluster
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
