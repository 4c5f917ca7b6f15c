"""Decides which PersistentVolume suits a claim.

Mirrors ``component-helpers/storage/volume`` ``FindMatchingVolume``: same class and mode, labels
that match the claim's selector, at least the access modes and the size asked for; among those the
one with the fewest access modes, then the smallest. Pure; the binder and the scheduler use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from netlab.api.quantities import parse_quantity
from netlab.api.selectors import label_matcher
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim
from netlab.api.storage_marks import names_claim
from netlab.api.volume_affinity import volume_fits_node


@dataclass(frozen=True, slots=True)
class Place:
    """A node on which a volume shall be usable."""

    name: str
    labels: Mapping[str, str]


def storage_amount(amounts: Mapping[str, str]) -> Decimal:
    """Return how many bytes of storage the amounts tell; 0 when they tell none."""
    return parse_quantity(amounts.get("storage", "0")).value


def best_volume(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    *,
    place: Place | None = None,
    wait_for_node: bool = False,
) -> PersistentVolume | None:
    """Return the volume for a claim that is bound to none, or None.

    place: where the claim's consumer will run. wait_for_node: without a place, take only a volume
    that is kept for this very claim.
    """
    fitting = []
    for volume in volumes:
        if volume.metadata.deletion_timestamp is not None or not _fits(claim, volume, place):
            continue
        if names_claim(volume, claim):
            return volume
        if volume.spec.claim_ref is None and volume.status.phase == "Available":
            fitting.append(volume)
    if wait_for_node and place is None:
        return None
    matching = [volume for volume in fitting if _matches(claim, volume)]
    return min(matching, key=_preference, default=None)


def _preference(volume: PersistentVolume) -> tuple[int, Decimal, str]:
    return (
        len(volume.spec.access_modes),
        storage_amount(volume.spec.capacity),
        volume.metadata.name,
    )


def _fits(claim: PersistentVolumeClaim, volume: PersistentVolume, place: Place | None) -> bool:
    return (
        volume.spec.volume_mode == claim.spec.volume_mode
        and storage_amount(volume.spec.capacity) >= storage_amount(claim.spec.resources.requests)
        and (place is None or volume_fits_node(volume, place.name, place.labels))
    )


def _matches(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    selector = claim.spec.selector
    return (
        volume.spec.storage_class_name == (claim.spec.storage_class_name or "")
        and set(claim.spec.access_modes) <= set(volume.spec.access_modes)
        and (selector is None or label_matcher(selector).matches(volume.metadata.labels))
    )


def mismatch(claim: PersistentVolumeClaim, volume: PersistentVolume) -> str | None:
    """Return why a claim cannot have the volume it names, or None."""
    if storage_amount(claim.spec.resources.requests) > storage_amount(volume.spec.capacity):
        return "requested PV is too small"
    if volume.spec.storage_class_name != (claim.spec.storage_class_name or ""):
        return "storageClassName does not match"
    if volume.spec.volume_mode != claim.spec.volume_mode:
        return "incompatible volumeMode"
    if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
        return "incompatible accessMode"
    return None
