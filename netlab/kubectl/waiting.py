"""Waiting for objects: until one is gone, or until it fulfils a condition.

Reads the object, then watches it from the version that was read, so that nothing between the two
is missed; begins again when the server ends the watch. In Kubernetes this is ``kubectl wait``.
"""

from __future__ import annotations

import time

from netlab.errors import ApiError, HostError, NetlabError, is_expired, is_not_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netlab.kubectl.selection import Target
    from netlab.kubectl.session import Session


class WaitTimeoutError(NetlabError):
    """The object did not get there in time."""

    def __init__(self, target: Target) -> None:
        plural = target.resource.group_resource
        super().__init__(f"timed out waiting for the condition on {plural}/{target.name}")


LONGEST_WATCH_S = 300


def wait_until_gone(
    session: Session, target: Target, uid: str = "", timeout_s: float | None = None
) -> None:
    """Return when the object is gone, or another one has taken its name.

    uid: the object's; "" takes that of the first one seen.

    Raises: WaitTimeoutError.
    """

    def is_gone(obj: dict[str, Any] | None) -> bool:
        nonlocal uid
        if obj is None:
            return True
        seen = (obj.get("metadata") or {}).get("uid", "")
        uid = uid or seen
        return bool(seen) and seen != uid

    wait_for(session, target, is_gone, timeout_s)


def wait_for(
    session: Session,
    target: Target,
    is_done: Callable[[dict[str, Any] | None], bool],
    timeout_s: float | None,
) -> None:
    """Return when ``is_done`` says so of the object (None when it does not exist).

    timeout_s: None waits for ever; 0 looks once.

    Raises: WaitTimeoutError; whatever ``is_done`` raises.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        obj = _read(session, target)
        if is_done(obj):
            return
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise WaitTimeoutError(target)
        if _watch(session, target, obj, is_done, left):
            return
        # A server that ends watches at once must not make this a busy loop.
        time.sleep(0.1)


def _read(session: Session, target: Target) -> dict[str, Any] | None:
    try:
        obj: dict[str, Any] = session.client.call("GET", target.path())
    except ApiError as error:
        if is_not_found(error):
            return None
        raise
    return obj


def _watch(
    session: Session,
    target: Target,
    obj: dict[str, Any] | None,
    is_done: Callable[[dict[str, Any] | None], bool],
    left_s: float | None,
) -> bool:
    """Follow the object's changes for a while; True as soon as it is done."""
    if obj is None:
        # There is no version to watch from; a list gives one.
        found = session.client.call(
            "GET",
            target.resource.path(target.namespace),
            query={"fieldSelector": f"metadata.name={target.name}"},
        )
        if found.get("items"):
            return False
        version = found["metadata"]["resourceVersion"]
    else:
        version = obj["metadata"]["resourceVersion"]
    seconds = LONGEST_WATCH_S if left_s is None else min(LONGEST_WATCH_S, left_s)
    query = {
        "fieldSelector": f"metadata.name={target.name}",
        "resourceVersion": version,
        "timeoutSeconds": str(max(1, int(seconds + 0.999))),
    }
    client = session.new_client()
    client.limit_waits(left_s)
    try:
        for event in client.watch(target.resource.path(target.namespace), query=query):
            gone = event["type"] == "DELETED"
            if event["type"] != "BOOKMARK" and is_done(None if gone else event["object"]):
                return True
    except ApiError as error:
        if not is_expired(error):
            raise
    except (HostError, TimeoutError):
        return False
    finally:
        client.close()
    return False
