"""Registers, demand and power quality, against worked examples and at their edges."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kpi_engine.formulas.base import Floats
from kpi_engine.formulas.demand import demand_kw, load_factor, peak_demand, rolling_demand
from kpi_engine.formulas.energy import Meters, Readings, consumption
from kpi_engine.formulas.power_quality import (
    PowerFactorThreshold,
    billing_power_factor,
    cfe_power_factor_charge,
    frequency_deviation,
    frequency_on_watch,
    judge_voltage_week,
    power_factor,
    total_harmonic_distortion,
    voltage_compliance_percent,
    within_distortion,
    within_voltage,
)
from pulso.errors import ConfigurationError
from pulso.registers import derived_energy, growth

VECTORS = Path(__file__).parents[3] / "shared" / "domain" / "test_vectors.json"

NAN = float("nan")
QUARTER = 900_000_000  # microseconds

energies = arrays(np.float64, st.integers(0, 40), elements=st.floats(0, 1e6))
ratios = st.floats(0, 1)


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))["energy"][name]


def array(*values: float) -> Floats:
    return np.array(values, np.float64)


# --- E1 registers ----------------------------------------------------------------------------------------------------


def counted(readings: Floats, rollover: float) -> float:
    times = (np.arange(len(readings)) * QUARTER)[None, :, None]
    points = Readings(times, readings[None, :, None], np.ones(times.shape, bool))
    meters = Meters(array(rollover), array(1e6))
    return float(consumption(points, times[0, :1, 0], times[0, -1:, 0], meters, 15.0).energy[0, 0])


def test_a_register_with_a_known_end_passes_the_domain_vectors() -> None:
    example = vectors("counter")
    readings, end = array(*example["readings_kwh"]), example["rollover_at"]
    derived = derived_energy(np.arange(len(readings)) * QUARTER, readings, size=end)
    assert growth(readings[:-1], readings[1:], end) == pytest.approx(example["increments"])
    assert derived.kwh == pytest.approx(example["increments"])
    assert counted(readings, end) == pytest.approx(example["total"])


def test_a_register_without_a_declared_end_counts_nothing_over_a_fall() -> None:
    example = vectors("counter")
    readings, (first, _, last) = array(*example["readings_kwh"]), example["increments"]
    assert growth(readings[:-1], readings[1:], NAN)[1] < 0  # which is what marks it as not known
    assert counted(readings, NAN) == pytest.approx(first + last)


# --- E2 to E4 demand -------------------------------------------------------------------------------------------------


def test_demand_peak_and_load_factor_pass_the_domain_vectors() -> None:
    example = vectors("demand_15min")
    kwh = array(*example["kwh"])
    demand = demand_kw(kwh, 15)
    peak = peak_demand(demand)
    hours = len(kwh) / 4
    assert demand.tolist() == example["kw"]
    assert (float(peak.kw), int(peak.position)) == (example["peak_kw"], 2)
    assert float(demand_kw(kwh.sum(), 60 * hours)) == example["mean_kw"]
    assert float(load_factor(kwh.sum(), peak.kw, hours)) == pytest.approx(example["load_factor"])


def test_load_factor_of_a_month_passes_the_domain_vectors() -> None:
    example = vectors("load_factor_month")
    found = load_factor(example["kwh"], example["peak_kw"], example["hours"])
    assert float(found) == pytest.approx(example["load_factor"])


def test_demand_is_unknown_without_energy_or_length() -> None:
    found = demand_kw(array(NAN, 1, 1, 0), array(15, 0, -15, 15))
    np.testing.assert_equal(found, [NAN, NAN, NAN, 0.0])


def test_demand_beyond_all_numbers_is_unknown() -> None:
    assert np.isnan(demand_kw(array(1, np.inf, np.inf, 1), array(1e-320, 15, np.inf, NAN))).all()


def test_rolling_demand_moves_by_one_step() -> None:
    assert rolling_demand(array(1, 2, 3, 4)).tolist() == [24.0, 36.0]  # 6 and 9 kWh in a quarter of an hour
    assert rolling_demand(array(1, 2, 3), step_minutes=15).tolist() == [4.0, 8.0, 12.0]


def test_rolling_demand_of_meters_side_by_side() -> None:
    assert rolling_demand(np.array([[1.0, 1, 1, 1], [2, 2, 2, 5]])).tolist() == [[12.0, 12.0], [24.0, 36.0]]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_series_shorter_than_the_window_has_no_demand(steps: int) -> None:
    assert rolling_demand(np.ones((3, steps))).shape == (3, 0)


def test_a_missing_step_hides_the_windows_it_is_in() -> None:
    assert np.isnan(rolling_demand(array(1, 1, 1, NAN, 1, 1, 1))).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize(("step", "window"), [(0, 15), (-5, 15), (10, 15), (30, 15), (5, 0)])
def test_a_window_is_a_multiple_of_its_step(step: int, window: int) -> None:
    with pytest.raises(ConfigurationError, match="not a multiple"):
        rolling_demand(array(1, 1, 1), step, window)


def test_the_peak_is_taken_over_what_is_known() -> None:
    found = peak_demand(np.array([[NAN, 3.0, 7.0, 7.0], [NAN] * 4, [-1.0, NAN, -2.0, NAN]]))
    np.testing.assert_equal(found.kw, [7.0, NAN, -1.0])
    assert found.position.tolist() == [2, -1, 0]


def test_the_peak_of_nothing_is_unknown() -> None:
    found = peak_demand(np.empty((2, 0)))
    np.testing.assert_equal(found.kw, [NAN, NAN])
    assert found.position.tolist() == [-1, -1]
    assert (float(peak_demand(array(4)).kw), int(peak_demand(array(4)).position)) == (4.0, 0)


@pytest.mark.parametrize(
    ("kwh", "peak", "hours"), [(1, 0, 1), (1, -1, 1), (1, 1, 0), (NAN, 1, 1), (1, NAN, 1), (1, 1, NAN)]
)
def test_no_load_factor_without_peak_period_and_energy(kwh: float, peak: float, hours: float) -> None:
    assert np.isnan(load_factor(kwh, peak, hours))


def test_a_load_factor_above_one_shows_figures_that_do_not_belong_together() -> None:
    assert float(load_factor(30, 10, 2)) == 1.5


@given(energies.filter(lambda kwh: kwh.size > 0 and kwh.max() > 1e-3))
def test_the_load_factor_of_a_series_lies_between_its_share_of_one_interval_and_one(kwh: Floats) -> None:
    found = float(load_factor(kwh.sum(), peak_demand(demand_kw(kwh, 15)).kw, len(kwh) / 4))
    assert 1 / len(kwh) * (1 - 1e-9) <= found <= 1 + 1e-9


@given(energies)
def test_no_rolling_demand_exceeds_the_highest_of_its_steps(kwh: Floats) -> None:
    rolling, steps = rolling_demand(kwh), demand_kw(kwh, 5)
    assert len(rolling) == max(0, len(kwh) - 2)
    assert all(each <= steps.max() * (1 + 1e-9) for each in rolling)


# --- E5, E6 power factor ---------------------------------------------------------------------------------------------


def test_power_factor_passes_the_domain_vectors() -> None:
    for example in vectors("power_factor"):
        assert float(power_factor(example["kwh"], example["kvarh"])) == pytest.approx(example["pf"], abs=5e-5)


def test_power_factor_at_its_edges() -> None:
    found = power_factor(array(0, 0, -900, NAN, 900, 3), array(0, 10, 436, 1, NAN, -4))
    np.testing.assert_equal(found, [NAN, 0.0, NAN, NAN, NAN, 0.6])


def test_the_power_factor_of_a_period_is_that_of_its_energies() -> None:
    found = billing_power_factor(array(300, 0, 0), array(0, 400, 0))
    assert (float(found.power_factor), float(found.covered)) == (0.6, 1.0)  # the mean of 1 and 0 would be 0.5


def test_an_interval_without_one_of_its_energies_counts_with_neither() -> None:
    found = billing_power_factor(np.array([[3.0, 1000, NAN, 0], [NAN] * 4]), np.array([[4.0, NAN, 1000, 0], [1.0] * 4]))
    np.testing.assert_equal(found.power_factor, [0.6, NAN])
    assert found.covered.tolist() == [0.5, 0.0]


def test_a_period_without_intervals_has_no_power_factor() -> None:
    found = billing_power_factor(array(), array())
    assert np.isnan(found.power_factor)
    assert np.isnan(found.covered)


def test_cfe_charge_passes_the_domain_vectors() -> None:
    for example in vectors("cfe_pf_charge_pct"):
        found = float(cfe_power_factor_charge(example["pf"], example["threshold_pct"]))
        assert found == pytest.approx(example["charge_pct"], abs=5e-5), example


@pytest.mark.parametrize("threshold", list(PowerFactorThreshold))
def test_at_its_threshold_a_power_factor_costs_and_earns_nothing(threshold: PowerFactorThreshold) -> None:
    below, at, above = cfe_power_factor_charge(array(-0.001, 0, 0.001) + threshold / 100, threshold)
    assert below > 0
    assert at == pytest.approx(0.0, abs=1e-12)
    assert above < 0


def test_the_surcharge_ends_at_120_percent() -> None:
    found = cfe_power_factor_charge(array(0, 1e-320, 0.29, 0.3, 0.31))  # 3/5 * (90/30 - 1) = 120 %
    assert found[:4].tolist() == pytest.approx([120.0] * 4)
    assert found[4] < 120


def test_the_credit_ends_at_two_and_a_half_percent() -> None:
    assert float(cfe_power_factor_charge(1.0, 80)) == -2.5  # uncapped: -5
    assert float(cfe_power_factor_charge(1.0, PowerFactorThreshold.LARGE_USERS)) == pytest.approx(-1.25)


def test_no_charge_follows_from_an_impossible_power_factor() -> None:
    assert np.isnan(cfe_power_factor_charge(array(NAN, -0.1, 1.001))).all()
    assert cfe_power_factor_charge(array()).shape == (0,)


@pytest.mark.parametrize("threshold", [0, -90, 100.5, NAN])
def test_a_threshold_is_a_percentage(threshold: float) -> None:
    with pytest.raises(ConfigurationError, match="power factor threshold"):
        cfe_power_factor_charge(0.9, threshold)


@given(ratios, ratios, st.sampled_from(PowerFactorThreshold))
def test_a_better_power_factor_never_costs_more(one: float, other: float, threshold: PowerFactorThreshold) -> None:
    worse, better = cfe_power_factor_charge(np.sort(array(one, other)), threshold)
    assert 120 >= worse >= better >= -2.5


# --- E7 voltage ------------------------------------------------------------------------------------------------------


def test_voltage_compliance_passes_the_domain_vectors() -> None:
    example = vectors("voltage")
    means, nominal = array(*example["samples_10min"]), example["nominal"]
    assert int(within_voltage(means, nominal, 10, 10).sum()) == example["compliant"]
    assert float(voltage_compliance_percent(means, nominal)) == example["compliance_pct"]
    assert within_voltage(array(*example["limits"]), nominal, 10, 10).all()


def test_voltage_limits_are_inclusive_to_the_microvolt() -> None:
    means = array(114.299999, 114.3 - 1e-9, 114.3, 139.7, 139.7 + 1e-9, 139.700001, NAN)
    assert within_voltage(means, 127, 10, 10).tolist() == [False, True, True, True, True, False, False]
    assert within_voltage(array(107.949999, 107.95), 127, 15, 10).tolist() == [False, True]


def test_missing_means_are_in_neither_count() -> None:
    found = voltage_compliance_percent(np.array([[127.0, NAN, 100, 127], [NAN] * 4]), 127)
    np.testing.assert_allclose(found, [200 / 3, NAN])
    assert np.isnan(voltage_compliance_percent(array(), 127))


def week(*others: float, blocks: int = 1000) -> Floats:
    return np.concatenate([np.full(blocks - len(others), 127.0), others])


@pytest.mark.parametrize(
    ("means", "narrow", "wide", "passes"),
    [
        (week(), 100.0, 100.0, True),
        (week(*[110.0] * 50), 95.0, 100.0, True),  # exactly 95 %
        (week(*[110.0] * 51), 94.9, 100.0, False),
        (week(107.95), 99.9, 100.0, True),  # on the limit of -15 %
        (week(107.9), 99.9, 99.9, False),  # one mean is enough
        (week(139.8), 99.9, 99.9, False),  # above there is no wider limit
    ],
)
def test_the_week_rule(means: Floats, narrow: float, wide: float, passes: bool) -> None:
    found = judge_voltage_week(means, 127, minimum_means=1000)
    assert (float(found.narrow_percent), float(found.wide_percent)) == pytest.approx((narrow, wide))
    assert (int(found.counted), bool(found.enough), bool(found.passes)) == (1000, True, passes)


def test_a_week_with_too_few_means_gets_no_verdict() -> None:
    means = np.stack([week(), week(NAN), np.full(1000, NAN)])
    found = judge_voltage_week(means, 127, minimum_means=1000)
    assert found.counted.tolist() == [1000, 999, 0]
    assert found.enough.tolist() == found.passes.tolist() == [True, False, False]
    assert bool(judge_voltage_week(array(), 127, minimum_means=0).enough) is False


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(90, 160) | st.just(NAN)))
def test_a_week_that_passes_is_compliant_by_its_shares(means: Floats) -> None:
    found = judge_voltage_week(means, 127, minimum_means=1)
    assert bool(found.enough) == bool((~np.isnan(means)).any())
    if found.enough:
        assert found.narrow_percent <= found.wide_percent <= 100
        assert bool(found.passes) == bool(found.narrow_percent >= 95 and found.wide_percent == 100)


# --- E8, E9 frequency and harmonics ----------------------------------------------------------------------------------


def test_frequency_deviates_with_its_sign() -> None:
    np.testing.assert_equal(frequency_deviation(array(60.02, 59.98, 60, NAN)), [0.02, -0.02, 0.0, NAN])
    assert float(frequency_deviation(50.01, 50)) == 0.01


def test_a_deviation_on_its_limit_is_not_on_watch() -> None:
    deviation = frequency_deviation(array(60.2, 59.8, 60.2001, 59.7999, 60, NAN))
    assert frequency_on_watch(deviation).tolist() == [False, False, True, True, False, False]
    assert frequency_on_watch(deviation, 0.1).tolist() == [True, True, True, True, False, False]


def test_distortion_is_the_root_of_squares_over_the_fundamental() -> None:
    found = total_harmonic_distortion(array(100, 127), np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert found.tolist() == [0.05, 0.0]
    assert float(total_harmonic_distortion(100.0, array())) == 0.0


def test_distortion_is_unknown_without_fundamental_or_a_harmonic() -> None:
    found = total_harmonic_distortion(array(0, NAN, -1, 100), np.array([[1.0, 1], [1, 1], [1, 1], [1, NAN]]))
    assert np.isnan(found).all()


def test_the_limit_of_distortion_is_inclusive() -> None:
    assert within_distortion(array(0.08, 0.0801, 0, NAN)).tolist() == [True, False, True, False]
    assert within_distortion(array(0.06), 0.05).tolist() == [False]
