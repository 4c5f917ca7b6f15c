"""Answers list requests: versions, pages and selectors.

Mirrors ``GetList`` of ``k8s.io/apiserver`` (``storage/etcd3`` and the watch cache's rules for
``resourceVersion`` and ``resourceVersionMatch``). A list without selectors joins stored bytes and
parses nothing.

A page's continue token names the version at which the first page was taken and the last key it
gave, so that all pages together are one consistent state, however much is written meanwhile.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from netlab.api.field_errors import (
    FieldError,
    bad_request,
    expired,
    forbidden_field,
    invalid_value,
)
from netlab.api.kind import Kind
from netlab.api.names import int64
from netlab.api.selectors import (
    FieldMatcher,
    LabelMatcher,
    parse_field_selector,
    parse_label_selector,
)
from netlab.api.view import UNREADABLE
from netlab.apiserver.requests import ListOptions, ListResult
from netlab.apiserver.storage.writing import key_of, shown
from netlab.errors import ApiError
from netlab.store.records import Item, Key, Record
from netlab.store.store import Store

log = logging.getLogger(__name__)

PAGE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You must"
    " start a new list without the continue parameter."
)


LONGEST_SELECTOR = 64 * 1024
"""Every object is compared with every term; the names of a thousand objects fit."""

BREATH_S = 0.02
"""How long a list compares objects before it lets others go on."""


class _Meta(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    """The one part that label selectors need: parsing all of an object takes 5 times as long."""

    metadata: _Meta


_decode_labels = msgspec.json.Decoder(_Labelled).decode


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind are meant."""

    kind: Kind[Any]
    labels: LabelMatcher
    fields: FieldMatcher

    @property
    def everything(self) -> bool:
        """True when nothing is left out."""
        return self.labels.empty and self.fields.empty

    def shown(self, item: Item) -> Item:
        """Return a stored object in the form of the kind."""
        return shown(self.kind, item)

    def matches(self, item: Item) -> bool:
        """True when the object is meant; an object that cannot be read matches nothing."""
        try:
            if not self.labels.empty and not self.labels.matches(
                _decode_labels(item.json).metadata.labels or {}
            ):
                return False
            return self.fields.empty or self.fields.matches(self.kind, item.object)
        except UNREADABLE as error:
            log.warning("%s: an object cannot be read: %s", self.kind.group_resource, error)
            return False


def select(kind: Kind[Any], label_selector: str, field_selector: str) -> Selection:
    """Return the selection that the two texts describe.

    Raises: ApiError BadRequest for bad syntax or a field the kind cannot be selected by.
    """
    for text in (label_selector, field_selector):
        if len(text) > LONGEST_SELECTOR:
            raise bad_request(f"a selector may have at most {LONGEST_SELECTOR} characters")
    fields = parse_field_selector(field_selector)
    fields.check(kind)
    return Selection(kind, parse_label_selector(label_selector), fields)


def check_options(options: ListOptions) -> None:
    """Refuse combinations that Kubernetes refuses.

    Raises: ApiError Invalid or BadRequest.
    """
    errors = list(version_match_errors(options.resource_version, options.resource_version_match))
    if options.resource_version_match and options.continue_token:
        errors.append(
            forbidden_field(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            )
        )
    if options.resource_version_match == "Exact" and options.resource_version == "0":
        errors.append(
            forbidden_field(
                "resourceVersionMatch",
                'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"',
            )
        )
    if errors:
        raise invalid_options("ListOptions", errors)
    if options.continue_token and options.resource_version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")


def version_match_errors(version: str, match: str) -> Iterable[FieldError]:
    """Yield what is wrong with ``resourceVersionMatch``."""
    if not match:
        return
    if not version:
        yield forbidden_field(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )
    if match not in ("Exact", "NotOlderThan"):
        yield FieldError(
            "Unsupported value",
            "resourceVersionMatch",
            match,
            'supported values: "Exact", "NotOlderThan", ""',
        )


def invalid_options(name: str, errors: Iterable[FieldError]) -> ApiError:
    """Return the 422 answer to options that contradict each other."""
    listed = list(errors)
    text = ", ".join(str(error) for error in listed)
    return ApiError(
        422,
        "Invalid",
        f'{name}.meta.k8s.io "" is invalid: ' + (text if len(listed) == 1 else f"[{text}]"),
        {
            "group": "meta.k8s.io",
            "kind": name,
            "causes": [error.cause() for error in listed],
        },
    )


