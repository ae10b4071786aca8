"""Up to when a connection was heard is judged by the time of its data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.signalr.records import Invocation
from tapekeeper.runtime.heard import LAG_LASTS_NS, PAUSE_NS, SAMPLE_NS, Delays, Heard

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
DELIVERY_NS = 3_000_000


def at(second: float) -> int:
    """A moment, ns UTC."""
    return START + round(second * SECOND)


def stamp_of(data: Invocation) -> int | None:
    """The arguments are the event time."""
    return int(data.arguments) if data.arguments else None


def data(second: float) -> list[Invocation]:
    """A call of the hub with data that were made then."""
    return [Invocation("GatewayTrade", str(at(second)).encode())]


def tell(heard: Heard, recv_ns: int, calls: list[Invocation], ahead_ns: int = 0) -> None:
    """Something came; the wall clock of the host was set forward by so much, or it slept."""
    heard.arrived(recv_ns + ahead_ns, recv_ns - START, calls)


class Line:
    """A connection whose pool knows how fast data come."""

    def __init__(self) -> None:
        self.delays = Delays()
        for second in (-3, -2):
            self.delays.host_ns(at(second), at(second) + DELIVERY_NS, at(second) - START)
        self.heard = Heard(stamp_of, self.delays)
        self.ahead_ns = 0
        self.bytes(0)

    def step(self, by_s: float) -> None:
        """The wall clock advances by so much, and the monotonic one does not."""
        self.ahead_ns += round(by_s * SECOND)

    def bytes(self, second: float) -> None:
        """Bytes without data, such as a ping."""
        tell(self.heard, at(second), [], self.ahead_ns)

    def data(self, made_s: float, came_s: float | None = None) -> None:
        """Data; without a time of receipt they take as long as the fastest."""
        recv_ns = at(made_s) + DELIVERY_NS if came_s is None else at(came_s)
        tell(self.heard, recv_ns, data(made_s), self.ahead_ns)

    def flow(self, from_s: int, to_s: int, made_later_s: float = 0) -> None:
        """Data on time, one a second."""
        for second in range(from_s, to_s):
            came_s = second + DELIVERY_NS / SECOND
            self.data(second + made_later_s, came_s)

    @property
    def until_s(self) -> float:
        """Seconds after START, by the host's clock."""
        assert self.heard.until_ns is not None
        return (self.heard.until_ns - START) / SECOND


def test_data_on_time_are_heard_to_their_receipt() -> None:
    """What took no longer than the fastest delivery leaves nothing under way."""
    line = Line()
    line.data(1.0)
    assert line.until_s == pytest.approx(1.003)


def test_a_backlog_is_heard_to_the_time_of_its_data() -> None:
    """Bytes come now, and what they hold is from six seconds ago."""
    line = Line()
    line.data(1.0)
    line.data(2.0, came_s=8.0)
    line.bytes(8.1)
    assert line.until_s == pytest.approx(2.003)


def test_a_backlog_that_was_worked_off_is_forgotten() -> None:
    """Data on time behind it: everything before them has come."""
    line = Line()
    line.data(2.0, came_s=8.0)
    line.data(8.5)
    assert line.until_s == pytest.approx(8.503)


def test_pings_carry_a_quiet_contract_on() -> None:
    """Up to the bytes before the last pause: what came last may itself have been held up."""
    line = Line()
    line.data(1.0)
    for second in (15, 30, 45):
        line.bytes(second)
    assert line.until_s == pytest.approx(30)


def test_what_a_held_up_peer_says_at_once_proves_nothing() -> None:
    """A ping and a Close record may come before data would show how late they are."""
    line = Line()
    line.data(1.0)
    line.bytes(8.0)
    line.bytes(8.0001)
    line.bytes(8.5)
    assert line.until_s == pytest.approx(1.003)


def test_pings_on_a_line_that_lags_are_taken_to_lag() -> None:
    """Until so long ago that a connection held up for so long would have ended."""
    line = Line()
    line.data(1.0, came_s=6.003)
    line.bytes(15)
    line.bytes(30)
    assert line.until_s == pytest.approx(10)
    later_s = 6.003 + LAG_LASTS_NS / SECOND + 1
    line.bytes(later_s)
    line.bytes(later_s + 2 * PAUSE_NS / SECOND)
    assert line.until_s == pytest.approx(later_s)


