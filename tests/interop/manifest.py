"""Chunks and manifests: FastCDC, writing the manifest of a file, reading one from a holder.

Of manifests of folders the roots and pages are read, not assembled: this client shares and gets files alone.
"""

import hashlib
import struct
from dataclasses import dataclass

import cose
import wire
from cose import HASH, UNIX_NS, UP_TO_2_53, hash_of
from wire import Refused

CHUNK_BYTES = 16_777_216
MIN_CHUNK_BYTES = 1_024
PAGE_BYTES = 262_144
ROOT_BYTES = 427_008
MANIFEST_PAGES = 8_192
PATH_BYTES = 4_096
FOLDER_ENTRIES = 2_097_152
CHUNKER = "fastcdc-2020"

# FastCDC

GEAR = [
    int.from_bytes(hashlib.md5(bytes([byte]) * 64, usedforsecurity=False).digest()[:8], "big")
    for byte in range(256)
]
MASKS = {
    4_096: (0x0000D90303530000, 0x0000D90003530000),
    8_192: (0x0000D90313530000, 0x0000D90103530000),
    16_384: (0x0000D90F03530000, 0x0000D90303530000),
    32_768: (0x0000D90303537000, 0x0000D90313530000),
    65_536: (0x0000D90703537000, 0x0000D90F03530000),
    131_072: (0x0000D90707537000, 0x0000D90303537000),
    262_144: (0x0000D91707537000, 0x0000D90703537000),
    524_288: (0x0000D91747537000, 0x0000D90707537000),
    1_048_576: (0x0000D91767537000, 0x0000D91707537000),
    2_097_152: (0x0000D93767537000, 0x0000D91747537000),
    4_194_304: (0x0000D93777537000, 0x0000D91767537000),
}


