"""Exact times, to and from text."""

from __future__ import annotations

import pytest

from tapekeeper.core.gateway.times import format_ns, parse_ns

BASE = 1_795_185_000_000_000_000  # 2026-11-20T14:30:00Z


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-11-20T14:30:00.1234567+00:00", BASE + 123_456_700),
        ("2026-11-20T14:30:00+00:00", BASE),
        ("2026-11-20T14:30:00Z", BASE),
        ("2026-11-20T14:30:00.2Z", BASE + 200_000_000),
        ("2026-11-20T14:30:00.000001+00:00", BASE + 1_000),
        ("2026-11-20T14:30:00.123456789Z", BASE + 123_456_789),
        ("2026-11-20T14:30:00.123456789+00:00", BASE + 123_456_789),
        ("2026-11-20T08:30:00.5-06:00", BASE + 500_000_000),
        ("2026-11-20T20:00:00+05:30", BASE),
        ("2026-11-20T14:30:00.0-00:00", BASE),
        ("2025-04-21T19:45:52.105808+00:00", 1_745_264_752_105_808_000),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.9999999+00:00", -100),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
    ],
)
def test_parse(text: str, ns: int) -> None:
    """0 to 9 fractional digits and any offset give exact nanoseconds."""
    assert parse_ns(text) == ns


@pytest.mark.parametrize("digits", range(1, 8))
def test_every_length_of_fraction(digits: int) -> None:
    """Each number of fractional digits has its own weight."""
    fraction = "1234567"[:digits]
    expected = BASE + int(fraction.ljust(9, "0"))
    assert parse_ns(f"2026-11-20T14:30:00.{fraction}+00:00") == expected
    assert parse_ns(f"2026-11-20T14:30:00.{fraction}Z") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-20",
        "2026-11-20T14:30:00",
        "2026-11-20T14:30:00.1234567",
        "2026-11-20 14:30:00Z",
        "2026-11-20T14:30Z",
        "2026-11-20T14:30:00.Z",
        "2026-11-20T14:30:00.+00:00",
        "2026-11-20T14:30:00.1234567890+00:00",
        "2026-11-20T14:30:00.12_3+00:00",
        "2026-11-20T14:30:00.-12+00:00",
        "2026-11-20T14:30:00.1234567+00:00 ",
        " 2026-11-20T14:30:00Z",
        "2026-11-20T14:30:00+0000",
        "2026-11-20T14:30:00+24:00",
        "2026-11-20T14:30:00+01:60",
        "2026-13-20T14:30:00Z",
        "2026-02-29T14:30:00Z",
        "2026-11-20T24:30:00Z",
        "2026-11-20T14:30:60Z",
        "+026-11-20T14:30:00Z",
        "0000-11-20T14:30:00Z",
        "2026-11-20T14:30:00.١٢+00:00",
        "2026-11-20T14:30:00.²+00:00",
        "٢٠٢٦-11-20T14:30:00Z",
        "2026-W47-5T14:30:00Z",
        "1795185000",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    """What is not exactly a date, a time and a zone is refused."""
    with pytest.raises(ValueError, match=r".+"):
        parse_ns(text)


def test_a_refusal_is_not_remembered_as_a_time() -> None:
    """The memory of seconds holds only what was readable."""
    for _ in range(2):
        with pytest.raises(ValueError, match="not a date"):
            parse_ns("2026-11-20X14:30:00.5+00:00")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (BASE, "2026-11-20T14:30:00+00:00"),
        (BASE + 123_456_700, "2026-11-20T14:30:00.1234567+00:00"),
        (BASE + 500_000_000, "2026-11-20T14:30:00.5+00:00"),
        (BASE + 100, "2026-11-20T14:30:00.0000001+00:00"),
        (BASE + 199, "2026-11-20T14:30:00.0000001+00:00"),
        (0, "1970-01-01T00:00:00+00:00"),
        (-100, "1969-12-31T23:59:59.9999999+00:00"),
        (-62_135_596_800_000_000_000, "0001-01-01T00:00:00+00:00"),
    ],
)
def test_format(ns: int, text: str) -> None:
    """The text is .NET's: up to seven digits, trailing zeros dropped, smaller ones cut."""
    assert format_ns(ns) == text


def test_format_with_all_digits() -> None:
    """On demand there are always seven digits."""
    assert format_ns(BASE, digits_drop_zeros=False) == "2026-11-20T14:30:00.0000000+00:00"


@pytest.mark.parametrize("ns", [10**21, -(10**21)])
def test_a_year_without_four_digits_cannot_be_written(ns: int) -> None:
    """Times outside the years 1 to 9999 are refused, not wrapped."""
    with pytest.raises(ValueError, match="outside the years"):
        format_ns(ns)
