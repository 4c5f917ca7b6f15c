"""Decides on which nodes a PersistentVolume can be used.

Mirrors ``nodeAffinity.required`` of a volume, as ``component-helpers/scheduling/corev1`` matches
it: one of the terms must hold, and of a term all requirements. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from netlab.api.storage import NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume

_FIELD_NAME = "metadata.name"


def volume_fits_node(volume: PersistentVolume, name: str, labels: Mapping[str, str]) -> bool:
    """Return whether the volume can be used on the node with that name and those labels."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    return any(_holds(term, name, labels) for term in affinity.required.node_selector_terms)


def _holds(term: NodeSelectorTerm, name: str, labels: Mapping[str, str]) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False  # an empty term selects nothing
    return all(_meets(r, labels.get(r.key)) for r in term.match_expressions) and all(
        _meets(r, name if r.key == _FIELD_NAME else None) for r in term.match_fields
    )


def _meets(requirement: NodeSelectorRequirement, value: str | None) -> bool:
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(requirement, value)
        case _:
            return False


def _compares(requirement: NodeSelectorRequirement, value: str | None) -> bool:
    try:
        number, bound = int(value or ""), int(requirement.values[0])
    except (ValueError, IndexError):
        return False
    return number > bound if requirement.operator == "Gt" else number < bound
