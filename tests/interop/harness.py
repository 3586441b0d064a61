"""What the steps share: real nodes, nodes of this client, and how something is checked."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import keys
from client import Node
from quic import Link
from wire import Refused

REPOSITORY = Path(__file__).resolve().parents[2]
VECTORS = REPOSITORY / "wire/vectors"
PASSWORD = "correct horse"
BIG = 300_000


class Wrong(Exception):
    """A check that failed."""


def same(got, wanted) -> None:
    if got != wanted:
        raise Wrong(f"got {got!r}, wanted {wanted!r}")


async def refused(code: str, work) -> Refused:
    """Awaits what has to be refused with this code."""
    try:
        result = await work
    except Refused as error:
        same(error.code, code)
        return error
    raise Wrong(f"got {result!r}, wanted the error {code}")


# Real nodes


@dataclass
class Daemon:
    """A real node: its process, its home, and what it printed when it was ready."""

    program: Path
    home: Path
    process: asyncio.subprocess.Process | None = None
    id: bytes = b""
    address: str = ""

    async def start(self, *arguments: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(self.program, "--home", self.home, *arguments, "--listen", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=self.home.with_suffix(".log").open("w"),
        )
        async with asyncio.timeout(20):
            ready, where = (await self.process.stdout.readline()).decode().split()
        same(ready, "ready")
        node, self.address = where.split("@")
        self.id = keys.parse_id(node)

    async def command(self, *arguments: str, stdin: str = "") -> tuple[int, dict]:
        """Runs a command that talks to this node; its exit code and its document: the last, after those of progress."""
        process = await asyncio.create_subprocess_exec(
            *(self.program, "--home", self.home, "--json", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            output, errors = await process.communicate(stdin.encode())
        *going, last = (json.loads(line) for line in (output or errors).splitlines())
        assert all(document["event"] == "progress" for document in going), going
        return process.returncode, last

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


@dataclass
class World:
    """Everything that the steps share."""

    folder: Path
    index: Daemon
    peer: Daemon
    nodes: list[Node] = field(default_factory=list)
    alice: Node | None = None
    laptop: Node | None = None

    async def node(self, key: Ed25519PrivateKey | None = None) -> Node:
        """A node of this client that has said hello to the index."""
        node = Node(self.index.id, key)
        self.nodes.append(node)
        await node.bind()
        await node.dial_index(self.index.address)
        return node

    def file(self, name: str, size: int) -> Path:
        path = self.folder / name
        path.write_bytes(random.Random(name).randbytes(size))
        return path


# A step, in the order in which they are run. The first line of its documentation is printed.
Step = Callable[[World], Awaitable[None]]


class Steps(list[Step]):
    def __call__(self, function: Step) -> Step:
        self.append(function)
        return function


async def greet(node: Node, world: World, hello: bool) -> Link:
    """A new connection of a node to the index, with or without `hello`."""
    if hello:
        return await node.dial_index(world.index.address)
    return await node.endpoint.dial(world.index.address, world.alice.index.far_key)


async def answer_code(link: Link, raw: bytes) -> str:
    try:
        await link.exchange(raw)
    except Refused as error:
        return error.code
    return "ok"


async def ended(link: Link) -> str | None:
    """The code with which the far end closes a connection within a second."""
    for _ in range(20):
        if link.ended is not None:
            return link.ended.code
        await asyncio.sleep(0.05)
    return None
