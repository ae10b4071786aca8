"""Request limits, negotiated ids, the outbox, and what a configuration refuses."""

from __future__ import annotations

import asyncio

import pytest

from tapekeeper.errors import UsageError
from tapekeeper.sim.config import HubLimits, RateLimits, SimConfig
from tapekeeper.sim.ids import IDS_MAX, Claim, ConnectionIds, new_id
from tapekeeper.sim.limits import CALLERS_MAX, RateLimit
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.outbox import BURST_BYTES, Outbox
from tapekeeper.sim.pace import Pacer
from tapekeeper.sim.seeded import Seeded


def test_requests_beyond_the_window_are_refused_with_the_time_to_wait() -> None:
    """The 51st request within 30 s is told to come back when the first one leaves the window."""
    clock = ManualClock()
    limit = RateLimit(50, 30.0, clock)
    assert [limit.admit("a") for _ in range(50)] == [None] * 50
    clock.advance(10.0)
    assert limit.admit("a") == 20
    clock.advance(19.5)
    assert limit.admit("a") == 1
    clock.advance(0.5)
    assert limit.admit("a") is None


def test_callers_do_not_share_a_window() -> None:
    """One caller's requests do not count against another."""
    limit = RateLimit(1, 30.0, ManualClock())
    assert limit.admit("a") is None
    assert limit.admit("b") is None
    assert limit.admit("a") == 30


def test_windows_are_kept_for_a_bounded_number_of_callers() -> None:
    """Beyond the cap the caller seen first is forgotten and starts anew."""
    limit = RateLimit(1, 30.0, ManualClock())
    for number in range(CALLERS_MAX + 1):
        assert limit.admit(str(number)) is None
    assert limit.admit("0") is None
    assert limit.admit(str(CALLERS_MAX)) == 30


def test_an_id_is_used_once_and_not_again() -> None:
    """While connected an id is in use; afterwards nobody knows it."""
    ids = ConnectionIds(15.0, ManualClock())
    ids.add("x")
    assert ids.is_known("x")
    assert ids.claim("x") is Claim.GRANTED
    assert ids.claim("x") is Claim.IN_USE
    ids.release("x")
    assert ids.claim("x") is Claim.UNKNOWN
    assert not ids.is_known("x")


def test_an_id_that_nobody_uses_expires() -> None:
    """After its life a negotiated id is unknown."""
    clock = ManualClock()
    ids = ConnectionIds(15.0, clock)
    ids.add("early")
    clock.advance(14.9)
    ids.add("late")
    clock.advance(0.1)
    assert ids.claim("early") is Claim.UNKNOWN
    assert ids.claim("late") is Claim.GRANTED


def test_waiting_ids_are_bounded() -> None:
    """A flood of negotiations forgets the oldest ids."""
    ids = ConnectionIds(15.0, ManualClock())
    for number in range(IDS_MAX + 1):
        ids.add(str(number))
    assert ids.claim("0") is Claim.UNKNOWN
    assert ids.claim("1") is Claim.GRANTED


def test_ids_have_22_characters_of_base64url() -> None:
    """Sixteen bytes without padding, as the real server writes them."""
    made = {new_id(Seeded(seed, "ids")) for seed in range(50)}
    assert len(made) == 50
    assert all(len(one) == 22 and not set(one) & set("+/=") for one in made)


@pytest.mark.asyncio
async def test_the_outbox_joins_records_into_bursts_in_order() -> None:
    """A burst holds as many records as fit, never half of one, and nothing is lost."""
    outbox = Outbox(1_000_000)
    records = [bytes([number % 256]) * 1_000 for number in range(200)]
    assert all(outbox.put(record) for record in records)
    outbox.end()
    bursts = []
    while burst := await outbox.take():
        bursts.append(burst)
    assert b"".join(bursts) == b"".join(records)
    assert all(len(burst) <= BURST_BYTES and len(burst) % 1_000 == 0 for burst in bursts)


@pytest.mark.asyncio
async def test_the_outbox_sends_a_record_larger_than_a_burst() -> None:
    """There is no limit on the size of one outgoing record."""
    outbox = Outbox(1_000)
    assert outbox.put(b"x" * (BURST_BYTES * 2))
    assert len(await outbox.take()) == BURST_BYTES * 2


@pytest.mark.asyncio
async def test_the_outbox_refuses_beyond_its_limit_and_tells_when_there_is_room() -> None:
    """Full means refused; room is announced at half of the limit."""
    outbox = Outbox(100)
    assert outbox.put(b"x" * 101)
    assert not outbox.put(b"y")
    assert outbox.is_crowded
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outbox.room())
        assert await outbox.take() == b"x" * 101
    assert outbox.put(b"y")


@pytest.mark.asyncio
async def test_an_ended_outbox_lets_nobody_wait() -> None:
    """After the end nothing is taken, and whoever waits for room goes on."""
    outbox = Outbox(10)
    outbox.put(b"x" * 20)
    outbox.drop()
    outbox.end()
    await outbox.room()
    assert not outbox.put(b"y")
    assert await outbox.take() == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.invalid", ""])  # noqa: S104 - what must be refused
def test_only_loopback_hosts_are_served(host: str) -> None:
    """A gateway with test credentials is not offered to a network."""
    with pytest.raises(UsageError, match="serves this machine only"):
        SimConfig(host=host)


@pytest.mark.parametrize("port", [-1, 65_536, 6_000, 6_667, 10_080])
def test_ports_that_clients_cannot_use_are_refused(port: int) -> None:
    """Ports outside 16 bits and those that web clients block are named in the refusal."""
    with pytest.raises(UsageError, match=f"port {port} cannot be used"):
        SimConfig(port=port)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_must_be_positive(speed: float) -> None:
    """Time neither stands still nor runs backwards."""
    with pytest.raises(UsageError, match="speed"):
        SimConfig(speed=speed)


def test_a_rate_of_trades_must_be_positive() -> None:
    """A market without trades is asked for with no products."""
    with pytest.raises(UsageError, match="trades_per_s"):
        SimConfig(trades_per_s=0.0)


def test_the_defaults_are_those_of_the_references() -> None:
    """15 s handshake and keep-alive, 30 s client timeout, 32 KiB, 50/30 s and 200/60 s."""
    hub, rates = HubLimits(), RateLimits()
    assert (hub.handshake_timeout_s, hub.keep_alive_s, hub.client_timeout_s) == (15, 15, 30)
    assert (hub.send_timeout_s, hub.inbound_bytes_max) == (10, 32_768)
    assert (rates.history_requests, rates.history_window_s) == (50, 30)
    assert (rates.rest_requests, rates.rest_window_s) == (200, 60)


@pytest.mark.asyncio
async def test_accelerated_time_runs_by_the_clock() -> None:
    """At speed 10 one second passes ten seconds at the exchange, and waiting is shorter."""
    clock = ManualClock()
    pacer = Pacer(clock, 10.0)
    pacer.start(1_000)
    clock.advance(1.0)
    assert pacer.now_ns() == 1_000 + 10_000_000_000
    await pacer.until(5_000)
    assert clock.monotonic_ns() == 1_000_000_000


@pytest.mark.asyncio
async def test_at_full_speed_time_is_what_was_reached() -> None:
    """Nothing waits, and exchange time is the latest moment asked for."""
    pacer = Pacer(ManualClock(), "max")
    pacer.start(1_000)
    await pacer.until(9_000_000_000)
    await pacer.until(5_000_000_000)
    assert pacer.now_ns() == 9_000_000_000
