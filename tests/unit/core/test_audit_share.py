"""When a share that is missing is a property of the feed."""

from __future__ import annotations

import pytest

from tapekeeper.core.audit.share import STEADY_WINDOWS, WINDOW_NS, WINDOWS_KEPT, SteadyShare

START = 1_767_625_200_000_000_000


class Windows:
    """Windows of equal growth, one after the other."""

    def __init__(self) -> None:
        self.share = SteadyShare()
        self.now_ns = START
        self.share.quoted(self.now_ns, 0)

    def pass_by(self, *missing: int, quoted: int = 1_000) -> list[bool]:
        """One window for each number of missing contracts; whether something changed at each."""
        changed = []
        for volume in missing:
            self.now_ns += WINDOW_NS
            self.share.missed(volume)
            changed.append(self.share.quoted(self.now_ns, quoted))
        return changed


def test_a_steady_share_is_recognised_once() -> None:
    """After some windows of about the same, and told at that moment alone."""
    windows = Windows()
    changed = windows.pass_by(*[200, 150, 250, 180, 220, 200, 200])
    assert changed.index(True) == STEADY_WINDOWS - 1
    assert changed.count(True) == 1
    assert windows.share.share == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    "missing",
    [
        [200, 0, 200, 200, 200],
        [10, 200, 200, 200, 200],
        [1_000, 1_000, 990, 1_000, 1_000],
        [200] * (STEADY_WINDOWS - 1),
    ],
    ids=["a whole window", "a growing loss", "nothing comes at all", "too few windows"],
)
def test_other_losses_are_no_share(missing: list[int]) -> None:
    """They go on being told one by one."""
    windows = Windows()
    assert not any(windows.pass_by(*missing))
    assert windows.share.share == 0.0


def test_a_print_now_and_then_is_a_share_in_the_end() -> None:
    """Half of many windows lack something, the first half of them as much as the second."""
    windows = Windows()
    changed = windows.pass_by(*([4, 0] * (WINDOWS_KEPT // 2)))
    assert changed.index(True) == WINDOWS_KEPT - 1
    assert windows.share.share == pytest.approx(0.002)


def test_a_share_ends_when_as_many_windows_lack_nothing() -> None:
    """One good minute is no recovery."""
    windows = Windows()
    windows.pass_by(*[200] * 10)
    assert windows.pass_by(0, 0, 0, 0, 0, 0).count(True) == 1
    assert windows.share.share == 0.0


def test_thin_trading_makes_no_window() -> None:
    """A minute with a few contracts says nothing; it counts towards a longer one."""
    windows = Windows()
    windows.pass_by(*[2] * 40, quoted=10)
    assert windows.share.share == 0.0
    windows.pass_by(*[2] * 20, quoted=10)
    assert windows.share.share == pytest.approx(0.2, abs=0.02)


def test_what_returned_was_not_missing() -> None:
    """Late prints are taken off again."""
    windows = Windows()
    windows.share.missed(-200)
    windows.pass_by(*[200, 200, 200, 200, 200])
    assert windows.share.share == 0.0
