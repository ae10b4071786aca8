"""A pipeline that stands still at 10,000 ticks a second: the bench of the queues, for a moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_stall_at_full_speed_costs_disk_and_neither_memory_nor_ticks() -> None:
    """No tick is lost and no connection; what does not fit into memory is on the disk.

    Ten minutes of it, 6,000,000 ticks, are the same command without `--stall-s`.
    """
    done = subprocess.run(
        [sys.executable, "benches/queues.py", "--stall-s", "6", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ticks"] > 45_000
    assert (report["lost"], report["unread"], report["connections"]) == (0, 0, [1, 1])
    assert report["holds"]
    stalled, caught_up, _ = report["phases"]
    assert stalled["disk_mb"] > 1
    assert stalled["waiting_mb"] < 40
    assert caught_up["disk_mb"] <= stalled["disk_mb"]
