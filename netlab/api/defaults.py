"""Fills in what the user left out, so that every reader finds complete objects.

Mirrors ``pkg/apis/*/v1/defaults.go`` of Kubernetes v1.36 and the parts that Go's types always write
(``resources: {}``, ``status: {}``); each kind's descriptor says which those are. Runs after
``schemas.check_fields`` and before validation.

What depends on other objects or on the cluster (service accounts, cluster addresses, node ports,
tolerations, priorities) is admission's and the registry's work, not done here.
"""

from __future__ import annotations

from typing import Any

from netlab.api.kind import Kind
from netlab.api.view import Object


def apply_defaults(kind: Kind[Any], obj: Object) -> Object:
    """Return a new object with all defaults of its kind; ``obj`` is not changed.

    obj: as ``check_fields`` returns it (right types, no nulls). Applying twice changes nothing.
    """
    new = dict(obj)
    new["kind"], new["apiVersion"] = kind.kind, kind.api_version
    new.setdefault("metadata", {})
    kind.defaults(new)
    return new
