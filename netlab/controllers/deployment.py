"""Decides how a Deployment changes its pods over to a new template, by way of ReplicaSets.

Mirrors kube-controller-manager's ``pkg/controller/deployment``: one ReplicaSet per template, the
present one grown and the former ones shrunk within the strategy's bounds; former ones are kept
empty, as revisions to go back to, up to ``revisionHistoryLimit``.

``decide_deployment`` takes one step per pass; each write comes back through the watch and asks
for the next. Sizes are written with the version they were computed from, so a step computed from
an outdated ReplicaSet is refused and computed anew. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from netlab.api.apps import Deployment, ReplicaSet
from netlab.api.kinds import DEPLOYMENT, REPLICA_SET
from netlab.api.names import int64
from netlab.api.pods import Pod
from netlab.api.selectors import label_matcher
from netlab.api.view import Object
from netlab.controllers.actions import (
    Action,
    Create,
    Decision,
    Delete,
    Note,
    Outcome,
    Patch,
    adoption,
    controller_of,
    without_owners,
)
from netlab.controllers.deployment_status import (
    Progress,
    deadline_in_s,
    is_complete,
    next_status,
    status_patch,
)
from netlab.controllers.deployment_template import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    REVISION,
    age_key,
    find_new,
    new_replica_set,
    next_revision,
    refreshed_annotations,
    revision_of,
    scaling,
    size_annotations,
    template_hash,
)
from netlab.controllers.rollout import (
    Sizes,
    is_rolling,
    new_set_size,
    resize,
    shrink_old_sets,
)
from netlab.controllers.selection import claims


@dataclass(frozen=True)
class Observed:
    """A Deployment and its ReplicaSets: the one of the present template, the others by age."""

    deployment: Deployment
    new: ReplicaSet | None
    old: tuple[ReplicaSet, ...]
    pods_of: Callable[[ReplicaSet], Sequence[Pod]]

    @property
    def sets(self) -> tuple[ReplicaSet, ...]:
        """All ReplicaSets."""
        return self.old if self.new is None else (*self.old, self.new)


@dataclass(frozen=True)
class Step:
    """What to do in one pass, and what it means for the status."""

    actions: tuple[Action, ...] = ()
    progress: Progress = field(default_factory=Progress)
    collisions: int | None = None


def decide_deployment(
    deployment: Deployment,
    sets: Iterable[ReplicaSet],
    pods_of: Callable[[ReplicaSet], Sequence[Pod]],
    taken: Callable[[str], ReplicaSet | None],
    now: datetime,
) -> Decision:
    """Return the next step of the Deployment.

    sets: the ReplicaSets it owns and the orphans of its namespace; pods_of: pods of a set;
    taken: the ReplicaSet of that name in the namespace, whoever owns it.
    """
    if not deployment.spec.selector.match_labels and (
        not deployment.spec.selector.match_expressions
    ):
        text = "This deployment is selecting all pods. A non-empty selector is required."
        return Decision((Note(DEPLOYMENT, deployment, "SelectingAll", text, "Warning"),))
    own, adopting, releasing = _claim(deployment, sets)
    if adopting:
        # what is adopted may be the very set of this template: its change brings the next pass
        return Decision((*adopting, *releasing))
    new = find_new(deployment, own)
    old = tuple(sorted((rs for rs in own if rs is not new), key=age_key))
    observed = Observed(deployment, new, old, pods_of)
    paused = deployment.spec.paused
    rolling_out = not paused and not _is_resized(observed)
    deleting = deployment.metadata.deletion_timestamp is not None
    step = Step() if deleting else _step(observed, taken, rolling_out=rolling_out)

    def then(outcome: Outcome) -> tuple[Action, ...]:
        return _status(observed, step, outcome, rolling_out=rolling_out, now=now)

    if deleting:
        return Decision((), then)
    conditions = {condition.type: condition for condition in deployment.status.conditions}
    left_s = deadline_in_s(deployment, conditions, now)
    # one second more, so that the deadline has certainly passed
    again_s = None if left_s is None or not rolling_out else max(left_s, 0) + 1
    return Decision((*releasing, *step.actions), then, again_s)


def _claim(
    deployment: Deployment, sets: Iterable[ReplicaSet]
) -> tuple[list[ReplicaSet], list[Patch], list[Patch]]:
    """Return the Deployment's sets, the adoptions of orphans, and the releases of its own."""
    matcher = label_matcher(deployment.spec.selector)
    own: list[ReplicaSet] = []
    adopting: list[Patch] = []
    releasing: list[Patch] = []
    for rs in sets:
        owner = controller_of(rs)
        if owner is not None and owner.uid == deployment.metadata.uid:
            if matcher.matches(rs.metadata.labels):
                own.append(rs)
            elif deployment.metadata.deletion_timestamp is None:
                releasing.append(
                    without_owners(REPLICA_SET, rs, frozenset({deployment.metadata.uid}))
                )
        elif claims(rs, deployment, matcher):
            adopting.append(adoption(REPLICA_SET, rs, DEPLOYMENT, deployment))
    return own, adopting, releasing


