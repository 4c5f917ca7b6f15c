"""Reviews: questions about identity and rights, which are answered and never stored.

Mirrors ``pkg/registry/authentication`` and ``pkg/registry/authorization``.
"""

from __future__ import annotations

from netlab.api.kind import Kind
from netlab.api.meta import AnyObject


def _review(group: str, kind: str, *, namespaced: bool = False) -> Kind[AnyObject]:
    return Kind(
        group,
        "v1",
        kind,
        f"{kind.lower()}s",
        AnyObject,
        namespaced=namespaced,
        verbs=("create",),
        stored=False,
    )


KINDS = (
    _review("authentication.k8s.io", "SelfSubjectReview"),
    _review("authentication.k8s.io", "TokenReview"),
    _review("authorization.k8s.io", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "SelfSubjectRulesReview"),
    _review("authorization.k8s.io", "SubjectAccessReview"),
    _review("authorization.k8s.io", "LocalSubjectAccessReview", namespaced=True),
)
