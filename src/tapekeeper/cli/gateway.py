"""`tapekeeper gateway`: the simulated gateway, for trying things out and for tests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.config import DEFAULT_PORT
from tapekeeper.cli.heap import settled_heap
from tapekeeper.cli.stopping import stop_signals
from tapekeeper.errors import UsageError
from tapekeeper.sim.config import SimConfig, Speed
from tapekeeper.sim.fault_file import load_faults
from tapekeeper.sim.fault_menu import Fault, kind_of
from tapekeeper.sim.fault_seed import seeded_faults
from tapekeeper.sim.gateway import SimGateway, SimUrls

FAULTS_WITHIN_S = 600.0
"""How long the faults of a seed go on; an unattended gateway then behaves."""


def gateway_command(
    port: Annotated[
        int, typer.Option(metavar="PORT", help="Port to listen on; 0 for any free one.")
    ] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address of this machine; loopback only.")
    ] = "127.0.0.1",
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same market.")
    ] = 1,
    speed: Annotated[
        str,
        typer.Option(metavar="X", help="Exchange seconds per second, or max."),
    ] = "1",
    products: Annotated[
        str, typer.Option(metavar="A,B,...", help="Products of the synthetic market.")
    ] = "MES,MNQ,MGC,MCL",
    play: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Play this trades.parquet, or the folder it is in, as it was."
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Misbehave as this TOML file schedules it."),
    ] = None,
    fault_seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Misbehave for ten minutes as this seed schedules it."),
    ] = None,
    token_life_s: Annotated[
        float, typer.Option(metavar="S", help="Seconds a token is valid.")
    ] = 86_400.0,
    *,
    allow_query_token: Annotated[
        bool, typer.Option("--allow-query-token", help="Accept access_token in the query, too.")
    ] = False,
) -> None:
    """Run a simulated gateway until Ctrl-C.

    It speaks the real protocols (REST, SignalR over WebSockets) to this machine only, and plays
    a synthetic market or recorded trades. The credentials it prints open nothing else.
    """
    if not (math.isfinite(token_life_s) and token_life_s > 0):
        raise UsageError(f"the life of a token is more than 0 seconds, and {token_life_s} is not")
    config = SimConfig(
        host=host,
        port=port,
        seed=seed,
        speed=parse_speed(speed),
        products=parse_products(products),
        play=play,
        token_life_s=token_life_s,
        allow_query_token=allow_query_token,
    )
    with settled_heap():
        asyncio.run(_serve(config, schedule(faults, fault_seed)))


def schedule(file: Path | None, seed: int | None) -> tuple[Fault, ...]:
    """The faults of a file and of a seed together.

    Raises:
        UsageError: the file is not a schedule of faults, or cannot be read.
    """
    scripted = () if file is None else load_faults(file)
    drawn = () if seed is None else seeded_faults(seed, within_s=FAULTS_WITHIN_S)
    return scripted + drawn


def parse_products(text: str) -> tuple[str, ...]:
    """Read `MES,mnq`; case does not matter, as it does not for the demonstration.

    Raises:
        UsageError: none is named; whether one is known is for the market to say.
    """
    names = tuple(name.strip().upper() for name in text.split(",") if name.strip())
    if not names:
        raise UsageError("name at least one product for the market, such as MES")
    return names


def parse_speed(text: str) -> Speed:
    """Read a number or `max`.

    Raises:
        UsageError: it is neither; whether a number is in range is for `SimConfig` to say.
    """
    if text == "max":
        return "max"
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"speed {text!r} is neither a number nor max") from None


async def _serve(config: SimConfig, faults: Sequence[Fault]) -> None:
    with stop_signals() as stop:
        async with SimGateway(config, SystemClock(), SystemRandom(), schedule=faults) as gateway:
            for line in announcement(config, gateway.urls, gateway.contracts):
                typer.echo(line)
            if faults:
                typer.echo(f"faults scheduled: {', '.join(kind_of(fault) for fault in faults)}")
            await stop.wait()
    typer.echo("stopped")


def announcement(config: SimConfig, urls: SimUrls, contracts: Sequence[str]) -> list[str]:
    """What a client needs to know, one fact a line."""
    credentials = f"user_name {config.user_name}, api_key {config.api_key.reveal()}"
    return [
        "The simulated gateway is up; Ctrl-C stops it.",
        f'rest_url       = "{urls.rest}"',
        f'market_hub_url = "{urls.market_hub}"',
        f'user_hub_url   = "{urls.user_hub}"',
        f"contracts      = {', '.join(contracts)}",
        f"test credentials, good for this simulator only: {credentials}",
    ]
