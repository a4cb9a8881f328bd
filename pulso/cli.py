"""The `pulso` command: its own sub-commands, and those the four packages bring through entry points.

A package is imported when its command is used, so that `pulso --help` answers at once.
"""

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pulso.city_command import app as city_app
from pulso.errors import AppError, ConfigurationError
from pulso.local.home import running_addresses
from pulso.settings import HomeSettings, load

_GROUP = "pulso.commands"
_SERVICES = "Services, one process each (docker-compose runs the same commands)"
_TOOLS = "Tools"
_FIRST = "Start here"

_ORDER = ("up", "doctor", "ingest", "kpi", "web", "sim", "decode", "things", "rejected", "city", "replay", "db")

# What --help says of a command before its package is imported.
_SUMMARIES = {
    "ingest": (_SERVICES, "Take observations from the broker and store each exactly once."),
    "kpi": (_SERVICES, "Turn stored observations into indicators, live."),
    "web": (_SERVICES, "Serve the wall, the API and the live stream."),
    "sim": (_SERVICES, "A simulated city of sensors; `pulso sim incident` makes something happen in it."),
    "decode": (_TOOLS, "Show what a payload would be understood as; needs no broker and no database."),
    "things": (_TOOLS, "Devices: list them, see those that are not understood, adopt them."),
    "rejected": (_TOOLS, "Messages that were not understood: look at them, replay them after a fix."),
    "replay": (_TOOLS, "Publish a recorded series through the broker, with its own times or as if now."),
}


class _Lazy(TyperCommand):
    """Stands for a command of another package until it is called."""

    def __init__(self, entry_point: importlib.metadata.EntryPoint) -> None:
        panel, summary = _SUMMARIES.get(entry_point.name, (_TOOLS, ""))
        super().__init__(entry_point.name, help=summary, rich_help_panel=panel)
        self._entry_point = entry_point

    def real(self) -> Any:
        """Import the package and return its command."""
        command = typer.main.get_command(self._entry_point.load())
        command.name = self.name
        return command


class _Commands(TyperGroup):
    """A group with the commands of all installed packages."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for entry_point in importlib.metadata.entry_points(group=_GROUP):
            self.commands.setdefault(entry_point.name, _Lazy(entry_point))

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (the signature is the base class's)
        """The order of --help: what to start with first."""
        rank = {name: place for place, name in enumerate(_ORDER)}
        return sorted(self.commands, key=lambda name: (rank.get(name, len(rank)), name))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import what is really called."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.real() if isinstance(command, _Lazy) else command, rest


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Pulso: a city's sensors, live, from MQTT message to wall.",
    epilog=(
        "Settings come from environment variables (PULSO_…); .env.example lists them all."
        " While `pulso up` runs, every other command in the same directory works on its broker and database."
    ),
)
database = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The database: bring its schema up to date, look at it."
)
app.add_typer(database, name="db", rich_help_panel=_TOOLS)
app.add_typer(city_app, name="city", rich_help_panel=_TOOLS)


@app.callback()
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand == "up":
        return
    (home,) = load(HomeSettings)
    for name, value in running_addresses(home.home).items():
        os.environ.setdefault(name, value)


@app.command(rich_help_panel=_FIRST)
def up(
    sim: Annotated[bool, typer.Option("--sim/--no-sim", help="Run the simulated city.")] = True,
    web_host: Annotated[str | None, typer.Option(help="Address the web pages listen on.")] = None,
    web_port: Annotated[int | None, typer.Option(help="Port of the web pages; the next free one if busy.")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="Port of the broker; the next free one if busy.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where data and logs are kept.")] = None,
) -> None:
    """Run everything on this machine: broker, database, simulator, ingest, KPI engine and web; Ctrl-C stops it.

    A broker or a database of yours is used instead of an embedded one if PULSO_MQTT_HOST or PULSO_DB_URL names it.
    """
    from pulso.local.up import UpSettings, run
    from pulso.settings import CitySettings, DatabaseSettings, MqttSettings, WebSettings

    settings = load(
        HomeSettings,
        CitySettings,
        DatabaseSettings,
        MqttSettings,
        WebSettings,
        HomeSettings={"home": state_dir},
        MqttSettings={"port": mqtt_port},
        WebSettings={"host": web_host, "port": web_port},
    )
    run(UpSettings(*settings), simulate=sim, environment=dict(os.environ))


@app.command(rich_help_panel=_FIRST)
def doctor() -> None:
    """Check every dependency and limit, and say what to do about each fault."""
    from pulso.doctor import examine, render

    findings = examine(dict(os.environ))
    print(render(findings))
    if any(finding.level == "fault" for finding in findings):
        raise typer.Exit(1)


@app.command(rich_help_panel=_TOOLS)
def version() -> None:
    """Print the version."""
    print(importlib.metadata.version("pulso"))


@database.command("migrate")
def db_migrate() -> None:
    """Bring schema and zones up to this version; safe to run at any time, also by several at once."""
    import asyncio

    from pulso import logs
    from pulso.city import load_pack
    from pulso.db import migrate, open_database
    from pulso.db.connection import conninfo
    from pulso.db.things import ThingRepository
    from pulso.settings import CitySettings, DatabaseSettings, LogSettings

    log_settings, city, settings = load(LogSettings, CitySettings, DatabaseSettings)
    logs.configure("migrate", level=log_settings.level, json=log_settings.json_lines)
    zones = load_pack(city.pack).zones

    async def sync_zones() -> None:
        opened = await open_database(settings)
        try:
            await ThingRepository(opened).sync_zones(zones)
        finally:
            await opened.close()

    applied = migrate(conninfo(settings))
    asyncio.run(sync_zones())
    done = ", ".join(f"{each.number:04d} {each.name}" for each in applied) or "nothing to do"
    print(f"schema: {done}; {len(zones)} zones")


@database.command("status")
def db_status() -> None:
    """Show which server it is, and which migrations are pending."""
    from pulso.db import pending
    from pulso.db.connection import conninfo
    from pulso.db.inspection import inspect
    from pulso.settings import DatabaseSettings

    (settings,) = load(DatabaseSettings)
    where = conninfo(settings)
    report = inspect(where)
    missing = ", ".join(f"{each.number:04d} {each.name}" for each in pending(where))
    print(f"server     PostgreSQL {report.version}, {report.edition}")
    print(f"database   {report.database}, {report.size / 1e6:.1f} MB")
    print(f"sessions   {report.connections} of {report.max_connections}")
    print(f"migrations {f'pending: {missing} (pulso db migrate)' if missing else 'all applied'}")


def main() -> None:
    """Run the command; a configuration fault ends with code 2, another expected error with 1, in one clear message."""
    try:
        app()
    except ConfigurationError as error:
        print(f"pulso: {error}", file=sys.stderr)
        sys.exit(2)
    except AppError as error:
        print(f"pulso: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
