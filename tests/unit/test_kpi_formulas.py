"""Formulas against the worked examples of their standards."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpi_engine.formulas.energy import Meters, Readings, consumption
from kpi_engine.formulas.nom172 import FACTOR, load_bands, weighted_mean
from pulso.model import BandState, KpiId
from tests.support.panes import END, INDICATORS, PACK, Bench, per_minute

VECTORS = Path(__file__).parents[3] / "shared" / "domain" / "test_vectors.json"


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))[name]


# --- traffic ---------------------------------------------------------------------------------------------------------


def test_space_mean_speed_is_the_harmonic_mean() -> None:
    bench = Bench("traffic_mean_speed")
    for number, speed in enumerate((60, 40, 30)):
        bench.thing(f"t{number}", {"speed": per_minute(5, speed), "vehicle_count": per_minute(5, 1)})
    assert bench.values()["coyoacan"].value == 40.0


def test_space_mean_speed_weighs_intervals_by_vehicles() -> None:
    speeds, counts = (55.0, 38.0, 20.0), (120, 180, 60)
    points = [(0.5 + n, value) for n, value in enumerate(speeds)]
    vehicles = [(0.5 + n, float(value)) for n, value in enumerate(counts)]
    found = Bench("traffic_mean_speed").thing("t", {"speed": points, "vehicle_count": vehicles}).values()["coyoacan"]
    assert found.value == pytest.approx(36.2952, abs=5e-5)
    assert found.coverage == 0.6


def test_a_standing_road_has_the_floor_speed_and_an_empty_one_none() -> None:
    standing = {"speed": per_minute(5, 0), "vehicle_count": per_minute(5, 4)}
    empty = {"speed": per_minute(5, 0), "vehicle_count": per_minute(5, 0)}
    assert Bench("traffic_mean_speed").thing("t", standing).values()["coyoacan"].value == 3.0
    nothing = Bench("traffic_mean_speed").thing("t", empty).values()["coyoacan"]
    assert (nothing.value, nothing.band, nothing.coverage) == (None, None, 1.0)


def test_travel_time_index_of_a_network_is_the_ratio_of_total_times() -> None:
    bench = Bench("traffic_travel_time_index")
    for name, length, flow, speed, free in (("A", 2, 800, 24, 48), ("B", 1, 1500, 30, 45), ("C", 3, 400, 50, 60)):
        series = {"speed": per_minute(15, speed), "vehicle_count": per_minute(15, flow / 60)}
        bench.thing(name, series, properties={"length_m": length * 1000, "free_flow_kmh": free})
    found = bench.values()["coyoacan"]
    assert found.value == pytest.approx(1.6231, abs=5e-5)  # the mean of ratios would be 1.6023
    assert found.band is BandState.WATCH


def test_detectors_without_length_are_left_out_and_said_so() -> None:
    series = {"speed": per_minute(15, 25), "vehicle_count": per_minute(15, 10)}
    bench = Bench("traffic_travel_time_index").thing("plain", series)
    bench.thing("known", series, properties={"length_m": 500, "free_flow_kmh": 50})
    found = bench.values()["coyoacan"]
    assert (found.value, found.coverage, found.detail) == (2.0, 1.0, {"without_properties": 1})


@pytest.mark.parametrize(("value", "band"), [(1.5, "good"), (1.500001, "watch"), (2.5, "watch"), (2.6667, "bad")])
def test_travel_time_bands_include_their_upper_end(value: float, band: str) -> None:
    assert PACK.kpi("traffic_travel_time_index").band_of(value).state == band  # type: ignore[union-attr]


# --- waste -----------------------------------------------------------------------------------------------------------


def test_overflow_rate_counts_the_last_level_of_reporting_bins() -> None:
    bench = Bench("waste_overflow_rate")
    bench.thing("emptied", {"fill_level": [(9, 99), (4, 10)]}, interval=300)
    bench.thing("full", {"fill_level": [(9, 50), (4, 95)]}, interval=300)
    bench.thing("almost", {"fill_level": [(4, 94.9)]}, interval=300)
    bench.thing("silent", {"fill_level": [(31, 100)]}, interval=300)
    found = bench.values()["coyoacan"]
    assert (found.value, found.coverage, found.detail) == (pytest.approx(33.333333), 0.75, {"overflowing": 1})


def test_overflow_rate_example_of_two_hundred_bins() -> None:
    bench = Bench("waste_overflow_rate")
    for number in range(200):
        bench.thing(f"b{number}", {"fill_level": [(4, 97 if number < 9 else 40)]}, interval=300)
    assert bench.values()["cdmx"].value == 4.5


def test_mean_fill_of_district_and_city() -> None:
    bench = Bench("waste_mean_fill")
    for name, zone, level in (("a", "coyoacan", 20), ("b", "coyoacan", 40), ("c", "tlalpan", 90)):
        bench.thing(name, {"fill_level": [(3, level)]}, zone=zone, interval=300)
    found = bench.values()
    assert (found["coyoacan"].value, found["tlalpan"].value, found["cdmx"].value) == (30.0, 90.0, 50.0)


@pytest.mark.parametrize(("ended_before_window", "coverage"), [(True, 1.0), (False, 0.5)])
def test_a_thing_is_missed_until_the_end_of_its_service_and_not_later(
    ended_before_window: bool, coverage: float
) -> None:
    """A recorded series that was replayed, or a bin that was taken away, must not lower the coverage for ever."""
    start = END - INDICATORS[KpiId("waste_mean_fill")].definition.window.length
    until = (start if ended_before_window else start + timedelta(minutes=1)).timestamp()
    bench = Bench("waste_mean_fill").thing("a", {"fill_level": per_minute(30, 20)}, interval=60)
    bench.thing("gone", {"fill_level": [(60 * 24 * 365, 50)]}, properties={"in_service_until": until})
    assert bench.values()["cdmx"].coverage == coverage


# --- energy ----------------------------------------------------------------------------------------------------------


def register(*readings: float, rollover: float = np.nan, max_kw: float = 1e6, minutes: float = 5.0) -> float:
    """KWh between readings that are `minutes` apart, over a window that spans them all."""
    times = (np.arange(len(readings)) * minutes * 60e6).astype(np.int64)[None, :, None]
    points = Readings(times, np.array(readings)[None, :, None], np.ones(times.shape, bool))
    start, end = times[0, :1, 0], times[0, -1:, 0]
    meters = Meters(np.array([rollover]), np.array([max_kw]))
    return float(consumption(points, start, end, meters, 5.0).energy[0, 0])


def test_a_register_that_rolls_over_goes_on_counting() -> None:
    assert register(99990.0, 99998.5, 4.0, 12.5, rollover=100000.0) == pytest.approx(22.5)


def test_a_drop_without_a_known_size_is_a_reset_of_unknown_consumption() -> None:
    assert register(99990.0, 99998.5, 4.0, 12.5) == pytest.approx(17.0)
    assert register(500.0, 480.0, 481.0, rollover=100000.0) == pytest.approx(1.0)  # a small drop is no rollover


def test_another_meter_with_a_higher_register_is_no_spike() -> None:
    """An exchange upwards would have taken 5,988 kW; what was used meanwhile is not known."""
    assert register(1.0, 500.0, 501.0, max_kw=50.0) == pytest.approx(1.0)
    assert register(1.0, 5.0, 6.0, max_kw=50.0) == pytest.approx(5.0)


def test_nothing_is_assumed_over_a_long_gap() -> None:
    assert register(10.0, 20.0, minutes=5.1) == 0.0


@pytest.mark.parametrize(("kwh", "kw"), [(22.0, 88.0), (25.5, 102.0), (30.0, 120.0), (27.5, 110.0)])
def test_demand_is_energy_times_sixty_over_the_minutes(kwh: float, kw: float) -> None:
    points = [(float(ago), 1000 + kwh * (15 - ago) / 15) for ago in range(-1, 17)]
    assert Bench("energy_demand").thing("m", {"energy_import": points}).values()["coyoacan"].value == pytest.approx(kw)
    assert Bench("energy_interval").thing("m", {"energy_import": points}).values()["coyoacan"].value == pytest.approx(
        kwh
    )


def test_the_register_is_interpolated_at_the_ends_of_the_window() -> None:
    points = [(ago + 0.7, 1000 - 2.0 * ago) for ago in range(-1, 18)]  # 2 kWh a minute, read off the minute
    found = Bench("energy_interval").thing("m", {"energy_import": points}).values()["coyoacan"]
    assert (found.value, found.coverage) == (pytest.approx(30.0), 1.0)


def test_an_open_window_shows_the_demand_of_its_known_part() -> None:
    points = [(float(ago), 1000.0 - ago) for ago in range(5, 18)]  # 1 kWh a minute, until five minutes ago
    found = Bench("energy_demand").thing("m", {"energy_import": points}).values()["coyoacan"]
    assert (found.value, found.coverage) == (pytest.approx(60.0), 0.6667)


def test_voltage_limits_are_inclusive() -> None:
    bench = Bench("energy_voltage_compliance")
    for number, volts in enumerate((118, 121, 113.9, 127, 139.7, 140.0, 126, 114.3, 125, 122)):
        bench.thing(f"m{number}", {"voltage": per_minute(10, volts)})
    assert bench.values()["coyoacan"].value == 80.0


# --- air -------------------------------------------------------------------------------------------------------------

EXAMPLES = [
    ("PM2.5", [13, 16, 10, 21, 74, 64, 53, 82, 90, 75, 80, 50], 12),
    ("PM10", [60, 72, 88, 95, 110, 120, 90, 80, 70, 65, 60, 58], 51),
    ("PM10", [100] * 12, 71),
    ("PM2.5", [None, 40, 38, 36, None, 30, 30, 28, 27, 26, 25, 25], 26),
    ("PM2.5", [None, None, 38, 30, 30, 30, 30, 30, 30, 30, 30, 30], None),
    ("PM10", [75, None, 90, 70, 70, 70, 70, 70, 70, 70, 70, 70], 54),
    ("PM2.5", [0] * 12, 0),
]


def weighted(series: list[float | None], pollutant: str, *, reference_rounding: bool = True) -> float | None:
    hours = np.array([[np.nan if value is None else value for value in series]], float)
    value = weighted_mean(hours, FACTOR[pollutant], reference_rounding=reference_rounding)[0]
    return None if np.isnan(value) else float(value)


@pytest.mark.parametrize(("pollutant", "series", "expected"), EXAMPLES)
def test_nom_172_weighted_mean(pollutant: str, series: list[float | None], expected: float | None) -> None:
    assert weighted(series, pollutant) == expected


def test_nom_172_weighted_mean_passes_the_domain_vectors() -> None:
    for example in vectors("nom172_nowcast"):
        for key, reference in (("expect_reference_rounding", True), ("expect_no_intermediate_rounding", False)):
            expected = example[key] and example[key]["value"]
            found = weighted(example["series_newest_first"], example["pollutant"], reference_rounding=reference)
            assert found == expected, example


def band_index(pollutant: str, value: float, day: str) -> float:
    from datetime import date

    table = load_bands(PACK.path / "bands" / "nom172_bands.csv")
    return float(table.index(pollutant, np.array([value]), [date.fromisoformat(day)])[0])


@pytest.mark.parametrize(
    ("pollutant", "value", "day", "expected"),
    [
        ("PM10", 45.4, "2026-11-22", 0),
        ("PM10", 45.5, "2026-11-22", 1),
        ("PM10", 58, "2025-12-31", 1),
        ("PM10", 58, "2026-01-01", 2),
        ("PM2.5", 131, "2026-11-22", 4),
        ("O3", 0.0584, "2026-11-22", 0),
        ("O3", 0.0585, "2026-11-22", 1),
        ("NO2", 0.107, "2026-11-22", 2),
        ("PM2.5", 46, "2023-05-01", 2),  # the norm of 2019
    ],
)
def test_nom_172_bands_round_half_up_and_go_by_the_date(
    pollutant: str, value: float, day: str, expected: float
) -> None:
    assert band_index(pollutant, value, day) == expected


def test_nom_172_bands_pass_the_domain_vectors() -> None:
    for example in vectors("nom172_band"):
        if example["pollutant"] in ("PM10", "PM2.5", "O3", "NO2", "SO2", "CO") and "note" not in example:
            found = band_index(example["pollutant"], example["value"], example["date"])
            assert found == example["expect"]["index"], example


def test_no_band_before_the_first_norm() -> None:
    assert np.isnan(band_index("PM10", 50, "2019-06-01"))


def hours(*means: float | None, samples: int = 60) -> list[tuple[float, float]]:
    """Observations of clock hours, newest first, `samples` of them in each hour that has a mean."""
    return [(60 * hour + 0.5 + n, mean) for hour, mean in enumerate(means) if mean is not None for n in range(samples)]


def test_an_hour_counts_with_three_quarters_of_its_samples() -> None:
    enough = Bench("air_pm25_hourly").thing("s", {"pm2_5": hours(20, samples=45)}).values()["coyoacan"]
    short = Bench("air_pm25_hourly").thing("s", {"pm2_5": hours(20, samples=44)}).values()["coyoacan"]
    assert (enough.value, enough.coverage) == (20.0, 0.75)
    assert (short.value, short.coverage) == (None, 0.7333)


def test_the_worst_station_speaks_for_its_zone_and_for_the_city() -> None:
    bench = Bench("air_pm25_12h")
    bench.thing("clean", {"pm2_5": hours(*[10.0] * 12)})
    bench.thing("dirty", {"pm2_5": hours(*[50.0] * 12)})
    bench.thing("far", {"pm2_5": hours(*[20.0] * 12)}, zone="tlalpan")
    found = bench.values()
    assert (found["coyoacan"].value, found["coyoacan"].band) == (35.0, BandState.BAD)
    assert (found["tlalpan"].value, found["cdmx"].value) == (14.0, 35.0)
    assert found["cdmx"].detail == {"stations": ["dirty"], "responsible": 1}


def test_the_index_names_the_responsible_pollutant() -> None:
    series = {"pm2_5": hours(*[10.0] * 12), "pm10": hours(*[20.0] * 12), "o3": hours(160), "no2": hours(10)}
    found = Bench("air_nom172").thing("s", series).values()["coyoacan"]
    assert (found.value, found.band, found.coverage) == (3.0, BandState.CRITICAL, 1.0)
    assert found.detail == {"pollutants": ["O3"]}


def test_pollutants_that_tie_are_all_responsible() -> None:
    series = {"pm2_5": hours(*[25.0] * 12), "o3": hours(70)}
    assert Bench("air_nom172").thing("s", series).values()["coyoacan"].detail == {"pollutants": ["PM2.5", "O3"]}


def test_gases_in_micrograms_are_converted_by_the_reference_factor() -> None:
    series = {"o3": hours(117.6)}  # 60 ppb
    found = Bench("air_nom172").thing("s", series, units={"o3": "ug/m3"}).values()["coyoacan"]
    assert found.value == 1.0


def test_an_index_waits_for_the_gases_of_the_hour() -> None:
    series = {"pm2_5": hours(*[10.0] * 12), "pm10": hours(*[10.0] * 12), "o3": hours(None, 50), "no2": hours(None, 5)}
    found = Bench("air_nom172").thing("s", series).values()["coyoacan"]
    assert (found.value, found.coverage) == (None, 0.5)
