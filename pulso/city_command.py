"""`pulso city`: check a city pack, give its zones their boundaries, begin a pack for another city."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulso.errors import ConfigurationError

if TYPE_CHECKING:
    from pulso.city import CityPack
    from pulso.city.boundaries import BoundaryFile, Match
    from pulso.db.adoption import Placed

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="City packs: check one, import the boundaries of its zones, begin a new one.",
)

_LISTED = 10


@app.command()
def check(
    pack: Annotated[
        str | None, typer.Argument(help="Name of a shipped pack, or a path; PULSO_CITY_PACK's if left out.")
    ] = None,
) -> None:
    """Read a city pack with its indicators, mappings and thresholds, and name every fault by file and key."""
    from pulso.capabilities import capability
    from pulso.city import load_pack
    from pulso.city.assessment import load_assessment
    from pulso.settings import CitySettings, load

    (settings,) = load(CitySettings, CitySettings={"pack": pack})
    loaded = load_pack(settings.pack)
    load_assessment(loaded.path)
    capability("check_devices")(settings.pack)
    typer.echo(
        f"{loaded.path}: {loaded.city.name}, {len(loaded.districts)} zones, {len(loaded.kpis)} indicators: in order"
    )


@app.command("import-zones")
def import_zones(
    file: Annotated[Path, typer.Argument(metavar="FILE.geojson", help="Polygons in longitude and latitude.")],
    name_field: Annotated[str | None, typer.Option(help="Field that holds the names; found if left out.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, without a database.")] = False,
    new_pack: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a city pack for these zones instead of importing them.")
    ] = None,
    city_id: Annotated[str | None, typer.Option("--id", help="With --new-pack: id of the city, like cdmx.")] = None,
    name: Annotated[str | None, typer.Option(help="With --new-pack: name of the city.")] = None,
    timezone: Annotated[str | None, typer.Option(help="With --new-pack: its clock, like America/Tijuana.")] = None,
) -> None:
    """Give the zones of the city pack their boundaries, and every thing that has a position and no zone its zone.

    Zones are found by id or code, or by name, whatever its accents and case. Boundaries are kept in the database; a
    thing whose message or mapping tells its zone keeps that one.
    """
    from pulso.city.boundaries import read_boundaries

    boundaries = read_boundaries(_read(file), name_field)
    for note in boundaries.notes:
        typer.echo(f"note: {note}")
    if new_pack is not None:
        _begin_pack(new_pack, boundaries, city_id, name, timezone)
    else:
        _import(boundaries, dry_run=dry_run)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} is no GeoJSON: it is not text in UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}") from None


def _begin_pack(
    directory: Path, boundaries: "BoundaryFile", city_id: str | None, name: str | None, timezone: str | None
) -> None:
    from pulso.city.new_pack import CityName, write_pack

    if not (city_id and name and timezone):
        raise ConfigurationError("--new-pack needs --id, --name and --timezone as well")
    pack = write_pack(directory, boundaries.boundaries, CityName(city_id, name, timezone))
    typer.echo(f"{directory}: a pack of {len(pack.districts)} zones, named by {boundaries.name_field}")
    typer.echo("next: look at its city.toml, write indicators into kpis/*.toml, then use it:")
    typer.echo(f"  export PULSO_CITY_PACK={directory.resolve()}")
    typer.echo("  pulso city check && pulso db migrate && pulso city import-zones FILE.geojson")


def _import(boundaries: "BoundaryFile", *, dry_run: bool) -> None:
    import asyncio

    from pulso.city import load_pack
    from pulso.city.boundaries import match_zones
    from pulso.settings import CitySettings, load

    (city,) = load(CitySettings)
    pack = load_pack(city.pack)
    match = match_zones(boundaries.boundaries, pack.zones)
    _report(pack, match, boundaries)
    if not match.zones:
        raise ConfigurationError(
            f"no boundary matches a zone of the pack {pack.city.id!r}; another city? (--new-pack begins one)"
        )
    if dry_run:
        typer.echo("dry run: nothing was stored")
        return
    placed = asyncio.run(_store(pack, match))
    typer.echo(f"stored {len(match.zones)} boundaries; {len(placed.zones)} things found their zone")
    if placed.outside:
        more = len(placed.outside) - _LISTED
        listed = ", ".join(placed.outside[:_LISTED]) + (f" and {more} more" if more > 0 else "")
        typer.echo(f"outside of every boundary: {listed} (pulso things set THING --zone ZONE)")


def _report(pack: "CityPack", match: "Match", boundaries: "BoundaryFile") -> None:
    typer.echo(f"{len(boundaries.boundaries)} areas, named by {boundaries.name_field}; {len(match.zones)} match zones:")
    for zone_id, boundary in match.zones.items():
        typer.echo(f"  {zone_id:28} {boundary.name}")
    for name, close in match.strangers.items():
        hint = f"; did you mean {' or '.join(close)}? Rename it in the file, or the zone in city.toml" if close else ""
        typer.echo(f"no zone for {name!r}{hint}")
    missing = [zone_id for zone_id in match.missing if zone_id != pack.city.id]
    if missing:
        typer.echo(f"without a boundary: {', '.join(missing)}")


async def _store(pack: "CityPack", match: "Match") -> "Placed":
    from pulso.city.boundaries import ZoneFinder
    from pulso.db import open_database
    from pulso.db.adoption import AdoptionRepository
    from pulso.db.things import ThingRepository
    from pulso.settings import DatabaseSettings, load

    (settings,) = load(DatabaseSettings)
    database = await open_database(settings)
    try:
        await ThingRepository(database).sync_zones(pack.zones)
        repository = AdoptionRepository(database)
        await repository.set_boundaries({zone_id: each.geojson for zone_id, each in match.zones.items()})
        return await repository.place(ZoneFinder(await repository.boundaries()))
    finally:
        await database.close()
