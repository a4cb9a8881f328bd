"""What the simulated sensors measure on usual days."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pulso.model import Family
from sensors_sim.rhythm import Instants, Week
from tests.support.simulated import true_series

CITY_CLOCK = ZoneInfo("America/Mexico_City")
MONDAY = datetime(2026, 11, 23, tzinfo=CITY_CLOCK).astimezone(UTC)
SUNDAY = MONDAY - timedelta(days=1)


def at_hours(family, prop, day, *hours):
    """Mean over the city at hours of a local day."""
    return true_series(family, day, [60 * hour for hour in hours])[prop].mean(axis=0)


def test_traffic_crawls_in_both_rush_hours_and_flows_at_night():
    night, morning, noon, evening = at_hours(Family.TRAFFIC, "speed", MONDAY, 3, 8, 12, 18.5)
    assert max(morning, evening) < noon < night
    assert night > 1.5 * morning


def test_sunday_morning_has_no_rush_hour():
    assert at_hours(Family.TRAFFIC, "speed", SUNDAY, 8)[0] > 1.3 * at_hours(Family.TRAFFIC, "speed", MONDAY, 8)[0]


def test_occupancy_rises_and_speed_falls_with_volume():
    values = true_series(Family.TRAFFIC, MONDAY, range(0, 24 * 60, 10))
    for thing in range(0, 160, 16):
        assert np.corrcoef(values["vehicle_count"][thing], values["speed"][thing])[0, 1] < -0.7
        assert np.corrcoef(values["vehicle_count"][thing], values["occupancy"][thing])[0, 1] > 0.7


def test_traffic_stays_within_what_a_detector_can_see():
    values = true_series(Family.TRAFFIC, MONDAY, range(0, 7 * 24 * 60, 13))
    assert values["speed"].min() >= 4.0
    assert values["speed"].max() < 90
    assert values["occupancy"].min() >= 0
    assert values["occupancy"].max() <= 95
    assert (values["vehicle_count"] == np.floor(values["vehicle_count"])).all()


def test_bins_fill_during_the_day_and_are_emptied_in_the_morning_round():
    fill = true_series(Family.WASTE, MONDAY, [60 * h for h in (4, 11, 16, 22)])["fill_level"]
    before, after, afternoon, night = fill.mean(axis=0)
    assert after < afternoon < night
    assert after < before - 30


def test_a_missed_collection_leaves_a_bin_full():
    fill = true_series(Family.WASTE, MONDAY, [60 * 11 + 1440 * day for day in range(14)])["fill_level"]
    share_full = (fill > 60).mean()
    assert 0.002 < share_full < 0.08


def test_power_is_the_derivative_of_the_register():
    values = true_series(Family.ENERGY, MONDAY, np.arange(0, 40, 0.1))
    gained = np.diff(values["energy_import"], axis=1) * 3.6e6 / 6.0  # W over each six seconds
    mean_power = (values["power"][:, 1:] + values["power"][:, :-1]) / 2
    assert gained == pytest.approx(mean_power, rel=1e-3)


def test_voltage_sags_with_load_and_keeps_to_the_norm():
    values = true_series(Family.ENERGY, MONDAY, [60 * h for h in (4, 19.5)])
    night, evening = values["voltage"].mean(axis=0)
    assert evening < night
    week = true_series(Family.ENERGY, MONDAY, range(0, 7 * 24 * 60, 17))["voltage"]
    assert ((week > 114.3) & (week < 139.7)).all()


def test_ozone_peaks_in_the_afternoon_and_particles_in_the_morning():
    hours = range(24)
    ozone = at_hours(Family.AIR, "o3", MONDAY, *hours)
    particles = at_hours(Family.AIR, "pm2_5", MONDAY, *hours)
    assert ozone.argmax() in (13, 14, 15, 16)
    assert particles.argmax() in (7, 8, 9, 10)
    assert ozone.max() > 4 * ozone.min()


def test_air_levels_are_those_of_this_city():
    values = true_series(Family.AIR, MONDAY, range(0, 28 * 24 * 60, 60))
    assert 14 < values["pm2_5"].mean() < 30
    assert 30 < values["pm10"].mean() < 60
    assert 18 < values["o3"].mean() < 45
    assert 15 < values["no2"].mean() < 40
    assert (values["pm10"] > values["pm2_5"]).all()


def test_a_day_repeats_in_shape_but_not_in_value():
    minutes = np.arange(0, 1440, 10)
    monday = true_series(Family.TRAFFIC, MONDAY, minutes)["speed"]
    tuesday = true_series(Family.TRAFFIC, MONDAY + timedelta(days=1), minutes)["speed"]
    assert np.corrcoef(monday.mean(axis=0), tuesday.mean(axis=0))[0, 1] > 0.9
    assert not np.allclose(monday, tuesday, rtol=0.01)


def test_the_weekly_curve_follows_the_clock_of_the_city_through_daylight_saving():
    new_york = ZoneInfo("America/New_York")
    before, after = (datetime(2026, 11, day, 8, tzinfo=new_york) for day in (1, 2))  # the clocks go back on the 1st
    micros = np.array([int(moment.timestamp()) * 1_000_000 for moment in (before - timedelta(days=1), after)])
    clock = Instants.of(micros, new_york).local
    assert (clock % 86_400 == 8 * 3600).all()


def test_the_integral_of_a_week_is_the_sum_of_its_curve():
    week = Week.of(range(24), range(24, 48), range(48, 72))
    clock = np.arange(0, 10 * 86_400, 60.0)
    by_trapezia = np.concatenate([[0], np.cumsum((week.at(clock)[1:] + week.at(clock)[:-1]) * 30.0)])
    assert week.integral(clock) - week.integral(clock[:1]) == pytest.approx(by_trapezia, rel=1e-9, abs=1e-6)
