"""The schematic district map: one cell per district, with a place for its name and value. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shapely import MultiPoint, Point, Polygon, box, maximum_inscribed_circle, prepare, voronoi_polygons
from shapely.geometry.base import BaseGeometry

from pulso.city.pack import Map
from pulso.model import Zone

HEIGHT = 1000.0  # units of the drawing; the width follows from the city's shape
_MAGNIFY = 0.66  # exponent below 1: the dense middle grows, the wide rim shrinks
_RELAX = 0.6  # how far seats move towards the middle of their cell, three times: cells grow more alike
_GAP = 4.0  # half the distance between two cells
_CORNER = 7.0  # radius of a cell's corners
_VALUE_SIZE = 40.0
_VALUE_WIDTH = 84.0  # four characters at that size
_NAME_SIZES = (28.0, 26.0, 24.0, 22.0, 20.0, 18.0, 16.0)
_CHARACTER = 0.57  # mean advance of Inter at weight 500, in em
_LEADING = 1.12


@dataclass(frozen=True, slots=True)
class Label:
    """A name in lines of `size`, the value below; (x, y) is the middle of the block."""

    lines: tuple[str, ...]
    size: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One district: the data of an SVG path, and its label."""

    zone_id: str
    path: str
    label: Label


@dataclass(frozen=True, slots=True)
class DistrictMap:
    """The whole drawing, from (0, 0) to (width, height), y downwards."""

    width: float
    height: float
    value_size: float
    cells: tuple[Cell, ...]


def district_map(city_map: Map, districts: Sequence[Zone]) -> DistrictMap:
    """Draw each district as a cell around its seat, inside the city's outline.

    The plane is magnified around the middle of the seats and the seats are spread a little, so that small central
    districts can carry their label: neighbours stay neighbours, borders and sizes mean nothing. That it is schematic
    has to be said wherever this is shown.
    """
    project = _Projection.around([(zone.longitude, zone.latitude) for zone in districts], city_map.outline)
    outline = Polygon([project(*corner) for corner in _smooth(city_map.outline)])
    seats = [Point(project(zone.longitude, zone.latitude)) for zone in districts]
    for _ in range(3):
        seats = [_towards(seat, region.centroid) for seat, region in zip(seats, _regions(seats, outline), strict=True)]
    cells = tuple(_cell(zone, region) for zone, region in zip(districts, _regions(seats, outline), strict=True))
    return DistrictMap(round(outline.bounds[2], 1), HEIGHT, _VALUE_SIZE, cells)


def _smooth(outline: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The outline with its corners cut (Chaikin 1974) and enough points to bend under the projection."""
    corners = list(outline)
    for _ in range(2):
        following = [*corners[1:], corners[0]]
        corners = [
            (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t)
            for a, b in zip(corners, following, strict=True)
            for t in (0.2, 0.8)
        ]
    return list(Polygon(corners).segmentize(0.01).exterior.coords[:-1])


def _regions(seats: Sequence[Point], outline: Polygon) -> list[BaseGeometry]:
    """The part of the outline nearest to each seat, in the order of the seats."""
    regions = list(voronoi_polygons(MultiPoint(seats), extend_to=outline.buffer(HEIGHT)).geoms)
    return [next(region for region in regions if region.covers(seat)).intersection(outline) for seat in seats]


def _towards(seat: Point, middle: Point) -> Point:
    return Point(seat.x + (middle.x - seat.x) * _RELAX, seat.y + (middle.y - seat.y) * _RELAX)


@dataclass(frozen=True, slots=True)
class _Projection:
    """Degrees to drawing units: equirectangular, magnified around a centre, scaled to the height, y downwards."""

    longitude: float
    latitude: float
    scale: float
    left: float
    top: float

    @classmethod
    def around(cls, seats: Sequence[tuple[float, float]], outline: Sequence[tuple[float, float]]) -> "_Projection":
        """The projection that fits `outline` into the drawing's height, its centre amid the `seats`."""
        longitude = sum(seat[0] for seat in seats) / len(seats)
        latitude = sum(seat[1] for seat in seats) / len(seats)
        flat = cls(longitude, latitude, 1.0, 0.0, 0.0)
        xs, ys = zip(*(flat(*corner) for corner in _smooth(outline)), strict=True)
        scale = HEIGHT / (max(ys) - min(ys))
        return cls(longitude, latitude, scale, min(xs) * scale, min(ys) * scale)

    def __call__(self, longitude: float, latitude: float) -> tuple[float, float]:
        """The point of the drawing."""
        east = (longitude - self.longitude) * math.cos(math.radians(self.latitude))
        south = self.latitude - latitude
        distance = math.hypot(east, south)
        stretch = distance ** (_MAGNIFY - 1) if distance else 0.0
        return east * stretch * self.scale - self.left, south * stretch * self.scale - self.top


def _cell(zone: Zone, region: BaseGeometry) -> Cell:
    shape = region.buffer(-_GAP - _CORNER, join_style="mitre").buffer(_CORNER, quad_segs=4)
    return Cell(zone.zone_id, _path(shape), _label(zone, shape))


def _path(shape: Polygon) -> str:
    points = " L".join(f"{x:.1f} {y:.1f}" for x, y in shape.exterior.coords[:-1])
    return f"M{points}Z"


def _label(zone: Zone, shape: Polygon) -> Label:
    """The largest name that fits, written out in preference to shortened; the smallest if none does."""
    prepare(shape)
    spots = list(_spots(shape))
    for size in _NAME_SIZES:
        for lines in _spellings(zone):
            for spot in spots:
                if box(*_block(lines, size, spot)).within(shape):
                    return Label(lines, size, round(spot.x, 1), round(spot.y, 1))
    return Label((zone.short_name,), _NAME_SIZES[-1], round(spots[0].x, 1), round(spots[0].y, 1))


def _spellings(zone: Zone) -> Iterator[tuple[str, ...]]:
    for name in dict.fromkeys((zone.name, zone.short_name)):
        yield (name,)
        words = name.split(" ")
        breaks = range(1, len(words))
        yield from sorted(
            ((" ".join(words[:n]), " ".join(words[n:])) for n in breaks), key=lambda lines: max(map(len, lines))
        )[:1]


def _spots(shape: Polygon) -> Iterator[Point]:
    """Where a label may stand, best first: the centroid, the roomiest point, then a grid around the centroid."""
    middle = shape.centroid
    yield middle
    yield Point(maximum_inscribed_circle(shape).coords[0])
    steps = [(dx * 8.0, dy * 8.0) for dx in range(-8, 9) for dy in range(-8, 9)]
    for dx, dy in sorted(steps, key=lambda step: math.hypot(*step)):
        yield Point(middle.x + dx, middle.y + dy)


def _block(lines: Sequence[str], size: float, spot: Point) -> tuple[float, float, float, float]:
    """Bounds of the label around `spot`: name lines above, value below."""
    width = max(_VALUE_WIDTH, *(len(line) * size * _CHARACTER for line in lines))
    height = len(lines) * size * _LEADING + _VALUE_SIZE * 1.0
    return spot.x - width / 2, spot.y - height / 2, spot.x + width / 2, spot.y + height / 2
