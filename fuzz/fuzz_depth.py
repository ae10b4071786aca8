"""Feeds damaged depth payloads, of several lines that come and go, to the depth stage.

Prints one line and ends with 0, or with the seed and the bytes that break a promise: no input
raises; received = accepted + duplicate + quarantined; whoever applies the updates has the
published book; the levels are sorted, positive and bounded.

    python fuzz/fuzz_depth.py [--seconds 5] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random

from tapekeeper.core.book import BOOKS_MAX, LEVELS_MAX, Book
from tapekeeper.core.depth import DepthStage
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.depth import BookSnapshot

CONTRACT = "CON.F.US.EP.Z26"
PIECES = [
    b"null", b"{", b"}", b"[", b"]", b'"', b",", b":", b"-", b".5", b"1e999", b"1e30", b"\xff",
    b"\\ud800", b"99999999999999999999", b"true", b'"data":', b"[[[[[[[[", b'"type":6,',
]  # fmt: skip


def payload(random: Random) -> bytes:
    """A call's arguments with some rows, in one of the shapes, perhaps damaged."""
    rows = b",".join(
        b'{"timestamp":"2026-11-20T14:30:00.1234567+00:00","type":%d,"price":%.2f,"volume":1,'
        b'"currentVolume":%d}'
        % (
            random.choice((1, 2, 1, 2, 3, 4, 5, 6, 9)),
            random.randrange(1, 80) / 4,
            random.choice((0, 1, 9)),
        )
        for _ in range(random.randrange(1, 9))
    )
    shape = random.choice((b"[%b]", b"[null,%b]", b'{"data":[%b]}'))
    text = bytearray(b'["%b",%b]' % (CONTRACT.encode(), shape % rows))
    for _ in range(random.choice((0, 0, 1, 2))):
        at = random.randrange(len(text) + 1)
        match random.randrange(3):
            case 0 if at < len(text):
                text[at] = random.randrange(256)
            case 1:
                del text[at : at + random.randrange(1, 8)]
            case _:
                text[at:at] = random.choice(PIECES)
    return bytes(text)


def untrue(stage: DepthStage, follower: Book) -> str | None:
    """The promise that is broken, or None."""
    updates, _ = stage.collect()
    for update in updates:
        follower.apply(update.rows)
    if not stage.counts().holds:
        return "received is not accepted + duplicate + quarantined"
    book = stage.book(CONTRACT)
    if book is None:
        return None
    if (book.bids, book.asks) != (follower.bids.levels(), follower.asks.levels()):
        return "the updates do not make the published book"
    return _unsound(book, stage)


def _unsound(book: BookSnapshot, stage: DepthStage) -> str | None:
    bids, asks = ([price for price, _ in side] for side in (book.bids, book.asks))
    if bids != sorted(set(bids), reverse=True) or asks != sorted(set(asks)):
        return "levels are out of order"
    if any(size <= 0 or price <= 0 for price, size in book.bids + book.asks):
        return "a level holds nothing"
    if max(len(bids), len(asks)) > LEVELS_MAX or stage.tallies()[0].lines > BOOKS_MAX:
        return "a bound is passed"
    return None


def main() -> int:
    """Fuzz for a time; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the damage (default 1)")
    options = parser.parse_args()
    random = Random(options.seed)
    grids: dict[str, float] = {CONTRACT: 0.25}
    stage, follower, cases = DepthStage(grids.get), Book(), 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        arguments, line = payload(random), random.randrange(12)
        try:
            match random.randrange(40):
                case 0:
                    stage.connected(line)
                case 1:
                    stage.disconnected(line)
                case _:
                    stage.take(Invocation("GatewayDepth", arguments), cases, line)
            broken = untrue(stage, follower)
        except Exception as error:  # noqa: BLE001 - boundary: any exception is a finding
            broken = f"{type(error).__name__}: {error}"
        if broken is not None:
            print(f"seed {options.seed}, case {cases}: {broken}\n  {arguments!r}")
            return 1
        cases += 1
    print(f"fuzz_depth: {cases:,} payloads, seed {options.seed}, no promise broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
