"""The rules that the pod network needs besides those of Services.

- Pods' packets that leave the cluster get the node's address, for nobody out there knows a way
  back to a pod (as the ``ipMasq`` of the bridge plugin and flannel do).
- Pods' packets may pass the node even where its FORWARD chain drops by default, as on a machine
  with Docker (as the firewall plugin does).

The chains are netlab's own and stand behind those of kube-proxy. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from netlab.net.netfilter.section import ChainId, Ownership, Section
from netlab.net.ruleset import (
    ACCEPT,
    RETURN,
    Comment,
    Jump,
    Masquerade,
    Net,
    Origin,
    Rule,
)

POSTROUTING = "NETLAB-POSTROUTING"
FORWARD = "NETLAB-FORWARD"
JUMPS = {("nat", "POSTROUTING"): POSTROUTING, ("filter", "FORWARD"): FORWARD}
MULTICAST = IPv4Network("224.0.0.0/4")


def _because(reason: str) -> Origin:
    return Origin("", "", "cni", reason)


def pod_rules(cluster_cidr: IPv4Network, keep_source: Iterable[IPv4Network]) -> Section:
    """Return the rules as what the pod network wants of the node's rules.

    keep_source: ranges that see pods' own addresses, besides the pods themselves and multicast,
    because they know a way back.
    """
    pods = Net(cluster_cidr)
    exempt = [(cluster_cidr, "pod to pod"), (MULTICAST, "multicast")]
    exempt += [(network, "a neighbour") for network in keep_source]
    postrouting = [
        Rule(
            source=pods,
            destination=Net(network),
            matches=(Comment(f"netlab {why} keeps its address"),),
            target=RETURN,
            origin=_because(why),
        )
        for network, why in exempt
    ]
    postrouting.append(
        Rule(
            source=pods,
            matches=(Comment("netlab pod leaves the cluster"),),
            target=Masquerade(),
            origin=_because("nobody outside knows a way back to a pod"),
        )
    )
    accept_from = Rule(
        source=pods,
        matches=(Comment("netlab from pods"),),
        target=ACCEPT,
        origin=_because("pods may send through the node"),
    )
    accept_to = Rule(
        destination=pods,
        matches=(Comment("netlab to pods"),),
        target=ACCEPT,
        origin=_because("pods may be sent to through the node"),
    )
    return Section(
        OWNERSHIP,
        common={
            ("nat", POSTROUTING): tuple(postrouting),
            ("filter", FORWARD): (accept_from, accept_to),
        },
        guests={chain: (_jump("netlab pod traffic", target),) for chain, target in JUMPS.items()},
    )


def _jump(comment: str, chain: str) -> Rule:
    return Rule(matches=(Comment(comment),), target=Jump(chain), origin=_because(comment))


def _claims(chain: ChainId, line: str) -> bool:
    # by target, not by the whole line: another version of iptables may spell it otherwise, and
    # the jump would be added again and again
    return line.endswith(f"-j {JUMPS.get(chain)}")


OWNERSHIP = Ownership(
    name="cni",
    owns=lambda name: name in JUMPS.values(),
    claims=_claims,
    at_end=frozenset(JUMPS),
)