def _is_resized(observed: Observed) -> bool:
    """Return whether ``spec.replicas`` changed since the active sets were sized."""
    wanted = str(observed.deployment.spec.replicas)
    return any(
        rs.spec.replicas > 0 and rs.metadata.annotations.get(DESIRED_REPLICAS, wanted) != wanted
        for rs in observed.sets
    )


def _step(
    observed: Observed, taken: Callable[[str], ReplicaSet | None], *, rolling_out: bool
) -> Step:
    deployment = observed.deployment
    if not rolling_out:
        sizes = resize(deployment, observed.new, observed.old, _earlier_maximum)
        refresh = () if observed.new is None else _refresh(observed, observed.new)
        tidy = _clean_up(observed) if deployment.spec.paused else ()
        return Step((*refresh, *_resizes(observed, sizes, mark_all=True), *tidy))
    if not is_rolling(deployment):
        return _recreate(observed, taken)
    return _roll(observed, taken)


def _earlier_maximum(rs: ReplicaSet) -> int:
    text = rs.metadata.annotations.get(MAX_REPLICAS, "")
    return int64(text) or 0


def _roll(observed: Observed, taken: Callable[[str], ReplicaSet | None]) -> Step:
    deployment, new = observed.deployment, observed.new
    if new is None:
        return _make_new(observed, taken)
    if refresh := _refresh(observed, new):
        return Step(refresh, _found(observed, new))
    size = new_set_size(deployment, new, observed.old)
    if size != new.spec.replicas:
        return Step(_resizes(observed, {new.metadata.name: size}), _found(observed, new))
    sizes = shrink_old_sets(deployment, new, observed.old)
    if changes := _resizes(observed, sizes):
        return Step(changes, _found(observed, new))
    return Step(_clean_up(observed), _found(observed, new))


def _recreate(observed: Observed, taken: Callable[[str], ReplicaSet | None]) -> Step:
    deployment, new = observed.deployment, observed.new
    sizes = {rs.metadata.name: 0 for rs in observed.old if rs.spec.replicas > 0}
    if sizes:
        return Step(_resizes(observed, sizes))
    if _old_pods_run(observed):
        return Step()
    if new is None:
        return _make_new(observed, taken)
    if refresh := _refresh(observed, new):
        return Step(refresh, _found(observed, new))
    if new.spec.replicas != deployment.spec.replicas:
        sizes = {new.metadata.name: deployment.spec.replicas}
        return Step(_resizes(observed, sizes), _found(observed, new))
    return Step(_clean_up(observed), _found(observed, new))


def _old_pods_run(observed: Observed) -> bool:
    if any(rs.status.replicas > 0 for rs in observed.old):
        return True
    return any(
        pod.status.phase not in ("Succeeded", "Failed")
        for rs in observed.old
        for pod in observed.pods_of(rs)
    )


def _found(observed: Observed, new: ReplicaSet) -> Progress:
    if any(c.type == "Progressing" for c in observed.deployment.status.conditions):
        return Progress()
    text = f'Found new replica set "{new.metadata.name}"'
    return Progress("True", "FoundNewReplicaSet", text)


def _make_new(observed: Observed, taken: Callable[[str], ReplicaSet | None]) -> Step:
    deployment = observed.deployment
    collisions = deployment.status.collision_count or 0
    hash_value = template_hash(deployment.spec.template, collisions)
    name = f"{deployment.metadata.name}-{hash_value}"
    if taken(name) is not None:
        # another template or another owner has the name: the next hash differs
        return Step(collisions=collisions + 1)
    revision = next_revision(observed.old)
    size = new_set_size(deployment, None, observed.old)
    create = new_replica_set(deployment, hash_value, size, revision)
    text = f'Created new replica set "{name}"'
    return Step(
        (create, *_note_revision(deployment, revision)),
        Progress("True", "NewReplicaSetCreated", text),
    )