def test_an_answer_proves_everything_before_its_question() -> None:
    """However late the data were before it; and it bounds how late the line is."""
    line = Line()
    line.data(1.0, came_s=6.0)
    line.bytes(9.0)
    line.heard.answered(at(8.9))
    assert line.until_s == pytest.approx(8.9)
    line.bytes(12.0)
    line.heard.said_goodbye(at(12.0), at(12.1))
    assert line.until_s == pytest.approx(11.9)


def test_a_goodbye_that_is_answered_by_a_line_on_time_leaves_nothing() -> None:
    """So a quiet line is replaced without an interval."""
    line = Line()
    line.data(1.0)
    line.bytes(15.0)
    line.bytes(19.0)
    line.heard.said_goodbye(at(18.9), at(19.0))
    assert line.until_s == pytest.approx(18.9)


def test_a_goodbye_that_is_answered_late_proves_nothing() -> None:
    """It may be the Close record of a peer that has held back everything since its last bytes."""
    line = Line()
    line.data(1.0)
    line.bytes(19.0)
    line.heard.said_goodbye(at(16.0), at(19.0))
    assert line.until_s == pytest.approx(1.003)


def test_the_first_data_of_all_prove_nothing_until_others_came() -> None:
    """All that came at once may have been held up, and nothing is there to judge it by."""
    line = Line()
    line.delays = Delays()
    line.heard = Heard(stamp_of, line.delays)
    line.bytes(0)
    line.heard.answered(at(0.1))
    for made_s in (1.0, 2.0, 3.0):
        line.data(made_s, came_s=19.0)
    assert line.until_s == pytest.approx(0.1)
    line.data(19.5)
    assert line.until_s == pytest.approx(0.1)
    line.data(20.5)
    assert line.until_s == pytest.approx(20.503)


def test_the_first_data_after_a_long_silence_prove_nothing_either() -> None:
    """What delays were before it has been forgotten."""
    line = Line()
    line.data(1.0)
    line.data(1_000.0, came_s=1_016.0)
    line.data(1_000.5, came_s=1_016.2)
    assert line.until_s == pytest.approx(1.003)


def test_a_late_print_takes_nothing_back() -> None:
    """An exchange sends some prints late, and a gateway may repeat what it sent."""
    line = Line()
    line.data(5.0)
    line.data(3.0, came_s=5.5)
    assert line.until_s == pytest.approx(5.003)


def test_the_state_of_things_at_the_beginning_is_no_backlog() -> None:
    """A quote that has not changed for an hour comes first on a new connection."""
    line = Line()
    line.data(-3_600, came_s=0.1)
    line.bytes(15)
    line.bytes(30)
    assert line.until_s == pytest.approx(15)


def test_one_wild_stamp_makes_nobody_late() -> None:
    """A print from the future is no fast delivery that others have to match."""
    line = Line()
    line.data(86_400, came_s=1.0)
    line.data(2.0)
    line.bytes(2.1)
    assert line.until_s == pytest.approx(2.003)


def test_clocks_need_not_agree() -> None:
    """The host's may be behind the exchange's; only the fastest delivery counts."""
    heard = Heard(stamp_of, Delays())
    behind_s = 1.27
    tell(heard, at(0), [])
    for second in (1.0, 2.0):
        tell(heard, at(second - behind_s), data(second))
    tell(heard, at(9 - behind_s), data(3.0))
    assert heard.until_ns == at(3.0 - behind_s)


def test_a_clock_that_was_set_forward_is_believed_when_data_bear_it_out() -> None:
    """For ten seconds a line may as well lag by as much; then it is known to be on time."""
    line = Line()
    line.flow(1, 100)
    line.step(90)
    line.flow(100, 110)
    assert line.until_s == pytest.approx(109.003)
    line.flow(110, 113)
    assert line.until_s == pytest.approx(90 + 112.003)
    line.step(5)
    line.flow(113, 180)
    assert line.until_s == pytest.approx(95 + 179.003)


def test_steps_that_follow_each_other_are_one() -> None:
    """The second begins the ten seconds anew, and is added to the first."""
    line = Line()
    line.flow(1, 100)
    line.step(90)
    line.flow(100, 105)
    line.step(10)
    line.flow(105, 115)
    assert line.until_s == pytest.approx(114.003)
    line.flow(115, 118)
    assert line.until_s == pytest.approx(100 + 117.003)


