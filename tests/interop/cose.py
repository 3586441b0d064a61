"""Signed objects of all kinds, and what joins them."""

from dataclasses import dataclass

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import keys
import wire
from wire import Refused

DAY_MS = 86_400_000
GRACE_MS = 180 * DAY_MS


def hash_of(data: bytes) -> bytes:
    return blake3(data).digest()


# The fields of each kind of payload, in the order of the schema.


def _number(low: int, high: int):
    return lambda value: type(value) is int and low <= value <= high


def _size(length: int):
    return lambda value: type(value) is bytes and len(value) == length


def is_text(value) -> bool:
    return type(value) is str


def _or_null(check):
    return lambda value: value is None or check(value)


def _is_extensions(value) -> bool:
    if type(value) is not dict or any(type(name) is not str for name in value):
        return False
    plain = all(
        type(item) in (bool, str, bytes) or (type(item) is int and item >= 0)
        for item in value.values()
    )
    return plain and list(value) == sorted(value, key=str.encode)


UINT = _number(0, 2**64 - 1)
FROM_1 = _number(1, 2**64 - 1)
UP_TO_2_53 = _number(0, 2**53)
UNIX_NS = _number(-(2**63), 2**63 - 1)
HASH = _size(32)

CERTIFICATE = {
    "format": UINT,
    "network": keys.is_public_key,
    "node": keys.is_public_key,
    "epoch": FROM_1,
    "not_after": UINT,
    "older_void_since": _or_null(UINT),
}
MEMBERSHIP = {
    "format": UINT,
    "network": keys.is_public_key,
    "issuer": HASH,
    "account": _size(16),
    "user": wire.is_user_name,
    "node": keys.is_public_key,
    "serial": FROM_1,
    "not_before": UINT,
    "not_after": UINT,
}
RECORD = {
    "format": UINT,
    "network": keys.is_public_key,
    "account": _size(16),
    "user": wire.is_user_name,
    "node": keys.is_public_key,
    "name": wire.is_resource_name,
    "kind": is_text,
    "version": _number(1, 2**53),
    "revision": UP_TO_2_53,
    "prev": _or_null(HASH),
    "size": UP_TO_2_53,
    "mtime": UNIX_NS,
    "published": UNIX_NS,
    "content": _or_null(HASH),
    "root": _or_null(HASH),
    "visibility": is_text,
    "extensions": _is_extensions,
}
RECEIPT = {
    "format": UINT,
    "network": keys.is_public_key,
    "issuer": HASH,
    "record": HASH,
    "time": UINT,
}
CATALOGUE_HEAD = {
    "format": UINT,
    "network": keys.is_public_key,
    "node": keys.is_public_key,
    "seq": UP_TO_2_53,
    "time": UINT,
    "records": _or_null(HASH),
    "record_count": _number(0, 200_000),
    "held": _or_null(HASH),
    "held_count": _number(0, 200_000),
}
MEMBERS_HEAD = {
    "format": UINT,
    "network": keys.is_public_key,
    "issuer": HASH,
    "seq": UP_TO_2_53,
    "time": UINT,
    "members": _or_null(HASH),
    "member_count": _number(0, 1_048_576),
    "revoked": _or_null(HASH),
    "revoked_count": _number(0, 1_048_576),
}
PRESENCE = {
    "format": UINT,
    "network": keys.is_public_key,
    "node": keys.is_public_key,
    "time": UINT,
    "since": UINT,
    "addresses": lambda value: (
        type(value) is list and len(value) <= 8 and all(is_text(address) for address in value)
    ),
}


@dataclass(frozen=True)
class Kind:
    context: bytes
    schema: dict
    most: int


KINDS = {
    "index certificate": Kind(b"p2p-node/0 index certificate", CERTIFICATE, 1024),
    "membership": Kind(b"p2p-node/0 membership", MEMBERSHIP, 1024),
    "record": Kind(b"p2p-node/0 record", RECORD, 4096),
    "receipt": Kind(b"p2p-node/0 receipt", RECEIPT, 512),
    "catalogue head": Kind(b"p2p-node/0 catalogue", CATALOGUE_HEAD, 1024),
    "members head": Kind(b"p2p-node/0 members", MEMBERS_HEAD, 1024),
    "presence": Kind(b"p2p-node/0 presence", PRESENCE, 1024),
}


