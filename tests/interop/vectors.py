"""Checks this client against the vectors of the specification, without a node."""

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

import catalogue
import client
import cose
import keys
import manifest
import wire
from wire import Refused


@dataclass
class Vector:
    name: str
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""

    def number(self, header: str) -> int:
        return int(self.headers[header])

    def numbers(self, header: str) -> list[int]:
        return [int(word) for word in self.headers[header].split()]

    def pairs(self, header: str) -> list[tuple[str, bytes]]:
        words = [word.split("=") for word in self.headers.get(header, "").split()]
        return [(name, bytes.fromhex(digits)) for name, digits in words]


def load(path: Path) -> Vector:
    vector = Vector(path.stem)
    digits = ""
    for line in path.read_text().splitlines():
        header = re.fullmatch(r"# ([a-z-]+): ?(.*)", line)
        if header and not digits:
            vector.headers[header[1]] = header[2].strip()
        digits += "".join(line.split("#")[0].split())
    vector.data = bytes.fromhex(digits)
    return vector


def load_all(folder: Path) -> list[Vector]:
    return [load(path) for path in sorted(folder.glob("*.hex"))]


# One function for each kind. It returns if the bytes are right, and raises if they are not.


def _cbor(vector: Vector) -> None:
    wire.decode(vector.data)


def _id(vector: Vector) -> None:
    _demand(keys.is_public_key(vector.data))
    _demand(keys.id_text(vector.data) == vector.headers["text"])


def _id_text(vector: Vector) -> None:
    keys.parse_id(vector.data.decode())


def _user_name(vector: Vector) -> None:
    _demand(wire.is_user_name(vector.data.decode()))


def _resource_name(vector: Vector) -> None:
    _demand(wire.is_resource_name(vector.data.decode()))


def _index_certificate(vector: Vector) -> None:
    network = keys.parse_id(vector.headers["network"])
    certificate = cose.certificate_holds(vector.data, network, vector.number("now"))
    _demand(certificate.hash.hex() == vector.headers["hash"])


def _membership(vector: Vector) -> None:
    membership = cose.verify("membership", vector.data)
    _demand(keys.id_text(membership.signer) == vector.headers["index"])
    _demand(membership.hash.hex() == vector.headers["hash"])


def _enrolment(vector: Vector) -> None:
    cose.enrolment_holds(
        vector.data,
        keys.parse_id(vector.headers["network"]),
        keys.parse_id(vector.headers["node"]),
        vector.number("now"),
        vector.number("index-seen"),
    )


def _record(vector: Vector) -> None:
    _demand(cose.verify("record", vector.data).hash.hex() == vector.headers["hash"])


def _receipt(vector: Vector) -> None:
    network = keys.parse_id(vector.headers["network"])
    now = vector.number("now")
    certificate = bytes.fromhex(vector.headers["certificate"])
    holding = cose.certificate_holds(certificate, network, now)
    cose.receipt_holds(vector.data, bytes.fromhex(vector.headers["record"]), holding)


def _manifest(vector: Vector) -> None:
    parts, rest = [], vector.data
    for length in vector.numbers("lengths"):
        parts.append(rest[:length])
        rest = rest[length:]
    root = manifest.read_root(parts[0], bytes.fromhex(vector.headers["root"]))
    manifest.assemble(root, parts[1:])
    if "seed" in vector.headers:
        data = blake3(vector.headers["seed"].encode()).digest(length=vector.number("length"))
        executable = vector.headers["executable"] == "true"
        built = manifest.build(data, vector.number("mtime"), executable)
        _demand([built.root, *built.pages.values()] == parts)


def _manifest_root(vector: Vector) -> None:
    manifest.read_root(vector.data, bytes.fromhex(vector.headers["root"]))
    if vector.name == "manifest-root-many-pages":
        _demand(_many_pages() == vector.data)


def _many_pages() -> bytes:
    """The root that the comment of manifest-root-many-pages.hex describes."""
    numbers = range(10_000)
    chunks = [
        manifest.Chunk(0, 4_096 + number % 1_024, cose.hash_of(struct.pack(">I", number)))
        for number in numbers
    ]
    size = sum(chunk.length for chunk in chunks)
    params = [4_096, 16_384, 65_536]
    entry = manifest.file_entry(size, cose.hash_of(b"made up"), params, mtime=0, executable=False)
    return manifest.write(entry, chunks)[0]


