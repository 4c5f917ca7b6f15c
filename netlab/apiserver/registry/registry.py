"""The verbs of the API on all kinds, with the semantics of Kubernetes and without a transport.

Mirrors the generic registry of ``k8s.io/apiserver`` (``pkg/registry/generic/registry/store.go``,
``pkg/registry/rest``) and the request handlers' part that precedes it. What is particular to a
kind stands in ``strategy``; this file is the order of the steps:

- create: decode, admission, prepare, name, validate, review, allocate, quotas, store;
- update and patch: read the newest state, make the new object, separate status from the rest,
  admission, prepare, validate, review, allocate, quotas, store only if something changed.

From reading the newest state to queueing the write nothing awaits, so every write is decided on
the state it is applied to. A patch without a resourceVersion therefore never conflicts, where
Kubernetes tries again up to five times; and no address or port is given twice.

Rules for callers: a ``body`` or ``patch`` is handed over; the registry may change it. Objects
inside an ``Item`` are the caller's to read, not to change.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from random import Random, SystemRandom
from typing import Any, TypeAlias

import msgspec

from netlab.api import patches
from netlab.api.field_errors import (
    already_exists,
    invalid,
    method_not_supported,
    not_found,
    required,
)
from netlab.api.generate import generate_name
from netlab.api.kinds import NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from netlab.api.validation import validate_create, validate_update
from netlab.api.view import Object
from netlab.apiserver.admission.chain import DEFAULT_SERVICE_ACCOUNT, Attributes, admit, review
from netlab.apiserver.registry import metadata as meta
from netlab.apiserver.registry import scale, warnings
from netlab.apiserver.registry.deletion import Verdict, plan_deletion, removed_by_update
from netlab.apiserver.registry.incoming import decode_object, only_new
from netlab.apiserver.registry.listing import list_objects
from netlab.apiserver.registry.strategy import separate_status, strategy_of
from netlab.apiserver.registry.watching import BOOKMARK_INTERVAL_S, Watch, start_watch
from netlab.apiserver.registry.writing import Present, Writes, Written, key_of
from netlab.apiserver.requests import (
    DeleteOptions,
    DeleteResult,
    Item,
    ListOptions,
    ListResult,
    PatchType,
    WatchOptions,
    WriteOptions,
    WriteResult,
)
from netlab.apiserver.storage import pods
from netlab.clock import Clock
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.store.store import Store
from netlab.timestamps import rfc3339

__all__ = ["Registry", "SubresourceCreator", "Watch"]

SubresourceCreator: TypeAlias = Callable[[Item, Object, WriteOptions], Awaitable[Object]]
"""Answers a POST to a subresource of an existing object: (the object, body, options) -> answer."""

READABLE = ("", "status", *pods.PARTS)
UPDATABLE = ("status", "scale", "finalize", *pods.PARTS)

GENERATED_NAME_TRIES = 8

# a namespace's default account is made by a controller a moment after the namespace
SERVICE_ACCOUNT_TRIES = 10
SERVICE_ACCOUNT_WAIT_S = 0.1


class Registry:
    """All verbs on all kinds. ``namespace`` is None (or "") for cluster-scoped kinds and, for list
    and watch, means all namespaces. All methods raise ApiError with the Status to answer, and
    StorageError when the disk refuses (answer 500).

    creators: POST subresources answered by others, by (kind, subresource), such as
    (SERVICE_ACCOUNT, "token").
    """

    def __init__(
        self,
        store: Store,
        config: LabConfig,
        clock: Clock,
        *,
        random: Random | None = None,
        creators: Mapping[tuple[Kind[Any], str], SubresourceCreator] | None = None,
        bookmark_interval_s: float = BOOKMARK_INTERVAL_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random or SystemRandom()
        self._writes = Writes(store, config, self._random)
        self._creators = dict(creators or {})
        self._bookmark_interval_s = bookmark_interval_s

    def deprecation_warnings(self, kind: Kind[Any]) -> tuple[str, ...]:
        """Return the warnings that any request for this kind earns: reads, watches and writes.

        Write results do not repeat them.
        """
        return warnings.deprecation_warnings(kind)

    # reads --------------------------------------------------------------------------------------

    async def get(
        self, kind: Kind[Any], namespace: str | None, name: str, *, subresource: str = ""
    ) -> Item:
        """Return the object; subresource "scale" gives its autoscaling/v1 Scale, others itself.

        Raises: ApiError NotFound.
        """
        record = self._store.get(key_of(kind, namespace, name))
        if record is None:
            raise not_found(kind, name)
        if subresource == "scale" and "scale" in kind.subresources:
            return _scale_item(Item(record.json).object)
        if subresource not in READABLE or (subresource and subresource not in kind.subresources):
            raise method_not_supported(kind, "get")
        return Item(record.json)

    async def list(
        self, kind: Kind[Any], namespace: str | None, options: ListOptions
    ) -> ListResult:
        """Return the objects that match, or a page of them.

        Raises: ApiError BadRequest for bad options, Expired for a forgotten version.
        """
        return await list_objects(self._store, kind, _scope(kind, namespace), options)

    async def watch(self, kind: Kind[Any], namespace: str | None, options: WatchOptions) -> Watch:
        """Begin to watch; nothing that happens after this returns is missed.

        Raises: ApiError BadRequest for selectors, Expired (410) for a version too old.
        """
        return await start_watch(
            self._store, kind, _scope(kind, namespace), options, self._bookmark_interval_s
        )

    # create -------------------------------------------------------------------------------------

    async def create(
        self, kind: Kind[Any], namespace: str | None, body: Object, options: WriteOptions
    ) -> WriteResult:
        """Store a new object.

        Raises: ApiError AlreadyExists, Invalid, Forbidden, BadRequest; NotFound for its namespace.
        """
        obj, texts = decode_object(kind, namespace, body, options)
        if kind is POD:
            await self._await_default_account(obj)
        written = self._create_now(kind, obj, options)
        return await _result(written, texts, created=True)

    async def _await_default_account(self, pod: Object) -> None:
        """Give the controller a moment to make the default account of a new namespace."""
        name = pod["spec"].get("serviceAccountName") or DEFAULT_SERVICE_ACCOUNT
        namespace = pod["metadata"]["namespace"]
        if name != DEFAULT_SERVICE_ACCOUNT:
            return
        for _ in range(SERVICE_ACCOUNT_TRIES):
            if self._writes.exists(SERVICE_ACCOUNT, namespace, name):
                return
            if not self._writes.exists(NAMESPACE, None, namespace):
                return
            await self._clock.sleep(SERVICE_ACCOUNT_WAIT_S)

    def _create_now(self, kind: Kind[Any], obj: Object, options: WriteOptions) -> Written:
        metadata = meta.metadata_of(obj)
        namespace = metadata.get("namespace") or ""
        strategy = strategy_of(kind)
        shown = metadata.get("name") or metadata.get("generateName") or ""
        admit(self._attributes("CREATE", kind, namespace, shown, obj, None))
        self._name(kind, obj)
        strategy.prepare_create(obj)
        meta.stamp_new(
            obj,
            uid=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            created=rfc3339(self._clock.now()),
            generation=1 if strategy.generation_changes else None,
        )
        errors = validate_create(kind, obj)
        if errors:
            raise invalid(kind, metadata.get("name") or "", errors)
        key = key_of(kind, namespace, metadata["name"])
        review(self._attributes("CREATE", kind, namespace, key.name, obj, None))
        self._writes.allocate(kind, key, obj, None)
        present = self._writes.find(kind, namespace, key.name)
        if present is not None:
            raise _exists(present)
        self._writes.charge(kind, key, obj, None)
        return self._writes.create(key, obj, options)

    def _name(self, kind: Kind[Any], obj: Object) -> None:
        """Generate a name when the object asks for one; a free one, so that it never collides."""
        metadata = obj["metadata"]
        prefix = metadata.get("generateName") or ""
        if metadata.get("name"):
            return
        if not prefix:
            error = required("metadata.name", "name or generateName is required")
            raise invalid(kind, "", [error])
        for _ in range(GENERATED_NAME_TRIES):
            metadata["name"] = generate_name(prefix, self._random)
            if not self._writes.exists(kind, metadata.get("namespace"), metadata["name"]):
                return

    # update and patch ---------------------------------------------------------------------------

    async def update(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        body: Object,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> WriteResult:
        """Replace the object, or one part: subresource "status", "scale", "finalize", or a pod's
        "ephemeralcontainers" or "resize".

        Raises: ApiError NotFound, Conflict, Invalid, BadRequest.
        """
        _check_subresource(kind, subresource, "update")
        if subresource == "scale":
            present = self._writes.present(kind, namespace, name)
            return await self._rescale(present, lambda _: body, options)
        obj, texts = decode_object(kind, namespace, body, options)
        meta.check_name(obj, name)
        found = self._writes.find(kind, namespace, name)
        if found is None:
            if not strategy_of(kind).create_on_update or subresource:
                raise not_found(kind, name)
            return await _result(self._create_now(kind, obj, options), texts, created=True)
        texts = only_new(kind, found.object, texts, options)
        return await _result(self._change_now(found, obj, options, subresource), texts)

    async def patch(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        patch: Any,
        patch_type: PatchType,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> WriteResult:
        """Change the object (subresource "": all but its status) by a patch, already parsed.

        Raises: ApiError NotFound, Conflict (the patch names another version), Invalid, BadRequest.
        """
        _check_subresource(kind, subresource, "patch")
        present = self._writes.present(kind, namespace, name)
        if subresource == "scale":
            return await self._rescale(
                present,
                lambda scaled: patches.apply_patch(scale.SCALE, scaled, patch, patch_type),
                options,
            )
        body = patches.apply_patch(kind, Item(present.record.json).copy(), patch, patch_type)
        obj, texts = decode_object(kind, namespace, body, options, patch=patch)
        meta.check_name(obj, name)
        texts = only_new(kind, present.object, texts, options)
        return await _result(self._change_now(present, obj, options, subresource), texts)

    def _change_now(
        self, present: Present, new: Object, options: WriteOptions, subresource: str
    ) -> Written:
        kind, old = present.kind, present.object
        strategy = strategy_of(kind)
        finalizers = (new.get("spec") or {}).get("finalizers")
        new = separate_status(new, old, kind, subresource)
        meta.check_version(kind, new, old, required=not strategy.unconditional_update)
        meta.carry_identity(new, old)
        if subresource == "finalize":
            new = {**old, "spec": {"finalizers": finalizers} if finalizers else {}}
        elif subresource in pods.PARTS:
            new = self._prepare_part(present, new, subresource)
        elif not subresource:
            self._prepare_change(present, new)
        if meta.equal_but_version(new, old):
            return self._writes.keep(present)
        changes = strategy.generation_changes
        if subresource != "status" and changes is not None and changes(new, old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        removed = removed_by_update(new)
        return self._writes.replace(present, new, dry_run=options.dry_run, removed=removed)

    def _prepare_change(self, present: Present, new: Object) -> None:
        kind, key, old = present.kind, present.key, present.object
        admit(self._attributes("UPDATE", kind, key.namespace, key.name, new, old))
        strategy_of(kind).prepare_update(new, old)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        errors = validate_update(kind, old, new)
        if errors:
            raise invalid(kind, key.name, errors)
        review(self._attributes("UPDATE", kind, key.namespace, key.name, new, old))
        self._writes.allocate(kind, key, new, old)
        self._writes.charge(kind, key, new, old)

    def _prepare_part(self, present: Present, wanted: Object, subresource: str) -> Object:
        """Return the pod with that part of it changed which the subresource is for."""
        kind, key, old = present.kind, present.key, present.object
        part = pods.PARTS[subresource]
        new = part.merge(old, wanted)
        errors = part.validate(old, new)
        if errors:
            raise invalid(kind, key.name, errors)
        attributes = self._attributes("UPDATE", kind, key.namespace, key.name, new, old)
        review(replace(attributes, subresource=subresource))
        if subresource == "resize":
            self._writes.charge(kind, key, new, old)
        return new

    async def _rescale(
        self, present: Present, change: Callable[[Object], Object], options: WriteOptions
    ) -> WriteResult:
        wanted, texts = scale.check_scale(
            change(scale.scale_of(present.object)),
            options.field_validation,
            options.duplicate_fields,
        )
        new = scale.with_scale(Item(present.record.json).copy(), wanted)
        item = await self._change_now(present, new, options, "").durable()
        return WriteResult(_scale_item(item.object), tuple(texts))

    # delete -------------------------------------------------------------------------------------

    async def delete(
        self, kind: Kind[Any], namespace: str | None, name: str, options: DeleteOptions
    ) -> DeleteResult:
        """Remove the object, or mark it for removal.

        Raises: ApiError NotFound, Conflict for a precondition, Forbidden for what is protected.
        """
        admit(self._attributes("DELETE", kind, namespace or "", name, {}, None))
        present = self._writes.present(kind, namespace, name)
        meta.check_preconditions(
            kind, name, present.object, uid=options.uid, resource_version=options.resource_version
        )
        plan = plan_deletion(kind, present.object, options, self._clock.now())
        removed = plan.verdict is Verdict.REMOVE
        if plan.verdict is Verdict.KEEP:
            written = self._writes.keep(present)
        else:
            written = self._writes.replace(
                present, plan.object, dry_run=options.dry_run, removed=removed
            )
        returns_object = not removed or strategy_of(kind).returns_deleted
        return DeleteResult(await written.durable(), removed, returns_object)

    async def delete_collection(
        self,
        kind: Kind[Any],
        namespace: str | None,
        list_options: ListOptions,
        options: DeleteOptions,
    ) -> ListResult:
        """Delete all that match; the result holds their last states.

        Raises: ApiError, the first that is not NotFound, after all were tried.
        """
        listed = await self.list(kind, namespace, list_options)
        outcomes = await asyncio.gather(
            *(self._delete_listed(kind, item, options) for item in listed.items),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        items = [item for item in outcomes if isinstance(item, Item)]
        return ListResult(items, str(self._store.revision))

    async def _delete_listed(
        self, kind: Kind[Any], item: Item, options: DeleteOptions
    ) -> Item | None:
        metadata = item.object["metadata"]
        try:
            result = await self.delete(kind, metadata.get("namespace"), metadata["name"], options)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            return None
        return result.item

    # subresources -------------------------------------------------------------------------------

    async def create_subresource(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        subresource: str,
        body: Object,
        options: WriteOptions,
    ) -> WriteResult:
        """POST: pods/binding, pods/eviction (both answer a Success Status), and the creators'.

        Raises: ApiError NotFound, Conflict for a pod that is bound already, Invalid.
        """
        creator = self._creators.get((kind, subresource))
        if creator is not None:
            present = self._writes.present(kind, namespace, name)
            answer = await creator(Item(present.record.json), body, options)
            return WriteResult(Item(msgspec.json.encode(answer), answer), created=True)
        if kind is POD and subresource == "binding":
            await self._bind(self._writes.present(POD, namespace, name), body, options)
            return _success()
        if kind is POD and subresource == "eviction":
            await self.delete(POD, namespace, name, _eviction_options(body, options))
            return _success()
        raise method_not_supported(kind, "create")

    async def _bind(self, present: Present, body: Object, options: WriteOptions) -> None:
        given = body.get("metadata") or {}
        meta.check_preconditions(
            POD,
            present.key.name,
            present.object,
            uid=given.get("uid") or "",
            resource_version=given.get("resourceVersion") or "",
        )
        new = pods.bind(present.object, body, rfc3339(self._clock.now()))
        await self._writes.replace(present, new, dry_run=options.dry_run).durable()

    def _attributes(
        self,
        operation: str,
        kind: Kind[Any],
        namespace: str,
        name: str,
        obj: Object,
        old: Object | None,
    ) -> Attributes:
        return Attributes(
            operation,
            kind,
            namespace,
            name,
            obj,
            old,
            self._writes.lookup,
            self._random,
            self._writes.all_of,
        )


def _scope(kind: Kind[Any], namespace: str | None) -> str | None:
    return (namespace or None) if kind.namespaced else None


def _check_subresource(kind: Kind[Any], subresource: str, verb: str) -> None:
    if not subresource:
        return
    if subresource not in kind.subresources or subresource not in UPDATABLE:
        raise method_not_supported(kind, verb)


async def _result(written: Written, texts: Iterable[str], *, created: bool = False) -> WriteResult:
    """Wait until the write is durable, and tell what became of it."""
    return WriteResult(await written.durable(), tuple(dict.fromkeys(texts)), created)


def _exists(present: Present) -> ApiError:
    error = already_exists(present.kind, present.key.name)
    if present.object["metadata"].get("deletionTimestamp"):
        message = f"object is being deleted: {error.message}"
        return ApiError(error.code, error.reason, message, error.details)
    return error


def _eviction_options(body: Object, options: WriteOptions) -> DeleteOptions:
    wanted = body.get("deleteOptions") or {}
    preconditions = wanted.get("preconditions") or {}
    return DeleteOptions(
        grace_period_s=wanted.get("gracePeriodSeconds"),
        propagation=wanted.get("propagationPolicy"),
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        dry_run=options.dry_run or bool(wanted.get("dryRun")),
        user=options.user,
    )


def _scale_item(obj: Object) -> Item:
    scaled = scale.scale_of(obj)
    return Item(msgspec.json.encode(scaled), scaled)


def _success() -> WriteResult:
    status: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    return WriteResult(Item(msgspec.json.encode(status), status), created=True)