# The trees that a head names, and how many items are in each.
TREES = {
    "catalogue head": (("records", "record_count"), ("held", "held_count")),
    "members head": (("members", "member_count"), ("revoked", "revoked_count")),
}


@dataclass(frozen=True)
class Signed:
    """A signed object that verified. Its fields are read like those of a dict."""

    signer: bytes
    payload: dict
    envelope: bytes

    def __getitem__(self, field: str):
        return self.payload[field]

    @property
    def hash(self) -> bytes:
        return hash_of(self.envelope)


def sign(kind: str, payload: dict, key: Ed25519PrivateKey) -> bytes:
    """The envelope of a payload, whose fields are put in the order of the schema."""
    ordered = wire.encode({field: payload[field] for field in KINDS[kind].schema})
    protected = wire.encode({1: -8, 4: keys.public(key)})
    signature = key.sign(_to_sign(kind, protected, ordered))
    return wire.encode([protected, {}, ordered, signature])


def verify(kind: str, envelope: bytes) -> Signed:
    """Reads a signed object and checks all that it shows by itself.

    What is wrong is `bad-record`, or `unsupported` where a later version may be meant.
    """
    try:
        return _verify(kind, envelope)
    except Refused as refused:
        code = "unsupported" if refused.code == "unsupported" else "bad-record"
        raise Refused(code, f"{kind}: {refused.text}") from refused


def _to_sign(kind: str, protected: bytes, payload: bytes) -> bytes:
    return wire.encode(["Signature1", protected, KINDS[kind].context, payload])


def _verify(kind: str, envelope: bytes) -> Signed:
    if len(envelope) > KINDS[kind].most:
        raise Refused("bad-record", "too large")
    match wire.decode(envelope):
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            pass
        case _:
            raise Refused("bad-record", "no COSE_Sign1")
    signer = _protected(protected)
    if unprotected or len(signature) != 64:
        raise Refused("bad-record", "unprotected header or signature")
    if not keys.verifies(signer, signature, _to_sign(kind, protected, payload)):
        raise Refused("bad-record", "the signature")
    fields = wire.decode(payload)
    _check_payload(kind, fields)
    if wire.encode({field: fields[field] for field in KINDS[kind].schema}) != payload:
        raise Refused("bad-record", "another encoding")
    if kind == "record":
        _check_record(signer, fields)
    if kind in ("catalogue head", "presence") and signer != fields["node"]:
        raise Refused("bad-record", "another signer")
    for tree, count in TREES.get(kind, ()):
        if (fields[tree] is None) != (fields[count] == 0):
            raise Refused("bad-record", "a tree is there exactly where something is in it")
    return Signed(signer, fields, envelope)


def _protected(data: bytes) -> bytes:
    header = wire.decode(data)
    if type(header) is not dict:
        raise Refused("bad-record", "the protected header")
    if 2 in header:
        raise Refused("unsupported", "critical parameters")
    if any(type(label) is int and label not in (1, 4) for label in header):
        raise Refused("bad-record", "a parameter that is not used")
    if header.get(1) != -8 or not keys.is_public_key(header.get(4)):
        raise Refused("bad-record", "alg or kid")
    return header[4]


def _check_payload(kind: str, fields) -> None:
    if type(fields) is not dict:
        raise Refused("bad-record", "the payload is no map")
    if UINT(fields.get("format")) and fields["format"] != 0:
        raise Refused("unsupported", "another format")
    if kind == "record":
        _check_known(fields, "kind", ("file", "folder", "gone"))
        _check_known(fields, "visibility", ("members",))
    schema = KINDS[kind].schema
    if fields.keys() != schema.keys():
        raise Refused("bad-record", "a field is missing or unknown")
    for field, check in schema.items():
        if not check(fields[field]):
            raise Refused("bad-record", f"the field {field}")


def _check_known(fields: dict, field: str, words: tuple) -> None:
    word = fields.get(field)
    if type(word) is str and word not in words:
        raise Refused("unsupported", f"{field} {word}")


