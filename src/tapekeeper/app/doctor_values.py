"""What the doctor finds: frozen values, ready to be printed or written as JSON."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"  # the tape works, and there is something to know
    FAILED = "failed"
    SKIPPED = "skipped"  # it needs something that failed, or was not asked for


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        name: what.
        verdict: how it ended.
        detail: what was found, or why it failed; one sentence without secrets.
        advice: what to do about it; "" where there is nothing to be done.
    """

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


class Report(msgspec.Struct, frozen=True):
    """Everything that was looked at, in order."""

    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        """Whether a tape with this configuration can be expected to work, as of now."""
        return not any(check.verdict is Verdict.FAILED for check in self.checks)

    @property
    def configured(self) -> bool:
        """Whether the configuration itself is in order."""
        return not any(
            check.verdict is Verdict.FAILED and check.name in {CONFIGURATION, KEY}
            for check in self.checks
        )


CONFIGURATION = "configuration"
KEY = "key"
