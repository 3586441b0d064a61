"""Steps against the index: connections, accounts, listings, registering."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import cose
import keys
import quic
import vectors
from client import Node
from harness import BIG, PASSWORD, VECTORS, Steps, World, Wrong, ended, refused, same

step = Steps()


@step
async def all_vectors(world: World) -> None:
    """vectors: formats read and written as the specification says"""
    tried = [each for each in vectors.load_all(VECTORS) if vectors.applies(each)]
    wrong = [
        (vector.name, vector.headers["expect"], said)
        for vector in tried
        if not vectors.is_right(vector, said := vectors.verdict(vector))
    ]
    same(wrong, [])
    if len(tried) < 200:
        raise Wrong(f"only {len(tried)} vectors")


@step
async def stranger(world: World) -> None:
    """a stranger: hello is answered, everything that needs a membership is not-member"""
    node = await world.node()
    same(node.certificate["network"], world.index.id)
    same(node.certificate["node"], node.index.far_key)
    if abs(node.clock_offset) > 1000:
        raise Wrong(f"the clock of the index differs by {node.clock_offset} ms")
    await node.index.request("ping", {})
    for name, body in {
        "who": {},
        "events": {},
        "follow": {"resources": []},
        "unfollow": {"resources": []},
        "L": {},
        "S": {"query": "word"},
        "renew": {},
        "logout": {},
        "P": {"resource": {"owner": "alice", "name": "a"}},
        "statements": {"pages": []},
        "D": {"holding": []},
        "R": {"start": {"seq": 1, "records": bytes(32), "holdings": bytes(32)}},
    }.items():
        await refused("not-member", node.index.request(name, body))


@step
async def connection(world: World) -> None:
    """TLS and QUIC: both ends prove their keys, the version is agreed on, limits are kept"""
    node = Node(world.index.id)
    world.nodes.append(node)
    await node.bind()
    link = await node.dial_index(world.index.address)
    for name, value in link.far_limits().items():
        low, high = FAR_LIMITS[name]
        if not low <= value <= high:
            raise Wrong(f"{name} is {value}")
    await refused("unavailable", node.endpoint.dial(world.index.address, node.id))
    node.endpoint.dialling.alpn_protocols = ["p2p-node/1"]
    await refused("unavailable", node.endpoint.dial(world.index.address, None))
    node.endpoint.dialling.alpn_protocols = [quic.ALPN]
    node.endpoint.dialling.certificate = None
    nameless = await node.endpoint.dial(world.index.address, None)
    same(await ended(nameless), "unavailable")


FAR_LIMITS = {
    "unidirectional streams": (0, 0),
    "bidirectional streams": (64, 2**60),
    "datagram bytes": (0, 0),
    # Of the one that was dialled: the shorter of both holds.
    "idle seconds": (1, 120),
    "session tickets": (0, 0),
}


@step
async def other_network(world: World) -> None:
    """hello of another network: other-network, and the connection ends with it"""
    node = Node(keys.public(Ed25519PrivateKey.generate()))
    world.nodes.append(node)
    await node.bind()
    await refused("other-network", node.dial_index(world.index.address))


@step
async def signup(world: World) -> None:
    """signup: a new account, whose enrolment holds; names and passwords that are not taken"""
    node = await world.node()
    await refused("bad-password", node.signup("alice", "short"))
    await refused("bad-message", node.signup("Alice", PASSWORD))
    await node.signup("alice", PASSWORD)
    same(node.membership["user"], "alice")
    same(node.membership["serial"], 1)
    same(node.membership["not_after"] - node.membership["not_before"], 31 * cose.DAY_MS)
    await refused("other-account", node.signup("alice2", PASSWORD))
    await node.renew()
    world.alice = node


@step
async def login(world: World) -> None:
    """login: refused for a taken name and a wrong password, then a second node of the account"""
    node = await world.node()
    await refused("name-taken", node.signup("alice", PASSWORD))
    await refused("bad-credentials", node.login("alice", "another password"))
    await refused("bad-credentials", node.login("nobody", PASSWORD))
    await node.login("alice", PASSWORD)
    same(node.membership["account"], world.alice.membership["account"])
    same(node.membership["node"], node.id)
    world.laptop = node


@step
async def real_peer(world: World) -> None:
    """the real peer signs up as bob"""
    code, document = await world.peer.command("signup", "bob", "--password-stdin", stdin=PASSWORD)
    same((code, document.get("user", "bob")), (0, "bob"))


@step
async def who(world: World) -> None:
    """who: both nodes of alice, the real peer and its address; in pages of one user"""
    users = await world.alice.who()
    same([user["user"] for user in users], ["alice", "bob"])
    same({node["node"] for node in users[0]["nodes"]}, {world.alice.id, world.laptop.id})
    addresses = {node["node"]: node["address"] for node in users[0]["nodes"]}
    same(addresses[world.alice.id], world.alice.endpoint.address)
    same([node["address"] for node in users[1]["nodes"]], [world.peer.address])
    pages = await world.alice.pages("who", {"limit": 1}, "users")
    same([len(page) for page in pages if page], [1, 1])
    same([user for page in pages for user in page], users)


SMALL = ["Holiday film.mkv", "holiday-photos.zip", "notes.txt", "übung.pdf"]


@step
async def publish(world: World) -> None:
    """register: files of this client, one of them empty, one of several chunks; a second version"""
    for name in SMALL:
        same(await world.alice.publish(world.file(name, 1000)), "created")
    same(await world.alice.publish(world.file("empty", 0)), "created")
    same(await world.alice.publish(world.file("first.bin", 5000)), "created")
    same(await world.alice.publish(world.file("big.bin", BIG)), "created")
    if len(world.alice.holder.shared["big.bin"].manifest.chunks) < 5:
        raise Wrong("too few chunks")
    (entry,) = await world.alice.listing(owner="alice", name="first.bin")
    same((entry["version"], entry["size"]), (1, 5000))
    same(await world.alice.publish(world.file("second.bin", 6000), "first.bin"), "updated")
    (entry,) = await world.alice.listing(owner="alice", name="first.bin")
    same((entry["version"], entry["size"]), (2, 6000))
    same(entry["record"], world.alice.records["first.bin"].hash)


@step
async def listing(world: World) -> None:
    """list: all in one page and in pages of one, filters, cursors and limits that are refused"""
    index = world.alice.index
    everything = await world.alice.listing()
    same([entry["name"] for entry in everything], sorted(world.alice.records, key=str.encode))
    for entry in everything:
        same(entry["content"], world.alice.records[entry["name"]]["content"])
        same((entry["holders"], entry["online"]), (1, 1))
    pages = await world.alice.pages("L", {"limit": 1}, "items")
    same({len(page) for page in pages if page}, {1})
    same([entry for page in pages for entry in page], everything)
    same(await world.alice.listing(node=world.laptop.id), [])
    same(await world.alice.listing(owner="bob"), [])
    same(await world.alice.listing(kind="folder"), [])
    first = await index.request("L", {"limit": 1})
    await refused("bad-cursor", index.request("who", {"cursor": first["next"]}))
    await refused("bad-cursor", index.request("L", {"cursor": b"made up"}))
    # The third unreadable request ends a connection: so by another node, and on two of them.
    index = world.laptop.index
    await refused("bad-message", index.request("L", {"limit": 0}))
    await refused("bad-message", index.request("L", {"name": "notes.txt"}))
    index = await world.laptop.dial_index(world.index.address)
    await refused("too-large", index.request("L", {"limit": 1001}))


@step
async def search(world: World) -> None:
    """search: words, beginnings, phrases, filters, folding, negation; queries that are refused"""

    async def found(query: str, **body) -> list[str]:
        return sorted(entry["name"] for entry in await world.alice.search(query, **body))

    same(await found("holiday"), SMALL[:2])
    same(await found("HOLIDAY film"), SMALL[:1])
    same(await found("olid"), SMALL[:2])
    same(await found("ho"), SMALL[:2])
    same(await found("ol"), [])
    same(await found("ÜBUNG"), ["übung.pdf"])
    same(await found("owner:alice notes"), ["notes.txt"])
    same(await found("owner:bob notes"), [])
    same(len(await found("owner:alice", online=True)), len(world.alice.records))
    pages = await world.alice.pages("S", {"query": "holiday", "limit": 1}, "items")
    same([len(page) for page in pages if page], [1, 1])
    same(await found("hol*"), SMALL[:2])
    same(await found("holiday -film"), SMALL[1:2])
    same(await found('"holiday photos"'), SMALL[1:2])
    same(await found('"holiday photo"'), [])
    same(await found("ext:mkv size:=1000"), SMALL[:1])
    for query in ("", "later:word", '"a phrase', "owner:a owner:b", "a " * 17):
        await refused("bad-query", world.alice.search(query))


@step
async def follow(world: World) -> None:
    """follow: told at once of a new file, of its second version, and of nothing else"""
    alice, laptop = world.alice, world.laptop
    resource = {"account": alice.membership["account"], "name": "followed.txt"}
    await refused("not-found", laptop.follow(resource))
    events = await laptop.events()
    notes = alice.records["notes.txt"]
    known = {"account": notes["account"], "name": "notes.txt"}
    same(await laptop.follow(resource), [("not-found", None)])
    same(await laptop.follow(known | {"have": notes.hash}), [("same", None)])
    ((outcome, record),) = await laptop.follow(known)
    same((outcome, record.hash), ("other", notes.hash))
    same(await alice.publish(world.file("unfollowed.txt", 10)), "created")
    for name in ("followed.txt", "followed again.txt"):
        await alice.publish(world.file(name, 10), "followed.txt")
        same((await events.record()).hash, alice.records["followed.txt"].hash)
    second = await laptop.events()
    await refused("replaced", events.record())
    same(await alice.publish(world.file("once more.txt", 10), "followed.txt"), "updated")
    ((outcome, record),) = await laptop.follow(resource)
    same((outcome, record["version"]), ("other", 3))
    await laptop.index.request("unfollow", {"resources": [resource]})
    await laptop.follow(known)
    same(await alice.publish(world.file("and again.txt", 10), "followed.txt"), "updated")
    same(await alice.publish(world.file("newer notes.txt", 10), "notes.txt"), "updated")
    same((await second.record()).hash, alice.records["notes.txt"].hash)
