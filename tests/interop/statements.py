"""What members tell one another: `statements`, asked and answered, and what came of it."""

from dataclasses import dataclass

import catalogue
import cose
import wire
from catalogue import MOST, Builder, build_held, build_records, counts_rather, fetch_tree
from cose import Signed
from quic import Link
from wire import Refused

MOST_KNOWN = 4_096


@dataclass
class Catalogue:
    """Of one node, checked to the last record."""

    head: Signed
    bundle: dict
    records: list[Signed]
    held: list[bytes]


@dataclass
class Members:
    """The list of members, with both trees."""

    head: Signed
    bundle: dict
    members: list[dict]
    revoked: list[dict]


class Copy:
    """What a node knows of the others, and gives them to know. `node`: whose it is."""

    def __init__(self, node):
        self.node = node
        self.catalogues: dict[bytes, Catalogue] = {}
        self.words: dict[bytes, tuple[Signed, dict]] = {}
        self.members: Members | None = None
        # Where the index is: its word, with the epoch of its certificate, and as it travels.
        self.place: tuple[Signed, int, dict] | None = None
        self.pages: dict[bytes, bytes] = {}
        # How many pages others have asked for, and which words and heads they told.
        self.asked = 0
        self.told: list[dict] = []

    # What is known

    def known(self, after: bytes = b"", up_to: bytes = b"\xff" * 33) -> list[dict]:
        nodes = sorted({*self.catalogues, *self.words})
        return [self._known(node) for node in nodes if after < node <= up_to]

    def _known(self, node: bytes) -> dict:
        known = {"node": node, "seq": 0}
        if node in self.catalogues:
            head = self.catalogues[node].head
            known |= {"seq": head["seq"], "head": head.hash}
        return known | {"presence": self.words[node][0]["time"] if node in self.words else 0}

    def digest(self) -> dict:
        digest = {"known": catalogue.known_digest(self.known())}
        if self.members is not None:
            digest["members"] = self.members.head.hash
        if self.place is not None:
            digest["index"] = self.place[0].hash
        return digest

    # Answering

    def answer(self, body: dict) -> dict:
        given = [name for name in ("digest", "have", "news", "pages") if name in body]
        if len(given) != 1:
            raise Refused("bad-message", "exactly one of four")
        match given[0]:
            case "digest":
                return self._answer_digest(wire.field(body, "digest", dict))
            case "have":
                return self._answer_have(wire.field(body, "have", dict))
            case "news":
                news = wire.field(body, "news", dict)
                _bounded(news.get("heads", []), MOST)
                _bounded(news.get("presence", []), MOST)
                self.told.append(news)
                return {}
        pages = wire.field(body, "pages", list)
        _bounded(pages, MOST)
        self.asked += len(pages)
        return {"pages": [self.pages.get(page) for page in pages]}

    def _answer_digest(self, digest: dict) -> dict:
        own, news = self.digest(), {}
        if self.members is not None and digest.get("members") != own["members"]:
            news["members"] = self.members.bundle
        if self.place is not None and digest.get("index") != own["index"]:
            news["index"] = self.place[2]
        return {"digest": own, "news": news} if news else {"digest": own}

    def _answer_have(self, have: dict) -> dict:
        known = wire.field(have, "known", list)
        _bounded(known, MOST_KNOWN)
        theirs = {one["node"]: one for one in known}
        ours = {one["node"]: one for one in self.known(*self._range(have))}
        heads, words = [], []
        for node, one in ours.items():
            other = theirs.get(node, {"seq": 0, "presence": 0})
            if "head" in one and _counts(one, other):
                heads.append(self.catalogues[node].bundle)
            if one["presence"] > other["presence"]:
                words.append(self.words[node][1])
        nothing = {"seq": 0, "presence": 0}
        want = [
            node
            for node, one in theirs.items()
            if "head" in one and _counts(one, ours.get(node, nothing))
        ]
        news = {"heads": heads[:MOST], "presence": words[:MOST]}
        return {"news": news, "more": len(heads) > MOST or len(words) > MOST, "want": want}

    @staticmethod
    def _range(have: dict) -> tuple[bytes, bytes]:
        return have.get("after", b""), have.get("up_to", b"\xff" * 33)

    # Asking

    async def compare(self, link: Link) -> None:
        """Takes everything that the far end knows better."""
        stated = await self._ask(link, {"digest": self.digest()})
        news = stated.get("news") or {}
        if "members" in news:
            await self._take_members(link, news["members"])
        if "index" in news:
            self._take_place(news["index"])
        while True:
            stated = await self._ask(link, {"have": {"known": self.known()}})
            news = stated.get("news") or {}
            for bundle in news.get("heads", []):
                await self._take_head(link, bundle)
            for bundle in news.get("presence", []):
                self._take_word(bundle)
            if not stated.get("more"):
                return

    async def tell_own(self, link: Link, since: int) -> None:
        """Tells a new head of this node's catalogue, and where it is."""
        node = self.node
        head = {"head": self._make_head(), "enrolment": node.enrolment}
        word = {
            "format": 0,
            "network": node.network,
            "node": node.id,
            "time": node.now(),
            "since": since,
            "addresses": [node.endpoint.address],
        }
        presence = {"presence": cose.sign("presence", word, node.key), "enrolment": node.enrolment}
        same = cose.verify("catalogue head", head["head"])
        self.catalogues[node.id] = Catalogue(same, head, [*node.records.values()], [*node.held()])
        self._take_word(presence)
        await self._ask(link, {"news": {"heads": [head], "presence": [presence]}})

    def _make_head(self) -> bytes:
        node, builder = self.node, Builder()
        certificate = node.certificate.envelope
        records = [
            (name, {"record": record.envelope, "receipt": node.receipts[name]}, certificate)
            for name, record in node.records.items()
        ]
        before = self.catalogues.get(node.id)
        head = {
            "format": 0,
            "network": node.network,
            "node": node.id,
            "seq": max(node.now(), before.head["seq"] + 1 if before else 0),
            "time": node.now(),
            "records": build_records(builder, records),
            "record_count": len(records),
        }
        builder_of_held = Builder()
        contents = node.held()
        head |= {"held": build_held(builder_of_held, contents), "held_count": len(set(contents))}
        self.pages |= builder.pages | builder_of_held.pages
        return cose.sign("catalogue head", head, node.key)

    async def _ask(self, link: Link, body: dict) -> dict:
        return await link.request("statements", body)

    def _asks(self, link: Link):
        async def ask(hashes: list[bytes]) -> list[bytes | None]:
            stated = await self._ask(link, {"pages": hashes})
            return wire.field(stated, "pages", list)

        return ask

    async def _take_members(self, link: Link, bundle: dict) -> None:
        head = catalogue.members_hold(bundle, self.node.network, self.node.now())
        if self.members is not None and not counts_rather(head, self.members.head):
            return
        trees = {}
        for kind, count in (("members", "member_count"), ("revoked", "revoked_count")):
            tree = await fetch_tree(kind, head[kind], head[count], self._asks(link))
            self.pages |= tree.pages
            trees[kind] = [item for leaf in tree.leaves for item in leaf]
            nodes = [item["node"] for item in trees[kind]]
            if nodes != sorted(set(nodes)):
                raise Refused("bad-record", "nodes in another order")
        self.members = Members(head, bundle, trees["members"], trees["revoked"])

    def _take_place(self, bundle: dict) -> None:
        word = catalogue.place_holds(bundle, self.node.network, self.node.now())
        epoch = cose.verify("index certificate", bundle["certificate"])["epoch"]
        before = self.place
        if before is None or (epoch, word["time"]) > (before[1], before[0]["time"]):
            self.place = (word, epoch, bundle)

    async def _take_head(self, link: Link, bundle: dict) -> None:
        node = self.node
        head, membership = catalogue.head_holds(bundle, node.network, node.now(), node.index_seen)
        self._not_revoked(membership)
        before = self.catalogues.get(head["node"])
        if not counts_rather(head, before and before.head):
            return
        ask = self._asks(link)
        records = await fetch_tree("records", head["records"], head["record_count"], ask)
        held = await fetch_tree("held", head["held"], head["held_count"], ask)
        contents = [content for leaf in held.leaves for content in leaf]
        if contents != sorted(set(contents)):
            raise Refused("bad-record", "contents in another order")
        read = catalogue.read_records(records.leaves, head, membership, bundle["enrolment"])
        self.pages |= records.pages | held.pages
        self.catalogues[head["node"]] = Catalogue(head, bundle, read, contents)

    def _take_word(self, bundle: dict) -> None:
        node = self.node
        envelope = wire.field(bundle, "presence", bytes)
        word = catalogue.presence_holds(envelope, node.network, node.now())
        enrolment = bundle.get("enrolment")
        if enrolment is None and word["node"] in self.catalogues:
            enrolment = self.catalogues[word["node"]].bundle["enrolment"]
        if enrolment is None:
            return
        self._not_revoked(
            cose.enrolment_holds(
                enrolment, node.network, word["node"], node.now(), node.index_seen
            )
        )
        before = self.words.get(word["node"])
        if before is None or word["time"] > before[0]["time"]:
            self.words[word["node"]] = (word, bundle)

    def _not_revoked(self, membership: Signed) -> None:
        ended = self.members.revoked if self.members else []
        for one in ended:
            if one["node"] == membership["node"] and membership["serial"] <= one["serial"]:
                raise Refused("not-member", "a membership that was ended")


def _counts(one: dict, other: dict) -> bool:
    """By sequence, then by the lower hash."""
    if one["seq"] != other["seq"]:
        return one["seq"] > other["seq"]
    return one["head"] < other.get("head", b"\xff" * 33)


def _bounded(items, most: int) -> None:
    if type(items) is not list:
        raise Refused("bad-message", "no list")
    if len(items) > most:
        raise Refused("too-large", f"{len(items)} items")
