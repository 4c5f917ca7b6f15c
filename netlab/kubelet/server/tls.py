"""The kubelet server's TLS: its own certificate, and whose client certificates it believes.

Mirrors the kubelet's ``--tls-cert-file``, ``--tls-private-key-file`` and ``--client-ca-file``.
Where a node was given no certificate it makes itself one, as a kubelet does: then only an API
server that does not check kubelets (kubeadm's) can reach it.
"""

from __future__ import annotations

import os
import ssl
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netlab.errors import HostError

LIFETIME = timedelta(days=365)
BACKDATE = timedelta(hours=1)


def server_context(cert_file: Path, key_file: Path, client_ca_pem: bytes) -> ssl.SSLContext:
    """Return the context to listen with. A client certificate is asked for, but not required.

    Raises: HostError when a file is no certificate or key, or they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert_file, key_file)
        context.load_verify_locations(cadata=client_ca_pem.decode())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise HostError(f"certificate of the kubelet {cert_file}: {error}") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def ensure_self_signed(folder: Path, name: str, address: IPv4Address, now: datetime) -> bool:
    """Have ``kubelet.crt`` and ``kubelet.key``; return whether they had to be made. Blocking.

    Raises: OSError.
    """
    cert_file, key_file = folder / "kubelet.crt", folder / "kubelet.key"
    if cert_file.exists() and key_file.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"{name}@{now.timestamp():.0f}"[:64])]
    )
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(address)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFETIME)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(
        key_file,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(cert_file, certificate.public_bytes(serialization.Encoding.PEM))
    return True


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
