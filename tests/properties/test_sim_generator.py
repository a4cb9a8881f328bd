"""Laws of the simulated city, whatever the seed and the moment."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pulso.model import Family, to_micros
from sensors_sim.city import distance_km
from sensors_sim.faults import load_rates
from sensors_sim.generate import Generator
from sensors_sim.incidents import Incident, IncidentKind, Incidents
from tests.support.simulated import MONDAY_NOON, city, fleet_of, true_series

YEARS_FROM = datetime(2024, 1, 1, tzinfo=UTC)
moments = st.integers(0, 8 * 365 * 1440).map(lambda minutes: YEARS_FROM + timedelta(minutes=minutes))
kinds = st.sampled_from(list(IncidentKind))


def incidents_near(moment: datetime) -> st.SearchStrategy[list[Incident]]:
    return st.lists(
        st.builds(
            Incident,
            start=st.integers(-60, 60).map(lambda minute: moment + timedelta(minutes=minute)),
            kind=kinds,
            zone_id=st.sampled_from(["cdmx", "coyoacan", "tlahuac"]),
            duration=st.integers(1, 40).map(lambda minutes: timedelta(minutes=minutes)),
            severity=st.floats(0.05, 1.0),
        ),
        max_size=4,
    )


def messages(start: datetime, seconds: float, seed: int = 7, listed: list[Incident] | None = None):
    generator = Generator(city(seed), load_rates("heavy"))
    return generator.messages(
        to_micros(start), to_micros(start + timedelta(seconds=seconds)), Incidents.of(city(seed), listed or [])
    )


@settings(max_examples=10)
@given(st.data(), moments)
def test_the_same_instant_gives_the_same_bytes_however_time_is_cut(data: st.DataObject, start: datetime):
    listed = data.draw(incidents_near(start))
    whole = messages(start, 30, listed=listed)
    cut = data.draw(st.integers(1, 29))
    parts = messages(start, cut, listed=listed) + messages(start + timedelta(seconds=cut), 30 - cut, listed=listed)
    assert {(m.topic, m.phenomenon_time): m for m in whole} == {(m.topic, m.phenomenon_time): m for m in parts}


@settings(max_examples=5)
@given(moments, st.integers(1, 50))
def test_another_seed_gives_another_city(start: datetime, other: int):
    payloads = [{m.payload for m in messages(start, 60, seed)} for seed in (0, other)]
    assert len(payloads[0] & payloads[1]) < 0.05 * len(payloads[0])


@settings(max_examples=15)
@given(st.data(), moments)
def test_the_register_never_falls_and_power_is_never_negative(data: st.DataObject, start: datetime):
    outages = [i for i in data.draw(incidents_near(start)) if i.kind is IncidentKind.OUTAGE]
    minutes = np.arange(-30, 150, data.draw(st.floats(0.4, 5.0)))
    values = true_series(Family.ENERGY, start, minutes, outages)
    assert (np.diff(values["energy_import"], axis=1) >= -1e-7).all()
    assert values["power"].min() >= 0


@settings(max_examples=15)
@given(st.data(), moments)
def test_values_stay_within_what_is_physical(data: st.DataObject, start: datetime):
    listed = data.draw(incidents_near(start))
    minutes = np.arange(0, 120, 7.0)
    ranges = {
        Family.TRAFFIC: {"speed": (1, 120), "vehicle_count": (0, 400), "occupancy": (0, 100)},
        Family.WASTE: {"fill_level": (0, 100), "temperature": (-10, 50), "battery": (0, 100)},
        Family.ENERGY: {"voltage": (0, 140), "power": (0, 1e6), "power_factor": (0, 1)},
        Family.AIR: {"pm2_5": (0, 400), "pm10": (0, 600), "o3": (0, 300), "no2": (0, 300), "humidity": (0, 100)},
    }
    for family, limits in ranges.items():
        values = true_series(family, start, minutes, listed)
        for name, (low, high) in limits.items():
            assert np.isfinite(values[name]).all()
            assert low <= values[name].min()
            assert values[name].max() <= high


def test_neighbouring_districts_move_together_more_than_distant_ones():
    """Deviations from the usual week, correlated pair by pair over four weeks, seed fixed."""
    minutes = np.arange(0, 28 * 24 * 60, 20)
    for family, prop in ((Family.TRAFFIC, "speed"), (Family.AIR, "pm2_5")):
        values = np.log(true_series(family, MONDAY_NOON, minutes)[prop])
        districts = fleet_of(family).sites.district
        means = np.stack([values[districts == number].mean(axis=0) for number in range(16)])
        weekly = means.reshape(16, 4, -1)
        unusual = (weekly - weekly.mean(axis=1, keepdims=True)).reshape(16, -1)
        correlation = np.corrcoef(unusual)
        seats = city().districts
        away = np.stack(
            [
                distance_km(np.array([s.latitude for s in seats]), np.array([s.longitude for s in seats]), *where)
                for where in ((seat.latitude, seat.longitude) for seat in seats)
            ]
        )
        pairs = np.triu(np.ones((16, 16), bool), 1)
        near, far = correlation[pairs & (away < 6)], correlation[pairs & (away > 16)]
        assert near.mean() > 0.35, family
        assert near.mean() > far.mean() + 0.25, family


def test_working_days_resemble_each_other_more_than_they_resemble_sunday():
    minutes = np.arange(0, 7 * 1440, 10)
    start = datetime(2026, 11, 23, 6, tzinfo=UTC)  # Monday 00:00 in the city
    days = true_series(Family.TRAFFIC, start, minutes)["speed"].mean(axis=0).reshape(7, -1)
    correlation = np.corrcoef(days)
    assert correlation[:5, :5].min() > correlation[:5, 6].max()
