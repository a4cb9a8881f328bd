"""The command `pulso replay`: publish a recorded series through the broker."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulso import logs
from pulso.city.pack import load_pack
from pulso.errors import ConfigurationError
from pulso.settings import CitySettings, LogSettings, MqttSettings, load
from sensors_sim.command import clearly

if TYPE_CHECKING:
    from rich.progress import Progress

    from sensors_sim.replay import Profile, Report, SeriesRow, Summary
    from sensors_sim.replay.play import Pace

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)

DRAIN = timedelta(seconds=60)


@app.command()
def replay(  # noqa: PLR0913, PLR0917  one parameter per option is what the command line is
    file: Annotated[Path | None, typer.Argument(help="CSV file, may be gzip-compressed.")] = None,
    profile: Annotated[str | None, typer.Option(help="Name of a profile, or a TOML file; else it is detected.")] = None,
    speed: Annotated[str, typer.Option(help="Seconds of the record per second: 1, 3600 …, or max.")] = "max",
    as_now: Annotated[bool, typer.Option("--as-now", help="Shift the series to the present.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many values, from the oldest on.")] = None,
    zone: Annotated[str | None, typer.Option(help="Zone of the city pack to place the things in.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and say what is there; publish nothing.")] = False,
    profiles: Annotated[bool, typer.Option("--profiles", help="List the profiles, and stop.")] = False,
    host: Annotated[str | None, typer.Option(help="Broker host.")] = None,
    port: Annotated[int | None, typer.Option(help="Broker port.")] = None,
) -> None:
    """Publish a recorded series through the broker, with its own times or as if now.

    A profile says what the columns mean: layout, time zone, unit, missing markers. It is detected from the header
    and the name of the file. At the end the figures of the series are printed, to compare with the database.

    **Examples**

    `pulso replay air_2024_PM25_h1.csv.gz` – the whole series, as fast as the broker takes it

    `pulso replay detector.csv --speed 3600` – an hour of the record in every second

    `pulso replay detector.csv --as-now --speed 1 --zone coyoacan` – as if it were measured now, in Coyoacán

    `pulso replay detector.csv --profile mine.toml --dry-run` – try a profile of your own
    """

    def start() -> None:
        if profiles:
            _list_profiles()
            return
        if file is None:
            raise ConfigurationError("which file? pulso replay FILE (or --profiles, to see what can be read)")
        mqtt, city, log = load(MqttSettings, CitySettings, LogSettings, MqttSettings={"host": host, "port": port})
        logs.configure("replay", level="warning" if log.level == "info" else log.level, json=log.json_lines)
        if zone:
            load_pack(city.pack).zone(zone)
        record = _read(file, profile, _pace(speed), limit, as_now=as_now)
        if not dry_run:
            asyncio.run(_publish(mqtt, record, zone))
        _print_figures(record)

    clearly(start)


@dataclass(frozen=True, slots=True)
class _Record:
    """A series ready to be played."""

    name: str
    profile: "Profile"
    rows: Sequence["SeriesRow"]
    report: "Report"
    summary: "Summary | None"
    pace: "Pace"


def _read(file: Path, name: str | None, pace: "Pace", limit: int | None, *, as_now: bool) -> _Record:
    from pulso.clock import SystemClock
    from sensors_sim.replay import Report, detect_profile, load_profile, read_series, summarise
    from sensors_sim.replay.play import in_order, shift_to_present

    name, profile = (name, load_profile(name)) if name else detect_profile(file)
    report = Report()
    rows = in_order(read_series(file, profile, report), limit)
    if as_now:
        rows = shift_to_present(rows, profile.interval, pace, SystemClock().now())
    return _Record(name, profile, rows, report, summarise(rows), pace)


def _pace(text: str) -> "Pace":
    from sensors_sim.replay.play import Pace

    if text in ("max", "0"):
        return Pace(None)
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed < float("inf"):
        raise ConfigurationError(f"--speed {text!r}: a number above 0, or max")
    return Pace(speed)


async def _publish(mqtt: MqttSettings, record: _Record, zone: str | None) -> None:
    """Play the record with a progress bar; a signal ends it after what is in flight is acknowledged."""
    from uuid import uuid4

    from pulso.clock import SystemClock
    from pulso.lifecycle import stop_on_signals
    from sensors_sim.publish import Publisher
    from sensors_sim.replay.play import Player, in_zone, until_their_last

    stop = stop_on_signals()
    async with Publisher(mqtt, f"pulso-replay-{uuid4().hex[:8]}") as publisher:
        await publisher.wait_connected(timedelta(seconds=10))
        player = Player(publisher, record.profile, SystemClock())
        with _progress() as bar:
            task = bar.add_task("publishing", total=len(record.rows))
            things = until_their_last(in_zone(record.report, zone), record.rows, record.profile.interval)
            await player.describe(things)
            playing = asyncio.ensure_future(
                player.play(record.rows, record.pace, lambda count: bar.update(task, completed=count))
            )
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([playing, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            playing.cancel()
            outcome = (await asyncio.gather(playing, return_exceptions=True))[0]
            complete = await publisher.drain(DRAIN)
    if isinstance(outcome, Exception):
        raise outcome
    missing = "" if complete else f"; {publisher.outstanding} were not acknowledged"
    typer.echo(f"published {player.published} of {len(record.rows)} values{missing}", err=True)


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not Console(stderr=True).is_terminal)


def _print_figures(record: _Record) -> None:
    report, figures = record.report, record.summary
    unit = record.profile.unit
    typer.echo(f"profile     {record.name}: {record.profile.title}")
    typer.echo(f"lines       {report.lines}: {report.values} values, {report.missing} missing, {report.bad} bad")
    for fault in report.faults:
        typer.echo(f"            {fault}", err=True)
    if figures is None:
        typer.echo("            no values")
        return
    typer.echo(f"things      {figures.things}")
    typer.echo(f"times       {figures.first:%Y-%m-%d %H:%M:%S} to {figures.last:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"{record.profile.observed_property}, in {unit}")
    typer.echo(f"  values    {figures.count}, mean {figures.mean:.6f}, sum {figures.total:.6f}")
    typer.echo(f"  stored    {figures.keys}, mean {figures.keys_mean:.6f}   (a key that stands twice is stored once)")
    typer.echo(f"  range     {figures.minimum:g} to {figures.maximum:g}")


def _list_profiles() -> None:
    from sensors_sim.replay import shipped_profiles

    for name, profile in shipped_profiles().items():
        typer.echo(f"{name:<22} {profile.title}")


if __name__ == "__main__":
    app()
