"""The audit: what the quotes say was traded against the prints that came."""

from tapekeeper.core.audit.stage import AuditStage

__all__ = ["AuditStage"]
