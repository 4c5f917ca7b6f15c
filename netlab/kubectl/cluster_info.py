"""``netlab cluster-info``: where the control plane and the cluster's own services are."""

from __future__ import annotations

from netlab.kubectl.flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

GREEN, YELLOW, PLAIN = "\x1b[0;32m", "\x1b[0;33m", "\x1b[0m"


def _run(session: Session, parsed: Parsed) -> int:
    path = session.resources.find("services").path("kube-system")
    labels = {"labelSelector": "kubernetes.io/cluster-service=true"}
    found = session.client.call("GET", path, query=labels)
    server = session.access.server
    _say(session, "Kubernetes control plane", server)
    for service in found.get("items") or ():
        name = (service["metadata"].get("labels") or {}).get("kubernetes.io/name") or service[
            "metadata"
        ]["name"]
        _say(session, name, _link(server, service))
    session.print()
    session.print(
        f"To further debug and diagnose cluster problems, use '{session.program} "
        "cluster-info dump'."
    )
    return 0


def _say(session: Session, name: str, link: str) -> None:
    if session.out.isatty():
        name, link = f"{GREEN}{name}{PLAIN}", f"{YELLOW}{link}{PLAIN}"
    session.print(f"{name} is running at {link}")


def _link(server: str, service: dict[str, Any]) -> str:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    ports = (service.get("spec") or {}).get("ports") or ()
    if ingress:
        host = ingress[0].get("ip") or ingress[0].get("hostname")
        return " ".join(f"http://{host}:{port['port']}" for port in ports)
    metadata = service["metadata"]
    name = metadata["name"]
    if ports:
        first = ports[0]
        scheme = "https:" if first.get("name") == "https" or first.get("port") == 443 else ""
        name = f"{scheme}{name}:{first['name']}" if first.get("name") else f"{scheme}{name}"
    return f"{server}/api/v1/namespaces/{metadata['namespace']}/services/{name}/proxy"


COMMAND = Command(
    "cluster-info", _run, usage="", text="Tell where the control plane and its services are."
)
