"""The side of a requester: P and G to a holder, each part checked before it counts."""

import asyncio

import cose
import manifest
import wire
from cose import Signed
from quic import Link
from wire import Refused

RUNS_AT_ONCE = 16


async def fetch(link: Link, bundle: dict, record: Signed) -> bytes:
    """All of a file from one holder."""
    granted = await link.request("P", {"grant": bundle})
    for held in wire.field(granted, "roots", list):
        if held.get("chunks") is None:
            return await _fetch(link, record, held["root"])
    raise Refused("not-found", "this holder has only parts")


async def _fetch(link: Link, record: Signed, root_hash: bytes) -> bytes:
    asked = {"grant": record.hash, "root": root_hash}
    root = manifest.read_root(await _get(link, asked), root_hash)
    if (root.kind, root.content, root.size) != ("file", record["content"], record["size"]):
        raise Refused("bad-message", "the manifest of something else")
    pages = [await _get(link, asked | {"page": page.hash}, page.length) for page in root.pages]
    chunks = manifest.assemble(root, pages)
    data = b""
    for first in range(0, len(chunks), RUNS_AT_ONCE):
        data += await _get_chunks(link, asked, first, chunks[first : first + RUNS_AT_ONCE])
    if cose.hash_of(data) != record["content"]:
        raise Refused("bad-message", "the file is another one")
    return data


async def _get(link: Link, body: dict, length: int | None = None) -> bytes:
    """A root, or a page of this length."""
    answer, reader = await link.exchange(wire.message("G", body))
    announced = wire.field(answer, "length", int)
    if announced > manifest.ROOT_BYTES or (length is not None and announced != length):
        raise Refused("bad-message", "the length of the data")
    return await _read_all(reader, announced)


async def _get_chunks(link: Link, asked: dict, first: int, wanted: list[manifest.Chunk]) -> bytes:
    """Chunks that follow one another; asks again for those that a holder left out."""
    data, had = b"", 0
    while had < len(wanted):
        run = [first + had, len(wanted) - had]
        answer, reader = await link.exchange(wire.message("G", asked | {"runs": [run]}))
        part = wanted[had : had + _count(answer, run)]
        length = sum(chunk.length for chunk in part)
        if wire.field(answer, "length", int) != length:
            raise Refused("bad-message", "the length of the data")
        data += _checked(await _read_all(reader, length), part)
        had += len(part)
    return data


def _count(answer: dict, run: list[int]) -> int:
    """How many chunks of a run a holder sends: those asked for, or some from the front."""
    match answer.get("runs"):
        case [[start, int(count)]] if start == run[0] and 1 <= count <= run[1]:
            return count
    raise Refused("bad-message", "other runs than were asked for")


def _checked(data: bytes, chunks: list[manifest.Chunk]) -> bytes:
    at = 0
    for chunk in chunks:
        if cose.hash_of(data[at : at + chunk.length]) != chunk.hash:
            raise Refused("bad-message", "a wrong chunk")
        at += chunk.length
    return data


async def _read_all(reader: asyncio.StreamReader, length: int) -> bytes:
    """What follows an answer: so many bytes, and then the end."""
    try:
        data = await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise Refused("bad-message", "the data ends early") from error
    if await reader.read():
        raise Refused("bad-message", "bytes after the data")
    return data