def _check_record(signer: bytes, fields: dict) -> None:
    first = fields["version"] == 1 and fields["revision"] == 0
    gone = fields["kind"] == "gone"
    if signer != fields["node"]:
        raise Refused("bad-record", "another signer")
    if first != (fields["prev"] is None):
        raise Refused("bad-record", "prev")
    if gone != (fields["content"] is None) or gone != (fields["root"] is None):
        raise Refused("bad-record", "content or root")
    if gone and (fields["size"] or fields["revision"] or fields["mtime"] != fields["published"]):
        raise Refused("bad-record", "size, revision or times of a tombstone")


# What joins several objects


def certificate_holds(envelope: bytes, network: bytes, now: int) -> Signed:
    certificate = verify("index certificate", envelope)
    if certificate.signer != network or certificate["network"] != network:
        raise Refused("other-network", "the certificate is of another network")
    if certificate["not_after"] < now:
        raise Refused("not-member", "the certificate has ended")
    return certificate


def enrolment_holds(
    data: bytes, network: bytes, node: bytes, now: int, index_seen: int | None = None
) -> Signed:
    """The membership of an enrolment that holds for a node. `index_seen`: when the verifier last
    saw the index, for the grace; without it, there is none."""
    if len(data) > 2112:
        raise Refused("not-member", "an enrolment that is too large")
    both = wire.decode(data)
    if type(both) is not dict:
        raise Refused("not-member", "an enrolment that is no map")
    certificate = certificate_holds(wire.field(both, "certificate", bytes), network, now)
    membership = verify("membership", wire.field(both, "membership", bytes))
    if (
        membership.signer != certificate["node"]
        or membership["issuer"] != certificate.hash
        or membership["network"] != network
        or membership["node"] != node
    ):
        raise Refused("not-member", "a membership of something else")
    end = membership["not_after"]
    if index_seen is not None and index_seen <= end:
        end += GRACE_MS
    if not membership["not_before"] <= now <= end:
        raise Refused("not-member", "a membership of another time")
    return membership


def receipt_holds(envelope: bytes, record: bytes, certificate: Signed) -> Signed:
    """A receipt for the record with this hash, under a certificate."""
    receipt = verify("receipt", envelope)
    if (
        receipt.signer != certificate["node"]
        or receipt["issuer"] != certificate.hash
        or receipt["network"] != certificate["network"]
        or receipt["record"] != record
    ):
        raise Refused("bad-record", "a receipt for something else")
    return receipt


def bundle_verifies(bundle: dict, network: bytes, newest: Signed | None = None) -> Signed:
    """The record of a bundle. `newest` is the certificate with the highest epoch that the reader
    knows, which may void what older ones signed."""
    record = verify("record", wire.field(bundle, "record", bytes))
    if record["network"] != network:
        raise Refused("bad-record", "a record of another network")
    if bundle.get("receipt") is None:
        return _published_by_member(record, bundle, network)
    envelope = wire.field(bundle, "certificate", bytes)
    receipt_time = verify("receipt", wire.field(bundle, "receipt", bytes))["time"]
    try:
        certificate = certificate_holds(envelope, network, receipt_time)
    except Refused as refused:
        raise Refused("bad-record", refused.text) from refused
    receipt_holds(bundle["receipt"], record.hash, certificate)
    if newest is not None and certificate["epoch"] < newest["epoch"]:
        since = newest["older_void_since"]
        if since is not None and receipt_time >= since:
            raise Refused("bad-record", "a receipt that is void")
    return record


def _published_by_member(record: Signed, bundle: dict, network: bytes) -> Signed:
    """A record without a receipt: its publisher was a member when it was published."""
    if bundle.get("enrolment") is None:
        raise Refused("bad-record", "neither receipt nor enrolment")
    published = record["published"] // 1_000_000
    try:
        membership = enrolment_holds(bundle["enrolment"], network, record["node"], published)
    except Refused as refused:
        raise Refused("bad-record", refused.text) from refused
    if (membership["account"], membership["user"]) != (record["account"], record["user"]):
        raise Refused("bad-record", "another's record")
    return record


def make_tombstone(standing: Signed, node: bytes, now_ns: int) -> dict:
    """The payload of the tombstone that is built on a record."""
    return standing.payload | {
        "node": node,
        "kind": "gone",
        "version": standing["version"] + 1,
        "revision": 0,
        "prev": standing.hash,
        "size": 0,
        "mtime": now_ns,
        "published": now_ns,
        "content": None,
        "root": None,
        "extensions": {},
    }
