"""Steps with the real peer: serving to it, downloading from it, and taking resources back."""

import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import cose
import keys
import vectors
import wire
from client import Node
from download import fetch
from harness import BIG, VECTORS, Steps, World, refused, same

step = Steps()


@step
async def serve(world: World) -> None:
    """serve: the real peer gets a file of several chunks, and an empty one, from this client"""
    for name, size in (("big.bin", BIG), ("empty", 0)):
        target = world.folder / f"got-{name}"
        code, document = await world.peer.command("get", f"alice/{name}", "-o", str(target))
        same((code, document.get("error")), (0, None))
        same(target.read_bytes(), (world.folder / name).read_bytes())
        same(document["content"], cose.hash_of(target.read_bytes()).hex())
        sources = [keys.id_text(world.alice.id)] if size else []
        same([source["node"] for source in document["sources"] if source["bytes"]], sources)
    asked = {"P probe", "P grant", "G root", "G page", "G runs"}
    same(asked - set(world.alice.holder.log), set())


@step
async def download(world: World) -> None:
    """download: a file of the real peer; its record, receipt, manifest, chunks and hash hold"""
    for name, size in (("from bob.bin", BIG), ("tiny", 1)):
        path = world.file(name, size)
        code, document = await world.peer.command("share", str(path))
        same((code, document.get("outcome")), (0, "created"))
        location, data = await world.laptop.download("bob", name)
        same(data, path.read_bytes())
        same(document["content"], location.record["content"].hex())
        same(location.record["node"], world.peer.id)
        same([holder["addresses"] for holder in location.holders], [[world.peer.address]])
    await refused("not-found", world.laptop.locate("bob", "none such"))
    await refused("self-owned", world.alice.locate("alice", "big.bin"))


@step
async def second_holder(world: World) -> None:
    """holders: what the real peer got of alice's it serves to her other node as well"""
    location = await world.laptop.locate("alice", "big.bin")
    same({holder["node"] for holder in location.holders}, {world.alice.id, world.peer.id})
    link = await world.laptop.dial_peer(world.peer.address, world.peer.id)
    data = await fetch(link, location.bundle, location.record)
    same(data, (world.folder / "big.bin").read_bytes())


@step
async def holder_refuses(world: World) -> None:
    """a holder refuses: strangers, data without a grant, too many chunks, wrong records"""
    unknown = Node(world.index.id)
    world.nodes.append(unknown)
    await unknown.bind()
    await refused("not-member", unknown.dial_peer(world.peer.address, world.peer.id))
    location = await world.laptop.locate("bob", "from bob.bin")
    link = await world.laptop.dial_peer(world.peer.address, world.peer.id)
    asked = {"grant": location.record.hash, "root": location.record["root"]}
    await refused("not-found", link.request("G", asked))
    tampered = location.bundle | {"receipt": foreign_bundle()["receipt"]}
    await refused("bad-record", link.request("P", {"grant": tampered}))
    await refused("bad-record", link.request("P", {"grant": foreign_bundle()}))
    probe = {"content": location.record["content"], "asker": world.laptop.id, "user": "alice"}
    await refused("not-allowed", link.request("P", {"probe": probe}))
    resource = {"owner": "bob", "name": "from bob.bin"}
    await refused("unsupported", link.request("P", {"resource": resource}))
    await refused("unsupported", link.request("who", {}))
    await link.request("P", {"grant": location.bundle})
    await refused("not-found", link.request("G", asked | {"root": bytes(32)}))
    await refused("not-found", link.request("G", asked | {"page": bytes(32)}))
    await refused("out-of-range", link.request("G", asked | {"runs": [[0, 2**32 - 1]]}))
    await refused("bad-message", link.request("G", asked | {"page": bytes(32), "runs": [[0, 1]]}))


def foreign_bundle() -> dict:
    """A bundle that verifies, in another network: the one of the vectors."""
    vector = vectors.load(VECTORS / "request-P-grant.hex")
    return wire.read_message(vector.data[4:])[1]["grant"]


@step
async def index_refuses(world: World) -> None:
    """the index refuses: records of other networks, of others, forged, late; tombstones"""
    alice = world.alice
    shared = alice.holder.shared["notes.txt"]

    async def outcome(envelope: bytes) -> tuple[str, str]:
        answer = await alice.register(envelope)
        return answer["outcome"], wire.NAMES[answer.get("error", {"code": 0})["code"]]

    good = alice.record("new.bin", shared)
    future = time.time_ns() + 25 * 3_600 * 10**9
    same(await outcome(good[:-1] + bytes([good[-1] ^ 1])), ("refused", "bad-record"))
    for changes, code in (
        ({"network": keys.public(Ed25519PrivateKey.generate())}, "bad-record"),
        ({"account": bytes(16)}, "not-owner"),
        ({"user": "bob"}, "not-owner"),
        ({"published": future}, "bad-record"),
        ({"kind": "playlist"}, "unsupported"),
        ({"visibility": "listed"}, "unsupported"),
    ):
        same(await outcome(alice.record("new.bin", shared, **changes)), ("refused", code))
    other_node = world.laptop.record("new.bin", shared)
    same(await outcome(other_node), ("refused", "bad-record"))
    same(await alice.listing(owner="alice", name="new.bin"), [])
    old = alice.record("first.bin", shared, version=1, prev=None)
    same(await outcome(old), ("superseded", "done"))
    await tombstones_refused(world)


async def tombstones_refused(world: World) -> None:
    location = await world.laptop.locate("bob", "from bob.bin")
    payload = cose.make_tombstone(location.record, world.alice.id, time.time_ns())
    answer = await world.alice.deregister(cose.sign("record", payload, world.alice.key))
    same((answer["outcome"], wire.NAMES[answer["error"]["code"]]), ("refused", "not-owner"))
    same(len(await world.alice.listing(owner="bob", name="from bob.bin")), 1)
    stale = world.alice.records["first.bin"]
    payload = cose.make_tombstone(stale, world.alice.id, time.time_ns()) | {"prev": bytes(32)}
    answer = await world.alice.deregister(cose.sign("record", payload, world.alice.key))
    same((answer["outcome"], wire.NAMES[answer["error"]["code"]]), ("refused", "stale-version"))
    same(answer["winner"], stale.envelope)


@step
async def deregister(world: World) -> None:
    """deregister: a tombstone takes big.bin away for everybody, and only its owner sees that"""
    same(await world.alice.withdraw("big.bin"), "updated")
    same(await world.alice.listing(owner="alice", name="big.bin"), [])
    (entry,) = await world.laptop.listing(owner="alice", name="big.bin", gone=True)
    same((entry["kind"], entry["version"], "content" in entry), ("gone", 2, False))
    same(await world.alice.search("big.bin"), [])
    await refused("not-found", world.laptop.locate("alice", "big.bin"))
    code, document = await world.peer.command("get", "alice/big.bin")
    same((code, document["error"]["code"]), (3, "not-found"))
    same(await world.alice.publish(world.folder / "big.bin"), "created")
    same(world.alice.records["big.bin"]["version"], 3)
