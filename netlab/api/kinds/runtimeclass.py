"""RuntimeClass: a way to run pods, with what it costs and where it can be had.

Mirrors ``pkg/registry/node/runtimeclass`` and ``ValidateRuntimeClass``. Admission (see
``apiserver.admission.runtime_class``) writes the overhead and the scheduling of the class into each
pod that names it. All pods of netlab run with the one runtime of the machine, so the handler has no
effect unless it names that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from netlab.api import names
from netlab.api.field_errors import FieldError, invalid_value
from netlab.api.kind import Kind
from netlab.api.meta import AnyObject
from netlab.api.pods import Toleration
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of
from netlab.api.validation.metadata import IMMUTABLE, validate_labels
from netlab.api.validation.pod import validate_tolerations
from netlab.api.validation.resources import validate_resources
from netlab.api.view import Object, View


class Overhead(View, frozen=True, kw_only=True):
    """What a pod costs besides its containers."""

    pod_fixed: dict[str, str] = {}


class Scheduling(View, frozen=True, kw_only=True):
    """Which nodes can run such pods."""

    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()


class RuntimeClass(AnyObject, frozen=True, kw_only=True):
    """A way to run pods."""

    HARMLESS: ClassVar[Mapping[str, Any]] = {"handler": ("runc", "crun")}

    overhead: Overhead | None = None
    scheduling: Scheduling | None = None


def _validate(obj: Object) -> list[FieldError]:
    handler = obj.get("handler") or ""
    errors = [invalid_value("handler", handler, m) for m in names.dns1123_label(handler)]
    overhead = (obj.get("overhead") or {}).get("podFixed") or {}
    errors += validate_resources({"limits": overhead}, "overhead.podFixed")
    scheduling = obj.get("scheduling") or {}
    errors += validate_labels(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
    tolerations = scheduling.get("tolerations") or ()
    return errors + validate_tolerations(tolerations, "scheduling.tolerations")


def _validate_update(old: Object, new: Object) -> list[FieldError]:
    before, after = old.get("handler") or "", new.get("handler") or ""
    return [] if before == after else [invalid_value("handler", after, IMMUTABLE)]


def _cells(obj: Object, now: datetime) -> Cells:
    return [name_of(obj), obj.get("handler", ""), age_of(obj, now)]


RUNTIME_CLASS = Kind(
    "node.k8s.io",
    "v1",
    "RuntimeClass",
    "runtimeclasses",
    RuntimeClass,
    namespaced=False,
    validate=_validate,
    validate_update=_validate_update,
    printer=Printer(
        (NAME, Column("Handler", description="The configuration that runs the pods."), AGE), _cells
    ),
)
KINDS = (RUNTIME_CLASS,)
