"""Boundaries of zones: reading GeoJSON, matching names, finding the zone of a point."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulso.city import load_pack
from pulso.city.boundaries import Boundary, ZoneFinder, match_zones, read_boundaries, slug
from pulso.errors import ConfigurationError
from pulso.model import Zone, ZoneId, ZoneKind


def square(west: float, south: float, size: float = 1.0) -> dict[str, Any]:
    east, north = west + size, south + size
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def feature(geometry: object, **properties: object) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(*features: dict[str, Any], **members: object) -> str:
    return json.dumps({"type": "FeatureCollection", **members, "features": features})


def zone(zone_id: str, name: str, short_name: str = "") -> Zone:
    return Zone(ZoneId(zone_id), ZoneKind.DISTRICT, name, short_name or name, 19.0, -99.0)


NORTH = feature(square(-99, 20), name="Norte")


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_name_field_is_found_among_the_usual_ones_in_any_case() -> None:
    read = read_boundaries(collection(feature(square(0, 0), CODE="x", Name="Norte"), feature(square(1, 0), Name="Sur")))
    assert (read.name_field, [each.name for each in read.boundaries]) == ("Name", ["Norte", "Sur"])


def test_the_only_field_that_tells_areas_apart_is_taken() -> None:
    read = read_boundaries(collection(feature(square(0, 0), zona="Norte", country="MX", n=1),
                                      feature(square(1, 0), zona="Sur", country="MX", n=2)))  # fmt: skip
    assert read.name_field == "zona"


def test_a_field_can_be_named() -> None:
    assert read_boundaries(collection(feature(square(0, 0), name="a", key="b")), "key").boundaries[0].name == "b"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("PK\x03\x04 a zip", "not even JSON"),
        ("[" * 100_000, "not even JSON"),
        ("[]", "type is None"),
        ('{"type": "Topology"}', "TopoJSON"),
        (json.dumps(square(0, 0)), "type is 'Polygon'"),
        (collection(), "empty"),
        ('{"type": "FeatureCollection", "features": [7]}', "feature 1 is no GeoJSON Feature"),
        (collection(NORTH, crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::6372"}}), "EPSG::6372"),
        (collection(feature(square(2_800_000, 820_000, 9_000), name="a")), "projected"),
        (collection(feature(square(19, -99), name="a")), "swapped"),
        (collection(feature({"type": "Point", "coordinates": [0, 0]}, name="a")), "is Point"),
        (collection(feature(None, name="a")), "is missing"),
        (collection(feature({"type": "Polygon", "coordinates": []}, name="a")), "empty"),
        (collection(feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, name="a")), "cannot be read"),
        (collection(feature({"type": "Polygon", "coordinates": "here"}, name="a")), "cannot be read"),
        (collection(feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, name="a")),
         "no area"),
        (collection(NORTH, feature(square(1, 0), name="NORTE")), "more than once"),
        (collection(feature(square(0, 0), a="x", b="y")), "--name-field; there are a, b"),
        (collection(feature(square(0, 0))), "there are none"),
        (collection(feature(square(0, 0), name="a"), feature(square(1, 0), name="")), "--name-field"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match="(?s)" + says.replace("(", r"\(")):
        read_boundaries(text)


def test_a_field_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match="no feature has a field 'nombre'; there are name"):
        read_boundaries(collection(NORTH), "nombre")


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_boundaries(collection(feature(None, name="a"), NORTH, feature(square(500, 0), name="b")))
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["feature 1 (a)", "feature 3 (b)"]


def test_rings_that_cross_themselves_are_repaired_with_a_note() -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}
    read = read_boundaries(collection(feature(bow_tie, name="Lazo")))
    assert "repaired" in read.notes[0]
    assert "Lazo" in read.notes[0]
    assert read.boundaries[0].area.is_valid
    assert read.boundaries[0].area.area == pytest.approx(2.0)


# --- matching ---------------------------------------------------------------------------------------------------------


def boundary(name: str, *told: str) -> Boundary:
    return Boundary(name, read_boundaries(collection(NORTH)).boundaries[0].area, frozenset({name, *told}))


def test_zones_are_matched_by_id_code_and_name_without_accents() -> None:
    zones = [zone("centro", "Centro Histórico"), zone("09003", "Coyoacán"), zone("contreras", "La Magdalena Contreras")]
    found = match_zones(
        [boundary("CENTRO HISTORICO"), boundary("whatever", "09003"), boundary("Magdalena-Contreras")], zones
    )
    assert {zone_id: each.name for zone_id, each in found.zones.items()} == {
        "centro": "CENTRO HISTORICO", "09003": "whatever", "contreras": "Magdalena-Contreras",
    }  # fmt: skip
    assert not found.strangers
    assert not found.missing


def test_what_does_not_match_comes_with_suggestions() -> None:
    found = match_zones([boundary("Coyohuacan"), boundary("Zzyzx")], [zone("coyoacan", "Coyoacán")])
    assert found.strangers == {"Coyohuacan": ["coyoacan"], "Zzyzx": []}
    assert found.missing == ["coyoacan"]


def test_two_boundaries_for_one_zone_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'norte' would get 2 boundaries"):
        match_zones([boundary("Norte"), boundary("El Norte")], [zone("norte", "Norte")])


def test_ids_are_made_of_names() -> None:
    assert [slug(name) for name in ("Álvaro Obregón", "  São-Paulo / Centro ", "1", "北京")] == [
        "alvaro_obregon", "sao_paulo_centro", "z_1", "z",
    ]  # fmt: skip


# --- finding ----------------------------------------------------------------------------------------------------------

FINDER = ZoneFinder(
    {"east": square(1, 0), "west": square(0, 0), "city": square(0, 0, 2), "hole": square(1.2, 0.2, 0.2)}
)


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (0.5, 0.5, "west"), (0.5, 1.5, "east"), (0.3, 1.3, "hole"), (1.5, 0.5, "city"), (5.0, 5.0, None),
        (0.5, 1.0, "east"), (0.0, 0.0, "west"), (2.0, 2.0, "city"), (float("nan"), 0.5, None),
        (0.5, float("inf"), None),
    ],
)  # fmt: skip
def test_a_point_belongs_to_the_smallest_zone_it_touches(
    latitude: float, longitude: float, expected: str | None
) -> None:
    assert FINDER.zone_at(latitude, longitude) == expected


@given(latitude=st.floats(-1, 3), longitude=st.floats(-1, 3))
def test_the_order_of_boundaries_makes_no_difference(latitude: float, longitude: float) -> None:
    zones = {"east": square(1, 0), "west": square(0, 0), "north": square(0, 1)}
    turned = ZoneFinder(dict(reversed(zones.items())))
    assert ZoneFinder(zones).zone_at(latitude, longitude) == turned.zone_at(latitude, longitude)


def test_nothing_lies_in_no_zones() -> None:
    assert ZoneFinder({}).zone_at(0, 0) is None


# --- real boundaries --------------------------------------------------------------------------------------------------


def test_the_alcaldias_of_mexico_city_match_their_pack_and_hold_their_seats(real_data: Path) -> None:
    pack = load_pack("cdmx")
    read = read_boundaries((real_data / "geo" / "cdmx_alcaldias_2022.geojson").read_text(encoding="utf-8"))
    found = match_zones(read.boundaries, pack.districts)
    assert read.name_field == "NOMGEO"
    assert not found.strangers
    assert not found.missing
    finder = ZoneFinder({zone_id: each.geojson for zone_id, each in found.zones.items()})
    wrong = {
        each.zone_id: finder.zone_at(each.latitude, each.longitude)
        for each in pack.districts
        if finder.zone_at(each.latitude, each.longitude) != each.zone_id
    }
    assert wrong == {}
    assert finder.zone_at(19.4326, -99.1332) == "cuauhtemoc"  # the Zócalo
    assert finder.zone_at(20.67, -103.35) is None  # Guadalajara


def test_municipios_around_tijuana_are_read_by_another_field(real_data: Path) -> None:
    read = read_boundaries((real_data / "geo" / "tijuana_region_municipios_2021.geojson").read_text(encoding="utf-8"))
    assert read.name_field == "NOM_MUN"
    finder = ZoneFinder({slug(each.name): each.geojson for each in read.boundaries})
    assert finder.zone_at(32.5149, -117.0382) == "tijuana"
    assert finder.zone_at(32.3661, -117.0618) == "playas_de_rosarito"
    assert finder.zone_at(19.43, -99.13) is None
