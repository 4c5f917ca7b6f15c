"""The client of components that live in the API server's process.

Satisfies ``client.interface.Client`` by calling the registry: the same admission, validation and
conflicts as over HTTPS, without the wire. Objects go in and come out as copies; nothing a component
does to them reaches the store or another component.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from netlab.api.kinds import NAMESPACE, Kind
from netlab.api.patches import PatchType
from netlab.api.view import Object
from netlab.apiserver.auth.authorizer import Authorizer
from netlab.apiserver.auth.authz import Access
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import (
    DeleteOptions,
    Item,
    ListOptions,
    UserInfo,
    WatchOptions,
    WriteOptions,
)
from netlab.client.interface import JsonList, ObjectList, Propagation, WatchEvent


class LocalClient:
    """A ``Client`` in the name of one user. Its writes earn no warnings: nobody would read them.

    authorizer: says what the user may do, as for requests over HTTPS; None trusts the user, which
    is for the API server itself and for tests.
    """

    def __init__(
        self, registry: Registry, user: UserInfo, authorizer: Authorizer | None = None
    ) -> None:
        self._registry = registry
        self._user = user
        self._authorizer = authorizer
        self._write = WriteOptions(
            field_validation="Ignore", field_manager=user.name, user=user, advise=False
        )

    def _require(
        self,
        verb: str,
        kind: Kind[Any],
        namespace: str | None,
        name: str = "",
        subresource: str = "",
    ) -> None:
        """Let pass what the user may do. Raises: ApiError Forbidden."""
        if self._authorizer is None:
            return
        where = name if kind is NAMESPACE else (namespace or "")
        access = Access(
            verb,
            group=kind.group,
            resource=kind.plural,
            subresource=subresource,
            namespace=where,
            name=name,
        )
        self._authorizer.require(self._user, access)

    async def get(self, kind: Kind[Any], namespace: str | None, name: str) -> Object:
        """Return the object. Raises: ApiError NotFound."""
        self._require("get", kind, namespace, name)
        return _own(await self._registry.get(kind, namespace, name))

    async def list(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Return the objects that match."""
        self._require("list", kind, namespace)
        options = ListOptions(label_selector=label_selector, field_selector=field_selector)
        result = await self._registry.list(kind, namespace, options)
        return ObjectList([_own(item) for item in result.items], result.resource_version)

    async def list_json(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> JsonList:
        """Return the objects that match, as the store's own bytes."""
        self._require("list", kind, namespace)
        options = ListOptions(label_selector=label_selector, field_selector=field_selector)
        result = await self._registry.list(kind, namespace, options)
        return JsonList([item.json for item in result.items], result.resource_version)

    async def watch(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Yield events after ``resource_version``, for ever. Raises: ApiError Expired."""
        self._require("watch", kind, namespace)
        options = WatchOptions(
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
        )
        async with await self._registry.watch(kind, namespace, options) as watch:
            async for event in watch:
                yield WatchEvent(event.type, event.item.json)

    async def create(
        self, kind: Kind[Any], namespace: str | None, obj: Mapping[str, Any]
    ) -> Object:
        """Store a new object."""
        self._require("create", kind, namespace)
        result = await self._registry.create(kind, namespace, _copy(obj), self._write)
        return _own(result.item)

    async def update(
        self,
        kind: Kind[Any],
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Object:
        """Replace the object, or its status."""
        body = _copy(obj)
        name = (body.get("metadata") or {}).get("name") or ""
        self._require("update", kind, namespace, name, subresource)
        result = await self._registry.update(
            kind, namespace, name, body, self._write, subresource=subresource
        )
        return _own(result.item)

    async def patch(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        """Change the object, or its status."""
        self._require("patch", kind, namespace, name, subresource)
        result = await self._registry.patch(
            kind, namespace, name, _copy(patch), patch_type, self._write, subresource=subresource
        )
        return _own(result.item)

    async def delete(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        *,
        grace_period_s: int | None = None,
        propagation: Propagation | None = None,
        uid: str | None = None,
    ) -> Object:
        """Delete, or mark for deletion; return the object's last state."""
        self._require("delete", kind, namespace, name)
        options = DeleteOptions(
            grace_period_s=grace_period_s,
            propagation=propagation,
            uid=uid or "",
            user=self._user,
        )
        return _own((await self._registry.delete(kind, namespace, name, options)).item)

    async def create_subresource(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        subresource: str,
        body: Mapping[str, Any],
    ) -> Object:
        """POST to a subresource: pods/binding, serviceaccounts/token."""
        self._require("create", kind, namespace, name, subresource)
        result = await self._registry.create_subresource(
            kind, namespace, name, subresource, _copy(body), self._write
        )
        return _own(result.item)


def _copy(value: Any) -> Any:
    """A deep copy of JSON, in a third of the time of ``copy.deepcopy``."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _own(item: Item) -> Object:
    """The object of an item that nobody else holds."""
    return item.object
