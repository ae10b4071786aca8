"""Whether volume goes missing as a steady share, which is a property of a feed and no accident.

The quoted volume is cut into windows of at least `WINDOW_NS` and `WINDOW_VOLUME` contracts; less
than that says little about a share. A feed is systematically incomplete when the latest
`STEADY_WINDOWS` windows all lack something and no two of them are further apart than `SPREAD`
times, or when half of the latest `WINDOWS_KEPT` do, each half of them as much as the other but
for that: a feed that loses a print now and then, for ever. It is taken to be complete again when
as many windows as it was recognised by lack less than a quarter of the share together.

Nothing at all (or next to it) for minutes is no share but a stream that has died.
"""

from __future__ import annotations

from collections import deque

WINDOW_NS = 60_000_000_000
WINDOW_VOLUME = 100
STEADY_WINDOWS = 5
"""Minutes of steady loss that are reported one by one before they are taken for a property."""
WINDOWS_KEPT = 20
SPREAD = 3.0
DEAD_SHARE = 0.95
_LEAST_SHARE = 0.001
_RECOVERED = 0.25


class SteadyShare:
    """The windows of one contract.

    Attributes:
        share: of the volume that is steadily missing; 0 where the feed is not systematically
            incomplete.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self._windows: deque[tuple[int, int]] = deque(maxlen=WINDOWS_KEPT)  # quoted, missing
        self._since_ns = 0
        self._quoted = 0
        self._missing = 0
        self._judged_by = STEADY_WINDOWS
        self._since = 0  # windows since it was recognised

    def restart(self) -> None:
        """Begin the present window anew, as after a session's end."""
        self._since_ns = self._quoted = self._missing = 0

    def missed(self, volume: int) -> None:
        """So much more is missing; less than 0 if it came after all."""
        self._missing += volume

    def quoted(self, ts_ns: int, growth: int) -> bool:
        """The quoted volume grew up to `ts_ns` (ns UTC); whether `share` has come or gone."""
        if not self._since_ns:
            self._since_ns = ts_ns
        self._quoted += growth
        if ts_ns - self._since_ns < WINDOW_NS or self._quoted < WINDOW_VOLUME:
            return False
        self._windows.append((self._quoted, max(0, self._missing)))
        self._since_ns, self._quoted, self._missing = ts_ns, 0, 0
        was = self.share > 0.0
        self._judge()
        return was != (self.share > 0.0)

    def _judge(self) -> None:
        latest = list(self._windows)
        if self.share:
            self._judge_again(latest)
            return
        steady = _steady([[each] for each in latest[-STEADY_WINDOWS:]], STEADY_WINDOWS)
        middle = WINDOWS_KEPT // 2
        lossy = sum(missing > 0 for _, missing in latest)
        often = (
            len(latest) == WINDOWS_KEPT
            and lossy >= middle
            and _steady([latest[:middle], latest[middle:]], 2)
        )
        if steady or often:
            self._judged_by = STEADY_WINDOWS if steady else WINDOWS_KEPT
            self._since = 0
            self.share = _share_of(latest[-self._judged_by :])

    def _judge_again(self, latest: list[tuple[int, int]]) -> None:
        """Whether it is over, judged by as many windows as it was recognised by."""
        self._since += 1
        now = _share_of(latest[-self._judged_by :])
        if self._since >= self._judged_by and now < self.share * _RECOVERED:
            self.share = 0.0
            self._windows.clear()
        elif self.share / SPREAD <= _share_of(latest) <= self.share * SPREAD:
            self.share = _share_of(latest)


def _share_of(windows: list[tuple[int, int]]) -> float:
    return sum(missing for _, missing in windows) / sum(quoted for quoted, _ in windows)


def _steady(groups: list[list[tuple[int, int]]], count: int) -> bool:
    """Whether there are so many groups, and about the same share is missing in each."""
    if len(groups) < count:
        return False
    shares = [_share_of(group) for group in groups if group]
    return (
        len(shares) == count
        and min(shares) >= _LEAST_SHARE
        and max(shares) <= min(shares) * SPREAD
        and max(shares) < DEAD_SHARE
    )
