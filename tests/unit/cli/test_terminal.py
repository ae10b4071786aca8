"""What commands share: consoles, texts, the progress bar, and the way to stop."""

from __future__ import annotations

import asyncio
import io
import signal

import pytest
from rich.console import Console
from rich.table import Table

from tapekeeper.cli.progress import PATIENCE_NS, ReadingProgress
from tapekeeper.cli.report import all_hold, checks_table, counts_line, rejected_line, volume_line
from tapekeeper.cli.stopping import SIGNALS, stop_signals
from tapekeeper.cli.terminal import console, parse_timeframes, price_text, print_table, time_text
from tapekeeper.errors import UsageError
from tapekeeper.model.snapshot import TickCounts, VolumeCheck

GOOD = VolumeCheck("CON.F.US.MES.Z26", "1m", bars=2, bar_volume=7, accepted_volume=7)
BAD = VolumeCheck("CON.F.US.MES.Z26", "5m", bars=1, bar_volume=6, accepted_volume=7)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_no_terminal_is_too_narrow_for_a_price(term: str) -> None:
    """Half a price is a wrong price: the terminal folds the row, and nothing shortens a cell."""
    screen = Console(file=io.StringIO(), width=40, force_terminal=True, _environ={"TERM": term})
    table = Table("open time (UTC)", *["open", "high", "low", "close"] * 3)
    table.add_row("2026-11-22 17:15:00", *["21000.25", "21001.75", "20999.25", "21000.75"] * 3)
    print_table(screen, table)
    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue()
    assert all(text in shown for text in ("17:15:00", "21000.25", "21001.75", "20999.25"))
    assert "\u2026" not in shown


class TestTexts:
    def test_times_are_utc(self) -> None:
        """A time is shown without fractions, in UTC."""
        assert time_text(1_780_000_020_999_999_999) == "2026-05-28 20:27:00"

    def test_timeframes_are_separated_by_commas(self) -> None:
        """Order is kept, blanks and repetitions do not matter."""
        assert [str(tf) for tf in parse_timeframes("1m, 1s,1m,") or ()] == ["1m", "1s"]
        assert parse_timeframes(None) is None

    @pytest.mark.parametrize("text", ["", ",", "1m,1x"])
    def test_what_is_no_timeframe_is_a_sentence(self, text: str) -> None:
        """An unknown timeframe is the user's error, not a bug."""
        with pytest.raises(UsageError, match="timeframe"):
            parse_timeframes(text)

    @pytest.mark.parametrize(
        ("price", "text"),
        [(5100.25, "5100.25"), (5100.0, "5100"), (0.00005, "0.00005"), (None, "")],
    )
    def test_prices_keep_every_digit(self, price: float | None, text: str) -> None:
        """A price is shown as the shortest text that reads back as the same number."""
        assert price_text(price) == text

    def test_without_a_terminal_nothing_is_coloured_or_folded(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A pipe gets plain text, one line for one line."""
        line = "x" * 150
        console().print(f"[bold]{line}[/bold]")
        assert capsys.readouterr().out == f"{line}\n"


class TestReport:
    def test_counts_line_holds_all_numbers(self) -> None:
        """The identity is shown with the numbers that make it true."""
        counts = TickCounts(received=1_003, accepted=1_000, quarantined=3)
        assert counts_line("trades", counts) == (
            "trades: 1,003 received = 1,000 accepted + 0 duplicate + 3 quarantined + 0 shed: holds"
        )
        assert counts_line("quotes", TickCounts(received=1)).endswith(": BROKEN")

    def test_rejections_are_ordered_by_number(self) -> None:
        """The most frequent reason comes first."""
        assert rejected_line({"late": 1, "price": 2_000}) == "quarantined: price 2,000, late 1"
        assert rejected_line({}) == "quarantined: nothing"

    def test_volume_line_names_what_is_broken(self) -> None:
        """One broken check is found among many that hold."""
        assert volume_line([GOOD]).endswith("in all 1 checks: holds")
        text = volume_line([GOOD, BAD])
        assert text == "volume: 1 of 2 checks are BROKEN: CON.F.US.MES.Z26 5m"
        assert volume_line([]) == "volume: no bars"

    def test_table_has_a_row_for_each_check(self) -> None:
        """Contract, timeframe, bars, both volumes and the verdict."""
        screen = Console(file=io.StringIO(), width=120)
        screen.print(checks_table([GOOD, BAD], {"CON.F.US.MES.Z26": "MESZ6"}))
        assert isinstance(screen.file, io.StringIO)
        rows = [line.split() for line in screen.file.getvalue().splitlines()]
        assert ["MESZ6", "1m", "2", "7", "7", "holds"] in rows
        assert ["MESZ6", "5m", "1", "6", "7", "BROKEN"] in rows

    def test_one_broken_identity_breaks_all(self) -> None:
        """Both identities must hold for every contract and timeframe."""
        whole, torn = TickCounts(received=1, accepted=1), TickCounts(received=1)
        assert all_hold(whole, whole, [GOOD])
        assert not all_hold(torn, whole, [GOOD])
        assert not all_hold(whole, torn, [GOOD])
        assert not all_hold(whole, whole, [GOOD, BAD])


class TestProgress:
    @pytest.mark.parametrize(
        ("passed_ns", "terminal", "shown"),
        [(PATIENCE_NS - 1, True, False), (PATIENCE_NS, True, True), (PATIENCE_NS, False, False)],
    )
    def test_shown_after_a_second_on_a_terminal(
        self, *, passed_ns: int, terminal: bool, shown: bool
    ) -> None:
        """What is quick, or watched by nobody, has no bar."""
        now = [5]
        screen = Console(file=io.StringIO(), force_terminal=terminal)
        with ReadingProgress(screen, "reading", lambda: now[0]) as progress:
            progress(1, 10)
            now[0] += passed_ns
            progress(5, 10)
            assert progress.shown is shown
        assert not progress.shown
        assert isinstance(screen.file, io.StringIO)
        assert ("50%" in screen.file.getvalue()) is shown


class TestStopping:
    @pytest.mark.asyncio
    @pytest.mark.parametrize("number", SIGNALS)
    async def test_first_signal_sets_the_event(self, number: signal.Signals) -> None:
        """A service is asked to stop, not torn down."""
        with stop_signals() as stop:
            signal.raise_signal(number)
            async with asyncio.timeout(10):
                await stop.wait()

    @pytest.mark.asyncio
    async def test_second_signal_finds_the_earlier_handler(self) -> None:
        """An end that hangs can still be forced, and afterwards all is as before."""
        forced: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, _frame: forced.append(number))
        try:
            with stop_signals() as stop:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)
                await stop.wait()
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.signal(signal.SIGTERM, before)
        assert forced == [signal.SIGTERM, signal.SIGTERM]
