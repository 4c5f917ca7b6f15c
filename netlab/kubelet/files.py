"""Decides the text of a pod's /etc/hosts, /etc/hostname and /etc/resolv.conf.

Mirrors the kubelet's ``ensureHostsFile`` and ``network/dns`` Configurer, and containerd for the
host name. The files are bind-mounted into every container of the pod; the agent writes them.

A pod in the node's network (hostNetwork) sees the node's own hosts file, name and, unless its
dnsPolicy is ClusterFirstWithHostNet or None, the node's resolvers.

Left out: IPv6 addresses of pods; ``hostnameOverride``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from netlab.api.pods import HostAlias, Pod, PodDnsConfig
from netlab.config import NodeConfig
from netlab.errors import ContainerError

MAX_HOSTNAME = 63  # a DNS label
MAX_KERNEL_HOSTNAME = 64  # __NEW_UTS_LEN
MAX_NAMESERVERS = 3  # the C library reads no more
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
MAX_DOMAIN = 253


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf; options as written, such as ``ndots:5``."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EtcFiles:
    """texts: by file name; warnings: the messages of event DNSConfigForming."""

    texts: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def etc_files(
    pod: Pod,
    *,
    config: NodeConfig,
    pod_ip: str,
    node_resolver: Resolver,
    node_hosts: str,
) -> EtcFiles:
    """Return the files of /etc that a pod's containers see: hosts, hostname and resolv.conf.

    node_resolver, node_hosts: the node's own, for pods that see them.

    Raises: ContainerError when the pod's full name is too long to be its host name.
    """
    domain = config.cluster_domain
    resolver, warnings = _fit(_wanted_resolver(pod, str(config.dns_ip), domain, node_resolver))
    hosts = hosts_file(pod, pod_ip=pod_ip, cluster_domain=domain, node_hosts=node_hosts)
    hostname = kernel_hostname(pod, cluster_domain=domain, node_name=config.name)
    texts = {"hosts": hosts, "hostname": hostname + "\n", "resolv.conf": resolv_conf(resolver)}
    return EtcFiles(texts, warnings)


def parse_resolv_conf(text: str) -> Resolver:
    """Return what a resolv.conf says; the last ``search`` line wins, as in the C library.

    Words with characters that no name or address has are left out.
    """
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.split("\n"):
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        values = [word for word in words[1:] if word.isascii() and word.isprintable()]
        if words[0] == "nameserver":
            nameservers += values[:1]
        elif words[0] in ("search", "domain"):
            searches = [word.rstrip(".") or "." for word in values]
        elif words[0] == "options":
            options += values
    return Resolver(tuple(nameservers), tuple(searches), tuple(options))


def pod_resolver(
    pod: Pod, *, cluster_dns: str, cluster_domain: str, node_resolver: Resolver
) -> Resolver:
    """Return the resolver settings that the pod's policy and config ask for, within the limits."""
    return _fit(_wanted_resolver(pod, cluster_dns, cluster_domain, node_resolver))[0]


def _wanted_resolver(
    pod: Pod, cluster_dns: str, cluster_domain: str, node_resolver: Resolver
) -> Resolver:
    policy = pod.spec.dns_policy
    if policy == "None":
        base = Resolver()
    elif policy == "Default" or (policy == "ClusterFirst" and pod.spec.host_network):
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


def _fit(wanted: Resolver) -> tuple[Resolver, tuple[str, ...]]:
    """Return what of the settings resolvers can read, and what to tell of the rest."""
    warnings: list[str] = []
    nameservers = wanted.nameservers[:MAX_NAMESERVERS]
    if nameservers != wanted.nameservers:
        warnings.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
            f"nameserver line is: {' '.join(nameservers)}"
        )
    searches = tuple(d for d in wanted.searches[:MAX_SEARCHES] if len(d) <= MAX_DOMAIN)
    while len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches = searches[:-1]
    if searches != wanted.searches:
        warnings.append(
            "Search Line limits were exceeded, some search paths have been omitted, the applied "
            f"search line is: {' '.join(searches)}"
        )
    return replace(wanted, nameservers=nameservers, searches=searches), tuple(warnings)


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


def pod_hostname(pod: Pod, *, node_name: str = "") -> str:
    """Return the pod's host name: spec.hostname, or the pod's name cut to a DNS label.

    node_name: what a pod in the node's network is called instead; "" to leave that aside.
    """
    if pod.spec.host_network and node_name:
        return node_name
    return (pod.spec.hostname or pod.metadata.name)[:MAX_HOSTNAME].rstrip("-.")


def pod_domain(pod: Pod, *, cluster_domain: str) -> str:
    """Return the domain below which the pod has a name of its own; "" without spec.subdomain."""
    if not pod.spec.subdomain:
        return ""
    return f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"


def kernel_hostname(pod: Pod, *, cluster_domain: str, node_name: str = "") -> str:
    """Return what ``hostname`` says in the pod: with setHostnameAsFQDN the full name.

    node_name: as of ``pod_hostname``.

    Raises: ContainerError when the full name is longer than the kernel takes.
    """
    hostname = pod_hostname(pod, node_name=node_name)
    domain = pod_domain(pod, cluster_domain=cluster_domain)
    in_node = pod.spec.host_network and node_name
    if not domain or not pod.spec.set_hostname_as_fqdn or in_node:
        return hostname
    full = f"{hostname}.{domain}"
    if len(full) > MAX_KERNEL_HOSTNAME:
        raise ContainerError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too "
            f"long ({MAX_KERNEL_HOSTNAME} characters is the max, {len(full)} characters requested)"
        )
    return full


def hosts_file(pod: Pod, *, pod_ip: str, cluster_domain: str, node_hosts: str = "") -> str:
    """Return the text of /etc/hosts; with spec.subdomain the pod knows its full name too.

    node_hosts: the text of the node's own file, which a pod in the node's network sees.
    """
    if pod.spec.host_network:
        own = "# Kubernetes-managed hosts file (host network).\n" + node_hosts
        if not own.endswith("\n"):
            own += "\n"
        return own + _aliases(pod.spec.host_aliases)
    hostname = pod_hostname(pod)
    names = [hostname]
    domain = pod_domain(pod, cluster_domain=cluster_domain)
    if domain:
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
    return "\n".join(lines) + "\n" + _aliases(pod.spec.host_aliases)


def _aliases(aliases: Iterable[HostAlias]) -> str:
    lines = [alias.ip + "\t" + "\t".join(alias.hostnames) for alias in aliases]
    if not lines:
        return ""
    return "\n".join(["", "# Entries added by HostAliases.", *lines, ""])
