"""Lease: a heartbeat, of nodes and of those who take turns.

Mirrors ``pkg/registry/coordination/lease`` and ``ValidateLeaseSpec``.
"""

from __future__ import annotations

from datetime import datetime

from netlab.api.discovery import Lease
from netlab.api.field_errors import FieldError, invalid_value
from netlab.api.kind import Kind
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of, part
from netlab.api.view import Object


def _defaults(new: Object) -> None:
    new.setdefault("spec", {})


def _validate(lease: Object) -> list[FieldError]:
    spec = lease.get("spec") or {}
    errors = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        errors.append(
            invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0")
        )
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        detail = "must be greater than or equal to 0"
        errors.append(invalid_value("spec.leaseTransitions", transitions, detail))
    return errors


def _cells(lease: Object, now: datetime) -> Cells:
    return [name_of(lease), part(lease, "spec").get("holderIdentity") or "", age_of(lease, now)]


LEASE = Kind(
    "coordination.k8s.io",
    "v1",
    "Lease",
    "leases",
    Lease,
    defaults=_defaults,
    validate=_validate,
    create_on_update=True,
    unconditional_update=False,
    printer=Printer((NAME, Column("Holder", description="Who holds the lease."), AGE), _cells),
    record=True,
)
KINDS = (LEASE,)
