"""What every write passes before and after it is validated: ordered lists of rules.

Mirrors the admission plugins that kube-apiserver v1.36 has on by default, those that concern the
kinds netlab serves, in its order; each stands in a module of its own. A rule either completes the
object in place or raises ApiError. Pure but for what ``Attributes`` looks up. ResourceQuota, which
must be the very last to judge, is in ``storage.quota``.

netlab leaves out PodSecurity and webhooks. Allocation of service addresses is in
``storage.services``: Kubernetes does it after validation.
"""

from __future__ import annotations

from netlab.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from netlab.api.kinds.priorityclass import PRIORITY_CLASS
from netlab.apiserver.admission.attributes import Attributes, Plugin
from netlab.apiserver.admission.limit_ranges import check_bounds, set_default_amounts
from netlab.apiserver.admission.namespace_lifecycle import namespace_lifecycle
from netlab.apiserver.admission.priority import one_default, resolve_priority
from netlab.apiserver.admission.runtime_class import apply_runtime_class, check_overhead
from netlab.apiserver.admission.service_account import service_account
from netlab.apiserver.admission.storage import (
    claim_expansion,
    default_storage_class,
    storage_protection,
)
from netlab.apiserver.admission.tolerations import default_toleration_seconds

__all__ = ["PLUGINS", "REVIEWERS", "Attributes", "admit", "review"]

PLUGINS: tuple[Plugin, ...] = (
    Plugin(namespace_lifecycle, operations=("CREATE", "DELETE")),
    Plugin(service_account, (POD,)),
    Plugin(set_default_amounts, (POD,)),
    Plugin(resolve_priority, (POD,)),
    Plugin(one_default, (PRIORITY_CLASS,), ("CREATE", "UPDATE")),
    Plugin(default_toleration_seconds, (POD,)),
    Plugin(default_storage_class, (PERSISTENT_VOLUME_CLAIM,)),
    Plugin(storage_protection, (PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM)),
    Plugin(apply_runtime_class, (POD,)),
)
REVIEWERS: tuple[Plugin, ...] = (
    Plugin(check_bounds, (POD, PERSISTENT_VOLUME_CLAIM), ("CREATE", "UPDATE")),
    Plugin(claim_expansion, (PERSISTENT_VOLUME_CLAIM,), ("UPDATE",)),
    Plugin(check_overhead, (POD,)),
)


def admit(attributes: Attributes) -> None:
    """Run the rules that come before validation, in order.

    Raises: ApiError from the first that refuses.
    """
    for plugin in PLUGINS:
        if plugin.concerns(attributes):
            plugin.run(attributes)


def review(attributes: Attributes) -> None:
    """Run the rules that judge the finished, valid object.

    Raises: ApiError from the first that refuses.
    """
    for plugin in REVIEWERS:
        if plugin.concerns(attributes):
            plugin.run(attributes)
