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

from netlab.net.ruleset import (
    ACCEPT,
    RETURN,
    Chain,
    Comment,
    Jump,
    Masquerade,
    Net,
    Origin,
    Rule,
    RuleSet,
    make_rule_set,
)
from netlab.net.savefile import Snapshot

POSTROUTING = "NETLAB-POSTROUTING"
FORWARD = "NETLAB-FORWARD"
MULTICAST = IPv4Network("224.0.0.0/4")


def _because(reason: str) -> Origin:
    return Origin("", "", "cni", reason)


def render_pod_rules(cluster_cidr: IPv4Network, keep_source: Iterable[IPv4Network]) -> RuleSet:
    """Return the rules, jumps included.

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
    return make_rule_set(
        [
            ("nat", Chain("POSTROUTING", (_jump("netlab pod traffic", POSTROUTING),), "ACCEPT")),
            ("nat", Chain(POSTROUTING, tuple(postrouting))),
            ("filter", Chain("FORWARD", (_jump("netlab pod traffic", FORWARD),), "ACCEPT")),
            ("filter", Chain(FORWARD, (accept_from, accept_to))),
        ]
    )


def _jump(comment: str, chain: str) -> Rule:
    return Rule(matches=(Comment(comment),), target=Jump(chain), origin=_because(comment))


def plan_rules(rules: RuleSet, kernel: Snapshot) -> str:
    """Return the restore text that brings the rules into the kernel; "" when they are there.

    Chains of the rules' own are written as a whole; to built-in chains (those with a policy)
    missing rules are appended.
    """
    parts: list[str] = []
    for table, chains in rules.tables.items():
        commands: list[str] = []
        for name, chain in chains.items():
            saved = kernel.chain(table, name)
            held = saved.lines if saved is not None else ()
            if chain.policy is not None:
                # by target, not by the whole line: another version of iptables may spell it
                # otherwise, and the jump would be added again and again
                targets = {line.rpartition("-j ")[2] for line in held}
                missing = [line for line in chain.lines() if line.split()[-1] not in targets]
                commands += [f"-A {name} {line}" for line in missing]
            elif saved is None or held != chain.lines():
                commands.insert(0, f":{name} - [0:0]")
                commands += [f"-A {name} {line}" for line in chain.lines()]
        if commands:
            parts += [f"*{table}", *commands, "COMMIT"]
    return "\n".join([*parts, ""]) if parts else ""


def plan_rules_removal(rules: RuleSet, kernel: Snapshot) -> str:
    """Return the restore text that takes exactly these rules and chains away; "" for none."""
    parts: list[str] = []
    for table, chains in rules.tables.items():
        present = {n: s for n in chains if (s := kernel.chain(table, n)) is not None}
        own = [name for name in present if chains[name].policy is None]
        commands = [f":{name} - [0:0]" for name in own]
        for name, saved in present.items():
            if chains[name].policy is not None:
                ours = set(chains[name].lines())
                commands += [f"-D {name} {line}" for line in saved.lines if line in ours]
        commands += [f"-X {name}" for name in own]
        if commands:
            parts += [f"*{table}", *commands, "COMMIT"]
    return "\n".join([*parts, ""]) if parts else ""
