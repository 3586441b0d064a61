"""The side of a holder: what a node shares, and its answers to P and G."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import cose
import manifest
import wire
from manifest import Manifest
from wire import Refused

MOST_RUNS = 256
MOST_CHUNKS = 2**32 - 1


@dataclass
class Shared:
    """A file that is shared, where it lies."""

    path: Path
    identity: tuple
    manifest: Manifest
    record: cose.Signed | None = None

    @classmethod
    def read(cls, path: Path) -> "Shared":
        before = _identity(path)
        data = path.read_bytes()
        if _identity(path) != before:
            raise Refused("changed", str(path))
        executable = os.access(path, os.X_OK)
        return cls(path, before, manifest.build(data, before[1], executable))

    def check(self) -> None:
        try:
            same = _identity(self.path) == self.identity
        except OSError:
            same = False
        if not same:
            raise Refused("changed", "the file is no longer what was published")

    def chunks(self, runs: list[list[int]]) -> bytes:
        self.check()
        with self.path.open("rb") as file:
            data = b"".join(self._run(file, first, count) for first, count in runs)
        self.check()
        return data

    def _run(self, file, first: int, count: int) -> bytes:
        chunks = self.manifest.chunks[first : first + count]
        file.seek(chunks[0].start)
        return file.read(sum(chunk.length for chunk in chunks))


def _identity(path: Path) -> tuple:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


@dataclass
class Holder:
    """What this node shares, by the name of the resource, and how it answers for it."""

    network: bytes
    shared: dict[str, Shared] = field(default_factory=dict)
    # Every request that was answered, for whoever wants to know.
    log: list[str] = field(default_factory=list)

    def request_download(self, link, body: dict) -> dict:
        wants = [key for key in ("resource", "grant", "probe") if key in body]
        if len(wants) != 1:
            raise Refused("bad-message", "not exactly one field")
        self.log.append(f"P {wants[0]}")
        if wants == ["resource"]:
            raise Refused("unsupported", "this is no index")
        content = wire.field(body, wants[0], dict)
        if wants == ["probe"]:
            return self._probe(link, content)
        return self._grant(link, content)

    def _probe(self, link, probe: dict) -> dict:
        if not link.to_index:
            raise Refused("not-allowed", "only the index asks this")
        wire.field(probe, "asker", bytes, 32)
        if not wire.is_user_name(probe.get("user")):
            raise Refused("bad-message", "user")
        self._serving(wire.field(probe, "content", bytes, 32)).check()
        return {"whole": True}

    def _grant(self, link, bundle: dict) -> dict:
        record = cose.bundle_verifies(bundle, self.network)
        if record["kind"] == "folder":
            raise Refused("unsupported", "a folder")
        if record["kind"] == "gone":
            raise Refused("not-found", "a tombstone")
        shared = self._serving(record["content"])
        shared.check()
        link.grants[record.hash] = shared
        return {"roots": [{"root": shared.manifest.root_hash}]}

    def _serving(self, content: bytes) -> Shared:
        for shared in self.shared.values():
            if shared.manifest.content == content:
                return shared
        raise Refused("not-found", "no such content here")

    def get_data(self, link, body: dict) -> tuple[dict, bytes]:
        granted = wire.field(body, "grant", bytes, 32)
        root = wire.field(body, "root", bytes, 32)
        page, runs = body.get("page"), body.get("runs")
        if page is not None and runs is not None:
            raise Refused("bad-message", "page and runs")
        if runs is not None:
            _check_runs(runs)
        shared = link.grants.get(granted)
        if shared is None or shared.manifest.root_hash != root:
            raise Refused("not-found", "no such grant or root")
        if runs is not None:
            return self._runs(shared, runs)
        if page is not None:
            return self._page(shared, wire.field(body, "page", bytes, 32))
        self.log.append("G root")
        return {"length": len(shared.manifest.root)}, shared.manifest.root

    def _page(self, shared: Shared, wanted: bytes) -> tuple[dict, bytes]:
        page = shared.manifest.pages.get(wanted)
        if page is None:
            raise Refused("not-found", "no such page")
        self.log.append("G page")
        return {"length": len(page)}, page

    def _runs(self, shared: Shared, runs: list) -> tuple[dict, bytes]:
        if runs[-1][0] + runs[-1][1] > len(shared.manifest.chunks):
            raise Refused("out-of-range", "chunks that the manifest does not have")
        data = shared.chunks(runs)
        self.log.append("G runs")
        return {"length": len(data), "runs": runs}, data


def _check_runs(runs) -> None:
    """Runs in ascending order, without overlap, none empty."""
    if type(runs) is not list or not runs:
        raise Refused("bad-message", "runs")
    if len(runs) > MOST_RUNS:
        raise Refused("too-large", "runs")
    end = 0
    for run in runs:
        match run:
            case [int(first), int(count)] if first >= end and count >= 1:
                end = first + count
            case _:
                raise Refused("bad-message", "a run")
    if end > MOST_CHUNKS:
        raise Refused("bad-message", "a run goes too far")
