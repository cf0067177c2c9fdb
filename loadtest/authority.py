"""A throw-away certificate authority: it lives in memory for one deployment and is then forgotten.

Only its certificate and its revocation list are ever written. Server certificates carry DNS names
alone (RFC 6120 section 13.7.1.2 knows two kinds): a domain in an `id-on-xmppAddr` name crashes
ejabberd 23's federation. A Platform's certificate names one account (section 13.7.1.4): where there
are two, ejabberd takes neither without being asked for one.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID_BEFORE = datetime.timedelta(hours=1)  # for clocks that are a little behind
_VALID_AFTER = datetime.timedelta(days=30)
_XMPP_ADDRESS = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # id-on-xmppAddr
_UTF8_STRING = 0x0C  # its tag in DER


@dataclass(frozen=True)
class Identity:
    """A private key and the certificate that names its holder, both in PEM."""

    key_pem: bytes
    certificate_pem: bytes

    @property
    def pem(self) -> bytes:
        """Both in one, as clients take them."""
        return self.key_pem + self.certificate_pem


class Authority:
    """A certificate authority with a P-256 key of its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name("XMPP-Grid Lab throw-away CA")
        self._revoked: list[x509.RevokedCertificate] = []
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
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that clients trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def revocation_list_pem(self) -> bytes:
        """The list of what was revoked until now."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - _VALID_BEFORE)
            .next_update(now + _VALID_AFTER)
        )
        for revoked in self._revoked:
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue_server(self, dns_names: Sequence[str], *, expired: bool = False) -> Identity:
        """A key and certificate for a server that answers to `dns_names`, its domain first."""
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
        return self._issue(dns_names[0], names, expired)

    def issue_address(self, address: str) -> Identity:
        """A key and certificate for a server that is known by a numeric address alone."""
        return self._issue(address, [x509.IPAddress(ipaddress.ip_address(address))], False)

    def issue_platform(
        self, account: str, *, named: bool = True, expired: bool = False
    ) -> Identity:
        """A key and certificate for the bare JID `account`, which one not `named` leaves out."""
        value = account.encode()
        names: list[x509.GeneralName] = [x509.DNSName("nobody.invalid")]
        if named:
            value = bytes([_UTF8_STRING, *_der_length(len(value))]) + value
            names = [x509.OtherName(_XMPP_ADDRESS, value)]
        return self._issue(account, names, expired)

    def revoke(self, identity: Identity) -> None:
        """Put a certificate of ours on the list."""
        certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
        self._revoked.append(
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(datetime.datetime.now(datetime.UTC) - _VALID_BEFORE)
            .build()
        )

    def _issue(self, subject: str, names: list[x509.GeneralName], expired: bool) -> Identity:
        """For both sides of a connection: Prosody verifies its clients' as it does servers'."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        )
        certificate = (
            self._builder(_common_name(subject[:64]), key.public_key(), expired)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(usage, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Identity(key_pem, certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        end = now - _VALID_BEFORE if expired else now + _VALID_AFTER
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - _VALID_BEFORE)
            .not_valid_after(end)
        )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _der_length(size: int) -> list[int]:
    """A length as DER writes it (X.690 section 8.1.3)."""
    if size < 128:
        return [size]
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return [0x80 | len(octets), *octets]
