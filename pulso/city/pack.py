"""Loading a city pack from its directory, with every fault named by file and key."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pulso.city.definition import Identifier, KpiDefinition
from pulso.errors import ConfigurationError, UnknownKpi, UnknownZone
from pulso.model import KpiId, Zone, ZoneId, ZoneKind

Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class City(_Strict):
    """The table [city] of city.toml."""

    id: Identifier
    name: str
    short_name: str
    timezone: str
    languages: tuple[str, ...] = ("es", "en")
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    population: int | None = None


class _ZoneTable(_Strict):
    id: Identifier
    name: str
    short_name: str
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    population: int | None = None


class Map(_Strict):
    """The table [map]: an outline as (longitude, latitude) pairs, and whether it is only schematic."""

    schematic: bool
    outline: tuple[tuple[float, float], ...] = Field(min_length=3)


class _CityFile(_Strict):
    city: City
    map: Map
    zone: tuple[_ZoneTable, ...] = Field(min_length=1)


@dataclass(frozen=True)
class CityPack:
    """One city: its zones (the city itself first), KPI definitions and where its other files lie."""

    city: City
    map: Map
    zones: tuple[Zone, ...]
    population: Mapping[ZoneId, int]
    kpis: Mapping[KpiId, KpiDefinition]
    path: Path = field(compare=False)

    @cached_property
    def timezone(self) -> ZoneInfo:
        """The city's clock."""
        return ZoneInfo(self.city.timezone)

    @property
    def city_zone(self) -> Zone:
        """The zone that stands for the whole city."""
        return self.zones[0]

    @property
    def districts(self) -> tuple[Zone, ...]:
        """All zones but the city itself."""
        return self.zones[1:]

    def zone(self, zone_id: str) -> Zone:
        """One zone. Raises UnknownZone."""
        for zone in self.zones:
            if zone.zone_id == zone_id:
                return zone
        raise UnknownZone(f"no zone {zone_id!r} in city pack {self.city.id!r}")

    def kpi(self, kpi_id: str) -> KpiDefinition:
        """One definition. Raises UnknownKpi."""
        try:
            return self.kpis[KpiId(kpi_id)]
        except KeyError:
            raise UnknownKpi(f"no KPI {kpi_id!r} in city pack {self.city.id!r}") from None


def pack_path(name: str) -> Path:
    """The directory of a shipped pack by name, or of any pack by path. Raises ConfigurationError."""
    shipped = Path(str(files("pulso.city") / "cities"))
    for candidate in (shipped / name, Path(name)):
        if (candidate / "city.toml").is_file():
            return candidate
    known = ", ".join(sorted(path.parent.name for path in shipped.glob("*/city.toml")))
    raise ConfigurationError(f"no city pack {name!r}: neither a shipped one ({known}) nor a directory with a city.toml")


def load_pack(name: str) -> CityPack:
    """Load a pack by shipped name or by path. Raises ConfigurationError naming every fault with its file."""
    path = pack_path(name)
    faults: list[str] = []
    document = _read(path / "city.toml", faults)
    city_file = _validate(_CityFile, document, "city.toml", faults) if document is not None else None
    kpis: dict[KpiId, KpiDefinition] = {}
    for where, definition in _definitions(path, faults):
        if definition.id in kpis:
            faults.append(f"{where}: id {definition.id!r} is defined twice")
        kpis[definition.id] = definition
    if city_file:
        faults += _zone_faults(city_file)
    if faults or city_file is None:
        raise ConfigurationError(f"the city pack {path.name!r} is not usable:", faults=faults)
    zones, population = _zones(city_file)
    return CityPack(city_file.city, city_file.map, zones, population, MappingProxyType(kpis), path)


def _read(file: Path, faults: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{file.relative_to(file.parents[1]) if file.parent.name == 'kpis' else file.name}: {error}")
        return None


def _validate(model: type[Model], document: object, where: str, faults: list[str]) -> Model | None:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults += [
            f"{where}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        return None


def _definitions(path: Path, faults: list[str]) -> Iterator[tuple[str, KpiDefinition]]:
    for file in sorted((path / "kpis").glob("*.toml")):
        document = _read(file, faults) or {}
        strangers = document.keys() - {"kpi"}
        faults += [f"kpis/{file.name}: unknown key {key!r}; a file holds [[kpi]] tables only" for key in strangers]
        for index, table in enumerate(document.get("kpi", ())):
            where = f"kpis/{file.name}: kpi {table.get('id', f'number {index + 1}')}"
            definition = _validate(KpiDefinition, table, where, faults)
            if definition is not None:
                yield where, definition


def _zone_faults(city_file: _CityFile) -> Iterator[str]:
    try:
        ZoneInfo(city_file.city.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        yield f"city.toml: city.timezone: {city_file.city.timezone!r} is not an IANA time zone"
    ids = [city_file.city.id, *(zone.id for zone in city_file.zone)]
    for zone_id in sorted({zone_id for zone_id in ids if ids.count(zone_id) > 1}):
        yield f"city.toml: zone id {zone_id!r} stands twice"


def _zones(city_file: _CityFile) -> tuple[tuple[Zone, ...], Mapping[ZoneId, int]]:
    city = city_file.city
    top = Zone(ZoneId(city.id), ZoneKind.CITY, city.name, city.short_name, city.latitude, city.longitude)
    districts = [
        Zone(
            ZoneId(zone.id),
            ZoneKind.DISTRICT,
            zone.name,
            zone.short_name,
            zone.latitude,
            zone.longitude,
            top.zone_id,
        )
        for zone in city_file.zone
    ]
    counted: dict[str, int | None] = {city.id: city.population} | {zone.id: zone.population for zone in city_file.zone}
    population = {ZoneId(zone_id): count for zone_id, count in counted.items() if count is not None}
    return (top, *districts), MappingProxyType(population)
