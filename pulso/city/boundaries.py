"""Boundaries of zones from GeoJSON (RFC 7946), and the zone a point lies in. Pure."""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

import shapely
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Point, Polygon, mapping, shape

from pulso.errors import ConfigurationError
from pulso.model import Zone

NAME_FIELDS = (
    "NOMGEO", "NOM_MUN", "name", "nombre", "nom", "nome", "naam", "name_2", "name_1", "district", "distrito",
    "municipio", "alcaldia", "barrio", "colonia", "bezirk", "stadtteil", "ward", "borough", "label", "title",
)  # fmt: skip
"""Fields that usually hold the name of an area, in the order they are tried, in any case."""

_CRS84 = re.compile(r"CRS:?84|EPSG:{1,2}(?:[0-9.]*:)?4326|WGS ?84", re.IGNORECASE)
_ARTICLES = frozenset(
    {"la", "el", "los", "las", "le", "les", "the", "der", "die", "das", "de", "den", "o", "a", "os", "as"}
)
_MOST_FAULTS = 20

Area: TypeAlias = Any  # Polygon or MultiPolygon; shapely has no annotations


@dataclass(frozen=True, slots=True)
class Boundary:
    """One area of a file. `names` are all texts and numbers it is told by, the feature's id included."""

    name: str
    area: Area
    names: frozenset[str] = frozenset()

    @property
    def geojson(self) -> dict[str, Any]:
        """Its geometry as GeoJSON, longitude before latitude."""
        return dict(mapping(self.area))


@dataclass(frozen=True, slots=True)
class BoundaryFile:
    """What a file holds; `notes` say what was repaired."""

    boundaries: tuple[Boundary, ...]
    name_field: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """Which boundary belongs to which zone, by zone id.

    `strangers` are names without a zone, with the ids of zones they are like; `missing` zones without a boundary.
    """

    zones: Mapping[str, Boundary]
    strangers: Mapping[str, Sequence[str]]
    missing: Sequence[str]


def read_boundaries(text: str, name_field: str | None = None) -> BoundaryFile:
    """The areas of a GeoJSON FeatureCollection of Polygon and MultiPolygon in longitude and latitude.

    Rings that cross themselves are repaired, with a note. Raises ConfigurationError that names every fault.
    """
    features = _features(text)
    field = _name_field(features, name_field)
    faults: list[str] = []
    notes: list[str] = []
    boundaries: list[Boundary] = []
    for number, feature in enumerate(features, 1):
        properties = feature.get("properties") or {}
        name = _text(properties.get(field)) or ""
        label = f"feature {number} ({name or 'without a name'})"
        if not name:
            faults.append(f"{label}: its field {field!r} is empty")
            continue
        try:
            area, repaired = _area(feature.get("geometry"))
        except ConfigurationError as error:
            faults.append(f"{label}: {error}")
            continue
        if repaired:
            notes.append(f"{label}: its rings cross themselves or each other; repaired")
        names = {told for value in (*properties.values(), feature.get("id")) if (told := _text(value))}
        boundaries.append(Boundary(name, area, frozenset(names)))
    counted = Counter(_key(boundary.name) for boundary in boundaries)
    twice = sorted({boundary.name for boundary in boundaries if counted[_key(boundary.name)] > 1})
    faults += [f"the name {name!r} stands more than once in field {field!r}" for name in twice]
    if faults:
        more = len(faults) - _MOST_FAULTS
        shown = [*faults[:_MOST_FAULTS], f"and {more} more"] if more > 0 else faults
        raise ConfigurationError("the boundaries are not usable:", faults=shown)
    return BoundaryFile(tuple(boundaries), field, tuple(notes))


def match_zones(boundaries: Sequence[Boundary], zones: Sequence[Zone]) -> Match:
    """Find the zone of each boundary: by id or code, then by name, accents, case and articles aside.

    Raises ConfigurationError where one zone would get two boundaries.
    """
    found: dict[str, list[Boundary]] = {}
    strangers: dict[str, Sequence[str]] = {}
    by_id = {str(zone.zone_id): zone for zone in zones}
    by_name = {_key(name): zone for zone in reversed(zones) for name in (zone.zone_id, zone.short_name, zone.name)}
    for boundary in boundaries:
        zone = next((by_id[told] for told in sorted(boundary.names) if told in by_id), None) or by_name.get(
            _key(boundary.name)
        )
        if zone is None:
            close = get_close_matches(_key(boundary.name), by_name, n=3, cutoff=0.6)
            strangers[boundary.name] = list(dict.fromkeys(str(by_name[name].zone_id) for name in close))
        else:
            found.setdefault(zone.zone_id, []).append(boundary)
    faults = [
        f"zone {zone_id!r} would get {len(claims)} boundaries: {', '.join(repr(claim.name) for claim in claims)}"
        for zone_id, claims in found.items()
        if len(claims) > 1
    ]
    if faults:
        raise ConfigurationError("the boundaries do not fit the zones:", faults=faults)
    matched = {zone_id: claims[0] for zone_id, claims in sorted(found.items())}
    missing = [zone.zone_id for zone in zones if zone.zone_id not in matched]
    return Match(matched, strangers, missing)


