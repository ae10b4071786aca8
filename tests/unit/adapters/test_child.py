"""Another process of this program."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tapekeeper.adapters.child import Child


@pytest.mark.asyncio
async def test_it_runs_the_program_and_hears_what_it_says(tmp_path: Path) -> None:
    """The exit code, and the sentence of what was wrong."""
    child = Child()
    ended = await child(["archive", "--journal", str(tmp_path / "none")])
    assert ended.code == 2
    assert "there is no journal" in ended.said
    assert not child.is_running


@pytest.mark.asyncio
async def test_it_gets_no_setting_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that only the environment spoils is whole for it."""
    monkeypatch.setenv("TAPEKEEPER_GATEWAY__API_KEY", "test-key-not-a-secret")
    monkeypatch.setenv("TAPEKEEPER_NONSENSE", "1")
    path = tmp_path / "tapekeeper.toml"
    path.write_text("", encoding="utf-8")
    assert (await Child()(["config", "--check", str(path)])).code == 0


async def begun(child: Child) -> None:
    """Wait until there is a process."""
    while not child.is_running:  # noqa: ASYNC110 - a process has no event for its begin
        await asyncio.sleep(0)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["stop", "cancel"])
async def test_it_ends_when_it_is_asked_to(way: str) -> None:
    """By a call, or with the task that waits for it; nothing is left behind."""
    child = Child()
    codes = []

    async def run() -> None:
        codes.append((await child(["demo", "--seconds", "60"])).code)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run())
        await begun(child)
        if way == "stop":
            child.stop()
        else:
            task.cancel()
    assert not child.is_running
    assert codes == [] if way == "cancel" else codes[0] != 0
    child.stop()  # without effect
