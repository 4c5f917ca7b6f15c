"""The verbs of the API on all kinds, with the semantics of Kubernetes and without a transport.

Mirrors the generic registry of ``k8s.io/apiserver`` (``pkg/registry/generic/registry/store.go``,
``pkg/registry/rest``) and the request handlers' part that precedes it. What is particular to a
kind stands in ``strategy``; this file is the order of the steps:

- create: decode, admission, prepare, name, validate, allocate, store;
- update and patch: read the newest state, make the new object, separate status from the rest,
  admission, prepare, validate, allocate, store only if something changed.

From reading the newest state to queueing the write nothing awaits, so every write is decided on
the state it is applied to. A patch without a resourceVersion therefore never conflicts, where
Kubernetes tries again up to five times; and no address or port is given twice.

Rules for callers: a ``body`` or ``patch`` is handed over; the registry may change it. Objects
inside an ``Item`` are the caller's to read, not to change.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from random import Random, SystemRandom
from typing import Any, NamedTuple, TypeAlias

import msgspec

from netlab.api import patches, schemas
from netlab.api.defaults import apply_defaults
from netlab.api.field_errors import (
    already_exists,
    bad_request,
    invalid,
    method_not_supported,
    not_found,
    required,
)
from netlab.api.generate import generate_name
from netlab.api.kinds import NAMESPACE, POD, SERVICE, SERVICE_ACCOUNT, Kind
from netlab.api.unsupported import inert_field_warnings
from netlab.api.validation import validate_create, validate_update
from netlab.api.view import Object
from netlab.apiserver import metadata as meta
from netlab.apiserver import pods, scale, services, warnings
from netlab.apiserver.admission import DEFAULT_SERVICE_ACCOUNT, Attributes, admit
from netlab.apiserver.allocations import Allocations
from netlab.apiserver.deletion import Verdict, plan_deletion, removed_by_update
from netlab.apiserver.listing import list_objects
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
from netlab.apiserver.strategy import Strategy, separate_status, strategy_of
from netlab.apiserver.watching import BOOKMARK_INTERVAL_S, Watch, start_watch
from netlab.clock import Clock, rfc3339
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.store.records import Key, Record
from netlab.store.store import Store

__all__ = ["Registry", "SubresourceCreator", "Watch"]

SubresourceCreator: TypeAlias = Callable[[Item, Object, WriteOptions], Awaitable[Object]]
"""Answers a POST to a subresource of an existing object: (the object, body, options) -> answer."""

_Texts: TypeAlias = list[str]
"""Warnings; a name of its own because the class below has a method ``list``."""

GENERATED_NAME_TRIES = 8

# a namespace's default account is made by a controller a moment after the namespace
SERVICE_ACCOUNT_TRIES = 10
SERVICE_ACCOUNT_WAIT_S = 0.1

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Written(NamedTuple):
    """A decided write: what to answer, and what to wait for first."""

    item: Item
    done: Awaitable[None] | None


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
        self._creators = dict(creators or {})
        self._bookmark_interval_s = bookmark_interval_s
        self._allocations = Allocations(config.service_cidr, self._random)
        self._allocated_epoch = -1

    def deprecation_warnings(self, kind: Kind[Any]) -> tuple[str, ...]:
        """Return the warnings that any request for this kind earns: reads, watches and writes.

        Write results do not repeat them.
        """
        return warnings.deprecation_warnings(kind)

    # reads --------------------------------------------------------------------------------------

    async def get(
        self, kind: Kind[Any], namespace: str | None, name: str, *, subresource: str = ""
    ) -> Item:
        """Return the object; subresource "scale" gives its autoscaling/v1 Scale, "status" itself.

        Raises: ApiError NotFound.
        """
        record = self._store.get(_key(kind, namespace, name))
        if record is None:
            raise not_found(kind, name)
        if subresource == "scale" and "scale" in kind.subresources:
            return _scale_item(_decode(record.json))
        if subresource not in ("", "status") or (
            subresource and subresource not in kind.subresources
        ):
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
        obj, texts = self._incoming(kind, namespace, body, options)
        if kind is POD:
            await self._await_default_account(obj)
        written = self._create_now(kind, obj, options)
        return await self._result(written, texts, created=True)

    def _incoming(
        self,
        kind: Kind[Any],
        namespace: str | None,
        body: Object,
        options: WriteOptions,
        *,
        patch: Any = None,
    ) -> tuple[Object, _Texts]:
        """Turn a body into an object with known fields and defaults; also the warnings for it."""
        if not isinstance(body, dict):
            raise bad_request("the body of the request is not an object")
        meta.check_type(kind, body)
        obj, texts = schemas.check_fields(
            kind,
            body,
            options.field_validation,
            duplicates=options.duplicate_fields,
            patch=patch,
        )
        meta.metadata_of(obj)
        meta.place_in_namespace(kind, obj, namespace or "")
        meta.drop_unserved(obj)
        if options.advise:
            texts = [*texts, *_advice(kind, obj)]
        return apply_defaults(kind, obj), texts

    async def _await_default_account(self, pod: Object) -> None:
        """Give the controller a moment to make the default account of a new namespace."""
        name = pod["spec"].get("serviceAccountName") or DEFAULT_SERVICE_ACCOUNT
        namespace = pod["metadata"]["namespace"]
        if name != DEFAULT_SERVICE_ACCOUNT:
            return
        for _ in range(SERVICE_ACCOUNT_TRIES):
            if self._store.latest(_key(SERVICE_ACCOUNT, namespace, name)) is not None:
                return
            if self._store.latest(_key(NAMESPACE, None, namespace)) is None:
                return
            await self._clock.sleep(SERVICE_ACCOUNT_WAIT_S)

    def _create_now(self, kind: Kind[Any], obj: Object, options: WriteOptions) -> _Written:
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
        key = _key(kind, namespace, metadata["name"])
        self._allocate(kind, key, obj, None)
        present = self._store.latest(key)
        if present is not None:
            raise _exists(kind, key.name, _decode(present.json))
        return self._write(key, None, obj, options)

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
            if self._store.latest(_key(kind, metadata.get("namespace"), metadata["name"])) is None:
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
        """Replace the object, or one part: subresource "status", "scale" or "finalize".

        Raises: ApiError NotFound, Conflict, Invalid, BadRequest.
        """
        _check_subresource(kind, subresource, "update")
        key = _key(kind, namespace, name)
        if subresource == "scale":
            return await self._rescale(kind, key, lambda _: body, options)
        obj, texts = self._incoming(kind, namespace, body, options)
        meta.check_name(obj, name)
        record = self._store.latest(key)
        if record is None:
            if not strategy_of(kind).create_on_update or subresource:
                raise not_found(kind, name)
            written = self._create_now(kind, obj, options)
            return await self._result(written, texts, created=True)
        old = _decode(record.json)
        texts = self._only_new(kind, old, texts, options)
        written = self._change_now(kind, key, record, old, obj, options, subresource)
        return await self._result(written, texts)

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
        key = _key(kind, namespace, name)
        if subresource == "scale":
            return await self._rescale(
                kind,
                key,
                lambda present: patches.apply_patch(scale.SCALE, present, patch, patch_type),
                options,
            )
        record = self._existing(kind, key)
        old = _decode(record.json)
        body = patches.apply_patch(kind, _decode(record.json), patch, patch_type)
        obj, texts = self._incoming(kind, namespace, body, options, patch=patch)
        meta.check_name(obj, name)
        texts = self._only_new(kind, old, texts, options)
        written = self._change_now(kind, key, record, old, obj, options, subresource)
        return await self._result(written, texts)

    def _only_new(
        self, kind: Kind[Any], old: Object, texts: _Texts, options: WriteOptions
    ) -> _Texts:
        """Leave out the warnings that the object earned before: they are not about this change."""
        if not texts or not options.advise:
            return texts
        known = set(_advice(kind, old))
        return [text for text in texts if text not in known]

    def _change_now(
        self,
        kind: Kind[Any],
        key: Key,
        record: Record,
        old: Object,
        new: Object,
        options: WriteOptions,
        subresource: str,
    ) -> _Written:
        strategy = strategy_of(kind)
        finalizers = (new.get("spec") or {}).get("finalizers")
        new = separate_status(new, old, kind, subresource)
        meta.check_version(kind, new, old, required=not strategy.unconditional_update)
        meta.carry_identity(new, old)
        if subresource == "finalize":
            new = {**old, "spec": {"finalizers": finalizers} if finalizers else {}}
        elif not subresource:
            self._prepare_change(kind, key, new, old, strategy)
        if meta.equal_but_version(new, old):
            return _Written(Item(record.json), self._store.settled(key))
        if (
            not subresource
            and strategy.generation_changes
            and strategy.generation_changes(new, old)
        ):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        return self._write(key, record, new, options, removed=removed_by_update(new), old=old)

    def _prepare_change(
        self, kind: Kind[Any], key: Key, new: Object, old: Object, strategy: Strategy
    ) -> None:
        admit(self._attributes("UPDATE", kind, key.namespace, key.name, new, old))
        strategy.prepare_update(new, old)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        errors = validate_update(kind, old, new)
        if errors:
            raise invalid(kind, key.name, errors)
        self._allocate(kind, key, new, old)

    async def _rescale(
        self,
        kind: Kind[Any],
        key: Key,
        change: Callable[[Object], Object],
        options: WriteOptions,
    ) -> WriteResult:
        record = self._existing(kind, key)
        old = _decode(record.json)
        wanted, texts = scale.check_scale(
            change(scale.scale_of(old)), options.field_validation, options.duplicate_fields
        )
        new = scale.with_scale(_decode(record.json), wanted)
        written = self._change_now(kind, key, record, old, new, options, "")
        done = await self._result(written, texts)
        return WriteResult(_scale_item(done.item.object), done.warnings)

    # delete -------------------------------------------------------------------------------------

    async def delete(
        self, kind: Kind[Any], namespace: str | None, name: str, options: DeleteOptions
    ) -> DeleteResult:
        """Remove the object, or mark it for removal.

        Raises: ApiError NotFound, Conflict for a precondition, Forbidden for what is protected.
        """
        key = _key(kind, namespace, name)
        admit(self._attributes("DELETE", kind, key.namespace, name, {}, None))
        record = self._existing(kind, key)
        old = _decode(record.json)
        meta.check_preconditions(
            kind, name, old, uid=options.uid, resource_version=options.resource_version
        )
        plan = plan_deletion(kind, old, options, self._clock.now())
        removed = plan.verdict is Verdict.REMOVE
        if plan.verdict is Verdict.KEEP:
            written = _Written(Item(record.json), self._store.settled(key))
        else:
            write = WriteOptions(dry_run=options.dry_run, user=options.user)
            written = self._write(key, record, plan.object, write, removed=removed, old=old)
        if written.done is not None:
            await asyncio.shield(written.done)
        returns_object = not removed or strategy_of(kind).returns_deleted
        return DeleteResult(written.item, removed, returns_object)

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
        key = _key(kind, namespace, name)
        creator = self._creators.get((kind, subresource))
        if creator is not None:
            record = self._existing(kind, key)
            answer = await creator(Item(record.json), body, options)
            return WriteResult(Item(msgspec.json.encode(answer), answer), created=True)
        if kind is POD and subresource == "binding":
            return await self._bind(key, body, options)
        if kind is POD and subresource == "eviction":
            return await self._evict(key, body, options)
        raise method_not_supported(kind, "create")

    async def _bind(self, key: Key, body: Object, options: WriteOptions) -> WriteResult:
        record = self._existing(POD, key)
        old = _decode(record.json)
        given = body.get("metadata") or {}
        meta.check_preconditions(
            POD,
            key.name,
            old,
            uid=given.get("uid") or "",
            resource_version=given.get("resourceVersion") or "",
        )
        new = pods.bind(old, body, rfc3339(self._clock.now()))
        written = self._write(key, record, new, options, old=old)
        if written.done is not None:
            await asyncio.shield(written.done)
        return _success()

    async def _evict(self, key: Key, body: Object, options: WriteOptions) -> WriteResult:
        wanted = body.get("deleteOptions") or {}
        preconditions = wanted.get("preconditions") or {}
        await self.delete(
            POD,
            key.namespace,
            key.name,
            DeleteOptions(
                grace_period_s=wanted.get("gracePeriodSeconds"),
                propagation=wanted.get("propagationPolicy"),
                uid=preconditions.get("uid") or "",
                resource_version=preconditions.get("resourceVersion") or "",
                dry_run=options.dry_run or bool(wanted.get("dryRun")),
                user=options.user,
            ),
        )
        return _success()

    # storing ------------------------------------------------------------------------------------

    def _existing(self, kind: Kind[Any], key: Key) -> Record:
        record = self._store.latest(key)
        if record is None:
            raise not_found(kind, key.name)
        return record

    def _attributes(
        self,
        operation: str,
        kind: Kind[Any],
        namespace: str,
        name: str,
        obj: Object,
        old: Object | None,
    ) -> Attributes:
        return Attributes(operation, kind, namespace, name, obj, old, self._lookup, self._random)

    def _lookup(self, kind: Kind[Any], namespace: str, name: str) -> Object | None:
        record = self._store.latest(_key(kind, namespace, name))
        return None if record is None else _decode(record.json)

    def _allocate(self, kind: Kind[Any], key: Key, new: Object, old: Object | None) -> None:
        if kind is not SERVICE:
            return
        if self._allocated_epoch != self._store.epoch:
            self._allocations.rebuild(
                ((key.namespace, key.name), _decode(record.json))
                for key, record in self._store.latest_records(SERVICE.group_resource)
            )
            self._allocated_epoch = self._store.epoch
        owner = None if old is None else (key.namespace, key.name)
        services.allocate(new, old, owner, self._allocations)

    def _write(
        self,
        key: Key,
        record: Record | None,
        new: Object,
        options: WriteOptions,
        *,
        removed: bool = False,
        old: Object | None = None,
    ) -> _Written:
        """Queue the write that was decided; nothing may have awaited since ``record`` was read."""
        if options.dry_run:
            return _Written(Item(msgspec.json.encode(new), new), None)
        stored, done = self._store.write(
            key,
            record.revision if record else 0,
            lambda revision: meta.with_version(new, revision),
            uid=new["metadata"]["uid"],
            deleted=removed,
        )
        if key.kind == SERVICE.group_resource and self._allocated_epoch == self._store.epoch:
            self._allocations.replace((key.namespace, key.name), old, None if removed else new)
        return _Written(Item(stored.json, new), done)

    async def _result(
        self, written: _Written, texts: _Texts, *, created: bool = False
    ) -> WriteResult:
        """Wait until the write is durable, and tell what became of it."""
        if written.done is not None:
            await asyncio.shield(written.done)
        return WriteResult(written.item, tuple(dict.fromkeys(texts)), created)


def _key(kind: Kind[Any], namespace: str | None, name: str) -> Key:
    return Key(kind.group_resource, (namespace or "") if kind.namespaced else "", name)


def _scope(kind: Kind[Any], namespace: str | None) -> str | None:
    return (namespace or None) if kind.namespaced else None


def _check_subresource(kind: Kind[Any], subresource: str, verb: str) -> None:
    if not subresource:
        return
    if subresource not in kind.subresources or subresource not in ("status", "scale", "finalize"):
        raise method_not_supported(kind, verb)


def _advice(kind: Kind[Any], obj: Object) -> _Texts:
    """What to tell whoever writes such an object: netlab's warnings, then Kubernetes' own."""
    return [*inert_field_warnings(kind, obj), *warnings.object_warnings(kind, obj)]


def _exists(kind: Kind[Any], name: str, present: Object) -> ApiError:
    error = already_exists(kind, name)
    if present["metadata"].get("deletionTimestamp"):
        message = f"object is being deleted: {error.message}"
        return ApiError(error.code, error.reason, message, error.details)
    return error


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
