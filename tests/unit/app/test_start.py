"""The steps of a start, with and without patience."""

from __future__ import annotations

import pytest

from tapekeeper.app.start import CAP_MS, Patience, StartMode
from tapekeeper.errors import AuthError, ConnectFailedError, DeadlineError, TapekeeperError
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

AWAY = ConnectFailedError("nothing listens there")
REFUSED = AuthError("the key was refused", status=200)


def taken(
    mode: StartMode, failures: list[TapekeeperError]
) -> tuple[object, float, list[dict[str, object]]]:
    """What a step that fails so often gives, after how long (s), and what was said."""
    said: list[dict[str, object]] = []

    def log(event: str, /, *, level: str = "info", **fields: object) -> None:
        said.append({"event": event, "level": level, **fields})

    async def main(clock: VirtualClock) -> tuple[object, float, list[dict[str, object]]]:
        patiently = Patience(mode, clock=clock, random=Seeded(1, "jitter"), log=log)

        async def step() -> str:
            if failures:
                raise failures.pop(0)
            return "done"

        try:
            result: object = await patiently(step, "a step")
        except TapekeeperError as error:
            result = error
        return result, clock.monotonic_ns() / 1e9, said

    return run_virtual(main)


def test_what_a_retry_can_mend_is_waited_for_and_said() -> None:
    """Each attempt is a warning that names the step, the reason and the next attempt."""
    result, took_s, said = taken("wait", [AWAY, DeadlineError("too late")])
    assert result == "done"
    assert [one["reason"] for one in said] == ["nothing listens there", "too late"]
    assert {(one["event"], one["level"], one["step"]) for one in said} == {
        ("start_waits", "warning", "a step")
    }
    assert round(sum(float(str(one["retry_in_s"])) for one in said), 6) == round(took_s, 6)


def test_the_waits_grow_up_to_half_a_minute() -> None:
    """So a gateway that comes back is noticed soon, and is not flooded while it is away."""
    _, took_s, said = taken("wait", [AWAY] * 200)
    waits_s = [float(str(one["retry_in_s"])) for one in said]
    assert max(waits_s) <= CAP_MS / 1_000
    assert max(waits_s[:3]) <= 4.0
    assert took_s > 200 * CAP_MS / 1_000 / 4


def test_a_gateway_that_says_when_is_asked_then() -> None:
    """Its `Retry-After` is the least wait."""
    _, took_s, _ = taken("wait", [ConnectFailedError("busy", status=503, retry_after_s=40.0)])
    assert 40.0 <= took_s <= 42.0


@pytest.mark.parametrize(
    ("mode", "failures"),
    [("wait", [REFUSED]), ("wait", [AWAY, REFUSED]), ("fail", [AWAY]), ("fail", [REFUSED])],
)
def test_anything_else_is_an_error_at_once(
    mode: StartMode, failures: list[TapekeeperError]
) -> None:
    """What no retry can mend, however long was waited before; and all of it without patience."""
    last = failures[-1]
    result, _, _ = taken(mode, failures)
    assert result is last
