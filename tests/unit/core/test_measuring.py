"""Histograms, labels and windows hold what they are told to, in memory that does not grow."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.measuring import SLOTS, VALUE_MAX, Histogram, Labels, Window

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def test_a_histogram_is_as_large_behind_a_million_values_as_before_the_first() -> None:
    """Buckets are numbers of the machine, not objects."""
    histogram = Histogram()
    before = sys.getsizeof(histogram._buckets)
    for value in range(0, 1 << 44, (1 << 44) // 1_000):
        histogram.record(value)
    assert sys.getsizeof(histogram._buckets) == before < 10_000


def test_what_is_beyond_the_last_bucket_is_in_it() -> None:
    """No value is too large, and none too small."""
    histogram = Histogram()
    for value in (VALUE_MAX, 9 * VALUE_MAX, -5):
        histogram.record(value)
    view = histogram.view()
    assert (view.count, view.least, view.most) == (3, 0, 9 * VALUE_MAX)
    assert sum(count for _, count in view.buckets) == 3


def test_labels_beyond_the_cap_share_one_count() -> None:
    """Those that came first keep theirs; nothing is lost and nothing grows."""
    labels = Labels(2)
    for each in ("a", "b", "c", "a", "d"):
        labels.add(each, 10)
    view = labels.view()
    assert view.counts == {"a": 20, "b": 10}
    assert view.other == 20
    assert view.total == 50


def test_what_is_taken_back_is_counted_no_more() -> None:
    """With a label of its own, and with one that shares."""
    labels = Labels(1)
    for each in ("a", "b"):
        labels.add(each)
        labels.add(each, -1)
    assert labels.view().total == 0
    assert labels.view().counts == {}


def test_a_set_of_no_labels_cannot_be() -> None:
    """Nothing would have a count of its own."""
    with pytest.raises(ValueError, match="at least one"):
        Labels(0)


@given(st.lists(st.tuples(st.integers(0, 3 * MINUTE), st.integers(1, 5)), max_size=40))
def test_a_window_holds_what_is_not_older_and_forgets_the_rest(
    events: list[tuple[int, int]],
) -> None:
    """To one of its parts: nothing within it is missing, nothing older by a part is there."""
    window = Window(MINUTE)
    now_ns = 0
    seen: list[tuple[int, int]] = []
    for wait_ns, count in events:
        now_ns += wait_ns
        window.add(count, now_ns)
        seen.append((now_ns, count))
        least = sum(many for at_ns, many in seen if at_ns > now_ns - MINUTE)
        most = sum(many for at_ns, many in seen if at_ns > now_ns - MINUTE - MINUTE // SLOTS)
        assert least <= window.total(now_ns) <= most


def test_a_rate_is_of_the_time_that_the_window_covers() -> None:
    """Ten a second are ten, from the first seconds on, and nothing once nothing comes."""
    window = Window(MINUTE)
    assert window.per_s(0) == 0.0
    for second in range(1, 200):
        window.add(10, second * SECOND)
        if second > 10:
            assert window.per_s(second * SECOND) == pytest.approx(10, rel=0.15)
    assert window.per_s(199 * SECOND + 2 * MINUTE) == 0.0


def test_a_window_has_parts() -> None:
    """One shorter than its parts are many cannot be."""
    with pytest.raises(ValueError, match="parts"):
        Window(SLOTS - 1)
