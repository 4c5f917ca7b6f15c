"""Which objects the words of a command mean: ``pods x y``, ``rs/x svc/y``, ``pods,svc``, ``-f``.

Mirrors the argument rules of cli-runtime's resource builder.
"""

from __future__ import annotations

from netlab.errors import ApiError, NetlabError, UsageError
from netlab.kubectl.manifests import Document, json_kind, read_manifests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.resources import Resource
    from netlab.kubectl.session import Session

PAGE_SIZE = 500
"""How many objects one list request asks for, as kubectl's ``--chunk-size``."""


class Target:
    """One object, or with an empty name all objects of a resource that match the selectors."""

    __slots__ = ("name", "namespace", "obj", "resource", "source")

    def __init__(
        self,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        *,
        obj: dict[str, Any] | None = None,
        source: str = "",
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.obj = obj
        self.source = source

    def path(self, subresource: str = "") -> str:
        """Return the URL path of the object or collection."""
        return self.resource.path(self.namespace, self.name, subresource)


def targets_of_words(
    session: Session, words: Sequence[str], *, verb: str, all_namespaces: bool = False
) -> list[Target]:
    """Return the targets that ``TYPE[,TYPE] [NAME…]`` or ``TYPE/NAME…`` name.

    Raises: UsageError for unknown types and mixtures of the two forms.
    """
    if not words:
        return []
    if any("/" in word for word in words):
        if not all("/" in word for word in words):
            program = session.program
            raise UsageError(
                "there is no need to specify a resource type as a separate argument when passing "
                f"arguments in resource/name form (e.g. '{program} {verb} resource/<resource_name>'"
                f" instead of '{program} {verb} resource resource/<resource_name>'"
            )
        return [_slash_target(session, word, all_namespaces) for word in words]
    resources = [
        resource for part in words[0].split(",") for resource in _resources_of(session, part)
    ]
    names = list(words[1:]) or [""]
    return [
        Target(resource, _namespace(session, resource, all_namespaces), name)
        for resource in _unique(resources)
        for name in names
    ]


def _unique(resources: Sequence[Resource]) -> list[Resource]:
    return list({resource.group_resource: resource for resource in resources}.values())


def _resources_of(session: Session, word: str) -> list[Resource]:
    if word == "all":
        found = session.resources.in_category("all")
        if found:
            return found
    try:
        return [session.resources.find(word)]
    except UsageError:
        in_category = session.resources.in_category(word.lower())
        if in_category:
            return in_category
        raise


def _slash_target(session: Session, word: str, all_namespaces: bool) -> Target:
    kind, _, name = word.partition("/")
    if not kind or not name or "/" in name:
        raise UsageError(
            "arguments in resource/name form may not have more than one slash"
            if "/" in name
            else "arguments in resource/name form must have a single resource and name"
        )
    resource = session.resources.find(kind)
    return Target(resource, _namespace(session, resource, all_namespaces), name)


def _namespace(session: Session, resource: Resource, all_namespaces: bool) -> str | None:
    if not resource.namespaced or all_namespaces:
        return None
    return session.namespace


def targets_of_files(session: Session, parsed: Parsed) -> Iterator[Target | NetlabError]:
    """Yield a target with its object for each document of ``-f``, or the error it has."""
    for document in read_manifests(session, parsed):
        if isinstance(document, NetlabError):
            yield document
            continue
        try:
            yield target_of_document(session, document)
        except ApiError:
            raise
        except UsageError as error:
            yield error


def target_of_document(session: Session, document: Document) -> Target:
    """Return the target of one manifest.

    Raises: UsageError when kind or version are missing, unknown to the server, or the namespace
    differs from ``-n``.
    """
    obj, source = document.obj, document.source
    api_version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    missing = [name for name, value in (("apiVersion", api_version), ("kind", kind)) if not value]
    if missing:
        unset = ", ".join(f"{name} not set" for name in missing)
        unset = f"[{unset}]" if len(missing) > 1 else unset
        raise UsageError(
            f'error validating "{source}": error validating data: {unset}; if you choose to '
            "ignore these errors, turn validation off with --validate=false"
        )
    metadata = obj.get("metadata") if isinstance(obj.get("metadata"), dict) else {}
    _check_texts(metadata or {}, source)
    name = (metadata or {}).get("name") or ""
    namespace = (metadata or {}).get("namespace") or ""
    resource = session.resources.for_kind(api_version, kind)
    if resource is None:
        raise UsageError(
            f'resource mapping not found for name: "{name}" namespace: "{namespace}" from '
            f'"{source}": no matches for kind "{kind}" in version "{api_version}"\n'
            "ensure CRDs are installed first"
        )
    if not resource.namespaced:
        return Target(resource, None, name, obj=obj, source=source)
    access = session.access
    if access.namespace_is_set and namespace and namespace != access.namespace:
        raise UsageError(
            f'the namespace from the provided object "{namespace}" does not match the namespace '
            f"\"{access.namespace}\". You must pass '--namespace={namespace}' to perform this "
            "operation."
        )
    return Target(resource, namespace or access.namespace, name, obj=obj, source=source)


def _check_texts(metadata: dict[str, Any], source: str) -> None:
    """Refuse names, labels and annotations that are no texts, such as an unquoted ``yes``."""
    for field in ("name", "namespace", "labels", "annotations"):
        value = metadata.get(field)
        values = value.values() if isinstance(value, dict) else (value,)
        for each in values:
            if each is not None and not isinstance(each, str):
                raise UsageError(
                    f'unable to decode "{source}": json: cannot unmarshal {json_kind(each)} into '
                    f"Go struct field ObjectMeta.metadata.{field} of type string"
                )


def fetch(session: Session, target: Target) -> dict[str, Any]:
    """Return the object a target names.

    Raises: ApiError NotFound when there is none.
    """
    obj: dict[str, Any] = session.client.call("GET", target.path())
    return obj


def fetch_all(
    session: Session, target: Target, *, label_selector: str = "", field_selector: str = ""
) -> list[dict[str, Any]]:
    """Return the object of a named target, or all objects of its resource, page by page."""
    if target.name:
        return [fetch(session, target)]
    items: list[dict[str, Any]] = []
    query = selector_query(label_selector, field_selector)
    while True:
        page = list_page(session, target, {**query, "limit": str(PAGE_SIZE)})
        kind, api_version = page.get("kind", ""), page.get("apiVersion", "")
        for item in page.get("items") or ():
            item.setdefault("apiVersion", api_version)
            item.setdefault("kind", kind.removesuffix("List"))
            items.append(item)
        token = (page.get("metadata") or {}).get("continue")
        if not token:
            return items
        query["continue"] = token


def list_page(
    session: Session, target: Target, query: dict[str, str], accept: str = "application/json"
) -> dict[str, Any]:
    """Return what the server answers to a list request.

    Raises: ApiError; for a bad request its message says what was looked for, as kubectl's does.
    """
    try:
        page: dict[str, Any] = session.client.call("GET", target.path(), query=query, accept=accept)
    except ApiError as error:
        if error.reason in ("BadRequest", "NotFound"):
            group, _, version = target.resource.api_version.rpartition("/")
            what = f'"{group}/{version}, Resource={target.resource.plural}"'
            labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
            error.message = (
                f'Unable to find {what} that match label selector "{labels}", field selector '
                f'"{fields}": {error.message}'
                if labels or fields
                else f"Unable to list {what}: {error.message}"
            )
        raise
    return page


def selector_query(label_selector: str = "", field_selector: str = "") -> dict[str, str]:
    """Return the query parameters of the selectors that are given."""
    query = {}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    return query


def named_target(target: Target, obj: dict[str, Any]) -> Target:
    """Return the target of one object that ``target`` selected."""
    metadata = obj.get("metadata") or {}
    namespace = metadata.get("namespace") if target.resource.namespaced else None
    return Target(target.resource, namespace, metadata.get("name", ""), obj=obj)
