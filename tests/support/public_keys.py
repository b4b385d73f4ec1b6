"""Keys of the environment, as admins paste them."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tests.support.identity_provider import private_key


def pem(key: object) -> str:
    """Write a public key."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[attr-defined, no-any-return]


def certificate(kind: str, name: str = "first") -> str:
    """Make a self-signed certificate that has expired, which counts for nothing here."""
    key, subject = (
        private_key(kind, name),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.test")]),
    )
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2021, 1, 1, tzinfo=UTC),
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
