"""The files of a city pack for a city that has none yet, from the boundaries of its districts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import shapely

from pulso.city.boundaries import Boundary, slug
from pulso.city.pack import CityPack, load_pack
from pulso.errors import ConfigurationError

_COARSE = 0.002  # of its length: what the outline of the map may be off
_SHORT = 14  # letters that fit beside a district on the map


class CityName(NamedTuple):
    """What a pack has to say of its city. `timezone` is an IANA name."""

    id: str
    name: str
    timezone: str
    languages: tuple[str, ...] = ("es", "en")


def write_pack(directory: Path, boundaries: Sequence[Boundary], city: CityName) -> CityPack:
    """Write a pack that loads: a city.toml with one zone per boundary, and an empty folder of indicators.

    A zone's seat is a point within its boundary. Raises ConfigurationError if the directory has a city.toml already,
    or if what is given makes no pack; no city.toml stays behind then.
    """
    file = directory / "city.toml"
    if file.exists():
        raise ConfigurationError(f"{file} exists already; a pack is not overwritten")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "kpis").mkdir(exist_ok=True)
    file.write_text(city_file(boundaries, city), encoding="utf-8")
    try:
        return load_pack(str(directory))
    except ConfigurationError:
        file.unlink()
        raise


def city_file(boundaries: Sequence[Boundary], city: CityName) -> str:
    """The text of a city.toml."""
    whole = shapely.union_all([boundary.area for boundary in boundaries])
    hull = whole.convex_hull
    corners = hull.simplify(_COARSE * hull.length).exterior.coords[:-1]
    seat = whole.representative_point()
    outline = ", ".join(f"[{longitude:.4f}, {latitude:.4f}]" for longitude, latitude in corners)
    taken = {city.id}
    zones = [_zone(boundary, taken) for boundary in sorted(boundaries, key=lambda each: each.name)]
    head = f"""\
# {_one_line(city.name)}. Seats are points within the boundaries that the zones were made from, degrees WGS 84: move
# them to where the label on the map should stand. Indicators go into kpis/*.toml, mappings into mappings/*.toml.

[city]
id = {_quoted(city.id)}
name = {_quoted(city.name)}
short_name = {_quoted(_short(city.name))}
timezone = {_quoted(city.timezone)}
languages = [{", ".join(map(_quoted, city.languages))}]
latitude = {seat.y:.4f}
longitude = {seat.x:.4f}

# The wall's map is schematic: each district is the set of points nearest to its seat, inside this outline
# (longitude, latitude).
[map]
schematic = true
outline = [{outline}]
"""
    return "\n".join([head, *zones])


def _zone(boundary: Boundary, taken: set[str]) -> str:
    seat = boundary.area.representative_point()
    base = slug(boundary.name)
    zone_id = next(each for each in (base, *(f"{base}_{number}" for number in range(2, 1000))) if each not in taken)
    taken.add(zone_id)
    return f"""\
[[zone]]
id = {_quoted(zone_id)}
name = {_quoted(boundary.name)}
short_name = {_quoted(_short(boundary.name))}
latitude = {seat.y:.4f}
longitude = {seat.x:.4f}
"""


def _quoted(text: str) -> str:
    """A TOML basic string; its escapes are those of JSON, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(name: str) -> str:
    return name if len(name) <= _SHORT else f"{name[: _SHORT - 1].rstrip()}."
