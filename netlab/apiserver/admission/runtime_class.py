"""Writes what a RuntimeClass costs and asks for into the pods that name it.

Mirrors the admission plugin RuntimeClass.
"""

from __future__ import annotations

from typing import Any

from netlab.api.field_errors import forbidden
from netlab.api.kinds import POD
from netlab.api.kinds.runtimeclass import RUNTIME_CLASS
from netlab.api.pod_resources import parse_amounts
from netlab.api.view import Object
from netlab.apiserver.admission.attributes import Attributes
from netlab.errors import ApiError


def apply_runtime_class(attributes: Attributes) -> None:
    """Complete a new pod from its RuntimeClass.

    Raises: ApiError Forbidden when there is none of that name, or the two contradict each other.
    """
    spec = attributes.object["spec"]
    found = _class_of(attributes)
    if found is None:
        return
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead:
        _check_overhead(attributes, overhead)
        spec["overhead"] = dict(overhead)
    scheduling = found.get("scheduling") or {}
    _merge_node_selector(attributes, spec, scheduling.get("nodeSelector") or {})
    given = list(spec.get("tolerations") or ())
    added = [each for each in scheduling.get("tolerations") or () if each not in given]
    if added:
        spec["tolerations"] = [*given, *added]


def check_overhead(attributes: Attributes) -> None:
    """Refuse a new pod with an overhead that no RuntimeClass gives it.

    Raises: ApiError Forbidden.
    """
    if not attributes.object["spec"].get("overhead"):
        return
    found = _class_of(attributes)
    overhead = ((found or {}).get("overhead") or {}).get("podFixed")
    if not overhead:
        detail = "Pod Overhead set without corresponding RuntimeClass defined Overhead"
        raise _rejected(attributes, detail)
    _check_overhead(attributes, overhead)


def _class_of(attributes: Attributes) -> Object | None:
    name = attributes.object["spec"].get("runtimeClassName")
    if name is None:
        return None
    found = attributes.lookup(RUNTIME_CLASS, "", name)
    if found is None:
        raise _rejected(attributes, f'RuntimeClass "{name}" not found')
    return found


def _check_overhead(attributes: Attributes, overhead: dict[str, str]) -> None:
    given = attributes.object["spec"].get("overhead") or {}
    if given and parse_amounts(given) != parse_amounts(overhead):
        detail = "Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        raise _rejected(attributes, detail)


def _merge_node_selector(
    attributes: Attributes, spec: dict[str, Any], wanted: dict[str, str]
) -> None:
    own = spec.get("nodeSelector") or {}
    for key, value in wanted.items():
        if own.get(key, value) != value:
            raise forbidden(
                POD,
                attributes.name,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value};"
                f" pod.spec.nodeSelector[{key}] = {own[key]}",
            )
    if wanted:
        spec["nodeSelector"] = {**own, **wanted}


def _rejected(attributes: Attributes, detail: str) -> ApiError:
    return forbidden(POD, attributes.name, f"pod rejected: {detail}")