def _manifest_page(vector: Vector) -> None:
    manifest.parse_page(vector.data)


def _gear(vector: Vector) -> None:
    _demand(struct.pack(">256Q", *manifest.GEAR) == vector.data)


def _chunks(vector: Vector) -> None:
    length = vector.number("length")
    seed = vector.headers.get("seed")
    data = blake3(seed.encode()).digest(length=length) if seed else bytes(length)
    written, start = b"", 0
    for size in manifest.cut(data, vector.numbers("params")):
        written += struct.pack(">I", size) + cose.hash_of(data[start : start + size])
        start += size
    _demand(written == vector.data)


def _records_digest(vector: Vector) -> None:
    _demand(client.records_digest(dict(vector.pairs("records"))) == vector.data)


def _holdings_digest(vector: Vector) -> None:
    held = {content: whole == "whole" for whole, content in vector.pairs("holdings")}
    _demand(client.holdings_digest(held) == vector.data)


def _head(vector: Vector, check) -> None:
    network, now = keys.parse_id(vector.headers["network"]), vector.number("now")
    _demand(check(network, now).hash.hex() == vector.headers["hash"])


def _catalogue_head(vector: Vector) -> None:
    bundle = {"head": vector.data, "enrolment": bytes.fromhex(vector.headers["enrolment"])}
    _head(vector, lambda network, now: catalogue.head_holds(bundle, network, now, 0)[0])


def _members_head(vector: Vector) -> None:
    bundle = {"head": vector.data, "certificate": bytes.fromhex(vector.headers["certificate"])}
    _head(vector, lambda network, now: catalogue.members_hold(bundle, network, now))


def _presence(vector: Vector) -> None:
    _head(vector, lambda network, now: catalogue.presence_holds(vector.data, network, now))


def _index_place(vector: Vector) -> None:
    bundle = {"presence": vector.data, "certificate": bytes.fromhex(vector.headers["certificate"])}
    _head(vector, lambda network, now: catalogue.place_holds(bundle, network, now))


def _tree_page(vector: Vector) -> None:
    _demand(cose.hash_of(vector.data).hex() == vector.headers["hash"])
    catalogue.read_page(vector.data)
    if vector.name == "tree-page-branch":
        builder = catalogue.Builder()
        contents = [cose.hash_of(struct.pack(">I", number)) for number in range(300)]
        root = catalogue.build_held(builder, contents)
        _demand(builder.pages[root] == vector.data)


def _event(vector: Vector) -> None:
    length = int.from_bytes(vector.data[:4], "big")
    if length > vector.number("limit"):
        raise Refused("too-large", "the frame")
    bundle = wire.read_event(vector.data[4:])
    _demand((bundle is None) == (vector.headers.get("form") == "another"))
    if bundle is not None:
        cose.verify("record", bundle["record"])


CHECKS = {
    "cbor": _cbor,
    "id": _id,
    "id-text": _id_text,
    "user-name": _user_name,
    "resource-name": _resource_name,
    "index-certificate": _index_certificate,
    "membership": _membership,
    "enrolment": _enrolment,
    "record": _record,
    "receipt": _receipt,
    "manifest": _manifest,
    "manifest-root": _manifest_root,
    "manifest-page": _manifest_page,
    "gear": _gear,
    "chunks": _chunks,
    "records-digest": _records_digest,
    "holdings-digest": _holdings_digest,
    "catalogue-head": _catalogue_head,
    "members-head": _members_head,
    "presence": _presence,
    "index-place": _index_place,
    "tree-page": _tree_page,
    "event": _event,
}


def _demand(condition: bool) -> None:
    if not condition:
        raise ValueError("not what the vector says")


def verdict(vector: Vector) -> str:
    """What this client says of a vector: `ok`, or the name of a code."""
    try:
        CHECKS[vector.headers["kind"]](vector)
    except Refused as refused:
        return refused.code
    except ValueError:
        return "refused"
    return "ok"


def is_right(vector: Vector, said: str) -> bool:
    """Which code it is matters where a message is answered with it: in a record."""
    expected = vector.headers["expect"]
    if vector.headers["kind"] == "record":
        return said == expected
    return (said == "ok") == (expected == "ok")


def applies(vector: Vector) -> bool:
    """Messages are tried out against a node; folders this client does not assemble."""
    folder = vector.headers["kind"] == "manifest" and "folder" in vector.name
    return vector.headers["kind"] in CHECKS and not folder