def params_for(size: int) -> list[int]:
    """What a file without a previous version is cut with."""
    average = 4_096
    while average < -(-size // 65_536) and average < 4_194_304:
        average *= 2
    return [average // 4, average, 4 * average]


def cut(data: bytes, params: list[int]) -> list[int]:
    """The lengths of the chunks of a file."""
    lengths = []
    start = 0
    while start < len(data):
        lengths.append(_chunk_length(data, start, params))
        start += lengths[-1]
    return lengths


def _chunk_length(data: bytes, start: int, params: list[int]) -> int:
    least, average, most = params
    strict, loose = MASKS[average]
    end = min(len(data) - start, most)
    if end <= least:
        return end
    value = 0
    for at in range(least, 2 * (end // 2)):
        value = (2 * value + GEAR[data[start + at]]) & 0xFFFFFFFFFFFFFFFF
        if not value & (strict if at < average else loose):
            return at
    return end


def is_params(value) -> bool:
    if type(value) is not list or len(value) != 3 or any(type(size) is not int for size in value):
        return False
    return value[1] in MASKS and value == [value[1] // 4, value[1], 4 * value[1]]


# What a manifest consists of


@dataclass(frozen=True)
class Chunk:
    start: int
    length: int
    hash: bytes


@dataclass(frozen=True)
class PageRef:
    """How a root names a page."""

    hash: bytes
    length: int
    entries: int
    chunks: int
    content: int

    PACKED = struct.Struct(">32sIIIQ")

    def pack(self) -> bytes:
        return self.PACKED.pack(self.hash, self.length, self.entries, self.chunks, self.content)


@dataclass(frozen=True)
class Root:
    kind: str
    content: bytes
    size: int
    pages: list[PageRef]


@dataclass(frozen=True)
class Manifest:
    """A file's manifest as a holder serves it."""

    content: bytes
    size: int
    root: bytes
    pages: dict[bytes, bytes]
    chunks: list[Chunk]

    @property
    def root_hash(self) -> bytes:
        return hash_of(self.root)


# Writing


def build(data: bytes, mtime: int, executable: bool = False) -> Manifest:
    """Cuts a file into chunks and lists them."""
    params = params_for(len(data))
    chunks = []
    start = 0
    for length in cut(data, params):
        chunks.append(Chunk(start, length, hash_of(data[start : start + length])))
        start += length
    entry = file_entry(len(data), hash_of(data), params, mtime, executable)
    root, pages = write(entry, chunks)
    return Manifest(hash_of(data), len(data), root, {hash_of(page): page for page in pages}, chunks)


def file_entry(size: int, content: bytes, params: list[int], mtime: int, executable: bool) -> dict:
    return {
        "path": "",
        "kind": "file",
        "executable": executable,
        "mtime": mtime,
        "size": size,
        "hash": content,
        "chunker": CHUNKER,
        "params": params,
        "target": None,
    }


def write(entry: dict, chunks: list[Chunk]) -> tuple[bytes, list[bytes]]:
    """The root and the pages of a file with this entry and these chunks."""
    pages, refs = [], []
    for listed in _paginate(chunks):
        items = [b"".join(struct.pack(">I", chunk.length) + chunk.hash for chunk in listed)]
        items = ([] if pages else [entry]) + (items if listed else [])
        page = wire.encode(items)
        entries = 0 if pages else 1
        content = sum(chunk.length for chunk in listed)
        pages.append(page)
        refs.append(PageRef(hash_of(page), len(page), entries, len(listed), content))
    root = {
        "format": 0,
        "kind": "file",
        "content": entry["hash"],
        "size": entry["size"],
        "pages": b"".join(ref.pack() for ref in refs),
    }
    return wire.encode(root), pages


def _paginate(chunks: list[Chunk]) -> list[list[Chunk]]:
    pages, page, weight = [], [], 256
    for chunk in chunks:
        page.append(chunk)
        weight += 36
        draw = int.from_bytes(chunk.hash[:4], "big")
        if (draw * 49_152 < 36 * 2**32 and weight >= 16_384) or weight >= 251_904:
            pages.append(page)
            page, weight = [], 0
    return pages + [page] if page or not pages else pages


# Reading. What is wrong is a fault of the holder: `bad-message`, whatever it is.


def read_root(data: bytes, wanted: bytes) -> Root:
    """Checks all of a root that has to be right before any page is asked for."""
    _demand(len(data) <= ROOT_BYTES and hash_of(data) == wanted, "not the root asked for")
    fields = wire.decode(data)
    _demand(type(fields) is dict, "no map")
    _demand(list(fields) == ["format", "kind", "content", "size", "pages"], "the root's fields")
    _demand(type(fields["format"]) is int and fields["format"] == 0, "format")
    _demand(fields["kind"] in ("file", "folder"), "kind")
    _demand(HASH(fields["content"]) and UP_TO_2_53(fields["size"]), "content or size")
    _demand(type(fields["pages"]) is bytes and len(fields["pages"]) % 52 == 0, "pages")
    pages = [PageRef(*ref) for ref in PageRef.PACKED.iter_unpack(fields["pages"])]
    root = Root(fields["kind"], fields["content"], fields["size"], pages)
    _check_root(root)
    return root


def _check_root(root: Root) -> None:
    _demand(1 <= len(root.pages) <= MANIFEST_PAGES, "the number of pages")
    _demand(all(1 <= page.length <= PAGE_BYTES for page in root.pages), "the length of a page")
    entries = sum(page.entries for page in root.pages)
    chunks = sum(page.chunks for page in root.pages)
    _demand(sum(page.content for page in root.pages) == root.size, "the sum of the sizes")
    _demand(all(page.entries or page.chunks for page in root.pages), "a page of nothing")
    _demand(entries == 1 if root.kind == "file" else entries <= FOLDER_ENTRIES, "the number of entries")
    if root.kind == "file":
        most = (6 + 36 * page.chunks + 256 * page.entries for page in root.pages)
        _demand(all(page.length <= bound for page, bound in zip(root.pages, most)), "a long page")
    _demand(chunks <= min(2**32 - 1, root.size // MIN_CHUNK_BYTES + entries), "too many chunks")


def read_page(data: bytes, ref: PageRef) -> list:
    """The items of a page: entries as maps, and runs of chunks as lists of (length, hash)."""
    _demand(len(data) == ref.length and hash_of(data) == ref.hash, "not the page asked for")
    items = parse_page(data)
    runs = [item for item in items if type(item) is list]
    lengths = [length for run in runs for length, _ in run]
    entries = len(items) - len(runs)
    counted = (entries, len(lengths), sum(lengths))
    _demand(counted == (ref.entries, ref.chunks, ref.content), "another count than the root's")
    return items


def parse_page(data: bytes) -> list:
    _demand(len(data) <= PAGE_BYTES, "a page that is too large")
    items = wire.decode(data)
    _demand(type(items) is list and len(items) > 0, "an empty page")
    for before, item in zip([None] + items, items):
        _demand(type(item) in (dict, bytes), "neither entry nor run")
        _demand(not type(before) is type(item) is bytes, "neighbouring runs")
    return [_run(item) if type(item) is bytes else _entry(item) for item in items]


def _run(data: bytes) -> list[tuple[int, bytes]]:
    _demand(len(data) > 0 and len(data) % 36 == 0, "a run of no chunks, or of a part of one")
    run = list(struct.iter_unpack(">I32s", data))
    _demand(all(1 <= length <= CHUNK_BYTES for length, _ in run), "the length of a chunk")
    return run


ENTRY = {
    "path": cose.is_text,
    "kind": lambda value: value in ("file", "folder", "link"),
    "executable": lambda value: type(value) is bool,
    "mtime": UNIX_NS,
    "size": UP_TO_2_53,
    "hash": HASH,
    "chunker": cose.is_text,
    "params": lambda value: value is None or is_params(value),
    "target": lambda value: value is None or type(value) is str,
}


def _entry(fields: dict) -> dict:
    _demand(list(fields) == list(ENTRY), "the fields of an entry")
    for name, check in ENTRY.items():
        _demand(check(fields[name]), f"an entry's {name}")
    _demand(fields["path"] == "" or _is_path(fields["path"]), "a path")
    is_file, is_link = fields["kind"] == "file", fields["kind"] == "link"
    _demand(fields["chunker"] == (CHUNKER if is_file else ""), "the chunker")
    _demand((fields["params"] is not None) == is_file, "params")
    _demand((fields["target"] is not None) == is_link, "target")
    if is_link:
        target = fields["target"].encode()
        _demand(1 <= len(target) <= PATH_BYTES, "the length of a target")
        _demand(fields["hash"] == hash_of(target), "the hash of a target")
        _demand(_stays_inside(fields["path"], fields["target"]), "a target outside of the folder")
    if fields["kind"] == "folder":
        _demand(fields["hash"] == hash_of(b""), "the hash of a folder")
    _demand(is_file or (fields["size"] == 0 and not fields["executable"]), "what files alone have")
    return fields


def _is_path(path: str) -> bool:
    return len(path.encode()) <= PATH_BYTES and all(map(wire.is_resource_name, path.split("/")))


def _stays_inside(path: str, target: str) -> bool:
    """`..` at most as often as the link lies in folders, then names."""
    parts = target.split("/")
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return up <= path.count("/") and all(map(wire.is_resource_name, parts[up:]))


def assemble(root: Root, pages: list[bytes]) -> list[Chunk]:
    """The chunks of a file, from all pages of its manifest."""
    _demand(root.kind == "file" and len(pages) == len(root.pages), "no manifest of a file")
    entry, listed = None, []
    for data, ref in zip(pages, root.pages):
        for item in read_page(data, ref):
            if type(item) is dict:
                entry = item
            else:
                _demand(entry is not None, "a chunk before the entry")
                listed += item
    _check_file(root, entry)
    return _place(entry, listed)


def _check_file(root: Root, entry: dict) -> None:
    _demand(entry["kind"] == "file" and entry["path"] == "", "the entry is no single file")
    _demand(entry["size"] == root.size and entry["hash"] == root.content, "another file's entry")


def _place(entry: dict, listed: list[tuple[int, bytes]]) -> list[Chunk]:
    least, _, most = entry["params"]
    chunks, start = [], 0
    for number, (length, chunk_hash) in enumerate(listed):
        _demand(length <= most, "a chunk that is too long")
        _demand(length >= least or number == len(listed) - 1, "a chunk that is too short")
        chunks.append(Chunk(start, length, chunk_hash))
        start += length
    _demand(start == entry["size"], "the chunks do not cover the file")
    return chunks


def _demand(condition: bool, text: str) -> None:
    if not condition:
        raise Refused("bad-message", f"manifest: {text}")
