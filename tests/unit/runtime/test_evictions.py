"""A limit on sessions is believed after some evictions in a row, and an outage shows nothing."""

from __future__ import annotations

from tapekeeper.runtime.evictions import Evictions
from tapekeeper.runtime.pool_values import PoolPolicy

_NS = 1_000_000_000


def _watch() -> Evictions:
    watch = Evictions(PoolPolicy())
    watch.opened(1, 0)
    return watch


def _evict(watch: Evictions, new: int, old: int, at_s: int) -> bool:
    """A line opens, another one ends a second later, and the time to watch passes."""
    watch.opened(new, at_s * _NS)
    watch.ended(old, (at_s + 1) * _NS, by_itself=True)
    return watch.judge((at_s + 6) * _NS)


def _believes(watch: Evictions, at_s: int) -> bool:
    watch.judge(at_s * _NS)
    return watch.one_session


def test_two_in_a_row_are_believed() -> None:
    """The first is counted alone; when it is forgotten one more is enough."""
    watch = _watch()
    assert not _evict(watch, 2, 1, 10)
    assert _evict(watch, 3, 2, 20)
    assert (watch.one_session, watch.count) == (True, 2)
    assert [_believes(watch, at_s) for at_s in (85, 86)] == [True, False]
    assert _evict(watch, 4, 3, 90)


def _memories(watch: Evictions, numbers: range, at_s: int) -> list[int]:
    """For how long it is believed, s, if each line throws out the one before when it may."""
    memories = []
    for new in numbers:
        assert _evict(watch, new, new - 1, at_s)
        since_s = at_s = at_s + 6
        while _believes(watch, at_s):
            at_s += 1
        memories.append(at_s - since_s)
    return memories


def test_what_shows_again_and_again_is_believed_for_longer() -> None:
    """Up to an hour; a line that stays beside another one makes the next belief short again."""
    watch = _watch()
    _evict(watch, 2, 1, 10)
    assert _memories(watch, range(3, 11), 20) == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    watch.opened(11, 20_000 * _NS)
    watch.judge(20_006 * _NS)
    _evict(watch, 12, 10, 20_010)
    assert _memories(watch, range(13, 15), 20_020) == [60, 120]


def test_a_line_that_stays_ends_the_row() -> None:
    """What happened once and not again was the network."""
    watch = _watch()
    _evict(watch, 2, 1, 10)
    watch.opened(3, 20 * _NS)
    watch.judge(26 * _NS)
    assert not _evict(watch, 4, 2, 30)


def test_an_end_before_the_opening_is_answered_counts() -> None:
    """The old connection may be closed while the new one still waits for its handshake."""
    watch = _watch()
    for new, at_s in ((2, 10), (3, 20)):
        watch.trying(new, at_s * _NS)
        watch.ended(new - 1, (at_s + 1) * _NS, by_itself=True)
        watch.opened(new, (at_s + 2) * _NS)
        watch.judge((at_s + 8) * _NS)
    assert watch.one_session


def test_lines_that_end_together_show_nothing() -> None:
    """Neither an outage after an opening, nor one before a reconnect."""
    watch = _watch()
    for at_s in (10, 30, 50):
        watch.opened(2, at_s * _NS)
        watch.ended(1, (at_s + 1) * _NS, by_itself=True)
        watch.ended(2, (at_s + 1) * _NS, by_itself=True)
        watch.judge((at_s + 6) * _NS)
        watch.trying(1, (at_s + 8) * _NS)
        watch.opened(1, (at_s + 9) * _NS)
        watch.judge((at_s + 15) * _NS)
    assert watch.count == 0


def test_an_end_that_was_wanted_is_no_eviction() -> None:
    """A line that was retired and stopped has not been thrown out."""
    watch = _watch()
    watch.opened(2, 10 * _NS)
    watch.ended(1, 11 * _NS, by_itself=False)
    watch.keep_only({2})
    assert not watch.judge(20 * _NS)
    assert watch.count == 0


def test_a_resumable_connection_ends_with_its_transport() -> None:
    """A line that gives up resuming while another one opens was not thrown out by it."""
    watch = _watch()
    for new, at_s in ((2, 10), (3, 20), (4, 30)):
        watch.interrupted(new - 1, at_s * _NS, by_itself=True)
        watch.trying(new, (at_s + 1) * _NS)
        watch.opened(new, (at_s + 2) * _NS)
        watch.ended(new - 1, (at_s + 3) * _NS, by_itself=True)
        watch.judge((at_s + 8) * _NS)
    assert (watch.one_session, watch.count) == (False, 0)


def test_a_transport_that_is_lost_to_an_opening_counts_once_it_is_given_up() -> None:
    """Until then it is not known whether the connection has ended."""
    watch = _watch()
    for new, at_s in ((2, 10), (3, 30)):
        watch.opened(new, at_s * _NS)
        watch.interrupted(new - 1, (at_s + 1) * _NS, by_itself=True)
        assert not watch.judge((at_s + 10) * _NS)
        assert watch.count == new - 2
        watch.ended(new - 1, (at_s + 12) * _NS, by_itself=True)
        watch.judge((at_s + 12) * _NS)
    assert (watch.one_session, watch.count) == (True, 2)


def test_a_connection_that_goes_on_has_not_ended() -> None:
    """Its transport was lost to the network, twice and just after another line had opened."""
    watch = _watch()
    for at_s in (10, 30):
        watch.opened(2, at_s * _NS)
        watch.interrupted(1, (at_s + 1) * _NS, by_itself=True)
        watch.resumed(1)
        watch.judge((at_s + 6) * _NS)
        watch.ended(2, (at_s + 7) * _NS, by_itself=True)
    assert watch.count == 0


def test_one_end_is_one_eviction() -> None:
    """Two lines that open around the end of a third one show it once."""
    watch = _watch()
    watch.trying(2, 10 * _NS)
    watch.trying(3, 10 * _NS)
    watch.ended(1, 11 * _NS, by_itself=True)
    watch.opened(2, 12 * _NS)
    watch.opened(3, 12 * _NS)
    assert not watch.judge(20 * _NS)
    assert (watch.one_session, watch.count) == (False, 1)
