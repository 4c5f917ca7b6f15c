"""ServiceAccount: the identity that pods have towards the API server."""

from __future__ import annotations

from datetime import datetime

from netlab.api.core import ServiceAccount
from netlab.api.kind import Kind, Subresource, TypeName
from netlab.api.printing import AGE, NAME, Cells, Printer, age_of, name_of
from netlab.api.view import Object


def _cells(account: Object, now: datetime) -> Cells:
    return [name_of(account), age_of(account, now)]


SERVICE_ACCOUNT = Kind(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    ServiceAccount,
    short_names=("sa",),
    subresources=(
        Subresource("token", ("create",), TypeName("authentication.k8s.io", "v1", "TokenRequest")),
    ),
    returns_deleted=True,
    printer=Printer((NAME, AGE), _cells),
)
KINDS = (SERVICE_ACCOUNT,)
