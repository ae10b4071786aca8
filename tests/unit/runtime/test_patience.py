"""A disk that hangs is waited for with a bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.patience import Patience
from tapekeeper.runtime.patient_files import PatientFiles, PatientScratch
from tapekeeper.runtime.shedding import FailurePolicy
from tapekeeper.runtime.slowness import CALM_S, DiskLimits, DiskState, Slowness
from tapekeeper.sim.memory_files import MemoryDisk, MemoryFiles
from tapekeeper.sim.memory_scratch import MemoryScratch

NS_PER_S = 1_000_000_000


class Bench:
    """A disk that takes as long as it is told to, a clock that shows it, and who waits."""

    def __init__(self) -> None:
        self.ns = NS_PER_S
        self.takes_s = 0.0  # of what is done next, counted from its beginning
        self.asked = 0
        self.told: list[str] = []
        self.changes = 0
        self.is_closed = False
        self._work: Callable[[], None] | None = None
        self._begun_ns = 0
        self.slowness = Slowness("writes", DiskLimits(1.0, 10.0), clock=self, log=self._log)
        self.slowness.on_change(self._changed)
        self.patience = Patience(self, self.slowness, clock=self)

    # --- ports.Clock and ports.Log

    def now_ns(self) -> int:
        """The same."""
        return self.ns

    def monotonic_ns(self) -> int:
        """As much as was waited."""
        return self.ns

    async def sleep_s(self, delay_s: float) -> None:
        """Nobody sleeps."""
        raise AssertionError(delay_s)

    def _log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        assert event == "disk_state"
        assert level == {"fine": "info", "slow": "warning"}.get(str(fields["state"]), "error")
        self.told.append(str(fields["state"]))

    def _changed(self) -> None:
        self.changes += 1

    # --- ports.Worker

    def begin(self, work: Callable[[], None]) -> None:
        """Begin it; two at a time would be a mistake."""
        assert self._work is None
        self.asked += 1
        self._work, self._begun_ns = work, self.ns

    def wait(self, timeout_s: float) -> bool:
        """Let time pass, up to the answer."""
        assert self._work is not None
        left_s = self.takes_s - (self.ns - self._begun_ns) / NS_PER_S
        if left_s > timeout_s:
            self.ns += round(timeout_s * NS_PER_S)
            return False
        self.ns += round(max(left_s, 0) * NS_PER_S)
        work, self._work = self._work, None
        work()
        return True

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


def test_what_is_answered_in_time_is_returned_or_raised() -> None:
    """Nobody notices the thread."""
    bench = Bench()
    assert bench.patience("count", lambda: 3) == 3
    error = JournalError("cannot write x: No space left on device")

    def refuse() -> None:
        raise error

    with pytest.raises(JournalError) as caught:
        bench.patience("write x", refuse)
    assert caught.value is error
    with pytest.raises(ZeroDivisionError):
        bench.patience("err", lambda: 1 // 0)
    assert (bench.told, bench.slowness.statistics().state) == ([], DiskState.FINE)


def test_a_slow_disk_is_told_of_once_and_again_when_it_is_fine() -> None:
    """What is slow again and again is one trouble; half a minute without ends it."""
    bench = Bench()
    bench.takes_s = 3.0
    for _ in range(5):
        assert bench.patience("write x", lambda: 1) == 1
    found = bench.slowness.statistics()
    assert (found.state, found.slow, found.stuck, found.slowest_ms) == (DiskState.SLOW, 1, 0, 3_000)
    assert found.reason == "to write x takes more than 1 s"
    bench.takes_s = 0.0
    bench.ns += round((CALM_S - 1) * NS_PER_S)
    bench.patience("write x", lambda: 1)
    assert bench.told == ["slow"]
    bench.ns += 2 * NS_PER_S
    bench.patience("write x", lambda: 1)
    assert bench.told == ["slow", "fine"]
    assert bench.changes == 2
    assert bench.slowness.statistics().reason == ""


def test_a_disk_that_hangs_is_given_up_after_the_bound_and_then_at_once() -> None:
    """One hang costs one wait and one thread, however much is asked meanwhile."""
    bench = Bench()
    bench.takes_s = 100.0
    start_ns = bench.ns
    with pytest.raises(JournalError, match=r"cannot write x: the disk has not answered for 10 s$"):
        bench.patience("write x", lambda: 1)
    assert bench.ns - start_ns == 10 * NS_PER_S
    bench.ns += 5 * NS_PER_S
    for _ in range(3):
        with pytest.raises(
            JournalError, match=r"cannot spill: .* for 15 s, since it was to write x"
        ):
            bench.patience("spill", lambda: 1)
    assert bench.ns - start_ns == 15 * NS_PER_S
    assert bench.asked == 1
    assert bench.told == ["slow", "stuck"]
    assert bench.slowness.statistics().state is DiskState.STUCK


def test_a_disk_that_answers_at_last_is_asked_again() -> None:
    """It is slow then, and not fine; what was to be given back meanwhile is."""
    bench = Bench()
    done: list[str] = []
    bench.takes_s = 60.0
    with pytest.raises(JournalError, match="has not answered"):
        bench.patience("write x", lambda: done.append("written"))
    bench.patience.let_go("close x", lambda: done.append("closed"))
    assert done == []
    bench.ns += 50 * NS_PER_S
    bench.takes_s = 0.0
    assert bench.patience("create y", lambda: 2) == 2
    assert done == ["written", "closed"]
    assert bench.told == ["slow", "stuck", "slow"]
    found = bench.slowness.statistics()
    assert (found.slow, found.stuck, found.slowest_ms) == (1, 1, 60_000)


def test_other_threads_wait_for_themselves() -> None:
    """They hold up nobody, so the bound is none of theirs."""
    bench = Bench()
    bench.takes_s = 100.0
    found: list[int] = []
    thread = Thread(target=lambda: found.append(bench.patience("read x", lambda: 4)))
    thread.start()
    thread.join()
    assert (found, bench.asked) == ([4], 0)


def test_after_the_end_it_is_done_at_once() -> None:
    """Whoever reads a file of a tape that is over needs no thread."""
    bench = Bench()
    bench.patience.close()
    assert bench.patience("read x", lambda: 5) == 5
    assert (bench.is_closed, bench.asked) == (True, 0)


def test_every_request_of_a_folder_is_bounded() -> None:
    """Each is refused in the words of its port."""
    bench = Bench()
    files = PatientFiles(MemoryFiles(), bench.patience)
    segment = files.create("a")
    lock = files.lock()
    scratch = PatientScratch(MemoryScratch(), bench.patience)
    spilled = scratch.open()
    bench.takes_s = 1e6
    for refused in (
        lambda: segment.append(b"x"),
        segment.sync,
        lambda: files.create("b"),
        lambda: files.remove("a"),
        files.lock,
        scratch.open,
        lambda: spilled.append(b"x"),
        lambda: spilled.read(0, 1),
    ):
        with pytest.raises(JournalError, match="has not answered"):
            refused()
    for unreadable in (
        files.names,
        lambda: files.size("a"),
        lambda: files.read("a"),
        lambda: files.head("a", 1),
    ):
        with pytest.raises(UnreadableSourceError, match="has not answered"):
            unreadable()
    segment.close()
    lock.release()
    spilled.close()
    assert bench.asked == 4  # three were answered, and one is waited for
    # What was left hangs in turn, and the rest of it waits on.
    bench.ns += 10**15
    with pytest.raises(UnreadableSourceError, match="has not answered"):
        files.names()
    bench.ns += 10**15
    bench.takes_s = 0.0
    assert files.names() == ["a"]
    assert bench.asked == 4 + 3 + 1


def frame(second: int) -> list[Entry]:
    """A burst of one frame."""
    return [Entry(EntryKind.FRAME, 1, second * NS_PER_S, b"%020d" % second)]


@pytest.mark.parametrize("policy", FailurePolicy)
def test_the_policy_for_failures_is_that_for_hangs(policy: FailurePolicy, tmp_path: Path) -> None:
    """Stop, or go on and record again when the disk answers; a late write is read as a crash's."""
    bench = Bench()
    files = FolderFiles(tmp_path / "journal")
    journaler = Journaler(
        PatientFiles(files, bench.patience),
        created_ns=1,
        on_failure=policy,
        disk=bench.slowness.statistics,
    )
    journaler.append(frame(1))
    bench.takes_s = 30.0
    if policy is FailurePolicy.STOP:
        with pytest.raises(JournalError, match=r"cannot write .*000001\.tkj: .* for 10 s"):
            journaler.append(frame(2))
        gave_up_ns = bench.ns
        journaler.close()
        assert bench.ns == gave_up_ns  # an end is not held up
        return
    for second in range(2, 20):
        journaler.append(frame(second))
        bench.ns += NS_PER_S
    assert "has not answered for" in journaler.statistics().shed.reason
    bench.ns += 20 * NS_PER_S
    bench.takes_s = 0.0
    journaler.append(frame(60))
    assert journaler.statistics().shed.reason == ""
    assert journaler.statistics().shed.entries == 18
    assert journaler.statistics().disk.stuck == 1
    journaler.close()
    reader = JournalReader(files)
    assert [entry.ts_ns // NS_PER_S for entry in reader] == [1, 2, 60]
    assert reader.problems == []
    assert reader.run == 2


def test_a_memory_disk_that_hangs_answers_nothing() -> None:
    """What simulations hang is the same to who waits."""
    disk = MemoryDisk()
    assert not disk.hangs
    disk.hangs = True
    disk.heal()
    assert not disk.hangs
