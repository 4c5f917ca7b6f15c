"""Lets pods stay a while on a node that has stopped answering.

Mirrors the admission plugin DefaultTolerationSeconds.
"""

from __future__ import annotations

from typing import Any

from netlab.apiserver.admission.attributes import Attributes

TOLERATION_SECONDS = 300
_DEFAULT_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def default_toleration_seconds(attributes: Attributes) -> None:
    """Let a new pod stay five minutes on a node that has stopped answering."""
    spec = attributes.object["spec"]
    tolerations = list(spec.get("tolerations") or ())
    for taint in _DEFAULT_TOLERATED:
        if not any(_tolerates(each, taint) for each in tolerations):
            tolerations.append(
                {
                    "key": taint,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": TOLERATION_SECONDS,
                }
            )
    spec["tolerations"] = tolerations


def _tolerates(toleration: dict[str, Any], taint: str) -> bool:
    return (toleration.get("key") or taint) == taint and (
        (toleration.get("effect") or "NoExecute") == "NoExecute"
    )
