"""The secrets of one instance, derived from the deployment's key: nobody keeps them, everybody who may know finds them.

The worker that makes a machine, the broker that connects to it and the page that hears from it come to the same
values without a table of secrets to steal. Pure. See docs/explanation/first-boot.md.
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve's group: private keys are the numbers from 1 to ORDER - 1."""
VALID = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
"""A pinned certificate needs no dates, and a machine whose clock is wrong still opens."""


@dataclass(frozen=True, slots=True)
class Secrets:
    desktop: str = field(repr=False)
    """VNC's eight characters; only ever sent inside TLS."""
    jupyter: str = field(repr=False)
    boot: str = field(repr=False)
    """With this the machine says, once, how its first boot of this generation went."""
    certificate: str
    """PEM, self-signed."""
    private_key: str = field(repr=False)
    """PEM, PKCS #8."""
    fingerprint: str
    """SHA-256 of the certificate's DER, 64 hex digits: what the broker pins."""


@lru_cache(maxsize=1024)
def derived(key: str, instance_id: str, generation: int) -> Secrets:
    """All but `boot` stay the same for as long as the instance exists."""
    private = ec.derive_private_key(1 + int.from_bytes(_bytes(key, instance_id, "tls", 48), "big") % (ORDER - 1), CURVE)
    certificate = _certificate(private, instance_id)
    return Secrets(
        desktop=_text(key, instance_id, "desktop", 6),
        jupyter=_text(key, instance_id, "jupyter", 32),
        boot=boot_token(key, instance_id, generation),
        certificate=certificate.public_bytes(Encoding.PEM).decode(),
        private_key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        fingerprint=sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
    )


def boot_token(key: str, instance_id: str, generation: int) -> str:
    return _text(key, instance_id, f"boot {generation}", 32)


def _certificate(private: ec.EllipticCurvePrivateKey, instance_id: str) -> x509.Certificate:
    """The same bytes each time: its signature takes no chance (RFC 6979)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, instance_id)])
    serial = int.from_bytes(sha256(instance_id.encode()).digest()[:16], "big") | 1
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(serial).not_valid_before(VALID[0]).not_valid_after(VALID[1])
    return builder.sign(private, SHA256(), ecdsa_deterministic=True)


def _bytes(key: str, instance_id: str, purpose: str, count: int) -> bytes:
    """HMAC in counter mode; the parts are kept apart by a byte that none of them holds."""
    message = f"visa instance\0{instance_id}\0{purpose}\0".encode()
    blocks = (hmac.digest(key.encode(), message + bytes([number]), "sha256") for number in range(-(-count // 32)))
    return b"".join(blocks)[:count]


def _text(key: str, instance_id: str, purpose: str, count: int) -> str:
    return urlsafe_b64encode(_bytes(key, instance_id, purpose, count)).decode().rstrip("=")
