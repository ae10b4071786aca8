"""The section of the configuration that is about each hub connection.

Its defaults are those of `LineSpec`, so that no number is written twice.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tapekeeper.app.config_errors import SENTENCE
from tapekeeper.app.config_types import Milliseconds, Seconds, Section
from tapekeeper.model.timeframe import SECOND_NS
from tapekeeper.runtime.line_values import LineSpec

LINE = LineSpec(name="", hub_url="", negotiate=True)
"""Has the default of every number of a line."""


class LineConfig(Section):
    """Timers of every hub connection."""

    keep_alive_s: Seconds = Field(
        default=LINE.timers.keep_alive_ns / SECOND_NS,
        description="Seconds without sending after which a ping is sent.",
    )
    server_timeout_s: Seconds = Field(
        default=LINE.timers.server_timeout_ns / SECOND_NS,
        description="Seconds of silence after which a connection is given up.",
    )
    handshake_timeout_s: Seconds = Field(
        default=LINE.timers.handshake_timeout_ns / SECOND_NS,
        description="Seconds the hub has to answer the handshake.",
    )
    invocation_timeout_s: Seconds = Field(
        default=LINE.timers.invocation_timeout_ns / SECOND_NS,
        description="Seconds the hub has to answer a call, such as a subscription.",
    )
    connect_timeout_s: Seconds = Field(
        default=LINE.connect_timeout_s,
        description="Seconds that negotiation, its redirects and the upgrade may take together.",
    )
    backoff_base_ms: Milliseconds = Field(
        default=LINE.backoff_base_ms,
        ge=1,
        description="Milliseconds: upper bound of the first wait before a reconnection.",
    )
    backoff_cap_ms: Milliseconds = Field(
        default=LINE.backoff_cap_ms,
        ge=1,
        description="Milliseconds: upper bound of every wait; waits are random below.",
    )
    healthy_after_s: Seconds = Field(
        default=LINE.healthy_after_s,
        description="Seconds a connection must live before waits start small again.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.server_timeout_s <= self.keep_alive_s:
            raise PydanticCustomError(
                SENTENCE, "server_timeout_s must be greater than keep_alive_s"
            )
        if self.backoff_cap_ms < self.backoff_base_ms:
            raise PydanticCustomError(SENTENCE, "backoff_cap_ms must be at least backoff_base_ms")
        return self
