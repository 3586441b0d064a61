"""A node of a p2p-node network: accounts, listings, publishing, serving and downloading."""

import asyncio
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import cose
import download
import keys
import quic
import wire
from cose import Signed
from holder import Holder, Shared
from quic import Endpoint, Link
from statements import Copy
from wire import Refused


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def records_digest(records: dict[str, bytes]) -> bytes:
    """Of the hashes of the records that a node publishes, by name."""
    parts = sorted((name.encode(), record) for name, record in records.items())
    return cose.hash_of(
        b"".join(struct.pack(">H", len(name)) + name + record for name, record in parts)
    )


def holdings_digest(holdings: dict[bytes, bool]) -> bytes:
    """Of the contents that a node holds; the value says whether it has all of it."""
    return cose.hash_of(
        b"".join(content + bytes([holdings[content]]) for content in sorted(holdings))
    )


@dataclass(frozen=True)
class Location:
    """The index's answer to P: a record that verified, its bundle, and who has it."""

    record: Signed
    bundle: dict
    holders: list[dict]


class Events:
    """An open stream of events."""

    def __init__(self, node: "Node", reader):
        self._node = node
        self._reader = reader

    async def record(self) -> Signed:
        """The next record that is told; other events are ignored."""
        while True:
            async with asyncio.timeout(quic.REQUEST_SECONDS):
                content = await quic.read_frame(self._reader, wire.EVENT_BYTES)
            if (bundle := wire.read_event(content)) is not None:
                return cose.bundle_verifies(bundle, self._node.network, self._node.certificate)


