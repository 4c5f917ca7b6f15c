"""What a describer may ask the cluster for, and the events of an object."""

from __future__ import annotations

from netlab.api.durations import age
from netlab.errors import ApiError, UsageError
from netlab.kubectl.selection import selector_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any, TypeAlias

    from netlab.kubectl.describe.lines import Lines
    from netlab.kubectl.session import Session

    Objects: TypeAlias = list[dict[str, Any]]


class Context:
    """One run of ``describe``. now: ages are relative to it."""

    __slots__ = ("now", "session", "show_events")

    def __init__(self, session: Session, *, show_events: bool, now: datetime) -> None:
        self.session = session
        self.show_events = show_events
        self.now = now

    def list(
        self, word: str, namespace: str | None, *, labels: str = "", fields: str = ""
    ) -> Objects:
        """Return the objects of a resource; none when they may not be listed."""
        return self.try_list(word, namespace, labels=labels, fields=fields) or []

    def try_list(
        self, word: str, namespace: str | None, *, labels: str = "", fields: str = ""
    ) -> Objects | None:
        """Return the objects of a resource; None when the server has it not, or refuses."""
        try:
            resource = self.session.resources.find(word)
            found = self.session.client.call(
                "GET", resource.path(namespace), query=selector_query(labels, fields)
            )
        except (ApiError, UsageError):
            return None
        return list(found.get("items") or ())

    def get(self, word: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        """Return an object, or None when it cannot be read."""
        resource = self.session.resources.find(word)
        try:
            found: dict[str, Any] = self.session.client.call("GET", resource.path(namespace, name))
        except ApiError:
            return None
        return found

    def add_events(
        self,
        lines: Lines,
        obj: Mapping[str, Any],
        kind: str = "",
        *,
        uids: Sequence[str] = (),
    ) -> None:
        """Add the events about an object, if they are wanted. uids: instead of the object's own."""
        if not self.show_events:
            return
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        terms = [f"involvedObject.name={metadata['name']}"]
        if namespace:
            terms.append(f"involvedObject.namespace={namespace}")
        if kind:
            terms.append(f"involvedObject.kind={kind}")
        events: Objects = []
        for uid in uids or (metadata.get("uid", ""),):
            fields = ",".join([*terms, f"involvedObject.uid={uid}"])
            events += self.list("events", namespace or None, fields=fields)
        add_events(lines, events, self.now)


def add_events(lines: Lines, events: list[dict[str, Any]], now: datetime) -> None:
    """Add a table of events, the oldest first."""
    if not events:
        lines.add("Events:\t<none>")
        return
    lines.add("Events:")
    lines.add("Type\tReason\tAge\tFrom\tMessage", 1)
    lines.add("----\t------\t----\t----\t-------", 1)
    for event in sorted(events, key=lambda event: event.get("lastTimestamp") or ""):
        cells = (
            event.get("type", ""),
            event.get("reason", ""),
            _interval(event, now),
            (event.get("source") or {}).get("component") or event.get("reportingComponent", ""),
            event.get("message", "").strip(),
        )
        lines.add("\t".join(cells), 1)


def _interval(event: Mapping[str, Any], now: datetime) -> str:
    first = age(event.get("eventTime") or event.get("firstTimestamp"), now)
    series = event.get("series")
    if series:
        last = age(series.get("lastObservedTime"), now)
        return f"{last} (x{series.get('count', 0)} over {first})"
    if (event.get("count") or 0) > 1:
        return f"{age(event.get('lastTimestamp'), now)} (x{event['count']} over {first})"
    return first