@pytest.mark.parametrize("slept_s", [5, 90, 8 * 3_600])
def test_what_comes_first_after_a_sleep_is_as_late_as_the_sleep_was_long(slept_s: float) -> None:
    """What lay in the host's own buffer, after which the connection proves to be gone."""
    line = Line()
    line.flow(1, 100)
    line.step(slept_s)
    line.data(99.5, 100)
    line.data(99.9, 100.2)
    assert line.until_s == pytest.approx(99.903)


@pytest.mark.parametrize("slept_s", [5, 90, 8 * 3_600])
def test_a_line_that_outlives_a_sleep_is_heard_to_the_end_of_its_backlog(slept_s: float) -> None:
    """What had waited comes at ten times its pace; the clock was right, and is known to be."""
    line = Line()
    line.flow(1, 100)
    line.step(slept_s)
    for tenth in range(100, 110):
        second = 100 + tenth / 100
        line.data(second, second)
        assert line.until_s == pytest.approx(second + 0.003, abs=2)
    line.flow(110, 112, made_later_s=slept_s)
    assert line.until_s == pytest.approx(slept_s + 111.003)
    # And one that lags now does not pass for one on time.
    line.data(112 + slept_s, 118)
    line.bytes(118.1)
    assert line.until_s == pytest.approx(slept_s + 112.003)


def test_a_backlog_at_the_pace_of_the_market_is_no_step_of_the_clock() -> None:
    """What is slower than the step by more than a delivery may be does not bear it out."""
    line = Line()
    line.flow(1, 100)
    line.step(90)
    for second in range(100, 200):
        line.data(second, second + 4)
    assert line.until_s == pytest.approx(199.003)


def test_few_data_do_not_bear_a_step_out() -> None:
    """Two that are as late as the step was long may be the beginning of a backlog."""
    line = Line()
    line.flow(1, 100)
    line.step(90)
    for second in (100, 140, 180):
        line.data(second)
    assert line.until_s == pytest.approx(180.003)


def test_a_hub_without_times_is_heard_to_its_last_byte() -> None:
    """Nothing more can be said of it."""
    heard = Heard()
    assert heard.until_ns is None
    tell(heard, at(1), data(0))
    tell(heard, at(2), [])
    assert heard.until_ns == at(2)


def test_data_without_a_time_count_as_bytes() -> None:
    """A target that bears none, or an unreadable one."""
    line = Line()
    line.data(1.0)
    tell(line.heard, at(5), [Invocation("GatewayDepth", b"")])
    tell(line.heard, at(9), [Invocation("GatewayDepth", b"")])
    assert line.until_s == pytest.approx(5)


@given(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 15)), max_size=4),
)
def test_a_line_is_never_heard_further_than_what_it_brought(
    steps_ms: list[int], stalls: list[tuple[int, int]]
) -> None:
    """Of prints written in order by a peer that stalls, none that is missing lies before."""
    line = Line()
    now_ms = 1_000
    came: list[tuple[float, float]] = []  # made, received, s
    free_s = 0.0
    for number, step_ms in enumerate(steps_ms):
        now_ms += step_ms
        for at_number, stall_s in stalls:
            if at_number == number:
                free_s = max(free_s, now_ms / 1e3 + stall_s)
        came.append((now_ms / 1e3, max(now_ms / 1e3 + DELIVERY_NS / 1e9, free_s)))
    for number, (made_s, came_s) in enumerate(came):
        line.data(made_s, came_s)
        missing = came[number + 1 :]
        if missing:
            assert line.until_s <= missing[0][0] + DELIVERY_NS / 1e9 + 1e-6


def test_times_are_read_seldom_under_load() -> None:
    """Ten thousand messages a second cost ten readings, and the last one is not forgotten."""
    read = []

    def counted(each: Invocation) -> int | None:
        read.append(each)
        return stamp_of(each)

    heard = Heard(counted, Delays())
    for number in range(10_000):
        second = number / 10_000
        tell(heard, at(second), data(second))
    assert len(read) <= SECOND // SAMPLE_NS + 1
    assert heard.until_ns == at(0.9999)
