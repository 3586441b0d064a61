"""Steps at the edges: reconnecting, copied keys, garbage, and where the node once was wrong."""

import vectors
import wire
from client import Node
from harness import PASSWORD, VECTORS, Steps, World, Wrong, answer_code, ended, greet, refused, same

step = Steps()


@step
async def reconnect(world: World) -> None:
    """reconnect: a newer connection replaces the old one; the digests of both ends agree"""
    old, seq = world.alice.index, world.alice.seq
    await world.alice.dial_index(world.index.address)
    same(await ended(old), "replaced")
    same(world.alice.wanted, [])
    forgotten = world.alice.records.pop("notes.txt")
    await world.alice.dial_index(world.index.address)
    same(world.alice.wanted, ["want_records"])
    world.alice.records["notes.txt"] = forgotten
    holds = {"generation": seq, "contents": [], "last": False}
    await refused("bad-message", world.alice.index.request("R", {"holds": holds}))


@step
async def copied_home(world: World) -> None:
    """a copied key: a second program with alice's key is refused while the first one answers"""
    copy = Node(world.index.id, world.alice.key)
    world.nodes.append(copy)
    await copy.bind()
    await refused("identity-in-use", copy.dial_index(world.index.address))
    await world.alice.index.request("ping", {})


@step
async def valid_requests(world: World) -> None:
    """valid requests of the vectors, in whatever form, are read: none is bad-message"""
    node = await world.node()
    for vector in requests_of_vectors():
        if vector.headers["expect"] == "ok":
            link = await greet(node, world, vector.headers["message"] != "hello")
            said = await answer_code(link, vector.data)
            if said in ("bad-message", "too-large", "unsupported"):
                raise Wrong(f"{vector.name}: {said}")
            link.end()


@step
async def garbage(world: World) -> None:
    """garbage: every invalid request of the vectors gets the code that they name"""
    stranger = await world.node()
    wrong = []
    for vector in requests_of_vectors():
        expected = vector.headers["expect"]
        if expected == "ok":
            continue
        is_hello = vector.name.startswith("request-refused-hello")
        node = stranger if vector.headers["limit"] == "65536" else world.laptop
        link = await greet(node, world, not is_hello)
        said = await answer_code(link, vector.data)
        link.end()
        if said != expected:
            wrong.append((vector.name, expected, said))
    same(wrong, [])


@step
async def third_strike(world: World) -> None:
    """the third unreadable request on a connection ends it with bad-message"""
    link = await world.laptop.dial_index(world.index.address)
    for raw in (b"\0\0\0\1\xff", b"\0\0", b"GET / HTTP/1.1\r\n\r\n"[:3]):
        same(await answer_code(link, raw), "bad-message")
    same(await ended(link), "bad-message")
    await world.laptop.dial_index(world.index.address)


@step
async def not_hello(world: World) -> None:
    """before hello: any other message is bad-message, and the connection ends with it"""
    for raw in (wire.message("ping", {}), b"\0\0\0\1\xff"):
        link = await greet(world.laptop, world, hello=False)
        same(await answer_code(link, raw), "bad-message")
        same(await ended(link), "bad-message")


def requests_of_vectors() -> list[vectors.Vector]:
    everything = vectors.load_all(VECTORS)
    return [vector for vector in everything if vector.headers["kind"] == "request"]


@step
async def logout(world: World) -> None:
    """logout: the node is a stranger from then on; login makes it a member again"""
    enrolment = world.laptop.enrolment
    await world.laptop.logout()
    await refused("not-member", world.laptop.index.request("who", {}))
    world.laptop.enrolment = enrolment
    await refused("not-member", world.laptop.dial_index(world.index.address))
    world.laptop.enrolment = None
    await world.laptop.dial_index(world.index.address)
    await world.laptop.login("alice", PASSWORD)
    same([user["user"] for user in await world.laptop.who()], ["alice", "bob"])


# Where the specification and the node once said different things, each by itself.


@step
async def stranger_data(world: World) -> None:
    """data without membership: G and P of a stranger are not-member at the index as well"""
    node = await world.node()
    probe = {"content": bytes(32), "asker": node.id, "user": "alice"}
    said = [
        await answer_code(node.index, wire.message(name, body))
        for name, body in (
            ("G", {"grant": bytes(32), "root": bytes(32)}),
            ("P", {"grant": {"record": b""}}),
            ("P", {"probe": probe}),
        )
    ]
    same(said, ["not-member"] * 3)


@step
async def cursor_of_another_request(world: World) -> None:
    """a cursor is bad-cursor in a request with other conditions"""
    index = world.alice.index
    listed = (await index.request("L", {"limit": 1}))["next"]
    found = (await index.request("S", {"query": "holiday", "limit": 1}))["next"]
    said = [
        await answer_code(index, wire.message(name, body))
        for name, body in (
            ("L", {"owner": "bob", "cursor": listed}),
            ("L", {"online": True, "cursor": listed}),
            ("S", {"query": "holiday", "online": True, "cursor": found}),
        )
    ]
    same(said, ["bad-cursor"] * 3)


@step
async def third_large_frame(world: World) -> None:
    """the third frame over its limit ends the connection with bad-message, not with too-large"""
    link = await world.laptop.dial_index(world.index.address)
    for _ in range(3):
        same(await answer_code(link, b"\x7f\xff\xff\xff"), "too-large")
    code = await ended(link)
    await world.laptop.dial_index(world.index.address)
    same(code, "bad-message")


@step
async def first_frame(world: World) -> None:
    """before hello: a frame too large is answered; one cut off ends the connection"""
    large = await greet(world.laptop, world, hello=False)
    cut = await greet(world.laptop, world, hello=False)
    await refused("too-large", large.exchange(b"\x7f\xff\xff\xff"))
    same(await ended(large), "too-large")
    await refused("bad-message", cut.exchange(b"\0\0"))
    same(await ended(cut), "bad-message")


@step
async def grant_without_certificate(world: World) -> None:
    """P grant: a peer that knows the certificate may do without the one in the bundle"""
    location = await world.laptop.locate("bob", "from bob.bin")
    link = await world.laptop.dial_peer(world.peer.address, world.peer.id)
    without = {key: value for key, value in location.bundle.items() if key != "certificate"}
    for bundle in (without, without | {"certificate": b"broken"}):
        if await answer_code(link, wire.message("P", {"grant": bundle})) not in (
            "ok",
            "bad-record",
        ):
            raise Wrong("neither granted nor bad-record")


@step
async def other_forms_of_addresses(world: World) -> None:
    """every form that means an address is read; what means none makes hello bad-message"""
    said = []
    for address in (*OTHER_FORMS, "[fe80::1%1]:4820"):
        link = await greet(world.laptop, world, hello=False)
        hello = world.laptop.hello() | {"addresses": [address]}
        said.append(await answer_code(link, wire.message("hello", hello)))
        link.end()
    await world.laptop.dial_index(world.index.address)
    same(said, ["ok"] * len(OTHER_FORMS) + ["bad-message"])


OTHER_FORMS = [
    "[2001:DB8::1]:4820",
    "[2001:db8:0::1]:4820",
    "192.0.2.1:04820",
    "[::ffff:192.0.2.1]:4820",
]


@step
async def cancelled_requests(world: World) -> None:
    """requests that are cancelled before they are whole do not end the connection"""
    link = await world.laptop.dial_index(world.index.address)
    for _ in range(3):
        stream = link.open_unfinished(b"\0\0\0\7\xa1")
        link.cancel(stream, "cancelled")
    same(await ended(link), None)
