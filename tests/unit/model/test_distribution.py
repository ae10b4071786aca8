"""Buckets cover every value once, and quantiles keep to their stated error."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.measuring import VALUE_MAX, Histogram
from tapekeeper.model.distribution import (
    RELATIVE_ERROR,
    Distribution,
    bucket_bounds,
    bucket_of,
)

VALUES = st.lists(st.integers(0, 1 << 41), min_size=1, max_size=60)


def _recorded(values: list[int]) -> Distribution:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.view()


def test_buckets_follow_each_other_without_hole_or_overlap() -> None:
    """Each begins where the one before ends, and has the values that it says."""
    last = bucket_of(VALUE_MAX - 1)
    for before, bucket in itertools.pairwise(range(last + 1)):
        assert bucket_bounds(before)[1] == bucket_bounds(bucket)[0]
    for bucket in range(last + 1):
        first, behind = bucket_bounds(bucket)
        assert bucket_of(first) == bucket_of(behind - 1) == bucket


@given(VALUES)
def test_count_sum_least_and_most_are_exact(values: list[int]) -> None:
    """Whatever is recorded, beyond the last bucket as well."""
    view = _recorded(values)
    assert (view.count, view.sum) == (len(values), sum(values))
    assert (view.least, view.most) == (min(values), max(values))
    assert view.mean == sum(values) / len(values)


@given(st.lists(st.integers(0, VALUE_MAX - 1), min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_is_off_by_its_stated_error_at_most(values: list[int], share: float) -> None:
    """Against the value of that rank among all values, sorted."""
    ranked = sorted(values)
    rank = max(1, -(-share * len(values) // 1))
    exact = ranked[int(rank) - 1]
    assert abs(_recorded(values).quantile(share) - exact) <= RELATIVE_ERROR * exact


@given(VALUES, VALUES)
def test_two_make_the_one_that_had_recorded_all(one: list[int], other: list[int]) -> None:
    """Merged views equal the view of everything."""
    assert _recorded(one) + _recorded(other) == _recorded(one + other)


def test_nothing_recorded_is_nothing() -> None:
    """Empty views have zeros, and change no other by being added."""
    empty = Histogram().view()
    assert empty == Distribution()
    assert (empty.quantile(0.5), empty.mean) == (0.0, 0.0)
    some = _recorded([7])
    assert some + empty == empty + some == some


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
def test_of_one_value_every_quantile_is_that_value(share: float) -> None:
    """The middle of its bucket lies outside of what was recorded."""
    assert _recorded([1_000_003]).quantile(share) == 1_000_003
