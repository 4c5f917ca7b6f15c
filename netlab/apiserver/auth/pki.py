"""The lab's certificates: one authority, the server's certificate, client certificates.

Stands where ``kubeadm init phase certs`` stands. Everything lies below ``<state_dir>/pki``,
readable by root alone, and is made once: a restart finds it again. A certificate is made anew when
it nears its end, when the names or addresses the server answers to have changed, or when the
authority itself was replaced. Keys are EC P-256, because RSA keys take half a second to make.

Rules for callers: ``ensure_pki`` writes files, so it runs before the event loop or on a thread;
the ``Pki`` it returns only reads. Private keys leave it only as PEM bytes.

netlab leaves out: a separate authority for the front proxy and for etcd, revocation, and
CertificateSigningRequests.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from netlab.config import LabConfig
from netlab.errors import HostError

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
# A virtual machine that wakes up may lag behind the clock that signed.
BACKDATE = timedelta(hours=1)

ADMIN_USER = "kubernetes-admin"
ADMIN_GROUP = "system:masters"
KUBELET_CLIENT = "apiserver-kubelet-client"
KUBELET_CLIENT_USER = "kube-apiserver-kubelet-client"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate and its private key, both PEM."""

    cert_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class Pki:
    """What ``ensure_pki`` found or made. directory: where the files lie."""

    directory: Path
    ca: Credentials
    service_account_key_pem: bytes

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate: what clients must trust."""
        return self.ca.cert_pem

    def admin_credentials(self) -> tuple[bytes, bytes, bytes]:
        """Return (CA, certificate, key) of the user that may do everything, as PEM."""
        found = _read_credentials(self.directory, "admin")
        if found is None:
            raise HostError(f"{self.directory}/admin.crt: missing; run: netlab down, netlab up")
        return self.ca.cert_pem, found.cert_pem, found.key_pem

    def kubelet_context(self) -> ssl.SSLContext:
        """Return the context with which the API server speaks to kubelets.

        It shows the API server's own client certificate, and trusts certificates of the lab's
        authority only, whatever name they are for: a node is found by its address.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=self.ca.cert_pem.decode())
        pair = self.directory / KUBELET_CLIENT
        context.load_cert_chain(f"{pair}.crt", f"{pair}.key")
        return context

    def node_credentials(self, name: str, address: IPv4Address, now: datetime) -> NodeCredentials:
        """Return the certificates of a node's agent; made where they are missing or out of date.

        Blocking.

        Raises: HostError.
        """
        folder = self.directory / "nodes" / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            user_group = (f"system:node:{name}", "system:nodes")
            _ensure_client(folder, self.ca, "client", user_group, now)
            _ensure_serving(folder, self.ca, "kubelet", ([name], [address]), now)
        except OSError as error:
            raise HostError(f"{folder}: cannot write certificates: {error.strerror}") from error
        client, serving = (_read_credentials(folder, each) for each in ("client", "kubelet"))
        if client is None or serving is None:
            raise HostError(f"{folder}: the certificates cannot be read back")
        return NodeCredentials(self.ca.cert_pem, client, serving)

    def write_node_kubeconfig(self, path: Path, name: str, server: str, now: datetime) -> None:
        """Write the kubeconfig of a node's agent: a user for each of its parts. Blocking.

        Raises: OSError.
        """
        client = self.node_credentials_of(path.parent)
        parts = {"kubelet": client}
        parts["kube-proxy"] = issue_client(self.ca, "system:kube-proxy", [], now)
        account = "system:serviceaccount:kube-system:local-path-provisioner"
        groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"]
        parts["local-path-provisioner"] = issue_client(self.ca, account, groups, now)
        text = json.dumps(_kubeconfig(server, self.ca.cert_pem, parts), indent=1)
        _write_private(path, text.encode())

    def node_credentials_of(self, folder: Path) -> Credentials:
        """Return the client certificate that ``node_credentials`` has put into a node's folder.

        Raises: HostError.
        """
        found = _read_credentials(folder, "client")
        if found is None:
            raise HostError(f"{folder}/client.crt: missing; run: netlab down, netlab up")
        return found

    def server_context(self) -> ssl.SSLContext:
        """Return the context with which the API server listens.

        A client certificate is asked for but not required: callers with tokens have none.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.directory / "apiserver.crt", self.directory / "apiserver.key")
        context.load_verify_locations(cadata=self.ca.cert_pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        # Go clients offer HTTP/2 first; they must be told that we do not speak it.
        context.set_alpn_protocols(["http/1.1"])
        return context


@dataclass(frozen=True, slots=True)
class NodeCredentials:
    """What one agent has: whom it trusts, what it shows the API server, what it serves with."""

    ca_pem: bytes
    client: Credentials
    serving: Credentials


def server_names(config: LabConfig) -> tuple[list[str], list[IPv4Address]]:
    """Return the DNS names and the addresses under which the API server is reached."""
    service = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{config.cluster_domain}",
    ]
    addresses = [
        IPv4Address("127.0.0.1"),
        config.node_ip,
        config.kubernetes_service_ip,
    ]
    return ["localhost", config.node_name, *service], addresses


def ensure_pki(directory: Path, config: LabConfig, now: datetime) -> Pki:
    """Make what is missing or out of date below ``directory`` and return it all. Idempotent.

    Raises: HostError when the folder cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ca = _ensure_authority(directory, config, now)
        _ensure_server(directory, ca, config, now)
        _ensure_client(directory, ca, "admin", (ADMIN_USER, ADMIN_GROUP), now)
        _ensure_client(directory, ca, KUBELET_CLIENT, (KUBELET_CLIENT_USER, ADMIN_GROUP), now)
        return Pki(directory, ca, _ensure_key(directory / "sa.key"))
    except OSError as error:
        raise HostError(f"{directory}: cannot write certificates: {error.strerror}") from error