class ZoneFinder:
    """Finds the zone of a point among the boundaries of zones (GeoJSON geometries by zone id).

    A point on a common border, or where zones overlap, belongs to the smallest of them (of equal ones to the first
    by id), always to the same one.
    """

    def __init__(self, boundaries: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises ConfigurationError for a geometry that cannot be read."""
        areas = {zone_id: _area(geometry)[0] for zone_id, geometry in boundaries.items()}
        self._ids = sorted(areas, key=lambda zone_id: (areas[zone_id].area, zone_id))
        ordered = [areas[zone_id] for zone_id in self._ids]
        shapely.prepare(ordered)
        self._tree = shapely.STRtree(ordered)

    def __len__(self) -> int:
        return len(self._ids)

    def zone_at(self, latitude: float, longitude: float) -> str | None:
        """Id of the zone the point lies in; None outside of all of them, and for a point that is nowhere."""
        if not (math.isfinite(latitude) and math.isfinite(longitude)):
            return None
        hits = self._tree.query(Point(longitude, latitude), predicate="intersects")
        return self._ids[min(hits)] if len(hits) else None


def slug(name: str) -> str:
    """An id for a zone of that name.

    >>> slug("Álvaro Obregón"), slug("2º Distrito")
    ('alvaro_obregon', 'z_2o_distrito')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", _plain(name)).strip("_")[:60].strip("_")
    return plain if re.match("[a-z]", plain) else f"z_{plain}".rstrip("_")


def _plain(name: str) -> str:
    """Lower case, without accents."""
    apart = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _key(name: str) -> str:
    """What two spellings of one name have in common."""
    words = re.findall(r"[^\W_]+", _plain(name))
    while len(words) > 1 and words[0] in _ARTICLES:
        words.pop(0)
    return " ".join(words)


def _features(text: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"this is not GeoJSON: not even JSON: {error}") from None
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Topology":
        raise ConfigurationError("this is TopoJSON; convert it to GeoJSON (ogr2ogr -f GeoJSON out.geojson in.topojson)")
    if kind != "FeatureCollection":
        raise ConfigurationError(f"this is not a GeoJSON FeatureCollection; its type is {kind!r}")
    _check_crs(document.get("crs"))
    features = document.get("features")
    if not isinstance(features, list) or not features:
        raise ConfigurationError("the FeatureCollection is empty")
    strange = [number for number, each in enumerate(features, 1) if not _is_feature(each)]
    if strange:
        raise ConfigurationError(f"feature {strange[0]} is no GeoJSON Feature: an object with geometry and properties")
    return features


def _is_feature(feature: object) -> bool:
    return (
        isinstance(feature, dict)
        and feature.get("type") == "Feature"
        and isinstance(feature.get("properties") or {}, dict)
    )


def _check_crs(crs: object) -> None:
    """The `crs` member of GeoJSON before RFC 7946; without one it is longitude and latitude on WGS 84."""
    if crs is None:
        return
    told = json.dumps(crs)
    if not _CRS84.search(told):
        raise ConfigurationError(
            f"its coordinates are in {told[:200]}; longitude and latitude are needed"
            " (ogr2ogr -t_srs EPSG:4326 -f GeoJSON out.geojson in.geojson)"
        )


def _name_field(features: Sequence[dict[str, Any]], wanted: str | None) -> str:
    """The field that holds the names. Raises ConfigurationError that lists the fields there are."""
    tables = [feature.get("properties") or {} for feature in features]
    fields: list[str] = list(dict.fromkeys(field for table in tables for field in table))
    if wanted is not None:
        if wanted in fields:
            return wanted
        raise ConfigurationError(f"no feature has a field {wanted!r}; there are {', '.join(fields) or 'none'}")
    by_case = {field.casefold(): field for field in reversed(fields)}
    for usual in NAME_FIELDS:
        field = by_case.get(usual.casefold())
        if field is not None and all(_is_name(table.get(field)) for table in tables):
            return field
    telling = [field for field in fields if _tells_apart([table.get(field) for table in tables])]
    if len(telling) == 1:
        return telling[0]
    raise ConfigurationError(
        f"which field holds the names? Say it with --name-field; there are {', '.join(fields) or 'none'}"
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _tells_apart(values: Sequence[object]) -> bool:
    return all(_is_name(value) for value in values) and len(set(values)) == len(values)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _area(geometry: object) -> tuple[Area, bool]:
    """A geometry as a valid area, and whether it had to be repaired. Raises ConfigurationError."""
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise ConfigurationError(f"its geometry is {kind or 'missing'}; Polygon or MultiPolygon is needed")
    try:
        read = shape(geometry)
        if read.is_empty:
            raise ConfigurationError("its geometry is empty")
        _check_degrees(read.bounds)
        repaired = not read.is_valid
        areas = list(_polygons(shapely.make_valid(read) if repaired else read))
    except (ShapelyError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigurationError(f"its coordinates cannot be read: {error}") from None
    if not areas:
        raise ConfigurationError("its geometry has no area")
    return (areas[0] if len(areas) == 1 else MultiPolygon(areas)), repaired


def _check_degrees(bounds: Sequence[float]) -> None:
    west, south, east, north = bounds
    if not all(map(math.isfinite, bounds)):
        raise ConfigurationError("a coordinate is no finite number")
    if west >= -90 and east <= 90 and (abs(south) > 90 or abs(north) > 90) and max(abs(south), abs(north)) <= 180:
        raise ConfigurationError("latitude and longitude are swapped; GeoJSON has the longitude first")
    if west < -180 or east > 180 or south < -90 or north > 90:
        raise ConfigurationError(
            f"its coordinates reach from {west:g}, {south:g} to {east:g}, {north:g}: projected, not degrees"
            " (ogr2ogr -t_srs EPSG:4326 -f GeoJSON out.geojson in.geojson)"
        )


def _polygons(geometry: Any) -> Iterator[Polygon]:
    if isinstance(geometry, Polygon):
        if geometry.area > 0:
            yield geometry
    else:
        for part in getattr(geometry, "geoms", ()):
            yield from _polygons(part)
