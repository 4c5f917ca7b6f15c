"""Points in time as Kubernetes writes them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """Format as ``metav1.Time``: UTC, whole seconds, ``2026-01-01T00:00:00Z``."""
    # isoformat writes four digits of every year, which strftime does not
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def rfc3339_micro(moment: datetime) -> str:
    """Format as ``metav1.MicroTime``: UTC, six digits, ``2026-01-01T00:00:00.000000Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
