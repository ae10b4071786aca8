"""The README's example does what the README says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway

README = Path(__file__).resolve().parents[2] / "README.md"
START_NS = 1_767_625_200_000_000_000
BAR = re.compile(rb"\d{19} [\d.]+ [\d.]+ [\d.]+ [\d.]+ \d+")


def example() -> str:
    """The first Python block."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.mark.asyncio
async def test_the_example_prints_live_bars(tmp_path: Path) -> None:
    """As it stands, with a configuration beside it and the key in the environment."""
    (tmp_path / "example.py").write_text(example(), encoding="utf-8")
    config = SimConfig(products=("MES",), speed=200.0, start_ns=START_NS)
    async with SimGateway(config, SystemClock(), SystemRandom()) as gateway, asyncio.timeout(60):
        (tmp_path / "tapekeeper.toml").write_text(
            f'[gateway]\nrest_url = "{gateway.urls.rest}"\n'
            f'market_hub_url = "{gateway.urls.market_hub}"\n'
            f'user_hub_url = "{gateway.urls.user_hub}"\nuser_name = "{TEST_USER}"\n',
            encoding="utf-8",
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "example.py"),
            cwd=tmp_path,
            env={**os.environ, "TAPEKEEPER_GATEWAY__API_KEY": TEST_API_KEY},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        printed: list[int] = []
        try:
            while len(set(printed)) < 3:
                line = await process.stdout.readline()
                assert line, (await process.communicate())[1].decode()
                if BAR.fullmatch(line.strip()):
                    printed.append(int(line.split()[0]))
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
    # The first bar began before it was followed: it is printed again when it has been filled in.
    opens = list(dict.fromkeys(printed))
    minute_ns = 60 * 10**9
    assert opens == list(range(opens[0], opens[0] + 3 * minute_ns, minute_ns))
