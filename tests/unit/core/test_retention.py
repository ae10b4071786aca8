"""Which segments of a journal may go: `core/journal/retention`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.journal.retention import (
    SEGMENTS_MIN,
    KeptSegment,
    Retention,
    confirmed_through,
    marker_name,
    removable,
    retired_through,
)

NOW = 1_000_000


def kept(count: int, first: int = 1) -> list[KeptSegment]:
    """Segments of 100 bytes each, that ended at 1,000, 2,000, ..."""
    return [KeptSegment(first + each, 100, (each + 1) * 1_000) for each in range(count)]


def test_age_decides() -> None:
    """What ended before the time that is kept may go, and not what ended at it."""
    policy = Retention(keep_ns=NOW - 3_000)
    assert removable(kept(20), policy, confirmed_through=20, now_ns=NOW) == [1, 2]


def test_size_decides() -> None:
    """The oldest go until the rest is not larger than what is kept."""
    policy = Retention(keep_bytes=1_650)
    assert removable(kept(20), policy, confirmed_through=20, now_ns=NOW) == [1, 2, 3, 4]


def test_either_is_enough() -> None:
    """What is too old goes although there is room, and what is too much although it is young."""
    policy = Retention(keep_ns=NOW - 3_000, keep_bytes=1_650)
    assert removable(kept(20), policy, confirmed_through=20, now_ns=NOW) == [1, 2, 3, 4]


def test_nothing_goes_that_the_archive_has_not() -> None:
    """Whatever the age and the size."""
    policy = Retention(keep_ns=0, keep_bytes=0)
    for through in range(4):
        found = removable(kept(20), policy, confirmed_through=through, now_ns=NOW)
        assert found == list(range(1, through + 1))


def test_the_latest_stay() -> None:
    """A start reads them, so neither age nor size nor a confirmation lets them go."""
    policy = Retention(keep_ns=0, keep_bytes=0)
    found = removable(kept(10), policy, confirmed_through=99, now_ns=NOW)
    assert found == list(range(1, 11 - SEGMENTS_MIN))
    assert removable(kept(SEGMENTS_MIN), policy, confirmed_through=99, now_ns=NOW) == []


def test_without_a_policy_all_stays() -> None:
    """As it does by default."""
    assert Retention().keeps_all
    assert removable(kept(20), Retention(), confirmed_through=20, now_ns=NOW) == []


def test_what_has_no_age_stays_and_so_does_all_behind_it() -> None:
    """Only a prefix goes, so that there is never a hole."""
    segments = kept(20)
    segments[1] = KeptSegment(2, 100, None)
    policy = Retention(keep_ns=0)
    assert removable(segments, policy, confirmed_through=20, now_ns=NOW) == [1]


@given(
    sizes=st.lists(st.integers(0, 1_000), max_size=30),
    first=st.integers(1, 50),
    keep_ns=st.none() | st.integers(0, 40_000),
    keep_bytes=st.none() | st.integers(0, 20_000),
    through=st.integers(0, 90),
)
def test_only_a_confirmed_prefix_goes(
    sizes: list[int], first: int, keep_ns: int | None, keep_bytes: int | None, through: int
) -> None:
    """For any journal and policy: a prefix, confirmed, never the latest, and no more than asked."""
    segments = [
        KeptSegment(first + each, size, (each + 1) * 1_000) for each, size in enumerate(sizes)
    ]
    policy = Retention(keep_ns, keep_bytes)
    found = removable(segments, policy, confirmed_through=through, now_ns=35_000)
    assert found == [segment.number for segment in segments[: len(found)]]
    assert all(number <= through for number in found)
    assert len(found) <= max(0, len(segments) - SEGMENTS_MIN)
    if found:
        last = segments[len(found) - 1]
        before = sum(segment.bytes for segment in segments[len(found) - 1 :])
        is_old = (
            keep_ns is not None and last.ended_ns is not None and last.ended_ns < 35_000 - keep_ns
        )
        assert is_old or (keep_bytes is not None and before > keep_bytes)


@pytest.mark.parametrize(
    ("lines", "through"),
    [
        (b"", 0),
        (b'{"through_segment": 7}\n', 7),
        (b'{"through_segment": 7, "more": [1]}\n{"through_segment": 9}\n', 9),
        (b'{"through_segment": 7}\n{"through_segment": 9', 7),
        (b'{"through_segment": 7}\n{"through_segment": 9}', 7),
        (b'{"through_segment": 7}\nnonsense\n', 0),
        (b'{"through_segment": "7"}\n', 0),
        (b'{"through_segment": -7}\n', 0),
        (b"\xff\n", 0),
        (b"\n", 0),
    ],
)
def test_the_last_whole_line_counts(lines: bytes, through: int) -> None:
    """Half a line is what a crash left; a line that says nothing confirms nothing."""
    assert confirmed_through(lines) == through


def test_the_highest_marker_says_what_was_removed() -> None:
    """Other names are no markers."""
    assert retired_through([]) == 0
    assert retired_through(["retired-12.json", "retired-000012.jsonl", "journal.lock"]) == 0
    assert retired_through([marker_name(12), marker_name(7), "segment-000099.tkj"]) == 12
