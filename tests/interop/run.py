"""Tries this client against real nodes: an index and a peer in temporary homes on this machine.

Usage: python run.py [--program PATH]   (default: target/release/p2p-node, or target/debug/p2p-node)
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import keys
import steps_edge
import steps_files
import steps_index
import steps_statements
from harness import REPOSITORY, Daemon, Step, World

STEPS = [*steps_index.step, *steps_files.step, *steps_statements.step, *steps_edge.step]


async def passed(step: Step, world: World) -> bool:
    """Runs a step and prints a line about it."""
    try:
        await step(world)
    except Exception as error:
        print(f"FAILED  {step.__doc__}\n        {type(error).__name__}: {error}", flush=True)
        return False
    print(f"ok      {step.__doc__}", flush=True)
    return True


async def run(program: Path, folder: Path) -> bool:
    world = World(folder, Daemon(program, folder / "index"), Daemon(program, folder / "peer"))
    try:
        await world.index.start("index")
        index = f"{keys.id_text(world.index.id)}@{world.index.address}"
        await world.peer.start("run", "--index", index)
        return all([await passed(step, world) for step in STEPS])
    finally:
        for node in world.nodes:
            node.close()
        await world.peer.stop()
        await world.index.stop()


def main() -> int:
    logging.getLogger("quic").setLevel(logging.CRITICAL)  # Connections that have to fail, fail.
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path)
    program = parser.parse_args().program
    built = [REPOSITORY / "target" / profile / "p2p-node" for profile in ("release", "debug")]
    program = program or next((path for path in built if path.exists()), None)
    if program is None:
        parser.error("there is no built p2p-node; name one with --program")
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(run(program.absolute(), Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
