"""The rules that every node has, with and without Services.

Mirrors the fixed parts of kube-proxy ``pkg/proxy/iptables`` ``syncProxyRules``: jumps from the
built-in chains, the masquerade mark, the guard of 127.0.0.0/8 (which ``route_localnet`` opens to
the network for node ports on loopback), and the canary chains whose loss tells of a flush. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network

from netlab.net.ruleset import (
    ACCEPT,
    DROP,
    RETURN,
    AddressType,
    Comment,
    ConntrackState,
    Jump,
    Mark,
    Masquerade,
    Match,
    Net,
    Origin,
    Rule,
    SetMark,
)
from netlab.proxy import names

NEW = ConntrackState(("NEW",))
LOOPBACK = IPv4Network("127.0.0.0/8")
BIT = names.MASQUERADE_BIT


def _because(reason: str) -> Origin:
    return Origin("", "", "kube-proxy", reason)


def _jump(comment: str, chain: str, *matches: Match) -> Rule:
    notes = (*matches, Comment(comment)) if comment else matches
    return Rule(matches=notes, target=Jump(chain), origin=_because(comment or "loopback guard"))


_FIREWALL = _jump("", names.FIREWALL)
_LB_FIREWALL = _jump("kubernetes load balancer firewall", names.PROXY_FIREWALL, NEW)
_EXTERNAL = _jump("kubernetes externally-visible service portals", names.EXTERNAL_SERVICES, NEW)
_PORTALS = _jump("kubernetes service portals", names.SERVICES, NEW)
_NAT_PORTALS = _jump("kubernetes service portals", names.SERVICES)

JUMPS: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("filter", "INPUT"): (
        _FIREWALL,
        _LB_FIREWALL,
        _jump("kubernetes health check service ports", names.NODE_PORTS),
        _EXTERNAL,
    ),
    ("filter", "FORWARD"): (
        _LB_FIREWALL,
        _jump("kubernetes forwarding rules", names.FORWARD),
        _PORTALS,
        _EXTERNAL,
    ),
    ("filter", "OUTPUT"): (_FIREWALL, _LB_FIREWALL, _PORTALS),
    ("nat", "PREROUTING"): (_NAT_PORTALS,),
    ("nat", "OUTPUT"): (_NAT_PORTALS,),
    ("nat", "POSTROUTING"): (_jump("kubernetes postrouting rules", names.POSTROUTING),),
}
"""Rules at the head of the built-in chains, by (table, chain)."""

_ESTABLISHED = ("RELATED", "ESTABLISHED")

FIXED: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("mangle", names.CANARY): (),
    ("filter", names.CANARY): (),
    ("nat", names.CANARY): (),
    ("filter", names.FIREWALL): (
        Rule(
            source=Net(LOOPBACK, inverted=True),
            destination=Net(LOOPBACK),
            matches=(
                Comment("block incoming localnet connections"),
                ConntrackState((*_ESTABLISHED, "DNAT"), inverted=True),
            ),
            target=DROP,
            origin=_because("127.0.0.0/8 is open to node ports alone"),
        ),
    ),
    ("filter", names.FORWARD): (
        # a packet whose connection is unknown was not translated: its answer would surprise
        # the other side, which would reset the connection
        Rule(
            matches=(ConntrackState(("INVALID",)),),
            target=DROP,
            origin=_because("not part of a known connection"),
        ),
        Rule(
            matches=(Comment("kubernetes forwarding rules"), Mark(BIT, BIT)),
            target=ACCEPT,
            origin=_because("Service traffic to be masqueraded"),
        ),
        Rule(
            matches=(
                Comment("kubernetes forwarding conntrack rule"),
                ConntrackState(_ESTABLISHED),
            ),
            target=ACCEPT,
            origin=_because("part of a known connection"),
        ),
    ),
    ("filter", names.EXTERNAL_SERVICES): (),
    ("filter", names.NODE_PORTS): (),
    ("filter", names.PROXY_FIREWALL): (),
    ("filter", names.SERVICES): (),
    ("nat", names.MARK_MASQ): (
        Rule(target=SetMark(BIT, BIT), origin=_because("to be masqueraded when it leaves")),
    ),
    ("nat", names.POSTROUTING): (
        Rule(
            matches=(Mark(BIT, BIT, inverted=True),),
            target=RETURN,
            origin=_because("not marked"),
        ),
        # the mark has done its work; left on, a tunnel's outer packet would carry it too
        Rule(target=SetMark(BIT, 0), origin=_because("clear the mark")),
        Rule(
            matches=(Comment("kubernetes service traffic requiring SNAT"),),
            target=Masquerade(),
            origin=_because("marked by KUBE-MARK-MASQ"),
        ),
    ),
    ("nat", names.NODE_PORTS): (),
    ("nat", names.SERVICES): (),
}
"""Rules of the chains that are there with and without Services, by (table, chain)."""

LAST: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("nat", names.SERVICES): (
        Rule(
            matches=(
                Comment(
                    "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
                ),
                AddressType(destination="LOCAL"),
            ),
            target=Jump(names.NODE_PORTS),
            origin=_because("any address of the node"),
        ),
    ),
}
"""Rules behind those of all Services, by (table, chain)."""
