"""What is remarkable of accepted prints is counted, and the latest are kept with the reason."""

from __future__ import annotations

from tapekeeper.core.validate import KEPT_EACH
from tapekeeper.core.validate.flags import PrintFlags
from tapekeeper.model.tick import Flag, TradeBatch

NOON = 1_767_625_200_000_000_000


def prints(rows: list[tuple[int, float, int, int]], seq: int = 0) -> TradeBatch:
    """Prints of (time after noon, price, size, side)."""
    made = TradeBatch("C")
    for number, (after_ns, price, size, side) in enumerate(rows, start=seq):
        made.append(NOON + after_ns, price, size, side, NOON, number)
    return made


def told(flags: PrintFlags) -> list[tuple[Flag, int, str]]:
    """Flag, number and reason of what is kept."""
    return [(each.flag, each.tick.seq, each.detail) for each in flags.latest()]


def test_every_flag_says_what_is_remarkable() -> None:
    """The print itself, and of a repetition the print that it repeats."""
    flags = PrintFlags()
    flags.take(prints([(1, 10.25, 2, 0), (1, 10.25, 2, 0), (2, 10.5, 0, 1)], seq=4))
    flags.take(prints([(2, 10.5, 0, 1), (3, 10.5, 1, -1)], seq=7))
    assert flags.counts == {Flag.REPEATED: 2, Flag.ZERO_SIZE: 2, Flag.UNKNOWN_SIDE: 1}
    assert told(flags) == [
        (Flag.ZERO_SIZE, 6, "its size is 0: 0 at 10.5"),
        (Flag.ZERO_SIZE, 7, "its size is 0: 0 at 10.5"),
        (Flag.REPEATED, 5, "equals print 4 before it in time, price, size and side: 2 at 10.25"),
        (Flag.REPEATED, 7, "equals print 6 before it in time, price, size and side: 0 at 10.5"),
        (Flag.UNKNOWN_SIDE, 8, "its aggressor is absent, or a code that nobody knows"),
    ]


def test_a_side_that_nobody_knows_is_told_by_its_code() -> None:
    """Where the code is known; a print without one stays what it is."""
    flags = PrintFlags()
    flags.take(prints([(1, 10.25, 2, -1), (2, 10.25, 2, -1)], seq=4))
    told = flags.latest(lambda trade: 7 if trade.seq == 4 else None)
    assert [each.detail for each in told] == [
        "its aggressor is 7, a code that nobody knows",
        "its aggressor is absent, or a code that nobody knows",
    ]


def test_the_latest_of_each_flag_are_kept() -> None:
    """As many as `KEPT_EACH`, wherever batches are cut; a rare flag is not pushed out."""
    rows = [(n, 10.0, 1, -1) for n in range(3 * KEPT_EACH)]
    whole, single = PrintFlags(), PrintFlags()
    rare = prints([(0, 9.0, 0, 0)], seq=0)
    for flags in (whole, single):
        flags.take(rare)
    whole.take(prints(rows, seq=1))
    for n, row in enumerate(rows, start=1):
        single.take(prints([row], seq=n))
    assert whole.latest() == single.latest()
    assert whole.counts == single.counts
    numbers = [seq for flag, seq, _ in told(whole) if flag is Flag.UNKNOWN_SIDE]
    assert numbers == list(range(2 * KEPT_EACH + 1, 3 * KEPT_EACH + 1))
    assert (Flag.ZERO_SIZE, 0) in [(flag, seq) for flag, seq, _ in told(whole)]
