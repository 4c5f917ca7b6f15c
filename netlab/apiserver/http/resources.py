"""HTTP methods on resources to the registry's verbs.

Mirrors ``k8s.io/apiserver/pkg/endpoints/handlers`` ``get.go``, ``create.go``, ``update.go``,
``patch.go`` and ``delete.go``. Nothing is decided here about objects: that is the registry's.

netlab leaves out: server-side apply, and creating an object by PUT or PATCH.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from netlab.api.field_errors import no_such_resource, unsupported_media_type
from netlab.api.kind import Kind, Subresource
from netlab.api.patches import PatchType
from netlab.api.view import Object
from netlab.apiserver.http.decoding import (
    decode_delete_options,
    decode_object,
    decode_patch,
    decode_typed,
)
from netlab.apiserver.http.exchange import (
    Answer,
    Exchange,
    answer_bytes,
    answer_object,
    base_headers,
    method_not_allowed,
)
from netlab.apiserver.http.negotiation import JSON
from netlab.apiserver.http.paths import Target
from netlab.apiserver.http.query import (
    delete_options,
    is_watch,
    list_options,
    watch_options,
    write_options,
)
from netlab.apiserver.http.rendering import (
    EventRenderer,
    Form,
    error_line,
    finish,
    render_item,
    render_list,
)
from netlab.apiserver.registry import Registry, Watch
from netlab.apiserver.requests import DeleteResult, Item, WriteResult
from netlab.clock import Clock
from netlab.errors import ApiError

PATCH_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}
APPLY_PATCH = "application/apply-patch+yaml"

_VERBS = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}

# A reader that takes longer than this past its watch's end is gone.
WATCH_GRACE_S = 30.0


class ResourceHandlers:
    """Answers requests for stored objects."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    async def handle(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        """Answer a request for ``target``; its streams (log, exec) are answered elsewhere.

        Raises: ApiError with the Status to answer.
        """
        check_scope(target, kind, exchange.request.method)
        method = exchange.request.method
        if target.subresource:
            return await self._subresource(exchange, target, kind, method)
        if target.name:
            return await self._object(exchange, target, kind, method)
        return await self._collection(exchange, target, kind, method)

    async def _collection(
        self, exchange: Exchange, target: Target, kind: Kind[Any], method: str
    ) -> Answer:
        if method in ("GET", "HEAD"):
            if is_watch(exchange.query):
                return await self._watch(exchange, target, kind)
            return await self._list(exchange, target, kind)
        if method == "POST" and "create" in kind.verbs:
            return await self._create(exchange, target, kind)
        if method == "DELETE" and "deletecollection" in kind.verbs:
            return await self._delete_collection(exchange, target, kind)
        raise method_not_allowed()

    async def _object(
        self, exchange: Exchange, target: Target, kind: Kind[Any], method: str
    ) -> Answer:
        if method in ("GET", "HEAD"):
            if is_watch(exchange.query):
                return await self._watch(exchange, target, kind)
            return await self._get(exchange, target, kind)
        if method == "PUT" and "update" in kind.verbs:
            return await self._update(exchange, target, kind)
        if method == "PATCH" and "patch" in kind.verbs:
            return await self._patch(exchange, target, kind)
        if method == "DELETE" and "delete" in kind.verbs:
            return await self._delete(exchange, target, kind)
        raise method_not_allowed()

    async def _subresource(
        self, exchange: Exchange, target: Target, kind: Kind[Any], method: str
    ) -> Answer:
        part = kind.subresource(target.subresource)
        if part is None:
            raise no_such_resource()
        if _VERBS.get(method) not in part.verbs:
            raise method_not_allowed()
        if method in ("GET", "HEAD"):
            return await self._get(exchange, target, kind)
        if method == "PUT":
            return await self._update(exchange, target, kind)
        if method == "PATCH":
            return await self._patch(exchange, target, kind)
        return await self._create_subresource(exchange, target, kind, part)

    async def _get(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        form = exchange.form()
        item = await self._registry.get(
            kind, target.namespace, target.name, subresource=target.subresource
        )
        body = _render(kind, target, item, form)
        warnings = kind.warnings
        return answer_bytes(body, form.content_type, warnings=warnings)

    async def _list(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        form = exchange.form()
        result = await self._registry.list(kind, target.namespace, list_options(exchange.query))
        warnings = kind.warnings
        return answer_bytes(render_list(kind, result, form), form.content_type, warnings=warnings)

    async def _create(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        form = exchange.form()
        body = await exchange.decoded(
            lambda data, media: decode_object(data, media, kind, self._registry.catalog)
        )
        options = write_options(
            exchange.query, exchange.user, "CreateOptions", duplicates=body.duplicates
        )
        result = await self._registry.create(kind, target.namespace, body.object, options)
        return self._written(kind, target, result, form, created=True)

    async def _update(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        form = exchange.form()
        part = kind.subresource(target.subresource)
        type_ = kind.type if part is None or part.type is None else part.type
        body = await exchange.decoded(
            lambda data, media: decode_object(data, media, type_, self._registry.catalog)
        )
        options = write_options(
            exchange.query, exchange.user, "UpdateOptions", duplicates=body.duplicates
        )
        result = await self._registry.update(
            kind,
            target.namespace,
            target.name,
            body.object,
            options,
            subresource=target.subresource,
        )
        return self._written(kind, target, result, form)

    async def _patch(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        form = exchange.form()
        patch_type = patch_type_of(exchange.request.headers.get("Content-Type", ""))
        patch = await exchange.decode(
            await exchange.body(), JSON, lambda data, _: decode_patch(data, patch_type)
        )
        options = write_options(exchange.query, exchange.user, "PatchOptions")
        result = await self._registry.patch(
            kind,
            target.namespace,
            target.name,
            patch,
            patch_type,
            options,
            subresource=target.subresource,
        )
        return self._written(kind, target, result, form)

    def _written(
        self,
        kind: Kind[Any],
        target: Target,
        result: WriteResult,
        form: Form,
        *,
        created: bool = False,
    ) -> Answer:
        warnings = [*kind.warnings, *result.warnings]
        return answer_bytes(
            _render(kind, target, result.item, form),
            form.content_type,
            code=201 if created or result.created else 200,
            warnings=warnings,
        )

    async def _create_subresource(
        self, exchange: Exchange, target: Target, kind: Kind[Any], part: Subresource
    ) -> Answer:
        form = exchange.object_form()
        type_ = part.type or kind.type
        body = await exchange.decoded(
            lambda data, media: decode_typed(data, media, type_, self._registry.catalog)
        )
        options = write_options(
            exchange.query, exchange.user, "CreateOptions", duplicates=body.duplicates
        )
        result = await self._registry.create_subresource(
            kind, target.namespace, target.name, target.subresource, body.object, options
        )
        return answer_bytes(
            finish(result.item.json, form), form.content_type, code=201, warnings=result.warnings
        )

    async def _delete(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        form = exchange.form()
        given = await _delete_body(exchange)
        options = delete_options(exchange.query, given, exchange.user)
        result = await self._registry.delete(kind, target.namespace, target.name, options)
        warnings = [*kind.warnings, *result.warnings]
        if result.returns_object:
            body = _render(kind, target, result.item, form)
            return answer_bytes(body, form.content_type, warnings=warnings)
        return answer_object(
            deleted_status(kind, result), exchange.status_form(), warnings=warnings
        )

    async def _delete_collection(
        self, exchange: Exchange, target: Target, kind: Kind[Any]
    ) -> Answer:
        form = exchange.form()
        given = await _delete_body(exchange)
        options = delete_options(exchange.query, given, exchange.user)
        result = await self._registry.delete_collection(
            kind, target.namespace, list_options(exchange.query), options
        )
        return answer_bytes(render_list(kind, result, form), form.content_type)

    async def _watch(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        form = exchange.form()
        query = exchange.query
        if target.name:
            query = {**query, "fieldSelector": f"metadata.name={target.name}"}
        options = watch_options(query)
        watch = await self._registry.watch(kind, target.namespace, options)
        async with watch:
            warnings = kind.warnings
            response = web.StreamResponse(headers=base_headers(JSON, warnings))
            response.enable_chunked_encoding()
            try:
                async with asyncio.timeout((options.timeout_s or 0) + WATCH_GRACE_S):
                    await response.prepare(exchange.request)
                    await self._stream(response, watch, EventRenderer(kind, form))
                    await response.write_eof()
            except TimeoutError as error:
                raise ConnectionResetError("the reader of a watch does not read") from error
        return response

    async def _stream(
        self, response: web.StreamResponse, watch: Watch, renderer: EventRenderer
    ) -> None:
        try:
            async for event in watch:
                now = self._clock.now()
                lines = [renderer.line(item, now) for item in (event, *watch.ready())]
                await response.write(b"".join(lines))
        except ApiError as error:
            await response.write(error_line(error.status()))


def check_scope(target: Target, kind: Kind[Any], method: str) -> None:
    """Check that a namespaced kind's namespace is given where it must be.

    Raises: ApiError NotFound or MethodNotAllowed.
    """
    if not kind.namespaced or target.namespace:
        return
    if target.name:
        raise no_such_resource()
    if method not in ("GET", "HEAD"):
        raise method_not_allowed()


def _render(kind: Kind[Any], target: Target, item: Item, form: Form) -> bytes:
    part = kind.subresource(target.subresource)
    if part is not None and part.type is not None:
        return finish(item.json, form)  # no table is made of what is no object of the kind
    return render_item(kind, item, form)


def patch_type_of(content_type: str) -> PatchType:
    """Return the kind of patch that a Content-Type announces.

    Raises: ApiError UnsupportedMediaType (415).
    """
    name = content_type.partition(";")[0].strip().lower()
    found = PATCH_TYPES.get(name)
    if found is not None:
        return found
    if name == APPLY_PATCH:
        raise ApiError(
            415,
            "UnsupportedMediaType",
            "server-side apply is not served by this version of netlab; "
            "apply without --server-side",
        )
    raise unsupported_media_type((*PATCH_TYPES,))


async def _delete_body(exchange: Exchange) -> Object | None:
    data = await exchange.body()
    return (
        await exchange.decode(data, exchange.body_type(), decode_delete_options) if data else None
    )


def deleted_status(kind: Kind[Any], result: DeleteResult) -> Object:
    """Return the Status that tells what was deleted."""
    meta = result.item.object["metadata"]
    details: Object = {"name": meta["name"]}
    if kind.group:
        details["group"] = kind.group
    details |= {"kind": kind.plural, "uid": meta.get("uid", "")}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
