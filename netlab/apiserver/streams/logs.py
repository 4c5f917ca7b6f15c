"""Which container a log or exec request means, and what part of the log is wanted.

Mirrors ``pkg/registry/core/pod`` ``LogLocation`` and ``ResourceLocation``: the errors a caller
sees before any node is asked. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from netlab.api.field_errors import bad_request
from netlab.api.streams import LogOptions
from netlab.apiserver.http.parameters import integer, truth
from netlab.errors import ApiError

STREAMS = ("All", "Stdout", "Stderr")


def choose_container(pod: Mapping[str, Any], wanted: str) -> str:
    """Return the container that ``wanted`` names, or the only one when it is "".

    Raises: ApiError BadRequest (400) when the choice is not clear, or there is no such container.
    """
    spec = pod.get("spec", {})
    name = pod["metadata"]["name"]
    containers = _names(spec, "containers")
    init = _names(spec, "initContainers")
    everywhere = [*containers, *init, *_names(spec, "ephemeralContainers")]
    if wanted:
        if wanted not in everywhere:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(containers) == 1:
        return containers[0]
    message = f"a container name must be specified for pod {name}"
    if containers:
        message += f", choose one of: [{' '.join(containers)}]"
    if init:
        message += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(message)


def _names(spec: Mapping[str, Any], field: str) -> list[str]:
    return [container["name"] for container in spec.get(field) or []]


def parse_log_options(query: Mapping[str, str], pod_name: str, now: datetime) -> LogOptions:
    """Return what ``?follow=…&tailLines=…`` asks for; sinceSeconds counts back from ``now``.

    Raises: ApiError BadRequest (400) for text that is no number, Invalid (422) for a bad one.
    """
    since_s = integer(query, "sinceSeconds")
    since_time = query.get("sinceTime", "")
    tail, limit = integer(query, "tailLines"), integer(query, "limitBytes")
    problems = []
    if tail is not None and tail < 0:
        problems.append(("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        problems.append(("limitBytes", limit, "must be greater than 0"))
    if since_s is not None and since_s < 1:
        problems.append(("sinceSeconds", since_s, "must be greater than 0"))
    if since_s is not None and since_time:
        raise _invalid(
            pod_name, "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        )
    stream = query.get("stream") or "All"
    texts = [f"{field}: Invalid value: {value}: {why}" for field, value, why in problems]
    if stream not in STREAMS:
        texts.append(
            f'stream: Unsupported value: "{stream}": supported values: "All", "Stderr", "Stdout"'
        )
    elif stream != "All" and tail is not None:
        texts.append("Forbidden: `tailLines` and specific `stream` are mutually exclusive for now")
    if texts:
        raise _invalid(pod_name, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    since = _since(now, since_s) if since_s is not None else _time(since_time)
    return LogOptions(
        follow=truth(query.get("follow")),
        previous=truth(query.get("previous")),
        timestamps=truth(query.get("timestamps")),
        tail_lines=tail,
        limit_bytes=limit,
        since=since,
        stream=stream,
    )


def _since(now: datetime, since_s: int) -> datetime | None:
    try:
        return now - timedelta(seconds=since_s)
    except OverflowError:
        return None  # before there were years: everything that was written


def _invalid(pod_name: str, problem: str) -> ApiError:
    details = {"name": pod_name, "kind": "PodLogOptions"}
    return ApiError(422, "Invalid", f'PodLogOptions "{pod_name}" is invalid: {problem}', details)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_request(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00"') from error
    if moment.tzinfo is None:
        raise bad_request(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": no time zone')
    return moment
