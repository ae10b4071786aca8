"""Exact times: ISO-8601 text as .NET writes it, to and from integer nanoseconds UTC.

The gateway writes 0 to 7 fractional digits (a .NET tick is 100 ns) with trailing zeros dropped,
and `Z` or an offset. The standard library keeps microseconds only, so the digits are read here.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

SECOND_NS = 1_000_000_000

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PREFIX = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_REST = re.compile(r"(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_SCALE = tuple(int("1" + "0" * (9 - digits)) for digits in range(10))  # by number of digits
_HOURS = 24
_MINUTES = 60


def parse_ns(text: str) -> int:
    """Nanoseconds since 1970-01-01T00:00Z of `YYYY-MM-DDTHH:MM:SS[.f]` with `Z` or `+hh:mm`.

    The fraction has 1 to 9 digits. All arithmetic is in integers, so nothing is rounded.

    Raises:
        ValueError: `text` is anything else, such as a time without a zone.
    """
    # The usual text is cut by position; its first 19 characters are shared by all prints of a
    # second, so they are remembered. Everything else goes through the pattern.
    if text[-6:] == "+00:00" and text[19:20] == ".":
        digits = text[20:-6]
        if digits.isdigit() and len(digits) < len(_SCALE) and text.isascii():
            return _second_ns(text[:19]) + int(digits) * _SCALE[len(digits)]
    return _parse_any(text)


def format_ns(ns: int, *, digits_drop_zeros: bool = True) -> str:
    """The text .NET writes for a `DateTimeOffset` in UTC, such as `2026-11-20T14:30:00.25+00:00`.

    Digits below 100 ns are cut off.

    Args:
        ns: nanoseconds since 1970-01-01T00:00Z, within the years 1 to 9999.
        digits_drop_zeros: whether trailing zeros of the fraction are left out, as .NET does;
            otherwise there are always seven digits.

    Raises:
        ValueError: the year is outside 1 to 9999.
    """
    seconds, rest = divmod(ns, SECOND_NS)
    digits = f"{rest // 100:07d}"
    if digits_drop_zeros:
        digits = digits.rstrip("0")
    dot = "." if digits else ""
    return f"{_second_text(seconds)}{dot}{digits}+00:00"


def _parse_any(text: str) -> int:
    match = _REST.fullmatch(text[19:])
    if match is None:
        raise ValueError(f"not a time with a zone: {text[:40]!r}")
    fraction, sign, hours, minutes = match.groups()
    ns = _second_ns(text[:19])
    if fraction is not None:
        ns += int(fraction) * _SCALE[len(fraction)]
    return ns if sign is None else ns - _offset_ns(sign, int(hours), int(minutes))


def _offset_ns(sign: str, hours: int, minutes: int) -> int:
    if hours >= _HOURS or minutes >= _MINUTES:
        raise ValueError(f"not an offset: {sign}{hours:02d}:{minutes:02d}")
    offset_ns = (hours * _MINUTES + minutes) * _MINUTES * SECOND_NS
    return -offset_ns if sign == "-" else offset_ns


@lru_cache(maxsize=256)
def _second_ns(prefix: str) -> int:
    """Nanoseconds of the first 19 characters, taken as UTC."""
    if _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"not a date and time: {prefix!r}")
    parsed = dt.datetime.fromisoformat(prefix).replace(tzinfo=dt.UTC)
    elapsed = parsed - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * SECOND_NS


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    """The first 19 characters of `seconds` since the epoch."""
    try:
        moment = _EPOCH + dt.timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"{seconds} s since 1970 is outside the years 1 to 9999") from error
    # isoformat pads the year to four digits everywhere; strftime does not on every platform.
    return moment.replace(tzinfo=None).isoformat()