def issue_client(
    ca: Credentials, common_name: str, organizations: Sequence[str], now: datetime
) -> Credentials:
    """Return a new client certificate: common_name is the user, organizations its groups."""
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    names.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return _issue(ca, x509.Name(names), ExtendedKeyUsageOID.CLIENT_AUTH, None, now)


def _ensure_authority(directory: Path, config: LabConfig, now: datetime) -> Credentials:
    found = _read_credentials(directory, "ca")
    if found is not None and _current(_certificate(found), now):
        return found
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "netlab"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"netlab-ca {config.name}"[:64]),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _write_credentials(directory, "ca", certificate, key)


def _ensure_server(directory: Path, ca: Credentials, config: LabConfig, now: datetime) -> None:
    _ensure_serving(directory, ca, "apiserver", server_names(config), now, "kube-apiserver")


def _ensure_serving(
    directory: Path,
    ca: Credentials,
    name: str,
    names: tuple[list[str], list[IPv4Address]],
    now: datetime,
    common_name: str = "",
) -> None:
    """Have the certificate of a server that answers to those DNS names and addresses."""
    dns_names, addresses = names
    found = _read_credentials(directory, name)
    if found is not None:
        certificate = _certificate(found)
        wanted = {*dns_names, *map(str, addresses)}
        if _usable(certificate, ca, now) and _names_of(certificate) == wanted:
            return
    alternatives = x509.SubjectAlternativeName(
        [
            *(x509.DNSName(each) for each in dns_names),
            *(x509.IPAddress(address) for address in addresses),
        ]
    )
    common_name = common_name or f"system:node:{dns_names[0]}"[:64]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issued = _issue(ca, subject, ExtendedKeyUsageOID.SERVER_AUTH, alternatives, now)
    _write_pair(directory, name, issued)


def _ensure_client(
    directory: Path, ca: Credentials, name: str, user_group: tuple[str, str], now: datetime
) -> None:
    user, group = user_group
    found = _read_credentials(directory, name)
    if found is not None:
        certificate = _certificate(found)
        if _usable(certificate, ca, now) and subject_of(certificate) == (user, (group,)):
            return
    _write_pair(directory, name, issue_client(ca, user, [group], now))


def subject_of(certificate: x509.Certificate) -> tuple[str, tuple[str, ...]]:
    """Return (common name, organizations) of a certificate's subject."""
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return (str(common[0].value) if common else "", tuple(str(group.value) for group in groups))


def _issue(
    ca: Credentials,
    subject: x509.Name,
    purpose: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None,
    now: datetime,
) -> Credentials:
    ca_certificate = _certificate(ca)
    ca_key = _private_key(ca.key_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca_certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + LEAF_LIFETIME, ca_certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return Credentials(_pem(builder.sign(ca_key, hashes.SHA256())), _key_pem(key))


def _current(certificate: x509.Certificate, now: datetime) -> bool:
    return (
        certificate.not_valid_before_utc <= now
        and now + RENEW_BEFORE < certificate.not_valid_after_utc
    )


def _kubeconfig(server: str, ca_pem: bytes, users: Mapping[str, Credentials]) -> object:
    def text(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    cluster = {"server": server, "certificate-authority-data": text(ca_pem)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(users)),
        "clusters": [{"name": "lab", "cluster": cluster}],
        "contexts": [{"name": n, "context": {"cluster": "lab", "user": n}} for n in users],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": text(each.cert_pem),
                    "client-key-data": text(each.key_pem),
                },
            }
            for name, each in users.items()
        ],
    }


def _usable(certificate: x509.Certificate, ca: Credentials, now: datetime) -> bool:
    if not _current(certificate, now):
        return False
    try:
        certificate.verify_directly_issued_by(_certificate(ca))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> set[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    names: Iterable[str] = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return {*names, *(str(ip_address(str(address))) for address in addresses)}


def _certificate(credentials: Credentials) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credentials.cert_pem)


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise HostError("the lab's private key is not an EC key; remove the lab's pki folder")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _ensure_key(path: Path) -> bytes:
    try:
        pem = path.read_bytes()
        _private_key(pem)
        return pem
    except (FileNotFoundError, ValueError):
        pem = _key_pem(ec.generate_private_key(ec.SECP256R1()))
        _write_private(path, pem)
        return pem


def _read_credentials(directory: Path, name: str) -> Credentials | None:
    """Return what is on disk, or None when it is missing, cut short, or not a pair."""
    try:
        found = Credentials(
            (directory / f"{name}.crt").read_bytes(), (directory / f"{name}.key").read_bytes()
        )
        public = _certificate(found).public_key()
        same = public == _private_key(found.key_pem).public_key()
    except (FileNotFoundError, ValueError):
        return None
    return found if same else None


def _write_credentials(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Credentials:
    credentials = Credentials(_pem(certificate), _key_pem(key))
    _write_pair(directory, name, credentials)
    return credentials


def _write_pair(directory: Path, name: str, credentials: Credentials) -> None:
    _write_private(directory / f"{name}.key", credentials.key_pem)
    _write_private(directory / f"{name}.crt", credentials.cert_pem)


def _write_private(path: Path, data: bytes) -> None:
    """Write a file that only root reads, at once or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
