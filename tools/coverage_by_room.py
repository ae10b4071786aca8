"""Print the branch coverage of the last `make cov`, one line per room and the modules below 90 %.

Coverage is read, not gated: a number is no proof, but a module nobody runs should be seen.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Any

import coverage

LOW_PERCENT = 90.0


def main() -> int:
    """Read `.coverage` and print the table."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "coverage.json"
        data.json_report(outfile=str(out))
        files: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))["files"]
    rooms: dict[str, list[tuple[int, int]]] = defaultdict(list)
    low: list[tuple[float, str]] = []
    for path, report in sorted(files.items()):
        summary = report["summary"]
        wanted = summary["num_statements"] + summary["num_branches"]
        met = summary["covered_lines"] + summary["covered_branches"]
        inside = PurePath(path).parts[PurePath(path).parts.index("tapekeeper") + 1 :]
        rooms[inside[0] if len(inside) > 1 else "(top)"].append((met, wanted))
        if wanted and 100 * met / wanted < LOW_PERCENT:
            low.append((100 * met / wanted, "/".join(inside)))
    for room, counts in sorted(rooms.items()):
        print(f"{room:<12}{percent(counts):>7.1f} %  {len(counts):>3} modules")
    print(f"{'all':<12}{percent([c for counts in rooms.values() for c in counts]):>7.1f} %")
    for share, name in sorted(low):
        print(f"  below {LOW_PERCENT:.0f} %: {share:5.1f} %  {name}")
    return 0


def percent(counts: list[tuple[int, int]]) -> float:
    """Share of lines and branches met, in percent; 100 where there are none."""
    wanted = sum(count for _, count in counts)
    return 100 * sum(count for count, _ in counts) / wanted if wanted else 100.0


if __name__ == "__main__":
    sys.exit(main())
