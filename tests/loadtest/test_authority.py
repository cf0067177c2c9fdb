"""Certificates of the throw-away authority, read and verified by code that did not write them."""

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from loadtest.authority import Authority


@pytest.fixture
def authority():
    return Authority()


def handshake(authority_pem, identity, name, tmp_path):
    """The peer's certificate after a TLS handshake in memory."""
    (tmp_path / "key.pem").write_bytes(identity.key_pem)
    (tmp_path / "crt.pem").write_bytes(identity.certificate_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "crt.pem", tmp_path / "key.pem")
    trusting = ssl.create_default_context(cadata=authority_pem.decode())
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there, server_hostname=name)
    server = serving.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert()


@pytest.mark.parametrize("name", ["alpha.test", "broker.alpha.test"])
def test_a_server_is_trusted_under_each_of_its_names(authority, name, tmp_path):
    identity = authority.issue_server(["alpha.test", "broker.alpha.test"])
    seen = handshake(authority.certificate_pem, identity, name, tmp_path)
    assert seen["subjectAltName"] == (("DNS", "alpha.test"), ("DNS", "broker.alpha.test"))


def test_a_server_is_not_trusted_under_another_name_or_authority(authority, tmp_path):
    identity = authority.issue_server(["alpha.test"])
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'beta\.test'"):
        handshake(authority.certificate_pem, identity, "beta.test", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        handshake(Authority().certificate_pem, identity, "alpha.test", tmp_path)


def test_keys_are_p256_and_a_server_cannot_issue(authority):
    identity = authority.issue_server(["alpha.test"])
    key = load_pem_private_key(identity.key_pem, password=None)
    assert isinstance(key.curve, ec.SECP256R1)
    certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate_pem))


def test_a_long_domain_fits(authority):
    domain = ".".join(["a" * 60] * 4)
    certificate = x509.load_pem_x509_certificate(authority.issue_server([domain]).certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [domain]
