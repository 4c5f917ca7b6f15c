"""Which changes concern the controller of aggregated ClusterRoles (see ``clusterroles``)."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.api.kinds.rbac import CLUSTER_ROLE
from netlab.api.rbac import ClusterRole
from netlab.controllers.actions import Decision
from netlab.controllers.caches import Caches
from netlab.controllers.clusterroles import decide_cluster_role
from netlab.controllers.loop import Reconciler, Source


def cluster_roles(caches: Caches) -> Reconciler[str]:
    """Return the controller; keys are names of ClusterRoles."""
    roles = caches.of(CLUSTER_ROLE)

    def concerned(old: ClusterRole | None, new: ClusterRole | None) -> Iterator[str]:
        """Any role may gather the rules of any other: there are few that gather."""
        del old, new
        for role in roles.list():
            if role.aggregation_rule is not None:
                yield role.metadata.name

    def decide(name: str) -> Decision:
        return decide_cluster_role(roles.get("", name), roles.list())

    sources = [Source(roles, concerned)]
    return Reconciler("clusterrole-aggregation-controller", sources, decide, workers=1)
