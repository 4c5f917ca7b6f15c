"""Descriptions of LimitRanges and ResourceQuotas, alone and inside a namespace's."""

from __future__ import annotations

from netlab.kubectl.describe.amounts import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines

LIMIT_COLUMNS = (
    "Type",
    "Resource",
    "Min",
    "Max",
    "Default Request",
    "Default Limit",
    "Max Limit/Request Ratio",
)
LIMIT_FIELDS = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")

SCOPES = {
    "Terminating": "Matches all pods that have an active deadline. These pods have a limited "
    "lifespan on a node before being actively terminated by the system.",
    "NotTerminating": "Matches all pods that do not have an active deadline. These pods usually "
    "include long running pods whose container command is not expected to terminate.",
    "BestEffort": "Matches all pods that do not have resource requirements set. These pods have a "
    "best effort quality of service.",
    "NotBestEffort": "Matches all pods that have at least one resource requirement set. These pods "
    "have a burstable or guaranteed quality of service.",
}


def describe_limit_range(lines: Lines, limit_range: dict[str, Any], context: Context) -> None:
    """Add the description of a LimitRange."""
    metadata = limit_range["metadata"]
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Namespace:\t{metadata['namespace']}")
    _add_limits(lines, [limit_range], "")


def describe_resource_quota(lines: Lines, quota: dict[str, Any], context: Context) -> None:
    """Add the description of a ResourceQuota."""
    metadata = quota["metadata"]
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Namespace:\t{metadata['namespace']}")
    _add_scopes(lines, quota, "", " ")
    lines.add("Resource\tUsed\tHard")
    lines.add("--------\t----\t----")
    _add_amounts(lines, quota, "")


def add_quotas(lines: Lines, quotas: Iterable[Mapping[str, Any]]) -> None:
    """Add the quotas of a namespace."""
    listed = sorted(quotas, key=lambda each: str(each["metadata"]["name"]))
    if not listed:
        lines.add("\nNo resource quota.")
        return
    lines.add("\nResource Quotas")
    for quota in listed:
        lines.add(f"  Name:\t{quota['metadata']['name']}")
        _add_scopes(lines, quota, "  ", "")
        lines.add("  Resource\tUsed\tHard")
        lines.add("  --------\t---\t---")
        _add_amounts(lines, quota, "  ")


def add_limits(lines: Lines, ranges: list[dict[str, Any]]) -> None:
    """Add the limit ranges of a namespace."""
    if not ranges:
        lines.add("\nNo LimitRange resource.")
        return
    lines.add("\nResource Limits")
    _add_limits(lines, ranges, " ")


def _add_limits(lines: Lines, ranges: Iterable[Mapping[str, Any]], indent: str) -> None:
    lines.add(indent + "\t".join(LIMIT_COLUMNS))
    lines.add(indent + "\t".join("-" * len(name) for name in LIMIT_COLUMNS))
    for limit_range in ranges:
        for item in (limit_range.get("spec") or {}).get("limits") or ():
            for resource in _resources(item):
                cells = [item["type"], resource]
                for field in LIMIT_FIELDS:
                    amount = (item.get(field) or {}).get(resource)
                    cells.append("-" if amount is None else canonical(amount))
                lines.add(indent + "\t".join(cells))


def _resources(item: Mapping[str, Any]) -> list[str]:
    """Return the resources an item names, in order of their first mention."""
    order = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
    return list(dict.fromkeys(name for field in order for name in item.get(field) or {}))


def _add_scopes(lines: Lines, quota: Mapping[str, Any], indent: str, bullet: str) -> None:
    scopes = sorted((quota.get("spec") or {}).get("scopes") or ())
    if not scopes:
        return
    lines.add(f"{indent}Scopes:\t{', '.join(scopes)}")
    for scope in scopes:
        if scope in SCOPES:
            lines.add(f"{indent}{bullet}* {SCOPES[scope]}")


def _add_amounts(lines: Lines, quota: Mapping[str, Any], indent: str) -> None:
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    for name in sorted(hard):
        lines.add(f"{indent}{name}\t{canonical(used.get(name, 0))}\t{canonical(hard[name])}")
