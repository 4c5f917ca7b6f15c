"""Gives containers the amounts a LimitRange foresees, and refuses what is outside its bounds.

Mirrors the admission plugin LimitRanger: defaults are filled in before an object is validated, the
bounds are checked afterwards. Pure but for the lookup of the namespace's LimitRanges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netlab.api.field_errors import aggregate, forbidden
from netlab.api.kinds import LIMIT_RANGE, PERSISTENT_VOLUME_CLAIM, POD
from netlab.api.pod_resources import Amounts, parse_amounts, pod_limits, pod_requests
from netlab.api.pods import PodSpec
from netlab.api.quota import LimitRange, LimitRangeItem
from netlab.apiserver.admission.attributes import Attributes

ANNOTATION = "kubernetes.io/limit-ranger"


def set_default_amounts(attributes: Attributes) -> None:
    """Complete the requests and limits of a new pod's containers."""
    pod = attributes.object
    for limit_range in _limit_ranges(attributes):
        limits: dict[str, str] = {}
        requests: dict[str, str] = {}
        for item in limit_range.spec.limits:
            if item.type == "Container":
                limits |= item.default
                requests |= item.default_request
        told = [text for text in _fill(pod["spec"], requests, limits) if text]
        if told:
            metadata = pod["metadata"]
            text = f"LimitRanger plugin set: {'; '.join(told)}"
            metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION: text}


def _limit_ranges(attributes: Attributes) -> list[LimitRange]:
    found = attributes.all_of(LIMIT_RANGE, attributes.namespace)
    return sorted(LimitRange.parse_readable(found), key=lambda each: each.metadata.name)


def _fill(
    spec: dict[str, Any], requests: Mapping[str, str], limits: Mapping[str, str]
) -> Iterator[str]:
    """Fill in what is missing; yield what was, as the annotation says it."""
    for field, sort in (("containers", ""), ("initContainers", "init ")):
        for container in spec.get(field) or ():
            resources = dict(container.get("resources") or {})
            for part, amounts in (("requests", requests), ("limits", limits)):
                given = resources.get(part) or {}
                added = {name: amounts[name] for name in sorted(amounts) if name not in given}
                if added:
                    resources[part] = {**given, **added}
                    name, word = container.get("name", ""), part.removesuffix("s")
                    yield f"{', '.join(added)} {word} for {sort}container {name}"
            container["resources"] = resources


def check_bounds(attributes: Attributes) -> None:
    """Refuse a new pod, a resized one or a claim that asks for too much or too little.

    Raises: ApiError Forbidden.
    """
    kind = attributes.kind
    if kind is POD and attributes.operation != "CREATE" and attributes.subresource != "resize":
        return
    spec = attributes.object.get("spec") or {}
    for limit_range in _limit_ranges(attributes):
        problems = [
            problem
            for item in limit_range.spec.limits
            for problem in (
                _pod_problems(item, spec) if kind is POD else _claim_problems(item, spec)
            )
        ]
        if problems:
            raise forbidden(kind, attributes.name, aggregate(problems))


def _pod_problems(item: LimitRangeItem, spec: dict[str, Any]) -> Iterator[str]:
    view = PodSpec.parse(spec)
    if item.type == "Container":
        for container in (*view.containers, *view.init_containers):
            requests = parse_amounts(container.resources.requests)
            limits = parse_amounts(container.resources.limits)
            yield from _problems(item, requests, limits)
    elif item.type == "Pod":
        yield from _problems(item, pod_requests(view), pod_limits(view))


def _problems(item: LimitRangeItem, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in _amounts(item.min):
        subject = f"minimum {name} usage per {item.type} is {least}"
        if name not in requests:
            yield f"{subject}.  No request is specified"
        elif requests[name].value < least.value:
            yield f"{subject}, but request is {requests[name]}"
        elif name in limits and limits[name].value < least.value:
            yield f"{subject}, but limit is {limits[name]}"
    for name, most in _amounts(item.max):
        subject = f"maximum {name} usage per {item.type} is {most}"
        if name not in limits:
            yield f"{subject}.  No limit is specified"
        elif limits[name].value > most.value:
            yield f"{subject}, but limit is {limits[name]}"
        elif name in requests and requests[name].value > most.value:
            yield f"{subject}, but request is {requests[name]}"
    yield from _ratio_problems(item, requests, limits)


def _ratio_problems(item: LimitRangeItem, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in _amounts(item.max_limit_request_ratio):
        subject = f"{name} max limit to request ratio per {item.type} is {bound}"
        if name not in requests or not requests[name].value:
            yield f"{subject}, but no request is specified or request is 0"
        elif name not in limits or not limits[name].value:
            yield f"{subject}, but no limit is specified or limit is 0"
        elif (ratio := limits[name].value / requests[name].value) > bound.value:
            yield f"{subject}, but provided ratio is {ratio:.6f}"


def _claim_problems(item: LimitRangeItem, spec: dict[str, Any]) -> Iterator[str]:
    if item.type != PERSISTENT_VOLUME_CLAIM.kind:
        return
    requests = parse_amounts((spec.get("resources") or {}).get("requests") or {})
    for word, bounds in (("minimum", item.min), ("maximum", item.max)):
        for name, bound in _amounts(bounds):
            subject = f"{word} {name} usage per {item.type} is {bound}"
            if name not in requests:
                yield f"{subject}.  No request is specified"
                continue
            wanted = requests[name]
            if (wanted.value < bound.value) if word == "minimum" else (wanted.value > bound.value):
                yield f"{subject}, but request is {wanted}"


def _amounts(written: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    return sorted(parse_amounts(written).items())
