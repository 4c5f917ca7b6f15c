"""PodTemplate: a template of pods as an object of its own; nothing makes pods of it.

Mirrors ``pkg/registry/core/podtemplate``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from netlab.api.defaults_pod import default_template
from netlab.api.field_errors import FieldError
from netlab.api.kind import Kind
from netlab.api.meta import AnyObject
from netlab.api.pod_warnings import pod_spec_warnings
from netlab.api.pods import PodTemplateSpec
from netlab.api.printing import (
    NAME,
    Cells,
    Column,
    Printer,
    format_labels,
    metadata,
    name_of,
    part,
)
from netlab.api.validation.workloads import validate_template
from netlab.api.view import Object


class PodTemplate(AnyObject, frozen=True, kw_only=True):
    """A template of pods."""

    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


def _defaults(new: Object) -> None:
    new["template"] = default_template(new.get("template") or {})


def _validate(obj: Object) -> list[FieldError]:
    return validate_template(obj.get("template") or {}, "template")


def _advice(obj: Object) -> Iterable[str]:
    spec = (obj.get("template") or {}).get("spec") or {}
    return pod_spec_warnings(spec, "template.spec")


def _changed(new: Object, old: Object) -> bool:
    return bool(new.get("template") != old.get("template"))


def _cells(obj: Object, now: datetime) -> Cells:
    containers = part(obj, "template", "spec", "containers") or ()
    named = [",".join(each.get(key, "") for each in containers) for key in ("name", "image")]
    return [name_of(obj), *named, format_labels(metadata(part(obj, "template")).get("labels"))]


POD_TEMPLATE = Kind(
    "",
    "v1",
    "PodTemplate",
    "podtemplates",
    PodTemplate,
    defaults=_defaults,
    validate=_validate,
    generation_changes=_changed,
    returns_deleted=True,
    printer=Printer(
        (
            NAME,
            Column("Containers", description="Names of the containers."),
            Column("Images", description="Images of the containers."),
            Column("Pod Labels", description="Labels of the pods."),
        ),
        _cells,
    ),
    advice=_advice,
)
KINDS = (POD_TEMPLATE,)
