"""A certificate authority and a signer in place of PayPal's."""

import base64
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import NameOID
from tests.support.sources.payloads import NOW_US, delivery

from goald.sources.delivery import Delivery

CERTIFICATE_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-00000001"
SUBJECT = "messageverificationcerts.paypal.com"
WEBHOOK_ID = "4JH86294D6297924G"
SENT_AT = "2026-11-27T20:29:05Z"


@dataclass(frozen=True)
class Authority:
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def new_authority() -> Authority:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root of the tests")])
    usage = x509.KeyUsage(
        digital_signature=False,
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
        _builder(name, name, key, 2045)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def issue(authority: Authority, subject: str, *, until: int = 2035) -> Authority:
    """A certificate for `subject`, valid to the end of the year before `until`."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    certificate = (
        _builder(name, authority.certificate.subject, key, until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Authority(key, certificate)


def _builder(
    subject: x509.Name, signer: x509.Name, key: rsa.RSAPrivateKey, until: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(until, 1, 1, tzinfo=UTC))
    )


def signed(
    leaf: Authority, root: Authority, body: bytes, *, certificates: bytes | None = None
) -> Delivery:
    """A delivery that PayPal signed with `leaf`; the receiver trusts `root`."""
    text = f"b2a3-01|{SENT_AT}|{WEBHOOK_ID}|{zlib.crc32(body)}".encode()
    signature = leaf.key.sign(text, PKCS1v15(), hashes.SHA256())
    headers = {
        "PAYPAL-TRANSMISSION-ID": "b2a3-01",
        "PAYPAL-TRANSMISSION-TIME": SENT_AT,
        "PAYPAL-TRANSMISSION-SIG": base64.b64encode(signature).decode(),
        "PAYPAL-CERT-URL": CERTIFICATE_URL,
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    }
    plain = delivery(body, headers)
    return Delivery(
        plain.method,
        plain.url,
        plain.headers,
        body,
        NOW_US,
        leaf.pem if certificates is None else certificates,
        root.pem,
    )
