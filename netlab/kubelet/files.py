"""Decides the text of a pod's /etc/hosts, /etc/hostname and /etc/resolv.conf.

Mirrors the kubelet's ``ensureHostsFile`` and ``network/dns`` Configurer, and containerd for the
host name. The files are bind-mounted into every container of the pod; the agent writes them.

netlab leaves out ``hostAliases`` and the limits on the number of search domains, which today's
resolvers do not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from netlab.api.core import Pod, PodDnsConfig

MAX_HOSTNAME = 63  # a DNS label


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf; options as written, such as ``ndots:5``."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolver:
    """Return what a resolv.conf says; the last ``search`` line wins, as in the C library."""
    resolver = Resolver()
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            resolver = replace(resolver, nameservers=(*resolver.nameservers, words[1]))
        elif words[0] in ("search", "domain"):
            searches = tuple(word.rstrip(".") or "." for word in words[1:])
            resolver = replace(resolver, searches=searches)
        elif words[0] == "options":
            resolver = replace(resolver, options=(*resolver.options, *words[1:]))
    return resolver


def pod_resolver(
    pod: Pod, *, cluster_dns: str, cluster_domain: str, node_resolver: Resolver
) -> Resolver:
    """Return the resolver settings that the pod's dnsPolicy and dnsConfig ask for."""
    policy = pod.spec.dns_policy
    if policy == "None":
        base = Resolver()
    elif policy == "Default":
        base = node_resolver
    else:
        namespace = pod.metadata.namespace
        searches = (f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
        base = Resolver(
            nameservers=(cluster_dns,),
            searches=_unique((*searches, *node_resolver.searches)),
            options=("ndots:5",),
        )
    return _add_config(base, pod.spec.dns_config) if pod.spec.dns_config else base


def _add_config(base: Resolver, config: PodDnsConfig) -> Resolver:
    options = {option.split(":", 1)[0]: option for option in base.options}
    for option in config.options:
        value = f"{option.name}:{option.value}" if option.value else option.name
        options[option.name] = value
    return Resolver(
        nameservers=_unique((*base.nameservers, *config.nameservers)),
        searches=_unique((*base.searches, *config.searches)),
        options=tuple(options.values()),
    )


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def resolv_conf(resolver: Resolver) -> str:
    """Return the text of /etc/resolv.conf."""
    lines = []
    if resolver.searches:
        lines.append("search " + " ".join(resolver.searches))
    lines += [f"nameserver {server}" for server in resolver.nameservers]
    if resolver.options:
        lines.append("options " + " ".join(resolver.options))
    return "".join(line + "\n" for line in lines)


def pod_hostname(pod: Pod) -> str:
    """Return the pod's host name: spec.hostname, or the pod's name cut to a DNS label."""
    return (pod.spec.hostname or pod.metadata.name)[:MAX_HOSTNAME].rstrip("-.")


def hosts_file(pod: Pod, *, pod_ip: str, cluster_domain: str) -> str:
    """Return the text of /etc/hosts; with spec.subdomain the pod knows its full name too."""
    hostname = pod_hostname(pod)
    names = [hostname]
    if pod.spec.subdomain:
        domain = f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"
        names.insert(0, f"{hostname}.{domain}")
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        pod_ip + "\t" + "\t".join(names),
    ]
    return "\n".join(lines) + "\n"
