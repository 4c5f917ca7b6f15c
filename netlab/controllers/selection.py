"""Which objects belong together: owners and orphans, Services and the pods they select.

Index functions for the caches, so that no controller walks through all objects for each change.
Mirrors ``ControllerRefManager`` and ``GetPodServiceMemberships`` of kube-controller-manager. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from netlab.api.core import Service
from netlab.api.meta import AnyObject
from netlab.api.pods import Pod
from netlab.api.selectors import LabelMatcher
from netlab.controllers.actions import controller_of

OWNER_INDEX = "owner"
CONTROLLER_INDEX = "controller"
ORPHAN_INDEX = "orphans"
LABEL_INDEX = "labels"
SELECTOR_INDEX = "selector"
UID_INDEX = "uid"
NAMESPACE_INDEX = "namespace"
NODE_INDEX = "node"


def by_owner(obj: AnyObject) -> Iterator[str]:
    """Index by the uid of each owner."""
    return (owner.uid for owner in obj.metadata.owner_references)


def by_uid(obj: AnyObject) -> tuple[str]:
    """Index by the object's own uid."""
    return (obj.metadata.uid,)


def by_namespace(obj: AnyObject) -> tuple[str]:
    """Index by namespace."""
    return (obj.metadata.namespace,)


def by_controller(obj: AnyObject) -> tuple[str, ...]:
    """Index by the uid of the controlling owner."""
    owner = controller_of(obj)
    return () if owner is None else (owner.uid,)


def by_orphanage(obj: AnyObject) -> tuple[str, ...]:
    """Index objects that nothing controls by their namespace."""
    return (obj.metadata.namespace,) if controller_of(obj) is None else ()


def by_labels(pod: AnyObject) -> Iterator[str]:
    """Index by each ``namespace/key=value``."""
    meta = pod.metadata
    return (f"{meta.namespace}/{key}={value}" for key, value in meta.labels.items())


def by_node(pod: Pod) -> tuple[str, ...]:
    """Index pods by the node they are bound to."""
    return (pod.spec.node_name,) if pod.spec.node_name else ()


def by_selector(service: Service) -> tuple[str, ...]:
    """Index Services by the first pair of their selector, which each selected pod carries."""
    if not service.spec.selector:
        return ()
    key, value = min(service.spec.selector.items())
    return (f"{service.metadata.namespace}/{key}={value}",)


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether labels hold every pair of the (non-empty) selector."""
    return bool(selector) and selector.items() <= labels.items()


def selected_pods(service: Service, by_label: Callable[[str], Iterable[Pod]]) -> list[Pod]:
    """Return the pods a Service selects, in order of name; by_label looks up LABEL_INDEX."""
    pods = [
        pod
        for value in by_selector(service)
        for pod in by_label(value)
        if selects(service.spec.selector, pod.metadata.labels)
    ]
    return sorted(pods, key=lambda pod: pod.metadata.name)


def services_of(
    pods: Iterable[Pod | None], by_first_pair: Callable[[str], Iterable[Service]]
) -> set[tuple[str, str]]:
    """Return the keys of the Services that select any of the pods."""
    return {
        (service.metadata.namespace, service.metadata.name)
        for pod in pods
        if pod is not None
        for value in by_labels(pod)
        for service in by_first_pair(value)
        if selects(service.spec.selector, pod.metadata.labels)
    }


def claims(obj: AnyObject, owner: AnyObject, matcher: LabelMatcher) -> bool:
    """Return whether ``owner`` may take the orphan ``obj`` as its own."""
    return (
        controller_of(obj) is None
        and obj.metadata.deletion_timestamp is None
        and owner.metadata.deletion_timestamp is None
        and matcher.matches(obj.metadata.labels)
    )