def parse_version(text: str, newest: int) -> int:
    """Return the revision that ``text`` names; "" and "0" give 0.

    Raises: ApiError BadRequest for what is no number, Timeout (504) for a revision to come.
    """
    if not text:
        return 0
    revision = int64(text)
    if revision is None:
        error = invalid_value("resourceVersion", text, "invalid syntax")
        raise bad_request(f"resourceVersion: {error.body}")
    if revision > newest:
        raise ApiError(
            504,
            "Timeout",
            f"Too large resource version: {revision}, current: {newest}",
            {
                "causes": [
                    {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
                ],
                "retryAfterSeconds": 1,
            },
        )
    return revision


class _Token(msgspec.Struct, rename={"version": "v", "revision": "rv"}):
    """What a continue token holds: start is the last key given, ``namespace/name``."""

    revision: int
    start: str
    version: str = "meta.k8s.io/v1"


def encode_token(revision: int, key: Key) -> str:
    """Return the continue token for the objects after ``key`` at a revision."""
    token = msgspec.json.encode(_Token(revision, f"{key.namespace}/{key.name}"))
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def decode_token(text: str) -> tuple[int, tuple[str, str]]:
    """Return the revision and the (namespace, name) that a continue token holds.

    Raises: ApiError BadRequest for a text that is no token.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = msgspec.json.decode(raw, type=_Token)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    namespace, _, name = token.start.partition("/")
    return token.revision, (namespace, name)


async def list_objects(
    store: Store, kind: Kind[Any], namespace: str | None, options: ListOptions
) -> ListResult:
    """Return the objects of a kind that match, or a page of them.

    Raises: ApiError for bad options, Expired when the wanted state is forgotten.
    """
    check_options(options)
    selection = select(kind, options.label_selector, options.field_selector)
    start: tuple[str, str] | None = None
    if options.continue_token:
        revision, start = decode_token(options.continue_token)
        records = await _page_records(store, kind, namespace, revision)
    else:
        revision = _wanted_revision(store, options)
        records = await _records(store, selection, namespace, revision)
    if start is not None:
        records = [entry for entry in records if entry[0][1:] > start]
    if selection.everything:
        return _page(records, selection, options.limit, revision)
    return await _selected_page(records, selection, options.limit, revision)


def _wanted_revision(store: Store, options: ListOptions) -> int:
    """An exact revision, or the newest, which is never older than what the caller has seen."""
    asked = parse_version(options.resource_version, store.revision)
    exact = options.resource_version_match == "Exact" or (
        # the old rule for paging through a state that the caller knows
        options.limit > 0 and not options.resource_version_match and asked > 0
    )
    return asked if exact else store.revision


async def _records(
    store: Store, selection: Selection, namespace: str | None, revision: int
) -> list[tuple[Key, Record]]:
    name = selection.fields.required_value("metadata.name")
    kind = selection.kind
    if name is None or (kind.namespaced and namespace is None) or revision < store.revision:
        return await store.records_at(kind.storage.group_resource, namespace, revision)
    # what kubectl asks to follow one object: no need to look at all of them
    key = key_of(kind, namespace, name)
    record = store.get(key)
    return [(key, record)] if record else []


async def _page_records(
    store: Store, kind: Kind[Any], namespace: str | None, revision: int
) -> list[tuple[Key, Record]]:
    try:
        return await store.records_at(kind.storage.group_resource, namespace, revision)
    except ApiError as error:
        raise expired(PAGE_EXPIRED) from error


def _page(
    records: list[tuple[Key, Record]], selection: Selection, limit: int, revision: int
) -> ListResult:
    chosen = records[:limit] if limit else records
    left = len(records) - len(chosen)
    items = [selection.shown(Item(record.json)) for _, record in chosen]
    more = encode_token(revision, chosen[-1][0]) if left else ""
    return ListResult(items, str(revision), more, left or None)


async def _selected_page(
    records: list[tuple[Key, Record]],
    selection: Selection,
    limit: int,
    revision: int,
) -> ListResult:
    items: list[Item] = []
    last: Key | None = None
    loop = asyncio.get_running_loop()
    breath_s = loop.time() + BREATH_S
    for key, record in records:
        if loop.time() > breath_s:
            await asyncio.sleep(0)
            breath_s = loop.time() + BREATH_S
        # looked at in an item of its own: what a selector has parsed need not be kept
        if not selection.matches(selection.shown(Item(record.json))):
            continue
        if limit and len(items) == limit and last is not None:
            # one more matches: there is another page; how long it is, nobody has counted
            return ListResult(items, str(revision), encode_token(revision, last))
        items.append(selection.shown(Item(record.json)))
        last = key
    return ListResult(items, str(revision))


def select_items(kind: Kind[Any], items: Sequence[Item], options: ListOptions) -> ListResult:
    """Return those of ``items``, which no store holds, that match; all on one page.

    Raises: ApiError for bad options.
    """
    check_options(options)
    selection = select(kind, options.label_selector, options.field_selector)
    return ListResult([item for item in items if selection.matches(item)], "")
