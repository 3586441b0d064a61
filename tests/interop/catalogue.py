"""What members know without the index: heads, presence, the list of members, and their trees."""

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import cose
import keys
import wire
from cose import DAY_MS, Signed, hash_of
from wire import Refused

AHEAD_MS = 600_000
HEAD_MS = 30 * DAY_MS
PRESENCE_MS = 900_000
PAGE_BYTES = 12_288
MOST = 64
MOST_LEVELS = 24
PAGES = "pages"

# Signed objects


def _timely(signed: Signed, now: int, behind: int | None) -> None:
    if signed["time"] > now + AHEAD_MS:
        raise Refused("bad-record", "from the future")
    if behind is not None and now > signed["time"] + behind:
        raise Refused("bad-record", "over")


def _of_node(kind: str, envelope: bytes, network: bytes) -> Signed:
    signed = cose.verify(kind, envelope)
    if signed["network"] != network:
        raise Refused("other-network", f"{kind}: another network")
    return signed


def head_holds(
    bundle: dict, network: bytes, now: int, index_seen: int | None = None
) -> tuple[Signed, Signed]:
    """A catalogue's head with the membership of its node."""
    head = _of_node("catalogue head", wire.field(bundle, "head", bytes), network)
    _timely(head, now, HEAD_MS)
    enrolment = wire.field(bundle, "enrolment", bytes)
    return head, cose.enrolment_holds(enrolment, network, head["node"], now, index_seen)


def presence_holds(envelope: bytes, network: bytes, now: int) -> Signed:
    """A word of presence, but for the enrolment of its node."""
    word = _of_node("presence", envelope, network)
    _timely(word, now, PRESENCE_MS)
    return word


def members_hold(bundle: dict, network: bytes, now: int) -> Signed:
    certificate = cose.certificate_holds(wire.field(bundle, "certificate", bytes), network, now)
    head = _of_node("members head", wire.field(bundle, "head", bytes), network)
    if head.signer != certificate["node"] or head["issuer"] != certificate.hash:
        raise Refused("bad-record", "not the index's")
    _timely(head, now, None)
    return head


def place_holds(bundle: dict, network: bytes, now: int) -> Signed:
    """The index's word of where it is."""
    certificate = cose.certificate_holds(wire.field(bundle, "certificate", bytes), network, now)
    word = _of_node("presence", wire.field(bundle, "presence", bytes), network)
    if word.signer != certificate["node"] or not word["addresses"]:
        raise Refused("bad-record", "not the index's, or no place")
    _timely(word, now, None)
    return word


def counts_rather(new: Signed, old: Signed | None) -> bool:
    """Whether a head counts rather than another one of the same node."""
    return old is None or (new["seq"], [-byte for byte in new.hash]) > (
        old["seq"],
        [-byte for byte in old.hash],
    )


# Pages of trees


def _hashes(value) -> list[bytes]:
    if type(value) is not bytes or not value or len(value) % 32:
        raise Refused("bad-message", "hashes of 32 bytes")
    return [value[at : at + 32] for at in range(0, len(value), 32)]


def _is_member(item) -> bool:
    return (
        type(item) is dict
        and keys.is_public_key(item.get("node"))
        and type(item.get("account")) is bytes
        and len(item["account"]) == 16
        and wire.is_user_name(item.get("user"))
        and cose.UINT(item.get("serial"))
    )


def _is_revoked(item) -> bool:
    numbers = ("serial", "since")
    return (
        type(item) is dict
        and keys.is_public_key(item.get("node"))
        and all(cose.UINT(item.get(name)) for name in numbers)
    )


def _is_record(item) -> bool:
    return (
        type(item) is dict
        and type(item.get("record")) is bytes
        and type(item.get("receipt")) in (bytes, type(None))
    )


def read_page(data: bytes) -> tuple[str, list | dict]:
    """The kind of a page with its hashes or items; of records the whole leaf."""
    if len(data) > PAGE_BYTES:
        raise Refused("too-large", "a page of a tree")
    page = wire.decode(data)
    if type(page) is not dict or len(page) != 1:
        raise Refused("bad-message", "no page")
    ((kind, value),) = page.items()
    if kind in (PAGES, "held"):
        hashes = _hashes(value)
        if kind == PAGES and len(hashes) < 2:
            raise Refused("bad-message", "a branch of one")
        return kind, hashes
    if kind == "records":
        if type(value) is not dict or not _are(value.get("records"), _is_record):
            raise Refused("bad-message", "a leaf of records")
        if not all(type(one) is bytes for one in wire.field(value, "certificates", list)):
            raise Refused("bad-message", "certificates")
        return kind, value
    checks = {"members": _is_member, "revoked": _is_revoked}
    if kind not in checks or not _are(value, checks[kind]):
        raise Refused("bad-message", f"a page of {kind}")
    return kind, value


def _are(items, check) -> bool:
    return type(items) is list and bool(items) and all(check(item) for item in items)


# What asks a far end for pages: hashes in, pages or `None` out.
Ask = Callable[[list[bytes]], Awaitable[list[bytes | None]]]


@dataclass
class Tree:
    """A tree that was fetched: its leaves from left to right, and all its pages."""

    leaves: list = field(default_factory=list)
    pages: dict[bytes, bytes] = field(default_factory=dict)


