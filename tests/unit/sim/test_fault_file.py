"""Schedules of faults: what a file may say, when faults are due, and what a seed draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapekeeper.errors import UnreadableSourceError, UsageError
from tapekeeper.sim.connection import HubConnection
from tapekeeper.sim.fault_file import load_faults, parse_faults
from tapekeeper.sim.fault_menu import (
    BY_KIND,
    KINDS,
    Close,
    CloseCode,
    Drop,
    Failure,
    Fault,
    HalfOpen,
    LosePrints,
    NullTrades,
    Outage,
    Refuse,
    Reset,
    kind_of,
)
from tapekeeper.sim.fault_runner import FaultRunner
from tapekeeper.sim.fault_seed import seeded_faults, seeded_losses
from tapekeeper.sim.faults import Door, Faults
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

REQUIRED = {"refuse": 'door = "rest"\nstatus = 503', "hang_up": 'door = "login"'}
REQUIRED["no_answer"] = REQUIRED["hang_up"]


@pytest.mark.parametrize("kind", BY_KIND)
def test_every_kind_can_be_written(kind: str) -> None:
    """A table of the kind, its time and what it must say is the value."""
    (fault,) = parse_faults(f'[[fault]]\nkind = "{kind}"\nat_s = 1\n{REQUIRED.get(kind, "")}')
    assert type(fault) is BY_KIND[kind]
    assert kind_of(fault) == kind


def test_a_file_gives_its_faults_in_order(tmp_path: Path) -> None:
    """All that is written arrives; what is not has its default."""
    file = tmp_path / "faults.toml"
    file.write_text(
        '[[fault]]\nkind = "close"\nat_s = 3\nevery_s = 10\nallow_reconnect = true\n'
        '[[fault]]\nkind = "refuse"\nprobability = 0.25\ndoor = "negotiate"\nstatus = 429\n'
        "retry_after_s = 2\n"
    )
    assert load_faults(file) == (
        Close(at_s=3, every_s=10, allow_reconnect=True),
        Refuse(probability=0.25, door=Door.NEGOTIATE, status=429, retry_after_s=2),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[fault", "not TOML"),
        ("[[faults]]", "unknown key faults: the nearest valid name is fault"),
        ("fault = 1", "fault must be up to 1000 tables"),
        ("fault = [1]", "fault 1 must be a table"),
        ("[[fault]]\nat_s = 1", "fault 1 has no kind: it is one of drop, close"),
        ('[[fault]]\nkind = "dorp"', "unknown kind dorp: the nearest is drop"),
        ('[[fault]]\nkind = "drop"\nat_s = 1\nhubb = "x"', "the nearest valid name is hub"),
        ('[[fault]]\nkind = "drop"\nat_s = 1\nhub = "x"', "fault 1: hub: invalid enum value 'x'"),
        ('[[fault]]\nkind = "drop"\nat_s = -1', "fault 1: at_s: expected `float` >= 0.0"),
        ('[[fault]]\nkind = "drop"', "says no time"),
        ('[[fault]]\nkind = "refuse"\nat_s = 1\nstatus = 503', "missing required field `door`"),
        ('[[fault]]\nkind = "drop"\nat_s = 1\nprobability = 0', "probability: expected"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, sentence: str) -> None:
    """It names the place, and for a name the nearest valid one."""
    with pytest.raises(UsageError) as caught:
        parse_faults(text, "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert sentence in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """An absent file is no empty schedule, and no file that is there but wrong."""
    with pytest.raises(UnreadableSourceError, match=r"there is no file .*no-such\.toml"):
        load_faults(tmp_path / "no-such.toml")
    with pytest.raises(UnreadableSourceError, match="cannot be read: "):  # as the system says it
        load_faults(tmp_path)
    (tmp_path / "wrong.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableSourceError, match=r"wrong\.toml is not UTF-8 text"):
        load_faults(tmp_path / "wrong.toml")


class _Levers(Faults):
    """Remembers when connections were dropped."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(lambda _: [])
        self.clock = clock
        self.dropped_s: list[float] = []

    def chosen(self, hub: str | None = None, which: str = "all") -> list[HubConnection]:
        self.dropped_s.append(self.clock.monotonic_ns() / 1e9)
        return []


def _dropped_s(*schedule: Fault, seed: int = 1) -> list[float]:
    async def main(clock: VirtualClock) -> list[float]:
        levers = _Levers(clock)
        await FaultRunner(schedule, levers, clock, seed=seed).run()
        return levers.dropped_s

    return run_virtual(main)


def test_faults_happen_when_they_are_due() -> None:
    """Once, again and again from the first time on, or from the first interval on."""
    assert _dropped_s(Drop(at_s=3)) == [3.0]
    assert _dropped_s(Drop(at_s=1, every_s=2, until_s=6)) == [1.0, 3.0, 5.0]
    assert _dropped_s(Drop(every_s=2, until_s=6)) == [2.0, 4.0, 6.0]
    assert _dropped_s(Drop(at_s=4), Drop(at_s=2)) == [2.0, 4.0]


def test_a_probability_is_drawn_from_the_seed() -> None:
    """Alone it is drawn every second; another seed draws otherwise, the same one the same."""
    first = _dropped_s(Drop(probability=0.3, until_s=1_000), seed=5)
    assert 200 < len(first) < 400
    assert first == _dropped_s(Drop(probability=0.3, until_s=1_000), seed=5)
    assert first != _dropped_s(Drop(probability=0.3, until_s=1_000), seed=6)


def test_what_lasts_is_ended() -> None:
    """An outage begins with a drop and is over when it said."""

    async def main(clock: VirtualClock) -> None:
        faults = Faults(lambda _: [])
        runner = FaultRunner([Outage(at_s=1, for_s=5)], faults, clock, seed=1)
        await runner.run()
        assert not faults.is_away
        assert [(one.at_s, one.ended) for one in runner.happened] == [(1.0, False), (6.0, True)]

    run_virtual(main)


def test_seeds_draw_every_kind_and_repeat() -> None:
    """The same seed is the same schedule, within its time; 200 use all but the rare ones."""
    schedules = [seeded_faults(seed, within_s=60.0) for seed in range(200)]
    assert schedules == [seeded_faults(seed, within_s=60.0) for seed in range(200)]
    drawn = [fault for schedule in schedules for fault in schedule]
    assert {type(fault) for fault in drawn} == set(KINDS) - {
        *(Failure, NullTrades, Reset, CloseCode, HalfOpen, LosePrints)
    }
    assert all(1.0 <= fault.first_s <= 60.0 for fault in drawn)


def test_some_seeds_draw_a_gateway_that_loses_prints() -> None:
    """From a stream of their own: a part of them, or all, for a while, within the time."""
    schedules = [seeded_losses(seed, within_s=60.0) for seed in range(200)]
    assert schedules == [seeded_losses(seed, within_s=60.0) for seed in range(200)]
    drawn = [fault for schedule in schedules for fault in schedule]
    assert 10 < len(drawn) < 50
    assert all(isinstance(fault, LosePrints) and fault.for_s is not None for fault in drawn)
    assert all(1.0 <= fault.first_s <= 60.0 for fault in drawn)
