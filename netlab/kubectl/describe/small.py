"""``describe namespace``, ``configmap``, ``secret`` and ``serviceaccount``."""

from __future__ import annotations

import binascii

from netlab.kubectl.describe.bounds import add_limits, add_quotas
from netlab.kubectl.describe.lines import NONE, rfc1123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines


def describe_namespace(lines: Lines, namespace: dict[str, Any], context: Context) -> None:
    """Add the description of a Namespace."""
    lines.add_head(namespace, namespaced=False)
    status = namespace.get("status") or {}
    lines.add(f"Status:\t{status.get('phase', '')}")
    if status.get("conditions"):
        lines.add("Conditions:")
        rows = [["Type", "Status", "LastTransitionTime", "Reason", "Message"]]
        for each in status["conditions"]:
            rows.append(
                [
                    each["type"],
                    each["status"],
                    rfc1123(each.get("lastTransitionTime")),
                    each.get("reason", ""),
                    each.get("message", ""),
                ]
            )
        lines.add_table(rows, 1)
    name = namespace["metadata"]["name"]
    quotas = context.try_list("resourcequotas", name)
    if quotas is not None:
        add_quotas(lines, quotas)
    ranges = context.try_list("limitranges", name)
    if ranges is not None:
        add_limits(lines, ranges)


def describe_config_map(lines: Lines, config_map: dict[str, Any], context: Context) -> None:
    """Add the description of a ConfigMap."""
    lines.add_head(config_map)
    lines.add("\nData\n====")
    data = config_map.get("data") or {}
    for key in sorted(data):
        lines.add(f"{key}:\n----\n{data[key]}\n")
    lines.add("\nBinaryData\n====")
    binary = config_map.get("binaryData") or {}
    for key in sorted(binary):
        lines.add(f"{key}: {len(binascii.a2b_base64(binary[key]))} bytes")
    lines.add("")
    context.add_events(lines, config_map, "ConfigMap")


def describe_secret(lines: Lines, secret: dict[str, Any], context: Context) -> None:
    """Add the description of a Secret; its values are counted, not shown."""
    lines.add_head(secret)
    lines.add(f"\nType:\t{secret.get('type', '')}")
    lines.add("\nData\n====")
    data = secret.get("data") or {}
    is_token = secret.get("type") == "kubernetes.io/service-account-token"
    for key in sorted(data):
        value = binascii.a2b_base64(data[key])
        if is_token and key == "token":
            lines.add(f"{key}:\t{value.decode('utf-8', 'replace')}")
        else:
            lines.add(f"{key}:\t{len(value)} bytes")


def describe_service_account(lines: Lines, account: dict[str, Any], context: Context) -> None:
    """Add the description of a ServiceAccount."""
    lines.add_head(account)
    tokens = [
        secret["metadata"]["name"]
        for secret in context.list(
            "secrets",
            account["metadata"].get("namespace"),
            fields="type=kubernetes.io/service-account-token",
        )
        if (secret["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name")
        == account["metadata"]["name"]
    ]
    for title, names in (
        ("Image pull secrets", [s["name"] for s in account.get("imagePullSecrets") or ()]),
        ("Mountable secrets", [s["name"] for s in account.get("secrets") or ()]),
        ("Tokens", sorted(tokens)),
    ):
        shown = [_mark_missing(context, account, name) for name in names]
        for index, name in enumerate(shown or [NONE]):
            lines.add(f"{title + ':' if index == 0 else ''}\t{name}")
    context.add_events(lines, account, "ServiceAccount")


def _mark_missing(context: Context, account: dict[str, Any], name: str) -> str:
    found = context.get("secrets", account["metadata"].get("namespace"), name)
    return name if found else f"{name} (not found)"
