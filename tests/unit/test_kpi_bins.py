"""Waste bins against the worked examples of the indicators."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_engine.formulas import bins

VECTORS = Path(__file__).parents[3] / "shared" / "domain" / "test_vectors.json"
NAN = float("nan")


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))["waste"][name]


def floats(*values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values, float)


def same(found: Any, *expected: float) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.array(expected))


fills = st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), max_size=25)

# --- levels ----------------------------------------------------------------------------------------------------------


def test_fill_passes_the_domain_vectors() -> None:
    for example in vectors("fill_from_distance"):
        found = bins.fill_from_distance(floats(example["reading_cm"]), example["d_empty_cm"], example["d_full_cm"])
        same(found, example["fill"])


def test_no_fill_without_an_echo_or_with_a_calibration_upside_down() -> None:
    readings, empty, full = floats(NAN, -1, 50, 50, 50), floats(120, 120, 20, 20, NAN), floats(20, 20, 20, 120, 20)
    same(bins.fill_from_distance(readings, empty, full), NAN, NAN, NAN, NAN, NAN)


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(1, 400))
def test_less_distance_is_never_a_lower_fill(one: float, other: float, depth: float) -> None:
    near, far = bins.fill_from_distance(floats(min(one, other), max(one, other)), 20 + depth, 20.0)
    assert 0 <= far <= near <= 1


def test_the_last_level_is_the_median_of_the_newest_three_valid_readings() -> None:
    rows = np.array([[0.1, 0.5, 0.52, 0.99], [0.5, 0.9, NAN, 0.52], [NAN, 0.2, NAN, 0.4], [NAN, NAN, 0.7, NAN]])
    same(np.round(bins.last_level(rows), 9), 0.52, 0.52, 0.3, 0.7)
    same(bins.last_level(floats(NAN, NAN)), NAN)
    same(bins.last_level(floats()), NAN)


def test_level_bands_include_their_lower_end() -> None:
    levels = floats(0, 0.499, 0.5, 0.799, 0.8, 0.949, 0.95, 1, NAN)
    same(bins.level_band(levels), 0, 0, 1, 1, 2, 2, 3, 3, NAN)


# --- overflow --------------------------------------------------------------------------------------------------------


def test_rates_pass_the_domain_vectors() -> None:
    example = vectors("rates")
    over, count = example["bins_overflowing"], example["bins"]
    levels = np.repeat([0.96, 0.4], [over, count - over])
    assert bins.overflow_rate(levels) == example["overflow_rate_pct"]
    good, collections = example["collections_at_or_above_threshold"], example["collections"]
    collected = np.repeat([0.8, 0.79], [good, collections - good])
    assert bins.collection_efficiency(collected, 0.8) == pytest.approx(example["collection_efficiency_pct"])
    done = bins.service_completion(floats(example["done"]), example["scheduled"])
    same(done, example["service_completion_pct"])
    hours = floats(example["bin_hours_overflowing"], example["bin_hours_total"] - example["bin_hours_overflowing"])
    assert bins.overflow_time_share(floats(0.95, 0.949), hours) == pytest.approx(example["overflow_time_share_pct"])


def test_a_silent_bin_is_in_no_rate() -> None:
    same(bins.overflow_rate(np.array([[0.95, 0.94, NAN, NAN], [NAN] * 4])), 50, NAN)
    same(bins.overflow_rate(floats()), NAN)


def test_overflow_bands_include_their_upper_end() -> None:
    same(bins.overflow_rate_band(floats(0, 2, 2.1, 5, 5.1, NAN)), 0, 0, 1, 1, 2, NAN)


def test_hours_without_a_level_are_not_observed() -> None:
    same(bins.overflow_time_share(floats(1, NAN, 0.2, 1), floats(1, 100, 3, NAN)), 25)
    same(bins.overflow_time_share(floats(NAN), floats(4)), NAN)
    same(bins.overflow_time_share(floats(1), floats(0)), NAN)


# --- emptying --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (0.55, 0.25, True),
        (0.60, 0.2501, False),  # not low enough
        (0.47, 0.17, True),  # the subtraction gives 0.29999999999999993
        (0.34, 0.05, False),  # too small a drop
        (0.05, 0.90, False),
    ],
)
def test_an_emptying_is_a_drop_of_three_tenths_to_a_quarter(before: float, after: float, event: bool) -> None:
    same(bins.emptied(floats(before, after)), False, event)


def test_a_missing_reading_does_not_hide_an_emptying() -> None:
    same(bins.emptied(floats(0.8, NAN, NAN, 0.1, NAN, 0.1)), False, False, False, True, False, False)
    same(bins.emptied(floats(0.1)), False)
    same(bins.emptied(floats(NAN, 0.1)), False, False)
    assert bins.emptied(floats()).shape == (0,)


def test_fill_at_collection_is_the_level_before_the_event() -> None:
    found = bins.fill_at_collection(np.array([[0.8, NAN, 0.1, 0.45, 0.0], [0.1, 0.2, 0.3, 0.4, 0.5]]))
    np.testing.assert_array_equal(found, [[NAN, NAN, 0.8, NAN, 0.45], [NAN] * 5])
    same(bins.wasted_trips(floats(0.8, 0.499, 0.5, NAN)), False, True, False, False)


def test_no_efficiency_without_collections() -> None:
    same(bins.collection_efficiency(np.array([[NAN, NAN], [NAN, 0.9]]), 0.8), NAN, 100)
    same(bins.service_completion(floats(5, 5, NAN), floats(0, 4, 4)), NAN, 125, NAN)


@given(fills)
def test_every_event_has_a_level_that_was_higher(values: list[float]) -> None:
    readings = floats(*values)
    events = bins.emptied(readings)
    assert np.all(bins.fill_at_collection(readings)[events] - readings[events] >= 0.3 - 1e-6)
    assert np.all(readings[events] <= 0.25 + 1e-6)


# --- fill rate, time to full -----------------------------------------------------------------------------------------


def test_trend_and_time_to_full_pass_the_domain_vector() -> None:
    example = vectors("time_to_full")
    hours, readings = floats(*example["t_hours"]), floats(*example["fill"])
    trend = bins.fill_trend(hours, readings, hours[-1])
    assert trend.slope == pytest.approx(example["ols_slope_per_h"])
    assert trend.fill == pytest.approx(example["fitted_now"])
    assert bins.fill_trend(hours, readings, 0.0).fill == pytest.approx(example["intercept"])
    to_08, to_10 = (bins.time_to_full(trend.fill, trend.slope, limit) for limit in (0.8, 1.0))
    assert to_08 == pytest.approx(example["hours_from_now_to_0_80"], abs=5e-4)
    assert to_10 == pytest.approx(example["hours_from_now_to_1_00"], abs=5e-4)


@pytest.mark.parametrize(
    ("hours", "readings", "enough"),
    [
        ((0, 2, 4, 6), (0.1, 0.2, 0.3, 0.4), True),
        ((0, 2, 4, 5.9), (0.1, 0.2, 0.3, 0.4), False),  # too short
        ((0, 3, 6), (0.1, 0.2, 0.3), False),  # too few
        ((0, 2, 4, 6), (0.1, NAN, 0.3, 0.4), False),
        ((), (), False),
    ],
)
def test_a_trend_takes_four_points_and_six_hours(
    hours: tuple[float, ...], readings: tuple[float, ...], enough: bool
) -> None:
    trend = bins.fill_trend(floats(*hours), floats(*readings), 6.0)
    assert np.isfinite(trend.slope) == np.isfinite(trend.fill) == enough
    assert trend.points == np.isfinite(readings).sum()


def test_a_trend_begins_at_the_last_emptying() -> None:
    hours = np.arange(0.0, 24.0, 2.0)
    readings = np.concatenate([np.linspace(0.4, 0.9, 6), np.linspace(0.0, 0.1, 6)])
    trend = bins.fill_trend(hours, readings, 22.0)
    assert trend.points == 6
    assert trend.slope == pytest.approx(0.01)
    assert np.isnan(bins.fill_trend(hours[:8], readings[:8], 14.0).slope)  # emptied two readings ago


@given(st.floats(-0.01, 0.01), st.floats(0.3, 0.7), st.lists(st.floats(0, 20), min_size=4, max_size=20, unique=True))
def test_readings_on_a_line_give_that_line(slope: float, start: float, at: list[float]) -> None:
    hours = floats(*sorted(at))
    trend = bins.fill_trend(hours, start + slope * hours, 20.0)
    if hours[-1] - hours[0] < 5.999:
        assert np.isnan(trend.slope)
    elif hours[-1] - hours[0] > 6.001:
        assert trend.slope == pytest.approx(slope, abs=1e-8)
        assert trend.fill == pytest.approx(start + slope * 20, abs=1e-6)


def test_a_bin_that_stands_still_is_never_full() -> None:
    """Up and down again has a slope of zero, and the sums give a few times 1e-19 for some of these levels."""
    for level in np.arange(0.3, 1.0, 0.1):
        there_and_back = floats(0.1, 0.3, level, level, 0.3, 0.1)
        for readings in (np.full(6, level), there_and_back):
            trend = bins.fill_trend(np.arange(0.0, 24.0, 4.0), readings, 20.0)
            assert trend.slope == 0
            same(bins.time_to_full(trend.fill, trend.slope), NAN)


def test_time_to_full_has_its_ends() -> None:
    found = bins.time_to_full(floats(1.0, 1.1, 0.5, 0.5, 0.5, NAN), floats(0.1, 0.1, 0.0001, -0.1, NAN, 0.1))
    same(found, 0, 0, 720, NAN, NAN, NAN)
    same(bins.is_urgent(floats(0, 11.9, 12, 720, NAN)), True, True, False, False, False)


def test_the_usual_rate_is_that_of_the_weekday() -> None:
    rates = np.zeros(28)
    rates[[0, 7, 14, 21]] = (0.01, 0.02, NAN, 0.03)  # the weekday of today, 28, 21, 14 and 7 days ago
    assert bins.usual_rate(rates) == pytest.approx(0.02)
    same(bins.usual_rate(np.full(28, NAN)), NAN)
    with pytest.raises(ValueError, match="27 days"):
        bins.usual_rate(rates[1:])


# --- response time ---------------------------------------------------------------------------------------------------


def test_response_runs_from_the_first_reading_at_the_threshold() -> None:
    readings = floats(0.5, 0.8, 0.7, 0.9, 0.1, 0.85, NAN, 0.2, 0.6, 0.2)
    hours = np.arange(10.0) * 2
    expected = [NAN] * 10
    expected[4], expected[7] = 6.0, 4.0  # 0.8 at 2 h; 0.85 at 10 h; the third was emptied before its time
    same(bins.response_times(hours, readings, 0.8), *expected)


def test_responses_of_many_bins_do_not_mix() -> None:
    readings = np.array([[0.9, 0.9, 0.1], [0.5, 0.6, 0.1], [0.9, 0.9, 0.9]])
    hours = np.broadcast_to(floats(0, 5, 12), (3, 3))
    np.testing.assert_array_equal(bins.response_times(hours, readings, 0.8)[:, 2], [12, NAN, NAN])


def test_response_p90_is_interpolated() -> None:
    assert bins.response_time_p90(floats(*range(11), NAN)) == pytest.approx(9)
    assert bins.response_time_p90(floats(10, 20)) == pytest.approx(19)
    same(bins.response_time_p90(floats(7)), 7)
    same(bins.response_time_p90(floats(NAN)), NAN)


@given(fills)
def test_responses_are_never_negative_and_stand_at_events(values: list[float]) -> None:
    readings = floats(*values)
    waited = bins.response_times(np.arange(len(values), dtype=float), readings, 0.8)
    assert np.all(waited[np.isfinite(waited)] > 0)
    assert np.all(bins.emptied(readings)[np.isfinite(waited)])


# --- tonnes, alarms --------------------------------------------------------------------------------------------------


def test_tonnes_pass_the_domain_vector() -> None:
    example = vectors("tonnes")
    generated = example["generated_t"]
    for share, part, expected in (
        (bins.collected_share, "collected_t", "collection_pct"),
        (bins.controlled_share, "controlled_t", "sdg_11_6_1_pct"),
        (bins.recycling_share, "recycled_t", "recycling_pct"),
    ):
        assert share(floats(example[part]), generated)[0] == pytest.approx(example[expected], abs=5e-5)
    per_head = bins.generation_per_head(floats(generated), example["population"], 1.0)
    assert per_head[0] == pytest.approx(example["kg_per_capita_day"])


def test_no_share_of_nothing() -> None:
    for share in (bins.collected_share, bins.controlled_share, bins.recycling_share):
        same(share(floats(1, NAN, -1), floats(0, 10, 10)), NAN, NAN, NAN)
    same(bins.generation_per_head(floats(1, 1, NAN, -1), floats(0, 5, 5, 5), floats(1, 0, 1, 1)), NAN, NAN, NAN, NAN)


def test_a_share_of_none_is_zero() -> None:
    same(bins.recycling_share(floats(0), 10.0), 0)


def test_alarms_by_heat_and_by_status() -> None:
    celsius = floats(60, 60.1, 20, 20, NAN, NAN)
    states = np.array(["ok", "ok", "burning", "ok", "lidOpen", ""])
    same(bins.alarms(celsius, states), False, True, True, False, True, False)
    assert bins.alarm_count(celsius, states) == 3


@pytest.mark.parametrize("state", ["burning", "dropped", "lidOpen", "moved", "vandalized"])
def test_each_status_of_the_list_is_an_alarm(state: str) -> None:
    same(bins.alarms(floats(NAN), np.array([state])), True)


def test_no_bins_no_alarms() -> None:
    assert bins.alarm_count(floats(), np.array([], str)) == 0
