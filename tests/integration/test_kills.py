"""kill -9 of real processes over real files: what they leave is true, and lies are found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.ledger import line_of
from tapekeeper.model.gap import ABSENCES, GapCause
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.verify.killed import Delivered
from tapekeeper.verify.kills import DELIVERED, Killing, KillPlan, judge_kills, kill_often

Left = tuple[Path, list[Killing]]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What three kills leave, two of them while data flowed."""
    folder = tmp_path_factory.mktemp("kills")
    killings: list[Killing] = []
    killed = kill_often(KillPlan(moments=3, seed=36), folder, killings.append)
    assert killed.problems == ()
    assert killed.kills == 3
    assert killed.up == 2
    assert killed.quotes > 0
    return folder, killings


def test_the_ledger_has_each_end_once_for_each_contract(left: Left) -> None:
    """Killed processes crashed; and all of it has an end, because they were followed again."""
    ledger, problems = read_ledger(FolderFiles(left[0] / "journal"))
    assert problems == []
    gaps = ledger.find(causes=ABSENCES)
    assert {gap.cause for gap in gaps} == {GapCause.CRASH}
    assert all(gap.to_ns is not None for gap in gaps)
    assert len({(gap.contract_id, gap.from_ns) for gap in gaps}) == len(gaps) >= 2


def _invent_bar(folder: Path) -> None:
    _spoil_line(folder, lambda item: item.bar is not None)


def _invent_quote(folder: Path) -> None:
    _spoil_line(folder, lambda item: item.quote is not None)


def _spoil_line(folder: Path, is_meant: Callable[[Delivered], bool]) -> None:
    """Change the number of something that a subscriber was given."""
    for path in sorted(folder.glob("delivered-*.jsonl")):
        for line in path.read_bytes().splitlines():
            item = msgspec.json.decode(line, type=Delivered)
            if is_meant(item):
                bar = item.bar and msgspec.structs.replace(item.bar, volume=item.bar.volume + 1)
                quote = item.quote and msgspec.structs.replace(item.quote, seq=10**9)
                with path.open("ab") as file:
                    file.write(msgspec.json.encode(Delivered(bar, quote)) + b"\n")
                return
    pytest.fail("nothing of the kind was given out")


def _give_twice(folder: Path) -> None:
    for path in sorted(folder.glob("delivered-*.jsonl")):
        quotes = [line for line in path.read_bytes().splitlines() if b'"quote"' in line]
        if quotes:
            with path.open("ab") as file:
                file.write(quotes[0] + b"\n")
            return
    pytest.fail("no quote was given out")


def _forget_gaps(folder: Path) -> None:
    for path in (folder / "journal").glob("gaps-*.jsonl"):
        path.unlink()


def _move_gaps(folder: Path) -> None:
    journal = folder / "journal"
    ledger, _ = read_ledger(FolderFiles(journal))
    moved = [
        msgspec.structs.replace(gap, from_ns=gap.to_ns) for gap in ledger.find(causes=ABSENCES)
    ]
    (journal / "gaps-000099.jsonl").write_bytes(b"".join(map(line_of, moved)))


def _lose_the_end(folder: Path) -> None:
    """As if what was given out had not been written first."""
    segment = max((folder / "journal").glob("*.tkj"), key=lambda path: path.stat().st_size)
    segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 3])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_invent_bar, "1 bars were given out that its journal does not make"),
        (_invent_quote, "1 quotes were given out that its journal does not have"),
        (_give_twice, "1 numbers were given out twice"),
        (_forget_gaps, "the ledger does not name the end of run"),
        (_move_gaps, "the ledger does not name the end of run"),
        (_lose_the_end, "were given out that its journal does not"),
    ],
)
def test_what_is_wrong_is_found(
    left: Left, tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    """Each lie is told in one sentence that says which."""
    folder = tmp_path / "spoilt"
    shutil.copytree(left[0], folder)
    spoil(folder)
    assert any(sentence in one for one in judge_kills(folder, left[1]).problems)


def test_half_a_line_of_a_subscriber_was_not_given(left: Left, tmp_path: Path) -> None:
    """It was being written when the process was killed."""
    folder = tmp_path / "half"
    shutil.copytree(left[0], folder)
    with (folder / DELIVERED.format(1)).open("ab") as file:
        file.write(b'{"quote":')
    assert judge_kills(folder, left[1]).problems == ()
