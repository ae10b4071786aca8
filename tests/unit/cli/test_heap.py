"""The program's own objects are no work for the garbage collector while it runs."""

from __future__ import annotations

import gc

from tapekeeper.cli.heap import settled_heap


def test_the_program_itself_is_kept_from_the_garbage_collector_while_it_runs() -> None:
    """And only then: whoever calls the command in a process of theirs finds it as it was."""
    before = gc.get_freeze_count()
    with settled_heap():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0
