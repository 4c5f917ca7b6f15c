"""``netlab top``: what nodes and pods use, as the metrics API tells it."""

from __future__ import annotations

from netlab.api.quantities import parse_quantity
from netlab.errors import ApiError, UsageError, is_not_found
from netlab.kubectl.flags import Command, Flag, Group, HintedUsageError
from netlab.kubectl.output.tabwriter import TabWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

METRICS = "/apis/metrics.k8s.io/v1beta1"
MEBIBYTE = 1024 * 1024


class _Usage:
    """CPU in thousandths and memory in bytes."""

    __slots__ = ("cpu_milli", "memory_bytes")

    def __init__(self, cpu_milli: int = 0, memory_bytes: int = 0) -> None:
        self.cpu_milli = cpu_milli
        self.memory_bytes = memory_bytes

    @classmethod
    def of(cls, usage: Mapping[str, str]) -> _Usage:
        cpu, memory = usage.get("cpu", "0"), usage.get("memory", "0")
        return cls(parse_quantity(cpu).milli(), parse_quantity(memory).whole())

    def __add__(self, other: _Usage) -> _Usage:
        return _Usage(self.cpu_milli + other.cpu_milli, self.memory_bytes + other.memory_bytes)

    def cells(self) -> list[str]:
        return [f"{self.cpu_milli}m", f"{self.memory_bytes // MEBIBYTE}Mi"]

    def key(self, by: str) -> int:
        return -(self.cpu_milli if by == "cpu" else self.memory_bytes)


def _pods(session: Session, parsed: Parsed) -> int:
    if len(parsed.args) > 1:
        raise HintedUsageError(f"unknown argument {parsed.args[1]!r}")
    _check_sorting(parsed)
    name = parsed.args[0] if parsed.args else ""
    if name and (parsed["selector"] or parsed["all-namespaces"]):
        raise UsageError("only one of NAME or selector can be provided")
    namespace = "" if parsed["all-namespaces"] else f"/namespaces/{session.namespace}"
    path = f"{METRICS}{namespace}/pods"
    found = _read(session, f"{path}/{name}" if name else path, parsed)
    metrics = found.get("items", [found]) if not name else [found]
    if not metrics:
        where = "" if parsed["all-namespaces"] else f" in {session.namespace} namespace"
        session.complain(f"No resources found{where}.")
        return 0
    rows = [row for pod in metrics for row in _pod_rows(pod, parsed)]
    _print(session, parsed, _pod_head(parsed), rows)
    return 0


def _pod_head(parsed: Parsed) -> list[str]:
    names = ["POD", "NAME"] if parsed["containers"] else ["NAME"]
    head = [*names, "CPU(cores)", "MEMORY(bytes)"]
    return ["NAMESPACE", *head] if parsed["all-namespaces"] else head


def _pod_rows(pod: Mapping[str, Any], parsed: Parsed) -> list[tuple[list[str], _Usage]]:
    metadata = pod["metadata"]
    before = [metadata["namespace"]] if parsed["all-namespaces"] else []
    each = [(c["name"], _Usage.of(c.get("usage") or {})) for c in pod.get("containers") or ()]
    if parsed["containers"]:
        return [
            ([*before, metadata["name"], name], usage)
            for name, usage in sorted(each, key=lambda pair: pair[0])
        ]
    total = _Usage()
    for _, usage in each:
        total += usage
    return [([*before, metadata["name"]], total)]


def _nodes(session: Session, parsed: Parsed) -> int:
    if len(parsed.args) > 1:
        raise HintedUsageError(f"unknown argument {parsed.args[1]!r}")
    _check_sorting(parsed)
    name = parsed.args[0] if parsed.args else ""
    found = _read(session, f"{METRICS}/nodes/{name}" if name else f"{METRICS}/nodes", parsed)
    metrics = [found] if name else found.get("items", [])
    resource = session.resources.find("nodes")
    rows = []
    for each in metrics:
        node = session.client.call("GET", resource.path(None, each["metadata"]["name"]))
        usage = _Usage.of(each.get("usage") or {})
        have = _Usage.of((node.get("status") or {}).get("allocatable") or {})
        cpu, memory = usage.cells()
        cells = [
            each["metadata"]["name"],
            cpu,
            _share(usage.cpu_milli, have.cpu_milli),
            memory,
            _share(usage.memory_bytes, have.memory_bytes),
        ]
        rows.append((cells, usage))
    head = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    _print(session, parsed, head, rows, whole=True)
    return 0


def _share(used: int, all_of_it: int) -> str:
    return f"{used * 100 // all_of_it}%" if all_of_it else "<unknown>"


def _check_sorting(parsed: Parsed) -> None:
    if parsed["sort-by"] not in ("", "cpu", "memory"):
        raise UsageError("--sort-by accepts only cpu or memory")


def _read(session: Session, path: str, parsed: Parsed) -> dict[str, Any]:
    query = {"labelSelector": parsed["selector"]} if parsed["selector"] else {}
    try:
        found: dict[str, Any] = session.client.call("GET", path, query=query)
    except ApiError as error:
        if is_not_found(error) and "metrics" not in error.message:
            raise UsageError("Metrics API not available") from error
        raise
    return found


def _print(
    session: Session,
    parsed: Parsed,
    head: Sequence[str],
    rows: list[tuple[list[str], _Usage]],
    *,
    whole: bool = False,
) -> None:
    """Print rows, sorted; whole: the cells hold the usage already."""
    if parsed["sort-by"]:
        rows.sort(key=lambda row: row[1].key(parsed["sort-by"]))
    else:
        rows.sort(key=lambda row: row[0][: 2 if parsed.values.get("containers") else None])
    table = TabWriter(min_width=10, padding=3)
    if not parsed["no-headers"]:
        table.add([*head, ""])
    total = _Usage()
    for cells, usage in rows:
        total += usage
        table.add([*cells, *([] if whole else usage.cells()), ""])
    if parsed.values.get("sum"):
        blank = [""] * (len(head) - 3)
        table.add([*blank, "", "________", "________", ""])
        table.add([*blank, "", *total.cells(), ""])
    session.out.write(table.flush())


_FLAGS = (
    Flag("selector", short="l", default="", help="Those with these labels."),
    Flag("sort-by", default="", help="cpu or memory: the largest first."),
    Flag("no-headers", "bool", help="No line of headings."),
)

POD = Command(
    "top pod",
    _pods,
    usage="[NAME | -l LABEL]",
    text="Show the CPU and memory that pods use.",
    flags=(
        *_FLAGS,
        Flag("containers", "bool", help="A line for each container."),
        Flag("all-namespaces", "bool", short="A", help="Pods of all namespaces."),
        Flag("sum", "bool", help="The sum in a last line."),
    ),
    examples=("top pods", "top pod web --containers", "top pods -A --sort-by=memory"),
)
NODE = Command(
    "top node",
    _nodes,
    usage="[NAME | -l LABEL]",
    text="Show the CPU and memory that nodes use.",
    flags=_FLAGS,
    examples=("top nodes",),
)


def _bare(session: Session, parsed: Parsed) -> int:
    raise HintedUsageError("expected 'top nodes' or 'top pods'")


_HERE = "netlab.kubectl.top"
COMMAND = Group(
    Command("top", _bare, usage="(nodes | pods)", text="Show the CPU and memory in use."),
    {
        "node": (_HERE, "NODE"),
        "nodes": (_HERE, "NODE"),
        "no": (_HERE, "NODE"),
        "pod": (_HERE, "POD"),
        "pods": (_HERE, "POD"),
        "po": (_HERE, "POD"),
    },
)
