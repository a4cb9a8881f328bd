"""Flow, speed, travel time and level of service against the worked examples of the indicators."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_engine.formulas.level_of_service import (
    freeway,
    letters,
    signalised,
    urban_street,
    urban_street_share,
)
from kpi_engine.formulas.samples import mean, percentile
from kpi_engine.formulas.traffic_flow import (
    HEALTH_BANDS,
    OCCUPANCY_BANDS,
    Links,
    density_from_flow,
    density_from_occupancy,
    detector_health,
    flow,
    health_band,
    hours_of_delay,
    monitored_share,
    occupancy,
    occupancy_band,
    space_mean_speed,
    space_mean_speed_of_intervals,
    space_mean_speed_of_links,
    time_mean_speed,
)
from kpi_engine.formulas.travel_time import (
    INDEX_BANDS,
    NetworkIndex,
    buffer_index,
    congestion_band,
    congestion_level,
    free_flow_speed,
    index_band,
    network_travel_time_index,
    overnight,
    planning_time_index,
    travel_time_index,
)

VECTORS = Path(__file__).parents[3] / "shared" / "domain" / "test_vectors.json"
NAN = float("nan")


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))["traffic"][name]


def floats(*values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values, float)


def same(found: Any, *expected: float) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.array(expected))


def links(*rows: tuple[float, float, float, float]) -> Links:
    """Links of (length, flow, speed, free flow), as the examples have them."""
    length, traffic, speed, free = np.array(rows, float).reshape(-1, 4).T
    return Links(traffic, length, speed, free)


positive = st.floats(0.1, 2000)
speeds = st.lists(st.floats(3, 200), min_size=1, max_size=30)

# --- flow, speed -----------------------------------------------------------------------------------------------------


def test_flow_is_vehicles_per_hour() -> None:
    same(flow(floats(30, 0, NAN, -1), 300), 360, 0, NAN, NAN)


@pytest.mark.parametrize("seconds", [0.0, -60.0, NAN, float("inf")])
def test_no_flow_without_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="counting time"):
        flow(floats(1), seconds)


def test_mean_speeds_pass_the_domain_vector() -> None:
    example = vectors("space_mean_speed")
    values = floats(*example["speeds_kmh"])
    assert time_mean_speed(values) == pytest.approx(example["time_mean"], abs=5e-5)
    assert space_mean_speed(values) == pytest.approx(example["space_mean_harmonic"])


def test_interval_speed_passes_the_domain_vector() -> None:
    example = vectors("space_mean_speed_intervals")
    counts, values = np.array(example["intervals_count_speed"]).T
    found = space_mean_speed_of_intervals(counts, values)
    assert found == pytest.approx(example["space_mean"], abs=5e-5)
    assert found != pytest.approx(example["wrong_arithmetic_weighted"], abs=1)


def test_a_mean_speed_leaves_out_what_is_no_speed() -> None:
    rows = np.array([[60, NAN, 40, -5], [NAN, NAN, NAN, NAN]])
    same(time_mean_speed(rows), 50, NAN)
    same(np.round(space_mean_speed(rows), 9), 48, NAN)


def test_a_standing_vehicle_counts_with_the_floor_speed() -> None:
    same(space_mean_speed(floats(0)), 3)
    same(space_mean_speed(floats(0), minimum_speed=5), 5)
    same(time_mean_speed(floats(0)), 0)


def test_an_infinite_time_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="minimum speed"):
        space_mean_speed(floats(50), minimum_speed=0)
    with pytest.raises(ValueError, match="minimum speed"):
        Links(floats(1), floats(1), floats(1), floats(1), minimum_speed=0)


def test_no_vehicles_no_speed() -> None:
    same(space_mean_speed_of_intervals(floats(0, 0), floats(50, 60)), NAN)
    same(space_mean_speed_of_intervals(floats(10, NAN, -1), floats(NAN, 50, 50)), NAN)
    same(space_mean_speed_of_intervals(floats(10, NAN, -5), floats(40, 50, 60)), 40)
    same(space_mean_speed(floats()), NAN)
    same(time_mean_speed(floats()), NAN)


@given(speeds)
def test_space_mean_never_exceeds_time_mean(values: list[float]) -> None:
    assert space_mean_speed(floats(*values)) <= time_mean_speed(floats(*values)) * (1 + 1e-12)


@given(speeds)
def test_one_vehicle_an_interval_is_the_speed_of_vehicles(values: list[float]) -> None:
    one_each = np.ones(len(values))
    assert space_mean_speed_of_intervals(one_each, floats(*values)) == space_mean_speed(floats(*values))


# --- occupancy, density, detectors -----------------------------------------------------------------------------------


def test_occupancy_is_a_share_of_the_time() -> None:
    same(occupancy(floats(15, 0, 60, 61, -1, NAN), 60), 0.25, 0, 1, NAN, NAN, NAN)
    with pytest.raises(ValueError, match="observed time"):
        occupancy(floats(1), 0)


@pytest.mark.parametrize(("share", "band"), [(0, "ok"), (0.25, "ok"), (0.26, "watch"), (0.35, "watch"), (0.351, "jam")])
def test_occupancy_bands_exclude_their_lower_end(share: float, band: str) -> None:
    assert OCCUPANCY_BANDS[int(occupancy_band(floats(share))[0])] == band


def test_no_band_of_what_is_no_occupancy() -> None:
    same(occupancy_band(floats(NAN, 1.2, -0.1)), NAN, NAN, NAN)


def test_density_passes_the_domain_vectors() -> None:
    example = vectors("density")
    found = density_from_flow(floats(example["flow_veh_h_lane"]), floats(example["speed_kmh"]))
    same(found, example["density_veh_km_lane"])
    assert letters(freeway(found))[0] == example["freeway_los"][0]
    example = vectors("occupancy_density")
    found = density_from_occupancy(floats(example["occupancy"]), example["effective_length_m"])
    assert found[0] == pytest.approx(example["density_veh_km"], abs=5e-5)


def test_density_needs_moving_traffic_and_a_length() -> None:
    same(density_from_flow(floats(0, 100, NAN, 100), floats(50, 0, 50, NAN)), 0, NAN, NAN, NAN)
    same(density_from_occupancy(floats(0.5, 1.5, 0.5, NAN), floats(5, 5, 0, 5)), 100, NAN, NAN, NAN)


@pytest.mark.parametrize(
    ("valid", "health", "band"),
    [(90, 90, "ok"), (89.9, 89.9, "degraded"), (75, 75, "degraded"), (74.9, 74.9, "invalid"), (120, 100, "ok")],
)
def test_detector_health_bands_include_their_lower_end(valid: float, health: float, band: str) -> None:
    found = detector_health(floats(valid), 100)
    assert found[0] == pytest.approx(health)
    assert HEALTH_BANDS[int(health_band(found)[0])] == band


def test_no_health_where_nothing_is_expected() -> None:
    same(detector_health(floats(5, NAN, -1), floats(0, 10, 10)), NAN, NAN, NAN)
    same(health_band(floats(NAN)), NAN)


def test_monitored_share_goes_by_length() -> None:
    healthy = np.array([True, False, True, False])
    same(monitored_share(floats(3, 1, NAN, -2), healthy), 75)
    same(monitored_share(floats(), np.array([], bool)), NAN)


# --- travel time -----------------------------------------------------------------------------------------------------


def test_travel_time_index_passes_the_domain_vectors() -> None:
    for example in vectors("tti"):
        index = travel_time_index(floats(example["peak_min"]), example["free_flow_min"])
        level = congestion_level(index)
        assert index[0] == pytest.approx(example["tti"], abs=5e-5)
        assert level[0] == pytest.approx(example["congestion_level_pct"], abs=5e-3)
        assert INDEX_BANDS[int(index_band(index)[0])] == example["u4ssc_band"]
        assert INDEX_BANDS[int(congestion_band(level)[0])] == example["u4ssc_band"]


def test_a_network_passes_the_domain_vector() -> None:
    example = vectors("network_tti")
    network = links(*(row[1:] for row in example["data"]))
    totals = network_travel_time_index(network, NetworkIndex.RATIO_OF_TOTAL_TIMES)
    ratios = network_travel_time_index(network, NetworkIndex.MEAN_OF_RATIOS)
    assert totals == pytest.approx(example["ratio_of_total_times"], abs=5e-5)
    assert ratios == pytest.approx(example["vkt_weighted_mean_of_ratios"], abs=5e-5)
    assert hours_of_delay(network) == pytest.approx(example["vehicle_hours_of_delay_per_h"])
    assert space_mean_speed_of_links(network) == pytest.approx(example["network_space_mean_speed"], abs=5e-5)


def test_reliability_passes_the_domain_vector() -> None:
    example = vectors("reliability")
    times, free = floats(*example["travel_times_min"]), example["free_flow_min"]
    assert mean(times) == pytest.approx(example["mean"])
    assert percentile(times, 95) == pytest.approx(example["p95_linear"])
    assert planning_time_index(times, free) == pytest.approx(example["planning_time_index"], abs=5e-5)
    assert buffer_index(times) == pytest.approx(example["buffer_index_pct"], abs=5e-5)
    assert mean(travel_time_index(times, free)) == pytest.approx(example["tti_mean"], abs=5e-5)


def test_index_bands_include_their_upper_end() -> None:
    same(index_band(floats(0.9, 1.5, 1.500001, 2.5, 2.500001, NAN)), 0, 0, 1, 1, 2, NAN)
    same(congestion_band(floats(50, 50.1, 150, 150.1, NAN)), 0, 1, 1, 2, NAN)


def test_no_index_without_a_time_of_free_flow() -> None:
    same(travel_time_index(floats(10, NAN, -1), floats(0, 10, 10)), NAN, NAN, NAN)


@pytest.mark.parametrize(
    "spoilt", [(NAN, 10, 50, 50), (1, -1, 50, 50), (1, 10, NAN, 50), (1, 10, 50, 0), (0, np.inf, 9, 9)]
)
def test_a_link_that_is_not_known_is_left_out(spoilt: tuple[float, float, float, float]) -> None:
    alone, beside = links((2, 800, 24, 48)), links((2, 800, 24, 48), spoilt)
    for way in NetworkIndex:
        assert network_travel_time_index(beside, way) == network_travel_time_index(alone, way) == 2
        same(network_travel_time_index(links(spoilt), way), NAN)
    assert hours_of_delay(beside) == hours_of_delay(alone)
    same(hours_of_delay(links(spoilt)), NAN)


def test_a_fast_link_gives_no_delay_back() -> None:
    assert hours_of_delay(links((1, 100, 100, 50), (1, 100, 25, 50))) == pytest.approx(2)
    assert hours_of_delay(links((1, 100, 100, 50))) == 0
    same(hours_of_delay(links()), NAN)


def test_a_standing_link_takes_the_time_of_the_floor_speed() -> None:
    assert network_travel_time_index(links((1, 10, 0, 60)), NetworkIndex.RATIO_OF_TOTAL_TIMES) == pytest.approx(20)


@given(st.lists(st.tuples(positive, positive, st.floats(3, 60), st.floats(60, 120)), min_size=1, max_size=10))
def test_total_time_is_free_flow_time_and_delay_where_nothing_is_faster(
    rows: list[tuple[float, float, float, float]],
) -> None:
    network = links(*rows)
    index = network_travel_time_index(network, NetworkIndex.RATIO_OF_TOTAL_TIMES)
    free = network.free_flow_time.sum()
    assert index * free == pytest.approx(free + hours_of_delay(network))


# --- reliability, free flow ------------------------------------------------------------------------------------------


def test_reliability_asks_for_twenty_travel_times() -> None:
    enough, short = np.full(20, 30.0), np.append(np.full(19, 30.0), NAN)
    rows = np.stack([enough, short])
    same(planning_time_index(rows, 20.0), 1.5, NAN)
    same(buffer_index(rows), 0, NAN)
    same(planning_time_index(enough, 0.0), NAN)


def test_overnight_crosses_midnight() -> None:
    minutes = floats(0, 299, 300, 720, 1319, 1320, 1439)
    same(overnight(minutes), True, True, False, False, False, True, True)
    same(overnight(minutes, (300, 720)), False, False, True, False, False, False, False)
    with pytest.raises(ValueError, match="minutes of a day"):
        overnight(minutes, (1440, 300))


def test_free_flow_is_the_85th_percentile_up_to_the_posted_limit() -> None:
    night = np.arange(0.0, 101.0)
    rows = np.stack([night, night, np.where(night == 85, 85, NAN), np.full(101, NAN)])
    same(free_flow_speed(rows, floats(60, NAN, 90, 60)), 60, 85, 85, NAN)
    same(free_flow_speed(night), 85)


# --- level of service ------------------------------------------------------------------------------------------------


def test_urban_street_levels_pass_the_domain_vectors() -> None:
    for example in vectors("urban_los_hcm2010"):
        speed, (share, level) = floats(example["speed"]), example["expect"]
        assert urban_street_share(speed, example["ffs"])[0] == pytest.approx(share, abs=5e-3)
        assert letters(urban_street(speed, example["ffs"]))[0] == level, example


@pytest.mark.parametrize(("percent", "level"), [(85, "B"), (67, "C"), (50, "D"), (40, "E"), (30, "F")])
@pytest.mark.parametrize("free_flow", [33.3, 45.0, 57.7, 80.1])
def test_an_urban_street_has_to_exceed_the_limit(percent: float, level: str, free_flow: float) -> None:
    speeds = floats(percent, percent + 0.01) * free_flow / 100
    assert letters(urban_street(speeds, free_flow)).tolist() == [level, chr(ord(level) - 1)]


def test_more_traffic_than_capacity_is_level_f() -> None:
    found = urban_street(floats(45, 45, 45, NAN), 45.0, floats(1.0, 1.01, NAN, 2.0))
    assert letters(found).tolist() == ["A", "F", "A", ""]


def test_no_level_without_a_speed() -> None:
    assert letters(urban_street(floats(NAN, -1, 45), floats(45, 45, 0))).tolist() == ["", "", ""]


@pytest.mark.parametrize(
    ("levels", "cuts"), [(freeway, (6.8, 11.2, 16.2, 21.7, 28.0)), (signalised, (10, 20, 35, 55, 80))]
)
def test_density_and_delay_levels_include_their_upper_end(levels: Any, cuts: tuple[float, ...]) -> None:
    assert letters(levels(floats(*cuts))).tolist() == ["A", "B", "C", "D", "E"]
    assert letters(levels(floats(*cuts) + 0.01)).tolist() == ["B", "C", "D", "E", "F"]
    assert letters(levels(floats(0, NAN, -1))).tolist() == ["A", "", ""]


@given(st.floats(0, 200), st.floats(0, 200))
def test_faster_is_never_worse(one: float, other: float) -> None:
    slow, fast = urban_street(floats(min(one, other), max(one, other)), 60.0)
    assert fast <= slow