async def fetch_tree(kind: str, root: bytes | None, count: int, ask: Ask) -> Tree:
    """Reads a tree from its root down, and checks all that its head says of it."""
    tree, read = Tree(), {}
    level, depth = [root] if root else [], 1
    while level:
        if depth > MOST_LEVELS or len(read) > 2 * count:
            raise Refused("bad-record", "a tree that is larger than its head says")
        for at in range(0, len(level), MOST):
            asked = level[at : at + MOST]
            pages = await ask(asked)
            for name, page in zip(asked, pages, strict=True):
                if page is None or hash_of(page) != name:
                    raise Refused("bad-record", "another page than was asked for, or none")
                tree.pages[name] = page
                read[name] = read_page(page)
                if read[name][0] not in (PAGES, kind):
                    raise Refused("bad-record", "a page of another kind")
        below = [child for name in level if read[name][0] == PAGES for child in read[name][1]]
        level, depth = [name for name in dict.fromkeys(below) if name not in read], depth + 1
    if root is not None:
        _gather(root, read, tree.leaves)
    items = sum(len(leaf["records"] if kind == "records" else leaf) for leaf in tree.leaves)
    if items != count:
        raise Refused("bad-record", f"{items} items where the head says {count}")
    return tree


def _gather(name: bytes, read: dict, leaves: list) -> None:
    kind, value = read[name]
    if kind != PAGES:
        leaves.append(value)
        return
    for child in value:
        _gather(child, read, leaves)


def read_records(
    leaves: list[dict], head: Signed, membership: Signed, enrolment: bytes
) -> list[Signed]:
    """The records of a catalogue, each of which has to verify as the head's node's."""
    records = []
    for leaf in leaves:
        certificates = {hash_of(one): one for one in leaf["certificates"]}
        for item in leaf["records"]:
            bundle = {"record": item["record"]}
            if item["receipt"] is None:
                bundle["enrolment"] = enrolment
            else:
                issuer = cose.verify("receipt", item["receipt"])["issuer"]
                bundle |= {"receipt": item["receipt"], "certificate": certificates.get(issuer)}
            record = cose.bundle_verifies(bundle, head["network"])
            wanted = (head["node"], membership["account"], membership["user"])
            if (record["node"], record["account"], record["user"]) != wanted:
                raise Refused("bad-record", "another's record")
            records.append(record)
    names = [record["name"].encode() for record in records]
    if names != sorted(set(names)):
        raise Refused("bad-record", "records in another order")
    return records


# Building


class Builder:
    """Puts branches above leaves that come from left to right."""

    def __init__(self):
        self.pages: dict[bytes, bytes] = {}
        self.levels: list[list[bytes]] = []

    def leaf(self, page: dict) -> None:
        self._add(0, self._page(page))

    def finish(self) -> bytes | None:
        level = 0
        while level < len(self.levels):
            rest, self.levels[level] = self.levels[level], []
            above = any(self.levels[level + 1 :])
            if len(rest) == 1 and not above:
                return rest[0]
            if len(rest) == 1:
                self._add(level + 1, rest[0])
            elif rest:
                self._branch(level, rest)
            level += 1
        return None

    def _add(self, level: int, name: bytes) -> None:
        if len(self.levels) == level:
            self.levels.append([])
        self.levels[level].append(name)
        if _hashes_end(self.levels[level]):
            full, self.levels[level] = self.levels[level], []
            self._branch(level, full)

    def _branch(self, level: int, names: list[bytes]) -> None:
        self._add(level + 1, self._page({PAGES: b"".join(names)}))

    def _page(self, page: dict) -> bytes:
        data = wire.encode(page)
        self.pages[hash_of(data)] = data
        return hash_of(data)


def _hashes_end(names: list[bytes]) -> bool:
    return len(names) == 382 or (len(names) >= 32 and names[-1][31] & 0x7F == 0)


def build_held(builder: Builder, contents: list[bytes]) -> bytes | None:
    page: list[bytes] = []
    for content in sorted(set(contents)):
        page.append(content)
        if _hashes_end(page):
            builder.leaf({"held": b"".join(page)})
            page = []
    if page:
        builder.leaf({"held": b"".join(page)})
    return builder.finish()


@dataclass
class _Leaf:
    """A leaf of records that grows, and what it counts."""

    records: list[dict] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list)
    counted: int = 64

    def costs(self, record: dict, certificate: bytes | None) -> int:
        costs = len(record["record"]) + len(record["receipt"] or b"") + 32
        new = certificate is not None and certificate not in self.certificates
        return costs + len(certificate) + 3 if new else costs

    def add(self, record: dict, certificate: bytes | None) -> None:
        self.counted += self.costs(record, certificate)
        self.records.append(record)
        if certificate is not None and certificate not in self.certificates:
            self.certificates.append(certificate)

    def page(self) -> dict:
        return {"records": {"certificates": sorted(self.certificates), "records": self.records}}


def build_records(builder: Builder, records: list[tuple[str, dict, bytes | None]]) -> bytes | None:
    """Of names, records with their receipts, and the certificates that these name."""
    leaf = _Leaf()
    for name, record, certificate in sorted(records, key=lambda one: one[0].encode()):
        if leaf.records and leaf.counted + leaf.costs(record, certificate) > PAGE_BYTES:
            builder.leaf(leaf.page())
            leaf = _Leaf()
        leaf.add(record, certificate)
        if leaf.counted >= 2_048 and hash_of(name.encode())[31] & 0x0F == 0:
            builder.leaf(leaf.page())
            leaf = _Leaf()
    if leaf.records:
        builder.leaf(leaf.page())
    return builder.finish()


# Comparing


def known_digest(known: list[dict]) -> bytes:
    """Of what is known of nodes, as in `have`."""
    parts = (
        one["node"]
        + struct.pack(">Q", one["seq"])
        + one.get("head", bytes(32))
        + struct.pack(">Q", one["presence"])
        for one in sorted(known, key=lambda one: one["node"])
    )
    return hash_of(b"".join(parts))
