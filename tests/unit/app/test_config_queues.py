"""The queues of subscribers, as they are configured."""

from __future__ import annotations

import pytest

from tapekeeper.app.config import Config, load_config
from tapekeeper.app.config_queues import QueuesConfig
from tapekeeper.app.queue_wishes import queue_policy
from tapekeeper.errors import ConfigError
from tapekeeper.model.queue import OnFull, QueueDefaults, QueueLimits, QueuePolicy


def test_what_a_person_cannot_do_without_is_spilled_by_default() -> None:
    """Bars and fills wait on the disk; what is stale when it is late fails."""
    assert Config().queues.defaults() == QueueDefaults(
        limits=QueueLimits(100_000, 64_000_000),
        spill_bytes=4_096_000_000,
        bars=OnFull.SPILL,
        quotes=OnFull.FAIL,
        depth=OnFull.FAIL,
        user=OnFull.SPILL,
    )


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("bars", "conflate", "bars cannot be conflated: only of quotes the latest says all"),
        ("depth", "conflate", "updates of depth cannot be conflated"),
        ("user_events", "block", "user events cannot block"),
        ("quotes", "block", "quotes cannot block: one subscriber would hold up the tape"),
        ("quotes", "drop", "queues.quotes"),
        ("limit", 5, "queues.limit"),
        ("events", 0, "queues.events"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(key: str, value: object, sentence: str) -> None:
    """At configuration, with one sentence that names the setting."""
    with pytest.raises(ConfigError) as caught:
        load_config({"queues": {key: value}})
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quotes_may_be_conflated() -> None:
    """They alone have a latest state."""
    assert QueuesConfig(quotes=OnFull.CONFLATE).defaults().quotes is OnFull.CONFLATE


def test_a_name_stands_for_a_policy() -> None:
    """And a policy for itself."""
    assert queue_policy("spill") == QueuePolicy("spill")
    assert queue_policy(None) == QueuePolicy()
    assert queue_policy(QueuePolicy(events=3)) == QueuePolicy(events=3)
