"""``netlab api-resources``: what the server serves."""

from __future__ import annotations

from netlab.errors import UsageError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.output.rows import new_writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.resources import Resource
    from netlab.kubectl.session import Session


def _run(session: Session, parsed: Parsed) -> int:
    if parsed.args:
        raise UsageError(
            f"unexpected arguments: [{' '.join(parsed.args)}]\nSee '{session.program} "
            "api-resources -h' for help and examples"
        )
    output = parsed["output"] or ""
    if output not in ("", "wide", "name"):
        raise UsageError(f"--output {output} is not available")
    if parsed["sort-by"] not in (None, "", "name", "kind"):
        raise UsageError("--sort-by accepts only name or kind")
    found = [resource for resource in _preferred(session) if _is_wanted(resource, parsed)]
    if parsed["sort-by"]:
        field = "plural" if parsed["sort-by"] == "name" else "kind"
        found.sort(key=lambda resource: str(getattr(resource, field)))
    else:
        found.sort(key=lambda resource: (resource.group, resource.plural))
    if output == "name":
        session.out.write("".join(f"{resource.group_resource}\n" for resource in found))
        return 0
    writer = new_writer()
    if not parsed["no-headers"]:
        header = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
        writer.add(header + (["VERBS", "CATEGORIES"] if output == "wide" else []))
    for resource in found:
        cells = [
            resource.plural,
            ",".join(resource.short_names),
            resource.api_version,
            "true" if resource.namespaced else "false",
            resource.kind,
        ]
        if output == "wide":
            cells += [",".join(sorted(resource.verbs)), ",".join(resource.categories)]
        writer.add(cells)
    session.out.write(writer.flush())
    return 0


def _preferred(session: Session) -> list[Resource]:
    """Return each resource once, in the version its group prefers."""
    found: dict[str, Resource] = {}
    for resource in session.resources.all():
        found.setdefault(resource.group_resource, resource)
    return list(found.values())


def _is_wanted(resource: Resource, parsed: Parsed) -> bool:
    if not resource.verbs:
        return False
    if parsed.has("namespaced") and parsed["namespaced"] != resource.namespaced:
        return False
    if parsed.has("api-group") and parsed["api-group"] != resource.group:
        return False
    if not set(parsed["verbs"]) <= set(resource.verbs):
        return False
    return set(parsed["categories"]) <= set(resource.categories)


COMMAND = Command(
    "api-resources",
    _run,
    usage="",
    text="List the resources the server serves.",
    flags=(
        Flag("output", short="o", help="wide or name."),
        Flag("namespaced", "bool", default=True, help="Only those in namespaces; =false: others."),
        Flag("api-group", default="", help="Only those of this group."),
        Flag("verbs", "strings", help="Only those with these verbs."),
        Flag("categories", "strings", help="Only those of these categories."),
        Flag("no-headers", "bool", help="Leave the header line out."),
        Flag("sort-by", help="name or kind."),
        Flag("cached", "bool", help="Accepted for kubectl's sake."),
    ),
)
