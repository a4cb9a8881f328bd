from collections import Counter

import numpy as np
import pytest
from shapely import Point, Polygon

from pulso.city.pack import load_pack
from pulso.errors import ConfigurationError
from pulso.model import Family, to_micros
from sensors_sim.city import build_city, distance_km
from sensors_sim.generate import due
from sensors_sim.plan import CityPlan, load_plan, read_toml
from tests.support.simulated import MONDAY_NOON, city, fleet_of


def test_every_district_has_its_things_of_all_families():
    things = [thing for fleet in city().fleets for thing in fleet.things]
    per_district = Counter((thing.zone_id, thing.family) for thing in things)
    expected = {Family.TRAFFIC: 10, Family.WASTE: 8, Family.ENERGY: 6, Family.AIR: 3}
    assert len(things) == 432
    assert per_district == {(zone.zone_id, f): n for zone in city().districts for f, n in expected.items()}


def test_things_stand_in_their_own_district():
    pack = load_pack("cdmx")
    outline = Polygon(pack.map.outline)
    for fleet in city().fleets:
        away = np.stack(
            [
                distance_km(fleet.sites.latitude, fleet.sites.longitude, seat.latitude, seat.longitude)
                for seat in pack.districts
            ]
        )
        assert (away.argmin(axis=0) == fleet.sites.district).all()
        assert all(outline.contains(Point(thing.longitude, thing.latitude)) for thing in fleet.things)


def test_a_larger_city_keeps_the_things_of_the_smaller_one():
    pack = load_pack("cdmx")
    larger = build_city(pack, load_plan(pack), seed=7, scale=2)
    things = {thing.external_id: thing for fleet in larger.fleets for thing in fleet.things}
    assert len(things) == 864
    assert all(things[thing.external_id] == thing for fleet in city().fleets for thing in fleet.things)


def test_each_thing_reports_once_per_interval_at_its_own_phase():
    start = to_micros(MONDAY_NOON)
    fleet = fleet_of(Family.TRAFFIC)
    rows, micros = due(fleet, start, start + fleet.interval)
    assert sorted(rows) == list(range(len(fleet.things)))
    assert len({int(m) // 1_000_000 % 60 for m in micros}) > 40  # spread over the minute, not all at once
    assert (micros % 1_000_000 == 0).all()


def test_consecutive_stretches_of_time_cover_every_instant_once():
    start, step = to_micros(MONDAY_NOON), 7_300_000
    fleet = fleet_of(Family.ENERGY)
    whole = sorted(zip(*map(np.ndarray.tolist, due(fleet, start, start + 40 * step)), strict=True))
    parts = [due(fleet, start + n * step, start + (n + 1) * step) for n in range(40)]
    assert whole == sorted((int(r), int(m)) for rows, micros in parts for r, m in zip(rows, micros, strict=True))


def test_publishers_share_the_things_without_overlap():
    start = to_micros(MONDAY_NOON)
    fleet = fleet_of(Family.AIR)
    shares = [set(due(fleet, start, start + 60_000_000, (n, 3))[0].tolist()) for n in range(3)]
    assert sum(map(len, shares)) == len(set.union(*shares)) == len(fleet.things)


def test_a_dense_grid_has_no_instant_twice():
    dense = city(denser=500.0)
    start = to_micros(MONDAY_NOON)
    for fleet in dense.fleets:
        rows, micros = due(fleet, start, start + 2_000_000)
        assert len(set(zip(rows.tolist(), micros.tolist(), strict=True))) == len(rows) > 0


def test_a_plan_with_faults_names_each_of_them(tmp_path):
    source = load_pack("cdmx").path / "simulator.toml"
    file = tmp_path / "simulator.toml"
    text = source.read_text(encoding="utf-8")
    file.write_text(
        text.replace('"PT5M"', '"PT0S"').replace("per_district = 10", "per_district = -1"), encoding="utf-8"
    )
    with pytest.raises(ConfigurationError) as raised:
        read_toml(file, CityPlan)
    assert "traffic.per_district" in str(raised.value)
    assert "waste.interval" in str(raised.value)
