"""All names of the cluster, and what is answered to a question.

Mirrors CoreDNS's ``kubernetes`` plugin with kubeadm's settings: pod names are answered from the
name itself (``pods insecure``), unknown reverse names are somebody else's (``fallthrough``),
records live 30 seconds.

``replace`` puts one Service's records in the place of its former ones. Names above existing names
exist too, without records (RFC 8020), so ``svc.cluster.local`` is not NXDOMAIN. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Address

from netlab.dns import wire
from netlab.dns.records import Names
from netlab.dns.wire import Answer, Query, Record

TTL_S = 30
SPEC_VERSION = "1.1.0"
MAX_ALIASES = 8
"""CNAMEs followed before giving up on a circle."""
FOLLOWED = frozenset({wire.A, wire.AAAA, wire.TXT})
"""What is looked for behind a CNAME, as CoreDNS does; to others an alias has no data."""

REVERSE = wire.encode_name("in-addr.arpa")
REVERSE6 = wire.encode_name("ip6.arpa")


class Zone:
    """The records of the cluster's domain and of its reverse names."""

    def __init__(self, domain: str) -> None:
        self.domain = domain.rstrip(".").lower()
        self.apex = wire.encode_name(self.domain)
        self._pods = wire.encode_name(f"pod.{self.domain}")
        self._name_server = wire.encode_name(f"kube-dns.kube-system.svc.{self.domain}")
        self._names: dict[bytes, dict[str, dict[int, tuple[bytes, ...]]]] = {}
        self._by_owner: dict[str, Names] = {}
        self._interior: Counter[bytes] = Counter()
        self._serial = 0
        self.namespaces: Collection[str] = frozenset()
        version = wire.encode_name(f"dns-version.{self.domain}")
        self.replace("", {version: {wire.TXT: (wire.txt_data(SPEC_VERSION),)}, self._pods: {}})

    def replace(self, owner: str, names: Names) -> bool:
        """Set the names that ``owner`` (a Service's key) has; return whether any changed."""
        old = self._by_owner.get(owner, {})
        if old == names:
            return False
        for name in old:
            self._drop(owner, name)
        for name, types in names.items():
            self._names.setdefault(name, {})[owner] = dict(types)
            for above in self._above(name):
                self._interior[above] += 1
        if names:
            self._by_owner[owner] = names
        else:
            self._by_owner.pop(owner, None)
        self._serial += 1
        return True

    def _drop(self, owner: str, name: bytes) -> None:
        owners = self._names[name]
        del owners[owner]
        if not owners:
            del self._names[name]
        for above in self._above(name):
            self._interior[above] -= 1
            if not self._interior[above]:
                del self._interior[above]

    def _above(self, name: bytes) -> Iterator[bytes]:
        """Yield the names between a name and the apex of the zone."""
        if not name.endswith(self.apex):
            return
        name = wire.parent(name)
        while len(name) > len(self.apex):
            yield name
            name = wire.parent(name)

    def owners(self) -> Collection[str]:
        """Return the owners that have names."""
        return self._by_owner.keys()

    def contains(self, name: bytes) -> bool:
        """Return whether the zone is responsible for the name (a label boundary is checked)."""
        while len(name) > len(self.apex):
            name = wire.parent(name)
        return name == self.apex

    def knows(self, query: Query) -> bool:
        """Return whether the question is answered here; all others are forwarded."""
        if self.contains(query.name):
            return True
        reverse = query.name.endswith((REVERSE, REVERSE6))
        return reverse and query.name in self._names

    def answer(self, query: Query) -> Answer:
        """Return the answer to a question that ``knows`` accepts."""
        name = query.name
        if query.type == wire.ANY and self._exists(name):
            return Answer(answers=(Record(name, wire.HINFO, TTL_S, b"\x07RFC8482\0"),))
        if name == self.apex:
            return self._apex_answer(query.type)
        answers = self._resolve(name, query.type)
        if answers:
            return Answer(answers=answers, additional=self._glue(answers))
        rcode = wire.NOERROR if self._exists(name) else wire.NXDOMAIN
        authority = (self._soa(),) if self.contains(name) else ()
        return Answer(rcode, authority=authority)

    def external_alias(self, query: Query, answer: Answer) -> bytes | None:
        """Return the name outside the cluster at which a chain of CNAMEs ends, if it does."""
        last = answer.answers[-1] if answer.answers else None
        if last is None or last.type != wire.CNAME or query.type == wire.CNAME:
            return None
        if self.contains(last.data):
            return None
        return last.data

    def _resolve(self, name: bytes, type_: int) -> list[Record]:
        """Return the records of a name, and the aliases that lead to them.

        Aliases that lead in a circle, or to a name of the cluster without such records, are no
        answer at all.
        """
        chain: list[Record] = []
        while len(chain) <= MAX_ALIASES:
            found = self._data(name, type_)
            if found:
                return chain + [Record(name, type_, TTL_S, data) for data in found]
            if chain and not self.contains(name):
                return chain  # the rest is for others to tell
            aliases = self._data(name, wire.CNAME)
            if not aliases or type_ not in FOLLOWED:
                break
            chain.append(Record(name, wire.CNAME, TTL_S, aliases[0]))
            name = aliases[0]
        return []

    def _data(self, name: bytes, type_: int) -> Sequence[bytes]:
        owners = self._names.get(name)
        if owners is not None:
            return [data for types in owners.values() for data in types.get(type_, ())]
        if type_ == wire.A and (address := self._pod_address(name)) is not None:
            return (address.packed,)
        return ()

    def _pod_address(self, name: bytes) -> IPv4Address | None:
        """Return the address that a name like ``10-244-0-5.default.pod`` spells."""
        if len(name) <= len(self._pods) or not self.contains(name):
            return None
        namespace = wire.parent(name)
        if wire.parent(namespace) != self._pods or not self._is_namespace(namespace):
            return None
        text = wire.first_label(name).decode("ascii", "replace")
        try:
            return IPv4Address(text.replace("-", "."))
        except ValueError:
            return None

    def _is_namespace(self, name: bytes) -> bool:
        return wire.first_label(name).decode("ascii", "replace") in self.namespaces

    def _exists(self, name: bytes) -> bool:
        if name == self.apex or name in self._names or name in self._interior:
            return True
        if wire.parent(name) == self._pods:
            return self._is_namespace(name)
        return self._pod_address(name) is not None

    def _glue(self, answers: Sequence[Record]) -> tuple[Record, ...]:
        """Return the addresses of the names that SRV and NS records point at."""
        targets = {
            record.data[6:] if record.type == wire.SRV else record.data: None
            for record in answers
            if record.type in (wire.SRV, wire.NS)
        }
        return tuple(
            Record(target, wire.A, TTL_S, data)
            for target in targets
            for data in self._data(target, wire.A)
        )

    def _apex_answer(self, type_: int) -> Answer:
        if type_ == wire.SOA:
            return Answer(answers=(self._soa(),))
        if type_ == wire.NS:
            records = (Record(self.apex, wire.NS, TTL_S, self._name_server),)
            return Answer(answers=records, additional=self._glue(records))
        return Answer(authority=(self._soa(),))

    def _soa(self) -> Record:
        primary = b"\x02ns\x03dns" + self.apex
        mailbox = b"\x0ahostmaster" + self.apex
        data = wire.soa_data(primary, mailbox, self._serial, TTL_S)
        return Record(self.apex, wire.SOA, TTL_S, data)
