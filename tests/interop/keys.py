"""Ed25519 keys: what is a valid public key, ids as text, and the certificate that TLS shows."""

import base64
import datetime
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

# The curve: -x^2 + y^2 = 1 + D x^2 y^2 modulo P (RFC 8032, section 5.1).
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def _point(data: bytes) -> tuple[int, int] | None:
    """The point that 32 bytes encode canonically, if they do."""
    sign = data[31] >> 7
    y = int.from_bytes(data, "little") & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * _ROOT_OF_MINUS_1 % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (x if x % 2 == sign else P - x), y


def _doubled(point: tuple[int, int]) -> tuple[int, int]:
    x, y = point
    product = D * x * x * y * y % P
    return (
        2 * x * y * pow(1 + product, -1, P) % P,
        (y * y + x * x) * pow(1 - product, -1, P) % P,
    )


def is_public_key(data) -> bool:
    """Whether these are the 32 bytes of a canonical point that is not of small order."""
    if type(data) is not bytes or len(data) != 32:
        return False
    point = _point(data)
    return point is not None and _doubled(_doubled(_doubled(point))) != (0, 1)


def verifies(key: bytes, signature: bytes, data: bytes) -> bool:
    """Strict verification. The library checks that S is in range and compares R by its bytes,
    without the cofactor; that neither key nor R is of small order is checked here."""
    if not is_public_key(key) or not is_public_key(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


# Ids as text


def id_text(key: bytes) -> str:
    return base64.b32encode(key).decode().lower().rstrip("=")


def parse_id(text: str) -> bytes:
    """The key of an id's text; raises ValueError."""
    if not re.fullmatch(r"[a-z2-7]{52}", text):
        raise ValueError("not the text of an id")
    key = base64.b32decode(text.upper() + "====")
    if id_text(key) != text or not is_public_key(key):
        raise ValueError("not the text of an id")
    return key


# TLS


def tls_certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    """A self-signed certificate. Nobody looks at anything in it but the key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "p2p-node")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2120, 1, 1))
        .sign(key, None)
    )


def certified_key(certificate: x509.Certificate) -> bytes | None:
    """The node id that a certificate shows, if it shows a valid one."""
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        return None
    return key.public_bytes_raw() if is_public_key(key.public_bytes_raw()) else None