class Node:
    """One node: a key, a UDP port, and what it knows of its network."""

    def __init__(self, network: bytes, key: Ed25519PrivateKey | None = None):
        self.network = network
        self.key = key or Ed25519PrivateKey.generate()
        self.id = keys.public(self.key)
        self.instance = os.urandom(16)
        self.holder = Holder(network)
        self.records: dict[str, Signed] = {}
        # The index's, for each of these.
        self.receipts: dict[str, bytes] = {}
        self.copy = Copy(self)
        # What the index asked for at the last start.
        self.wanted: list[str] = []
        self.certificate: Signed | None = None
        self.enrolment: bytes | None = None
        self.membership: Signed | None = None
        self.clock_offset = 0
        self.index_seen = 0
        self.seq = 0
        self.index: Link | None = None
        self.endpoint: Endpoint | None = None

    def now(self) -> int:
        return now_ms() + self.clock_offset

    async def bind(self, host: str = "127.0.0.1") -> None:
        self.endpoint = await Endpoint.bind(self.key, self._handle, host)

    def close(self) -> None:
        self.endpoint.close()

    # hello

    def hello(self) -> dict:
        body = {"minor": 0, "features": [], "network": self.network}
        if self.enrolment is not None:
            body["enrolment"] = self.enrolment
        if self.certificate is not None:
            body["certificate"] = self.certificate.envelope
        addresses = [self.endpoint.address]
        return body | {"clock": now_ms(), "instance": self.instance, "addresses": addresses}

    async def dial_index(self, address: str) -> Link:
        """Connects to the index. Without an enrolment, `signup` or `login` has to follow."""
        link = await self.endpoint.dial(address, None)
        link.to_index = True
        sent = now_ms()
        answer = await self._say_hello(link)
        self.clock_offset = wire.field(answer, "clock", int) - (sent + now_ms()) // 2
        self._check(link, answer, "other-network", self._check_index)
        self.index_seen = self.now()
        if answer.get("renewed") is not None:
            self._enrolled(answer["renewed"])
        self.index = link
        if self.enrolment is not None:
            link.limit = wire.MEMBER_FRAME_BYTES
            await self._start()
        return link

    async def dial_peer(self, address: str, node: bytes) -> Link:
        link = await self.endpoint.dial(address, node)
        answer = await self._say_hello(link)
        self._check(link, answer, "not-member", self._check_peer)
        link.limit = wire.MEMBER_FRAME_BYTES
        return link

    async def _say_hello(self, link: Link) -> dict:
        answer = await link.request("hello", self.hello())
        link.greeted = True
        return answer

    def _check(self, link: Link, answer: dict, otherwise: str, check) -> None:
        """The answer to `hello` has to hold; otherwise nothing more is sent."""
        try:
            check(link, answer)
        except Refused:
            other = answer.get("network") != self.network
            link.end("other-network" if other else otherwise)
            raise

    def _check_index(self, link: Link, answer: dict) -> None:
        self._check_network(answer)
        envelope = wire.field(answer, "certificate", bytes)
        certificate = cose.certificate_holds(envelope, self.network, self.now())
        if certificate["node"] != link.far_key:
            raise Refused("not-member", "the certificate names another node")
        if self.certificate is not None and certificate["epoch"] < self.certificate["epoch"]:
            raise Refused("not-member", "the certificate has been replaced")
        self.certificate = certificate

    def _check_peer(self, link: Link, answer: dict) -> None:
        self._check_network(answer)
        enrolment = wire.field(answer, "enrolment", bytes)
        self._member(enrolment, link.far_key)

    def _check_network(self, body: dict) -> None:
        if wire.field(body, "network", bytes, 32) != self.network:
            raise Refused("other-network", "the far end is of another network")

    def _member(self, enrolment: bytes, node: bytes) -> Signed:
        return cose.enrolment_holds(enrolment, self.network, node, self.now(), self.index_seen)

    def _greet(self, link: Link, body: dict) -> dict:
        """The answer to the hello of a node that dialled."""
        self._check_network(body)
        if "enrolment" not in body:
            raise Refused("not-member", "no enrolment")
        try:
            self._member(wire.field(body, "enrolment", bytes), link.far_key)
        except Refused as refused:
            raise Refused("not-member", refused.text) from refused
        link.greeted = True
        link.limit = wire.MEMBER_FRAME_BYTES
        return self.hello() | {"seen": link.far_address}

    async def _handle(self, link: Link, name: str, body: dict) -> tuple[dict, bytes]:
        """Answers a request of the far end."""
        if (name == "hello") == link.greeted:
            raise Refused("bad-message", "hello is the first message, and no other")
        match name:
            case "hello":
                return self._greet(link, body), b""
            case "ping":
                return {}, b""
            case "P":
                return self.holder.request_download(link, body), b""
            case "G":
                return self.holder.get_data(link, body)
            case "statements":
                return self.copy.answer(body), b""
            case "A" | "E":
                raise Refused("bad-message", "an answer as a request")
            case _:
                raise Refused("unsupported", f"{name} is nothing that a peer answers")

    # Accounts

    async def signup(self, user: str, password: str) -> None:
        await self._enrol("signup", user, password)

    async def login(self, user: str, password: str) -> None:
        await self._enrol("login", user, password)

    async def _enrol(self, message: str, user: str, password: str) -> None:
        answer = await self.index.request(message, {"user": user, "password": password})
        self._enrolled(wire.field(answer, "enrolment", bytes))
        self.index.limit = wire.MEMBER_FRAME_BYTES
        await self._start()

    def _enrolled(self, enrolment: bytes) -> None:
        self.membership = self._member(enrolment, self.id)
        self.enrolment = enrolment

    async def renew(self) -> None:
        answer = await self.index.request("renew", {})
        self._enrolled(wire.field(answer, "enrolment", bytes))

    async def logout(self) -> None:
        await self.index.request("logout", {})
        self.enrolment = self.membership = None

    # What the index knows

    async def pages(self, message: str, body: dict, key: str) -> list[list]:
        """All pages of a listing, each as the list of its items."""
        pages, cursor = [], {}
        while True:
            answer = await self.index.request(message, body | cursor)
            pages.append(wire.field(answer, key, list))
            if answer.get("next") is None:
                return pages
            cursor = {"cursor": answer["next"]}

    async def who(self, **body) -> list[dict]:
        return [item for page in await self.pages("who", body, "users") for item in page]

    async def listing(self, **body) -> list[dict]:
        return [item for page in await self.pages("L", body, "items") for item in page]

    async def search(self, query: str, **body) -> list[dict]:
        return [
            item
            for page in await self.pages("S", {"query": query} | body, "items")
            for item in page
        ]

    # Registering

    async def _start(self) -> None:
        """Tells the index where this node stands, and sends what it wants."""
        self.seq = max(now_ms(), self.seq + 1)
        records = {name: record.hash for name, record in self.records.items()}
        holdings = self._holdings()
        start = {
            "seq": self.seq,
            "records": records_digest(records),
            "holdings": holdings_digest(holdings),
        }
        answer = await self.index.request("R", {"start": start})
        self.wanted = [key for key in ("want_records", "want_holdings") if answer.get(key)]
        if "want_records" in self.wanted:
            await self._send_records(list(self.records.values()))
        if "want_holdings" in self.wanted:
            held = [{"content": content, "whole": whole} for content, whole in holdings.items()]
            await self._send_holdings(held, last=True)

    def held(self) -> list[bytes]:
        """The contents that it has whole."""
        return list(self._holdings())

    def _holdings(self) -> dict[bytes, bool]:
        return {shared.manifest.content: True for shared in self.holder.shared.values()}

    async def _send_records(self, records: list[Signed]) -> list[dict]:
        """R for what is there, D for what is gone; the outcomes in the order sent."""
        there = [{"record": record.envelope} for record in records if record["kind"] != "gone"]
        gone = [{"record": record.envelope} for record in records if record["kind"] == "gone"]
        outcomes = []
        if there:
            outcomes += (await self.index.request("R", {"records": there}))["outcomes"]
        if gone:
            outcomes += (await self.index.request("D", {"tombstones": gone}))["outcomes"]
        return outcomes

    async def _send_holdings(self, held: list[dict], last: bool) -> None:
        holds = {"generation": self.seq, "contents": held, "last": last}
        await self.index.request("R", {"holds": holds})

    def record(self, name: str, shared: Shared, **changes) -> bytes:
        """A signed record of a file, on top of the one that this node published before."""
        before = self.records.get(name)
        payload = {
            "format": 0,
            "network": self.network,
            "account": self.membership["account"],
            "user": self.membership["user"],
            "node": self.id,
            "name": name,
            "kind": "file",
            "version": before["version"] + 1 if before else 1,
            "revision": 0,
            "prev": before.hash if before else None,
            "size": shared.manifest.size,
            "mtime": shared.identity[1],
            "published": time.time_ns(),
            "content": shared.manifest.content,
            "root": shared.manifest.root_hash,
            "visibility": "members",
            "extensions": {},
        }
        return cose.sign("record", payload | changes, self.key)

    async def register(self, envelope: bytes) -> dict:
        """R of one record as it is; its outcome."""
        answer = await self.index.request("R", {"records": [{"record": envelope}]})
        return answer["outcomes"][0]

    async def deregister(self, envelope: bytes) -> dict:
        """D of one tombstone as it is; its outcome."""
        answer = await self.index.request("D", {"tombstones": [{"record": envelope}]})
        return answer["outcomes"][0]

    async def publish(self, path: Path, name: str | None = None) -> str:
        """Shares a file, and says what the index made of it."""
        name = name or path.name
        shared = Shared.read(path)
        record = cose.verify("record", self.record(name, shared))
        before = self.holder.shared.get(name)
        # Now, since the index may probe for it before its answer has been read here.
        self.holder.shared[name] = shared
        outcome = await self.register(record.envelope)
        self._accepted(outcome, record)
        await self._no_longer_held(before)
        return outcome["outcome"]

    async def withdraw(self, name: str) -> str:
        """Takes a resource back by a tombstone."""
        payload = cose.make_tombstone(self.records[name], self.id, time.time_ns())
        record = cose.verify("record", cose.sign("record", payload, self.key))
        outcome = await self.deregister(record.envelope)
        self._accepted(outcome, record)
        await self._no_longer_held(self.holder.shared.pop(name, None))
        return outcome["outcome"]

    async def _no_longer_held(self, shared: Shared | None) -> None:
        """A holding ends by D alone, not with the record that brought it."""
        if shared is not None and shared.manifest.content not in self._holdings():
            await self.index.request("D", {"holding": [shared.manifest.content]})

    def _accepted(self, outcome: dict, record: Signed) -> None:
        """Keeps a record that the index accepted; its receipt has to hold."""
        if outcome["outcome"] == "refused":
            raise wire.Refused.numbered(outcome["error"]["code"], outcome["error"]["text"])
        if "winner" in outcome:
            raise Refused("superseded", "another record stands")
        cose.receipt_holds(outcome["receipt"], record.hash, self.certificate)
        self.records[record["name"]] = record
        self.receipts[record["name"]] = outcome["receipt"]

    # Following

    async def events(self) -> Events:
        """Opens the stream on which the index tells of what is then followed."""
        _, reader = await self.index.exchange(wire.message("events", {}))
        return Events(self, reader)

    async def follow(self, *resources: dict) -> list[tuple[str, Signed | None]]:
        """Follows resources; for each what the index says, and the record that stands if another."""
        answer = await self.index.request("follow", {"resources": list(resources)})
        outcomes = wire.field(answer, "outcomes", list)
        return [(each["outcome"], self._standing(each)) for each in outcomes]

    def _standing(self, outcome: dict) -> Signed | None:
        if ("bundle" in outcome) != (outcome["outcome"] == "other"):
            raise Refused("bad-message", "a record where none belongs, or none")
        if "bundle" not in outcome:
            return None
        return cose.bundle_verifies(outcome["bundle"], self.network, self.certificate)

    # Downloading

    async def locate(self, owner: str, name: str) -> Location:
        answer = await self.index.request("P", {"resource": {"owner": owner, "name": name}})
        bundle = wire.field(answer, "bundle", dict)
        record = cose.bundle_verifies(bundle, self.network, self.certificate)
        if record["name"] != name or record["user"] != owner or record["kind"] != "file":
            raise Refused("bad-record", "not the record that was asked for")
        certificate = cose.verify("index certificate", bundle["certificate"])
        if certificate["epoch"] > self.certificate["epoch"]:
            raise Refused("bad-record", "a certificate that the index did not show")
        return Location(record, bundle, wire.field(answer, "holders", list))

    async def download(self, owner: str, name: str) -> tuple[Location, bytes]:
        """Gets a file whole from the first holder that gives it."""
        location = await self.locate(owner, name)
        failure = Refused("no-holder", "nobody has it")
        for holder in location.holders:
            for address in holder["addresses"]:
                try:
                    return location, await self._download_from(location, holder["node"], address)
                except (Refused, TimeoutError) as error:
                    failure = error
        raise failure

    async def _download_from(self, location: Location, node: bytes, address: str) -> bytes:
        link = await self.dial_peer(address, node)
        try:
            return await download.fetch(link, location.bundle, location.record)
        finally:
            link.end()
