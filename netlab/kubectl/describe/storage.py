"""Descriptions of PersistentVolumes, PersistentVolumeClaims and StorageClasses."""

from __future__ import annotations

from netlab.kubectl.describe.amounts import canonical
from netlab.kubectl.describe.lines import NONE, rfc1123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def describe_claim(lines: Lines, claim: dict[str, Any], context: Context) -> None:
    """Add the description of a PersistentVolumeClaim."""
    metadata, spec, status = claim["metadata"], claim.get("spec") or {}, claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Namespace:\t{metadata['namespace']}")
    lines.add(f"StorageClass:\t{_class_of(claim)}")
    lines.add(f"Status:\t{_phase(claim)}")
    lines.add(f"Volume:\t{spec.get('volumeName', '')}")
    lines.add_pairs("Labels", metadata.get("labels"))
    lines.add_annotations("Annotations", metadata.get("annotations"))
    lines.add(f"Finalizers:\t{_list(metadata.get('finalizers'))}")
    storage = (status.get("capacity") or {}).get("storage")
    lines.add(f"Capacity:\t{canonical(storage) if bound and storage else ''}")
    lines.add(f"Access Modes:\t{access_modes(status.get('accessModes') or ()) if bound else ''}")
    if spec.get("volumeMode"):
        lines.add(f"VolumeMode:\t{spec['volumeMode']}")
    users = [
        pod["metadata"]["name"]
        for pod in context.list("pods", metadata["namespace"])
        if metadata["name"] in _claims_of(pod)
    ]
    for index, name in enumerate(users or [NONE]):
        lines.add(f"{'Used By:' if index == 0 else ''}\t{name}")
    context.add_events(lines, claim, "PersistentVolumeClaim")


def _claims_of(pod: Mapping[str, Any]) -> set[str]:
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    return {(v.get("persistentVolumeClaim") or {}).get("claimName", "") for v in volumes}


def describe_volume(lines: Lines, volume: dict[str, Any], context: Context) -> None:
    """Add the description of a PersistentVolume."""
    metadata, spec = volume["metadata"], volume.get("spec") or {}
    claim = spec.get("claimRef")
    lines.add(f"Name:\t{metadata['name']}")
    lines.add_pairs("Labels", metadata.get("labels"))
    lines.add_annotations("Annotations", metadata.get("annotations"))
    lines.add(f"Finalizers:\t{_list(metadata.get('finalizers'))}")
    lines.add(f"StorageClass:\t{_class_of(volume)}")
    lines.add(f"Status:\t{_phase(volume)}")
    lines.add(f"Claim:\t{claim['namespace'] + '/' + claim['name'] if claim else ''}")
    lines.add(f"Reclaim Policy:\t{spec.get('persistentVolumeReclaimPolicy', '')}")
    lines.add(f"Access Modes:\t{access_modes(spec.get('accessModes') or ())}")
    if spec.get("volumeMode"):
        lines.add(f"VolumeMode:\t{spec['volumeMode']}")
    lines.add(f"Capacity:\t{canonical((spec.get('capacity') or {}).get('storage', 0))}")
    _add_node_affinity(lines, spec.get("nodeAffinity"))
    lines.add(f"Message:\t{(volume.get('status') or {}).get('message', '')}")
    lines.add("Source:")
    for line in _source_lines(spec):
        lines.add(f"    {line}")
    context.add_events(lines, volume, "PersistentVolume")


def _source_lines(spec: Mapping[str, Any]) -> list[str]:
    if spec.get("hostPath"):
        found = spec["hostPath"]
        return [
            "Type:\tHostPath (bare host directory volume)",
            f"Path:\t{found.get('path', '')}",
            f"HostPathType:\t{found.get('type', NONE)}",
        ]
    if spec.get("local"):
        return [
            "Type:\tLocalVolume (a persistent volume backed by local storage on a node)",
            f"Path:\t{spec['local'].get('path', '')}",
        ]
    return ["<unknown>"]


def _add_node_affinity(lines: Lines, affinity: Mapping[str, Any] | None) -> None:
    if not affinity:
        lines.add(f"Node Affinity:\t{NONE}")
        return
    terms = (affinity.get("required") or {}).get("nodeSelectorTerms") or ()
    lines.add("Node Affinity:\t")
    if not terms:
        lines.add(f"  Required Terms:\t{NONE}")
        return
    lines.add("  Required Terms:\t")
    for number, term in enumerate(terms):
        expressions = term.get("matchExpressions") or ()
        if not expressions:
            lines.add(f"    Term {number}:\t{NONE}")
        for index, each in enumerate(expressions):
            head = f"    Term {number}:" if index == 0 else "    "
            values = f" [{', '.join(each.get('values') or ())}]" if each.get("values") else ""
            lines.add(f"{head}\t{each['key']} {each['operator'].lower()}{values}")


def describe_class(lines: Lines, storage_class: dict[str, Any], context: Context) -> None:
    """Add the description of a StorageClass."""
    metadata = storage_class["metadata"]
    annotations = metadata.get("annotations") or {}
    lines.add(f"Name:\t{metadata['name']}")
    default = annotations.get(DEFAULT_ANNOTATION) == "true"
    lines.add(f"IsDefaultClass:\t{'Yes' if default else 'No'}")
    lines.add(f"Annotations:\t{_pairs(annotations)}")
    lines.add(f"Provisioner:\t{storage_class.get('provisioner', '')}")
    lines.add(f"Parameters:\t{_pairs(storage_class.get('parameters') or {})}")
    expansion = storage_class.get("allowVolumeExpansion")
    lines.add(f"AllowVolumeExpansion:\t{'<unset>' if expansion is None else expansion}")
    options = storage_class.get("mountOptions") or ()
    if not options:
        lines.add(f"MountOptions:\t{NONE}")
    else:
        lines.add("MountOptions:")
        for option in options:
            lines.add(f"  {option}")
    lines.add(f"ReclaimPolicy:\t{storage_class.get('reclaimPolicy', '')}")
    lines.add(f"VolumeBindingMode:\t{storage_class.get('volumeBindingMode', '')}")
    context.add_events(lines, storage_class, "StorageClass")


def access_modes(modes: Sequence[str]) -> str:
    """Return access modes in their short forms, in Kubernetes' order."""
    return ",".join(short for long, short in MODES.items() if long in modes)


def _class_of(obj: Mapping[str, Any]) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    named = (obj.get("spec") or {}).get("storageClassName", "")
    return str(annotations.get(CLASS_ANNOTATION) or named)


def _phase(obj: Mapping[str, Any]) -> str:
    gone = obj["metadata"].get("deletionTimestamp")
    if gone:
        return f"Terminating (since {rfc1123(gone)})"
    return str((obj.get("status") or {}).get("phase", ""))


def _list(words: Sequence[str] | None) -> str:
    return f"[{' '.join(words or ())}]"


def _pairs(values: Mapping[str, str]) -> str:
    return ",".join(f"{key}={values[key]}" for key in sorted(values)) or NONE
