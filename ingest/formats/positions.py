"""Positions as messages write them: (latitude, longitude) in degrees, WGS 84."""

from collections.abc import Mapping, Sequence

from ingest.measured import as_number


def geojson_point(value: object) -> tuple[float, float] | None:
    """The position of a GeoJSON Point (RFC 7946: longitude first); None for any other geometry or value.

    A line or an area is the place that is observed, not the place of the device, so it tells no position.

    >>> geojson_point({"type": "Point", "coordinates": [-99.17, 19.35]})
    (19.35, -99.17)
    """
    if not isinstance(value, Mapping) or value.get("type") != "Point":
        return None
    coordinates = value.get("coordinates")
    if not isinstance(coordinates, Sequence) or isinstance(coordinates, str) or len(coordinates) < 2:
        return None
    return position(coordinates[1], coordinates[0])


def position(latitude: object, longitude: object) -> tuple[float, float] | None:
    """A position of two numbers or texts of numbers; None if it is none on earth, or 0, 0, which stands for unknown."""
    north, east = as_number(latitude), as_number(longitude)
    if north is None or east is None or not (-90 <= north <= 90 and -180 <= east <= 180):
        return None
    return None if north == 0 == east else (north, east)
