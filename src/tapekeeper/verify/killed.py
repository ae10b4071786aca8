"""The process that is killed: a tape, and subscribers that write down at once what they are given.

`python -m tapekeeper.verify.killed FOLDER FILE`, with the settings in the environment. It says `up`
when its contracts are confirmed, and stops in order when its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import IO

import msgspec

from tapekeeper.app.tape import Tape
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import Quote
from tapekeeper.verify.scenario import PRODUCTS, TIMEFRAMES


class Delivered(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a subscriber was given: a bar or a quote."""

    bar: Bar | None = None
    quote: Quote | None = None


async def live(journal: Path, delivered: IO[bytes]) -> None:
    """Be that process.

    Args:
        journal: its folder.
        delivered: not buffered, so that what is written survives the process.
    """
    async with Tape({"journal": {"dir": str(journal)}}) as tape, asyncio.TaskGroup() as tasks:
        readers = []
        for product in PRODUCTS:
            await tape.subscribe(product, TIMEFRAMES)
            readers.append(tasks.create_task(_quotes(tape, product, delivered)))
            readers += [
                tasks.create_task(_bars(tape, product, str(timeframe), delivered))
                for timeframe in TIMEFRAMES
            ]
        sys.stdout.write("up\n")  # to whoever started this process
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for reader in readers:
            reader.cancel()


async def _bars(tape: Tape, product: str, timeframe: str, delivered: IO[bytes]) -> None:
    async for bar in tape.bars(product, timeframe):
        delivered.write(_line(Delivered(bar=bar)))


async def _quotes(tape: Tape, product: str, delivered: IO[bytes]) -> None:
    async for quote in tape.quotes(product):
        delivered.write(_line(Delivered(quote=quote)))


def _line(item: Delivered) -> bytes:
    return msgspec.json.encode(item) + b"\n"


if __name__ == "__main__":
    with Path(sys.argv[2]).open("ab", buffering=0) as file:
        asyncio.run(live(Path(sys.argv[1]), file))
