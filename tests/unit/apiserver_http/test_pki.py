import stat
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Interface

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from netlab.apiserver.auth.authn import certificate_user
from netlab.apiserver.auth.pki import ensure_pki
from netlab.config import LabConfig

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = LabConfig()
CLIENT = {"apiserver-kubelet-client.crt", "apiserver-kubelet-client.key"}
FILES = {"ca.crt", "ca.key", "apiserver.crt", "apiserver.key", "admin.crt", "admin.key", *CLIENT}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def changed(before, after):
    return {name for name in after if before.get(name) != after[name]}


def test_a_restart_changes_nothing(tmp_path):
    first = ensure_pki(tmp_path / "pki", CONFIG, NOW)
    before = contents(tmp_path / "pki")
    assert ensure_pki(tmp_path / "pki", CONFIG, NOW + timedelta(days=1)) == first
    assert contents(tmp_path / "pki") == before
    assert before.keys() >= FILES


def test_only_root_reads_the_files(tmp_path):
    ensure_pki(tmp_path / "pki", CONFIG, NOW)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


def test_the_server_answers_to_its_names(tmp_path):
    ensure_pki(tmp_path, CONFIG, NOW)
    certificate = x509.load_pem_x509_certificate((tmp_path / "apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc.cluster.local" in names.get_values_for_type(x509.DNSName)
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "10.100.199.200", "10.96.0.1"}


RENEWALS = {
    "another address": (
        LabConfig(node_address=IPv4Interface("10.1.1.1/24")),
        timedelta(0),
        {"apiserver.crt", "apiserver.key"},
    ),
    "another node name": (
        LabConfig(node_name="n"),
        timedelta(0),
        {"apiserver.crt", "apiserver.key"},
    ),
    "nearly over": (
        CONFIG,
        timedelta(days=340),
        {"apiserver.crt", "apiserver.key", "admin.crt", "admin.key", *CLIENT},
    ),
}


@pytest.mark.parametrize(("config", "later", "renewed"), RENEWALS.values(), ids=RENEWALS)
def test_a_certificate_is_renewed(tmp_path, config, later, renewed):
    ensure_pki(tmp_path, CONFIG, NOW)
    before = contents(tmp_path)
    ensure_pki(tmp_path, config, NOW + later)
    assert changed(before, contents(tmp_path)) == renewed


def test_a_new_authority_replaces_all_it_signed(tmp_path):
    ensure_pki(tmp_path, CONFIG, NOW)
    before = contents(tmp_path)
    (tmp_path / "ca.key").write_bytes(before["ca.key"][:40])
    ensure_pki(tmp_path, CONFIG, NOW)
    assert changed(before, contents(tmp_path)) == set(before) - {"sa.key"}


def test_the_admin_is_a_master(tmp_path):
    _, cert_pem, _ = ensure_pki(tmp_path, CONFIG, NOW).admin_credentials()
    der = x509.load_pem_x509_certificate(cert_pem).public_bytes(Encoding.DER)
    user = certificate_user(der)
    assert user.name == "kubernetes-admin"
    assert user.groups == ("system:masters", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
