"""Labels and selectors as text, and what is read from well-known labels.

Stands apart from ``tables`` so that the command line can use it without loading the tables' kinds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NONE = "<none>"

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def format_labels(labels: Mapping[str, str] | None) -> str:
    """Return ``a=b,c=d`` in order of the keys, or ``<none>``."""
    if not labels:
        return NONE
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def format_label_selector(selector: Mapping[str, Any] | None) -> str:
    """Return a LabelSelector in kubectl's selector syntax, or ``<none>``."""
    if not selector:
        return NONE
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        parts.append((expression["key"], _format_expression(expression)))
    return ",".join(text for _, text in sorted(parts, key=lambda pair: pair[0])) or NONE


def _format_expression(expression: Mapping[str, Any]) -> str:
    key = expression["key"]
    values = ",".join(sorted(expression.get("values") or ()))
    match expression.get("operator"):
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
    return "<invalid>"


def node_roles(labels: Mapping[str, str] | None) -> list[str]:
    """Return the roles that a node's labels give it, sorted."""
    roles = {
        key.removeprefix(ROLE_PREFIX) for key in labels or {} if key.startswith(ROLE_PREFIX)
    } | {(labels or {}).get(ROLE_LABEL, "")}
    return sorted(roles - {""})
