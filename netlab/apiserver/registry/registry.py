"""The verbs of the API on all kinds, with the semantics of Kubernetes and without a transport.

Mirrors the generic registry of ``k8s.io/apiserver`` (``pkg/registry/generic/registry/store.go``,
``pkg/registry/rest``) and the request handlers' part that precedes it. What is particular to a
kind stands in its descriptor (``api.kinds``) and its hooks (``storage``); this file is the order of
the steps:

- create: decode, admission, prepare, name, validate, review, complete, quotas, store;
- update and patch: read the newest state, make the new object, keep what this way cannot change,
  admission, prepare, validate, review, complete, quotas, store only if something changed.

From reading the newest state to queueing the write nothing awaits, so every write is decided on
the state it is applied to. A patch without a resourceVersion therefore never conflicts, where
Kubernetes tries again up to five times; and no address or port is given twice.

Rules for callers: a ``body`` or ``patch`` is handed over; the registry may change it. Objects
inside an ``Item`` are the caller's to read, not to change.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random, SystemRandom
from typing import Any

import msgspec

from netlab.api import patches
from netlab.api.catalog import Catalog
from netlab.api.field_errors import (
    already_exists,
    invalid,
    method_not_supported,
    no_such_resource,
    not_found,
    required,
    unsupported_media_type,
)
from netlab.api.generate import generate_name
from netlab.api.kind import Kind, Subresource
from netlab.api.kinds import POD, SERVICE, builtin_catalog
from netlab.api.patches import PatchType
from netlab.api.subresources import take_status
from netlab.api.validation import validate_create, validate_update
from netlab.api.view import Object
from netlab.apiserver.admission.attributes import Plugin
from netlab.apiserver.admission.chain import Attributes, admit, review
from netlab.apiserver.registry.deletion import Verdict, plan_deletion, removed_by_update
from netlab.apiserver.registry.incoming import decode_object, decode_part, only_new
from netlab.apiserver.registry.listing import list_objects, select_items
from netlab.apiserver.registry.watching import BOOKMARK_INTERVAL_S, Watch, start_watch
from netlab.apiserver.requests import (
    DeleteOptions,
    DeleteResult,
    Item,
    ListOptions,
    ListResult,
    UserInfo,
    WatchOptions,
    WriteOptions,
    WriteResult,
)
from netlab.apiserver.storage import metadata as meta
from netlab.apiserver.storage.hooks import NO_HOOKS, Computed, Hooks, SubresourceCreator
from netlab.apiserver.storage.pods import pod_hooks
from netlab.apiserver.storage.quota_keeping import QuotaKeeper
from netlab.apiserver.storage.service_hooks import service_hooks
from netlab.apiserver.storage.writing import Present, Writes, Written, key_of, shown
from netlab.clock import Clock
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.store.store import Store
from netlab.timestamps import rfc3339

__all__ = ["Registry", "SubresourceCreator", "Watch"]

GENERATED_NAME_TRIES = 8
FREE_FORM_PATCHES = ("application/json-patch+json", "application/merge-patch+json")


class Registry:
    """All verbs on all kinds. ``namespace`` is None (or "") for cluster-scoped kinds and, for list
    and watch, means all namespaces. All methods raise ApiError with the Status to answer, and
    StorageError when the disk refuses (answer 500).

    catalog: the kinds served; None means those of Kubernetes that netlab has. creators: POST
    subresources answered by others, by (kind, subresource), such as (SERVICE_ACCOUNT, "token").
    computed: kinds whose objects are worked out rather than stored. rights: rules of admission
    about who writes what, run after all others.
    """

    def __init__(
        self,
        store: Store,
        config: LabConfig,
        clock: Clock,
        *,
        catalog: Catalog | None = None,
        random: Random | None = None,
        creators: Mapping[tuple[Kind[Any], str], SubresourceCreator] | None = None,
        computed: Mapping[Kind[Any], Computed] | None = None,
        rights: Sequence[Plugin] = (),
        bookmark_interval_s: float = BOOKMARK_INTERVAL_S,
    ) -> None:
        self.catalog = builtin_catalog() if catalog is None else catalog
        self._store = store
        self._clock = clock
        self._random = random or SystemRandom()
        self._writes = Writes(store)
        self._quotas = QuotaKeeper(store, self._writes, self.catalog)
        self._hooks: dict[Kind[Any], Hooks] = {
            POD: pod_hooks(self._writes, clock, partial(self.delete, POD)),
            SERVICE: service_hooks(self._writes, config, self._random),
        }
        self._creators = dict(creators or {})
        self._computed = dict(computed or {})
        self._rights = tuple(rights)
        self._watches: dict[Kind[Any], set[Watch]] = {}
        self._bookmark_interval_s = bookmark_interval_s
        self.catalog.subscribe(self._kind_changed)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Yield how many objects of each kind are stored, by ``group_resource``."""
        for kind in self.catalog.stored():
            name = kind.group_resource
            yield name, sum(1 for _ in self._store.records(name, None))

    def _require_served(self, kind: Kind[Any]) -> None:
        """A component may still ask for a kind that went.

        Raises: ApiError NotFound.
        """
        if kind not in self.catalog:
            raise no_such_resource()

    def _hooks_of(self, kind: Kind[Any]) -> Hooks:
        return self._hooks.get(kind, NO_HOOKS)

    def _kind_changed(self, kind: Kind[Any], served: bool) -> None:
        """End the watches of a kind that is served no longer: their readers get what happened
        until now, then the end, as from Kubernetes; who asks again finds nothing of that name.
        """
        if not served:
            for watch in self._watches.pop(kind, ()):
                watch.finish()

    def _forget_watch(self, watch: Watch) -> None:
        self._watches.get(watch.kind, set()).discard(watch)

    # reads --------------------------------------------------------------------------------------

    async def get(
        self, kind: Kind[Any], namespace: str | None, name: str, *, subresource: str = ""
    ) -> Item:
        """Return the object, or what the subresource shows of it (a Scale).

        Raises: ApiError NotFound.
        """
        self._require_served(kind)
        if kind in self._computed:
            found = await self._computed_items(kind)
            for item in found:
                if item.object["metadata"]["name"] == name:
                    return item
            raise not_found(kind, name)
        record = self._store.get(key_of(kind, namespace, name))
        if record is None:
            raise not_found(kind, name)
        item = shown(kind, Item(record.json))
        if not subresource:
            return item
        part = kind.subresource(subresource)
        if part is None or part.streamed or "get" not in part.verbs:
            raise method_not_supported(kind, "get")
        return _projected(part, item)

    async def _computed_items(self, kind: Kind[Any]) -> list[Item]:
        objects = await self._computed[kind]()
        return [Item(msgspec.json.encode(obj), obj) for obj in objects]

    async def list(
        self, kind: Kind[Any], namespace: str | None, options: ListOptions
    ) -> ListResult:
        """Return the objects that match, or a page of them.

        Raises: ApiError BadRequest for bad options, Expired for a forgotten version.
        """
        self._require_served(kind)
        if kind in self._computed:
            return select_items(kind, await self._computed_items(kind), options)
        return await list_objects(self._store, kind, _scope(kind, namespace), options)

    async def watch(self, kind: Kind[Any], namespace: str | None, options: WatchOptions) -> Watch:
        """Begin to watch; nothing that happens after this returns is missed.

        Raises: ApiError BadRequest for selectors, Expired (410) for a version too old.
        """
        self._require_served(kind)
        if "watch" not in kind.verbs:
            raise method_not_supported(kind, "watch")
        watch = await start_watch(
            self._store,
            kind,
            _scope(kind, namespace),
            options,
            self._bookmark_interval_s,
            on_close=self._forget_watch,
        )
        self._watches.setdefault(kind, set()).add(watch)
        if kind not in self.catalog:
            watch.finish()  # it went while the past was read
        return watch

    # create -------------------------------------------------------------------------------------

    async def create(
        self, kind: Kind[Any], namespace: str | None, body: Object, options: WriteOptions
    ) -> WriteResult:
        """Store a new object.

        Raises: ApiError AlreadyExists, Invalid, Forbidden, BadRequest; NotFound for its namespace.
        """
        self._require_served(kind)
        obj, texts = decode_object(kind, namespace, body, options)
        await self._hooks_of(kind).await_ready(obj)
        written = self._create_now(kind, obj, options)
        return await _result(written, texts, created=True)

    def _create_now(self, kind: Kind[Any], obj: Object, options: WriteOptions) -> Written:
        metadata = meta.metadata_of(obj)
        namespace = metadata.get("namespace") or ""
        asked = metadata.get("name") or metadata.get("generateName") or ""
        admit(self._attributes("CREATE", kind, namespace, asked, obj, None, options.user))
        self._name(kind, obj)
        kind.prepare_create(obj)
        metadata = meta.metadata_of(obj)
        meta.stamp_new(
            obj,
            uid=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            created=rfc3339(self._clock.now()),
            generation=1 if kind.generation_changes else None,
        )
        errors = validate_create(kind, obj)
        if errors:
            raise invalid(kind, metadata.get("name") or "", errors)
        key = key_of(kind, namespace, metadata["name"])
        self._review(self._attributes("CREATE", kind, namespace, key.name, obj, None, options.user))
        self._hooks_of(kind).complete(key, obj, None)
        meta.refuse_version(obj)
        present = self._writes.find(kind, namespace, key.name)
        if present is not None:
            raise _exists(present)
        self._quotas.check(kind, key, obj, None)
        return self._writes.create(kind, key, obj, options)

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
        """Replace the object, or what a subresource stands for: its status, its Scale, …

        Raises: ApiError NotFound, Conflict, Invalid, BadRequest.
        """
        self._require_served(kind)
        part = _written_part(kind, subresource, "update")
        if part is not None and part.type is not None:
            present = self._writes.present(kind, namespace, name)
            wanted, texts = decode_part(part.type, body, options)
            return await self._part_result(present, part, wanted, texts, options)
        obj, texts = decode_object(kind, namespace, body, options)
        meta.check_name(obj, name)
        found = self._writes.find(kind, namespace, name)
        if found is None:
            if not kind.create_on_update or subresource:
                raise not_found(kind, name)
            return await _result(self._create_now(kind, obj, options), texts, created=True)
        texts = only_new(kind, found.object, texts, options)
        return await _result(self._change_now(found, obj, options, part), texts)

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
        self._require_served(kind)
        part = _written_part(kind, subresource, "patch")
        present = self._writes.present(kind, namespace, name)
        if part is not None and part.type is not None:
            now = _projected(part, present.item).copy()
            wanted = patches.apply_patch(part.type, now, patch, patch_type)
            wanted, texts = decode_part(part.type, wanted, options)
            return await self._part_result(present, part, wanted, texts, options)
        if kind.free_form and patch_type == "strategic":
            raise unsupported_media_type(FREE_FORM_PATCHES)  # no schema tells how lists merge
        body = patches.apply_patch(kind, present.item.copy(), patch, patch_type)
        obj, texts = decode_object(kind, namespace, body, options, patch=patch)
        meta.check_name(obj, name)
        texts = only_new(kind, present.object, texts, options)
        return await _result(self._change_now(present, obj, options, part), texts)

    async def _part_result(
        self,
        present: Present,
        part: Subresource,
        wanted: Object,
        texts: Iterable[str],
        options: WriteOptions,
    ) -> WriteResult:
        """Write through a subresource of another type, and answer in that type."""
        item = await self._change_now(present, wanted, options, part).durable()
        return WriteResult(_projected(part, item), tuple(texts))

    def _change_now(
        self, present: Present, wanted: Object, options: WriteOptions, part: Subresource | None
    ) -> Written:
        """Decide and queue a change. wanted: the object, or what the subresource takes."""
        kind, old = present.kind, present.object
        meta.check_version(kind, wanted, old, required=not kind.unconditional_update)
        if part is None or part.merge is None:
            new = wanted
            if kind.has_status:
                take_status(new, old)
        else:
            new = part.merge(old, wanted)
        meta.carry_identity(new, old)
        subresource = part.name if part is not None else ""
        attributes = self._changing(present, new, options.user, subresource)
        if part is None or part.whole:
            self._prepare_change(present, new, attributes)
        elif part.validate is not None:
            self._prepare_part(present, new, part, attributes)
        else:
            self._check_rights(attributes)
        if meta.equal_but_version(new, old):
            return self._writes.keep(present)
        if part is None or part.whole or part.validate is not None:
            changes = kind.generation_changes
            if changes is not None and changes(new, old):
                new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        removed = removed_by_update(kind, new)
        return self._writes.replace(present, new, dry_run=options.dry_run, removed=removed)

    def _prepare_change(self, present: Present, new: Object, attributes: Attributes) -> None:
        kind, key, old = present.kind, present.key, present.object
        admit(attributes)
        kind.prepare_update(new, old)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        errors = validate_update(kind, old, new)
        if errors:
            raise invalid(kind, key.name, errors)
        self._review(attributes)
        self._hooks_of(kind).complete(key, new, old)
        self._quotas.check(kind, key, new, old)

    def _prepare_part(
        self, present: Present, new: Object, part: Subresource, attributes: Attributes
    ) -> None:
        kind, key, old = present.kind, present.key, present.object
        errors = part.validate(old, new) if part.validate is not None else []
        if errors:
            raise invalid(kind, key.name, errors)
        self._review(attributes)
        self._quotas.check(kind, key, new, old)

    # delete -------------------------------------------------------------------------------------

    async def delete(
        self, kind: Kind[Any], namespace: str | None, name: str, options: DeleteOptions
    ) -> DeleteResult:
        """Remove the object, or mark it for removal.

        Raises: ApiError NotFound, Conflict for a precondition, Forbidden for what is protected.
        """
        self._require_served(kind)
        attributes = self._attributes("DELETE", kind, namespace or "", name, {}, None, options.user)
        admit(attributes)
        present = self._writes.present(kind, namespace, name)
        self._check_rights(replace(attributes, old=present.object))
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
        returns_object = not removed or kind.returns_deleted
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
        """POST to a subresource: pods/binding, pods/eviction (both answer a Success Status), and
        the creators'.

        Raises: ApiError NotFound, Conflict for a pod that is bound already, Invalid.
        """
        self._require_served(kind)
        part = kind.subresource(subresource)
        creator = self._creators.get((kind, subresource)) or self._hooks_of(kind).creators.get(
            subresource
        )
        if part is None or creator is None:
            raise method_not_supported(kind, "create")
        texts: list[str] = []
        if part.type is not None:
            body, texts = decode_part(part.type, body, options)
        present = self._writes.present(kind, namespace, name)
        attributes = self._attributes(
            "CREATE", kind, namespace or "", name, body, present.object, options.user
        )
        self._check_rights(replace(attributes, subresource=subresource))
        answer = await creator(present.item, body, options)
        return WriteResult(Item(msgspec.json.encode(answer), answer), tuple(texts), created=True)

    def _attributes(
        self,
        operation: str,
        kind: Kind[Any],
        namespace: str,
        name: str,
        obj: Object,
        old: Object | None,
        user: UserInfo,
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
            user=user,
        )

    def _changing(
        self, present: Present, new: Object, user: UserInfo, subresource: str
    ) -> Attributes:
        key = present.key
        attributes = self._attributes(
            "UPDATE", present.kind, key.namespace, key.name, new, present.object, user
        )
        return replace(attributes, subresource=subresource)

    def _review(self, attributes: Attributes) -> None:
        review(attributes)
        self._check_rights(attributes)

    def _check_rights(self, attributes: Attributes) -> None:
        for plugin in self._rights:
            if plugin.concerns(attributes):
                plugin.run(attributes)


def _scope(kind: Kind[Any], namespace: str | None) -> str | None:
    return (namespace or None) if kind.namespaced else None


def _written_part(kind: Kind[Any], subresource: str, verb: str) -> Subresource | None:
    """Return the subresource to write through; None for the object itself.

    Raises: ApiError MethodNotAllowed when it is not written that way.
    """
    if not subresource:
        return None
    part = kind.subresource(subresource)
    if part is None or part.merge is None or verb not in part.verbs:
        raise method_not_supported(kind, verb)
    return part


def _projected(part: Subresource, item: Item) -> Item:
    if part.project is None:
        return item
    answer = part.project(item.object)
    return Item(msgspec.json.encode(answer), answer)


async def _result(written: Written, texts: Iterable[str], *, created: bool = False) -> WriteResult:
    """Wait until the write is durable, and tell what became of it."""
    return WriteResult(await written.durable(), tuple(dict.fromkeys(texts)), created)


def _exists(present: Present) -> ApiError:
    error = already_exists(present.kind, present.key.name)
    if present.object["metadata"].get("deletionTimestamp"):
        message = f"object is being deleted: {error.message}"
        return ApiError(error.code, error.reason, message, error.details)
    return error
