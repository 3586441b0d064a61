"""Steps without the index: catalogues, presence and the list of members, told and taken."""

import asyncio

import cose
import statements
from client import now_ms
from harness import Steps, World, Wrong, refused, same

step = Steps()


async def until(what: str, check) -> None:
    """Waits until something holds that happens behind an answer."""
    last = None
    for _ in range(200):
        last = await check()
        if last is True:
            return
        await asyncio.sleep(0.05)
    raise Wrong(f"{what}: {last!r}")


@step
async def the_list(world: World) -> None:
    """statements: the index's list of members holds, and has all nodes; it says where it is"""
    copy = statements.Copy(world.alice)

    async def all_members() -> bool | set:
        await copy.compare(world.alice.index)
        nodes = {member["node"] for member in copy.members.members} if copy.members else set()
        return {world.alice.id, world.laptop.id, world.peer.id} <= nodes or nodes

    await until("all are members", all_members)
    of_node = {member["node"]: member for member in copy.members.members}
    alice = world.alice.membership
    same(of_node[world.alice.id]["user"], "alice")
    same(of_node[world.alice.id]["account"], alice["account"])
    same(of_node[world.laptop.id]["account"], alice["account"])
    same(of_node[world.peer.id]["user"], "bob")
    stated = await world.alice.index.request("statements", {"digest": copy.digest()})
    same(stated["digest"]["members"], copy.members.head.hash)
    same(stated.get("news"), None)
    word, epoch, _ = copy.place
    same((word["node"], epoch), (world.alice.certificate["node"], world.alice.certificate["epoch"]))
    if world.index.address not in word["addresses"]:
        raise Wrong(f"it says that it is at {word['addresses']}")


@step
async def catalogues(world: World) -> None:
    """statements: the real peer's catalogue and presence, from itself; each record verifies"""
    link = await world.laptop.dial_peer(world.peer.address, world.peer.id)
    copy = world.laptop.copy

    async def shared() -> bool | list:
        await copy.compare(link)
        catalogue = copy.catalogues.get(world.peer.id)
        names = [record["name"] for record in catalogue.records] if catalogue else []
        return {"from bob.bin", "tiny"} <= set(names) or names

    await until("what bob shares", shared)
    catalogue = copy.catalogues[world.peer.id]
    location = await world.laptop.locate("bob", "from bob.bin")
    of_name = {record["name"]: record for record in catalogue.records}
    same(of_name["from bob.bin"].envelope, location.record.envelope)
    if location.record["content"] not in catalogue.held:
        raise Wrong("bob's own file is not among what he holds")
    word, _ = copy.words[world.peer.id]
    if world.peer.address not in word["addresses"]:
        raise Wrong(f"he says that he is at {word['addresses']}")


@step
async def own_catalogue(world: World) -> None:
    """statements: the real peer fetches this client's catalogue by pages, and hands it on"""
    alice = world.alice
    link = await alice.dial_peer(world.peer.address, world.peer.id)
    for number in range(2):
        await alice.copy.tell_own(link, now_ms() - 1000)
        own, (word, _) = alice.copy.catalogues[alice.id], alice.copy.words[alice.id]
        other = await world.laptop.dial_peer(world.peer.address, world.peer.id)

        async def handed_on() -> bool | list:
            stated = await other.request("statements", {"have": {"known": []}})
            news = stated.get("news") or {}
            heads = [bundle["head"] for bundle in news.get("heads", [])]
            words = [bundle["presence"] for bundle in news.get("presence", [])]
            handed = own.head.envelope in heads and word.envelope in words
            return handed or [len(heads), len(words)]

        await until("it hands them on", handed_on)
        if number == 0 and alice.copy.asked == 0:
            raise Wrong("it asked for no pages")
    before = alice.copy.asked
    await world.laptop.copy.compare(other)
    taken = world.laptop.copy.catalogues[alice.id]
    hashes = sorted(record.hash for record in alice.records.values())
    same(sorted(record.hash for record in taken.records), hashes)
    same(taken.held, sorted(set(alice.held())))
    same(alice.copy.asked, before)


async def not_believed(world: World) -> int:
    """How many statements the real peer has refused so far."""
    _, status = await world.peer.command("status")
    return sum(status["fallback"].get("refused", {}).values())


@step
async def statements_refused(world: World) -> None:
    """statements: too many of everything, nothing of the four, heads of others"""
    link = await world.laptop.dial_peer(world.peer.address, world.peer.id)
    await refused("too-large", link.request("statements", {"pages": [bytes(32)] * 65}))
    known = [{"node": world.alice.id, "seq": 0, "presence": 0}] * 4_097
    await refused("too-large", link.request("statements", {"have": {"known": known}}))
    # Three of these end a connection.
    link = await world.laptop.dial_peer(world.peer.address, world.peer.id)
    await refused("bad-message", link.request("statements", {}))
    stated = await link.request("statements", {"pages": [bytes(32)]})
    same(stated["pages"], [None])
    # A later head in alice's name, by her other node, with its own enrolment.
    own = world.alice.copy.catalogues[world.alice.id].head
    payload = own.payload | {"node": world.laptop.id, "seq": own["seq"] + 1}
    forged = cose.sign("catalogue head", payload, world.laptop.key)
    bundle = {"head": forged, "enrolment": world.alice.enrolment}
    before = await not_believed(world)
    await link.request("statements", {"news": {"heads": [bundle]}})

    async def counted() -> bool | int:
        return await not_believed(world) > before or before

    await until("it is not believed", counted)
    stated = await link.request("statements", {"have": {"known": []}})
    heads = [one["head"] for one in stated["news"]["heads"]]
    same((forged in heads, own.envelope in heads), (False, True))
