"""`pulso kpi`: composition root of the KPI engine."""

import asyncio
from datetime import datetime
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """Turn stored observations into indicators, live.

    Takes up what ingest committed, keeps one-minute and one-hour panes of every datastream, and writes KPI values:
    provisional while their window is open, final when the watermark has passed it, revised when later data changes
    them. The definitions are TOML files in the city pack (PULSO_CITY_PACK); the database is PULSO_DB_URL.

    Kill it at any time: position, panes and values are saved together. Start a second one as a spare: it waits until
    the first is gone.
    """
    if context.invoked_subcommand is not None:
        return
    from pulso import logs
    from pulso.settings import CitySettings, DatabaseSettings, EngineSettings, HealthSettings, LogSettings, load

    log_settings, *settings = load(LogSettings, DatabaseSettings, CitySettings, HealthSettings, EngineSettings)
    logs.configure("kpi", level=log_settings.level, json=log_settings.json_lines)
    from kpi_engine.service import serve

    asyncio.run(serve(*settings))


@app.command()
def recompute(
    first: Annotated[
        datetime, typer.Option("--from", help="Windows that end after this; UTC unless it says otherwise.")
    ],
    last: Annotated[datetime, typer.Option("--to", help="Windows that end no later than this.")],
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if anything differs.")] = False,
    most: Annotated[int, typer.Option("--show", min=0, help="Most differences to print.")] = 20,
) -> None:
    """Recompute KPI values from the raw observations and compare them with the stored ones.

    Every value is computed anew from the observation table by the same formulas, whatever order the observations came
    in, and compared with its newest stored revision. No difference is the proof that live equals replay. Nothing is
    written; the engine may run meanwhile.

    Example: pulso kpi recompute --from 2026-11-22T10:00:00 --to 2026-11-22T12:00:00 --check
    """
    from pulso import logs
    from pulso.settings import CitySettings, DatabaseSettings, LogSettings, load

    log_settings, database, city = load(LogSettings, DatabaseSettings, CitySettings)
    logs.configure("kpi", level=log_settings.level, json=log_settings.json_lines)
    from kpi_engine.checking import check_stored
    from kpi_engine.recompute import describe
    from pulso.model import Window

    comparison = asyncio.run(check_stored(database, city, Window(_utc(first), _utc(last))))
    for difference in comparison.differences[:most]:
        print(describe(difference))
    print(f"{comparison.compared} values compared, {len(comparison.differences)} differ")
    if check and comparison.differences:
        raise typer.Exit(1)


def _utc(moment: datetime) -> datetime:
    from datetime import UTC

    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


if __name__ == "__main__":
    app()