def _note_revision(deployment: Deployment, revision: int) -> tuple[Action, ...]:
    if revision_of(deployment.metadata.annotations) == revision:
        return ()
    patch = {"metadata": {"annotations": {REVISION: str(revision)}}}
    meta = deployment.metadata
    # through the status: as an update it would count as a change of what was asked for
    return (Patch(DEPLOYMENT, meta.namespace, meta.name, patch, subresource="status"),)


def _refresh(observed: Observed, new: ReplicaSet) -> tuple[Action, ...]:
    """Return what brings the new set's annotations and minReadySeconds up to date."""
    deployment = observed.deployment
    revision = max(next_revision(observed.old), revision_of(new.metadata.annotations))
    patch: Object = {}
    if annotations := refreshed_annotations(deployment, new, revision):
        patch["metadata"] = {"annotations": annotations}
    if new.spec.min_ready_seconds != deployment.spec.min_ready_seconds:
        patch["spec"] = {"minReadySeconds": deployment.spec.min_ready_seconds}
    note = _note_revision(deployment, revision)
    if not patch:
        return note
    return (Patch(REPLICA_SET, new.metadata.namespace, new.metadata.name, patch), *note)


def _resizes(observed: Observed, sizes: Sizes, *, mark_all: bool = False) -> tuple[Action, ...]:
    """Return the writes of new sizes; mark_all also notes the wanted total on unchanged sets."""
    deployment = observed.deployment
    marks = size_annotations(deployment)
    actions: list[Action] = []
    for rs in observed.sets:
        size = sizes.get(rs.metadata.name, rs.spec.replicas)
        marked = marks.items() <= rs.metadata.annotations.items()
        if size == rs.spec.replicas and (marked or not mark_all or not rs.spec.replicas):
            continue
        patch = {
            "metadata": {
                "annotations": marks,
                "resourceVersion": rs.metadata.resource_version,
            },
            "spec": {"replicas": size},
        }
        announce = scaling(deployment, rs.metadata.name, rs.spec.replicas, size)
        actions.append(
            Patch(
                REPLICA_SET,
                rs.metadata.namespace,
                rs.metadata.name,
                patch,
                announce=announce,
            )
        )
    return tuple(actions)


def _clean_up(observed: Observed) -> tuple[Action, ...]:
    """Return the deletions of empty former sets beyond the history limit."""
    deployment = observed.deployment
    status = deployment.status
    if not deployment.spec.paused and not is_complete(deployment, status):
        return ()
    alive = [rs for rs in observed.old if rs.metadata.deletion_timestamp is None]
    surplus = len(alive) - deployment.spec.revision_history_limit
    alive.sort(key=lambda rs: (revision_of(rs.metadata.annotations), age_key(rs)))
    return tuple(
        Delete(REPLICA_SET, rs.metadata.namespace, rs.metadata.name, rs.metadata.uid)
        for rs in alive[: max(surplus, 0)]
        if not rs.spec.replicas
        and not rs.status.replicas
        and rs.metadata.generation <= rs.status.observed_generation
    )


def _status(
    observed: Observed, step: Step, outcome: Outcome, *, rolling_out: bool, now: datetime
) -> tuple[Action, ...]:
    """Return the write of the status, with the sets as this pass has left them."""
    written = {
        view.metadata.name: view
        for view in (
            REPLICA_SET.view.parse(obj)
            for obj in outcome.written
            if obj.get("kind") == REPLICA_SET.kind
        )
    }
    new = observed.new
    if new is not None:
        new = written.get(new.metadata.name, new)
    elif step.progress.reason == "NewReplicaSetCreated":
        new = next(iter(written.values()), None)
    progress = _failed_progress(outcome) or step.progress
    collisions = observed.deployment.status.collision_count
    status = next_status(
        observed.deployment,
        new,
        [written.get(rs.metadata.name, rs) for rs in observed.old],
        rolling_out=rolling_out,
        progress=progress,
        collisions=collisions if step.collisions is None else step.collisions,
        now=now,
    )
    patch = status_patch(observed.deployment, status)
    return () if patch is None else (patch,)


def _failed_progress(outcome: Outcome) -> Progress | None:
    for action, error in outcome.failures:
        if isinstance(action, Create):
            name = action.obj["metadata"]["name"]
            text = f'Failed to create new replica set "{name}": {error.message}'
            return Progress("False", "ReplicaSetCreateError", text)
    return None
