"""Valid means, days over the Mexican health norms, shares of bands and multiples of WHO's guidelines."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kpi_engine.formulas.air_limits import (
    Averaging,
    annual_mean,
    daily_maximum,
    data_capture,
    days_over,
    load_health_limits,
    load_who,
    running_mean,
    share_per_band,
    valid_mean,
)
from kpi_engine.formulas.gas_units import convert_gas
from kpi_engine.formulas.nom172 import load_bands
from pulso.city.pack import pack_path
from pulso.errors import ConfigurationError

Floats = NDArray[np.float64]
TABLES = pack_path("cdmx") / "bands"
LIMITS = load_health_limits(TABLES / "mx_health_limits.csv")
WHO = load_who(TABLES / "who_2021.csv")
NOW = date(2026, 11, 22)
LAST_OF_2025, FIRST_OF_2026 = date(2025, 12, 31), date(2026, 1, 1)

HOURS = st.lists(st.one_of(st.just(np.nan), st.floats(0, 500)), max_size=60).map(lambda each: np.array(each, float))


def missing(present: int, of: int, value: float = 10.0) -> Floats:
    """`of` values of which the first `present` exist."""
    return np.array([value] * present + [np.nan] * (of - present))


def same(found: Floats, expected: list[float]) -> bool:
    return np.allclose(found, expected, rtol=0, atol=1e-9, equal_nan=True)


# --- valid means -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("present", "of"), [(6, 8), (18, 24), (1, 1), (3, 3), (2, 2), (45, 60)])
def test_a_mean_is_valid_with_three_quarters_and_not_with_one_value_less(present: int, of: int) -> None:
    assert float(valid_mean(missing(present, of))) == 10.0
    assert np.isnan(valid_mean(missing(present - 1, of)))


def test_a_mean_is_over_the_values_that_exist() -> None:
    assert float(valid_mean(np.array([1.0, np.nan, 3.0, 5.0]))) == 3.0
    assert float(valid_mean(np.zeros(4))) == 0.0


def test_expected_values_may_be_others_than_those_given() -> None:
    assert np.isnan(valid_mean(np.full(17, 10.0), 24))
    assert float(valid_mean(np.full(18, 10.0), 24)) == 10.0
    assert float(valid_mean(missing(18, 24), 23)) == 10.0  # the day that lost an hour needs 17.25, so 18
    assert np.isnan(valid_mean(missing(17, 24), 23))


def test_of_nothing_there_is_no_mean_and_of_no_station_an_empty_one() -> None:
    assert np.isnan(valid_mean(np.empty(0)))
    assert np.isnan(valid_mean(np.full(4, np.nan), minimum_share=0))
    assert valid_mean(np.empty((0, 24))).shape == (0,)


def test_a_running_mean_of_eight_hours_needs_six() -> None:
    hours = np.array([1.0, 2, 3, 4, 5, 6, np.nan, np.nan, np.nan, 10])
    assert same(running_mean(hours, 8), [3.5, np.nan, np.nan])


def test_running_means_lie_wholly_inside_the_values() -> None:
    assert same(running_mean(np.arange(4.0), 4), [1.5])
    assert same(running_mean(np.arange(4.0), 1), [0, 1, 2, 3])
    assert running_mean(np.arange(3.0), 4).shape == (0,)
    assert running_mean(np.ones((2, 5, 10)), 8).shape == (2, 5, 3)
    with pytest.raises(ValueError, match="a mean of 0 values"):
        running_mean(np.arange(3.0), 0)


@given(HOURS, st.integers(1, 30))
def test_a_running_mean_is_the_mean_of_each_of_its_windows(hours: Floats, length: int) -> None:
    expected = [float(valid_mean(hours[first : first + length])) for first in range(len(hours) - length + 1)]
    found = running_mean(hours, length)
    assert found.shape == (len(expected),)
    assert same(found, expected)


@given(HOURS)
def test_a_valid_mean_lies_among_its_values(hours: Floats) -> None:
    mean = float(valid_mean(hours))
    enough = (~np.isnan(hours)).sum() >= max(1, 0.75 * len(hours))
    assert np.isnan(mean) != enough
    if enough:
        assert np.nanmin(hours) - 1e-9 <= mean <= np.nanmax(hours) + 1e-9


def test_an_annual_mean_needs_three_quarters_of_the_hours_of_its_year() -> None:
    for year, needed in ((2025, 6570), (2024, 6588)):
        assert float(annual_mean(np.full(needed, 8.0), year)) == 8.0
        assert np.isnan(annual_mean(np.full(needed - 1, 8.0), year))
    with pytest.raises(ValueError, match="8784 hours for 2025, which has 8760"):
        annual_mean(np.zeros(8784), 2025)


def test_the_rolling_year_is_a_running_mean_of_months_or_hours() -> None:
    months = np.array([12.0] * 9 + [np.nan] * 3 + [24.0])
    assert same(running_mean(months, 12), [12.0, (8 * 12 + 24) / 9])
    assert same(running_mean(missing(6570, 8761), 8760), [10.0, np.nan])


def test_a_daily_maximum_needs_as_much_as_a_mean_unless_told_otherwise() -> None:
    days = np.stack([missing(18, 24), missing(17, 24)])
    days[:, 0] = 99.0
    assert same(daily_maximum(days), [99.0, np.nan])
    assert same(daily_maximum(days, minimum_share=0), [99.0, 99.0])
    assert np.isnan(daily_maximum(np.full((1, 24), np.nan), minimum_share=0)).all()
    assert np.isnan(daily_maximum(np.empty((1, 0)))).all()
    assert same(daily_maximum(np.full((1, 18), 4.0), 24), [4.0])
    assert same(daily_maximum(missing(20, 24, -0.5)[np.newaxis]), [-0.5])  # a drifting zero


# --- data capture and shares of bands --------------------------------------------------------------------------------


def test_data_capture_is_valid_over_expected() -> None:
    assert float(data_capture(missing(18, 24))) == 75.0
    assert float(data_capture(missing(18, 24), 8760)) == pytest.approx(100 * 18 / 8760)
    assert float(data_capture(np.full(25, np.nan))) == 0.0
    assert float(data_capture(np.zeros(25), 24)) == 100.0
    assert data_capture(np.zeros((3, 2, 4))).shape == (3, 2)


def test_data_capture_of_nothing_expected_is_not_known() -> None:
    assert np.isnan(data_capture(np.empty(0)))
    assert np.isnan(data_capture(np.empty((2, 0)))).tolist() == [True, True]


def test_shares_are_of_the_valid_hours() -> None:
    bands = np.array([[0, 1], [0, np.nan], [2, np.nan], [4, np.nan], [np.nan, np.nan]], float)
    shares = share_per_band(bands)
    assert same(shares[:, 0], [50, 0, 25, 0, 25])
    assert same(shares[:, 1], [0, 100, 0, 0, 0])


def test_without_a_valid_hour_there_is_no_share() -> None:
    assert np.isnan(share_per_band(np.full(3, np.nan))).all()
    assert np.isnan(share_per_band(np.empty((0, 2)))).all()


@pytest.mark.parametrize("band", [-1, 5, 0.5])
def test_what_is_no_band_is_refused(band: float) -> None:
    with pytest.raises(ValueError, match="0 to 4"):
        share_per_band(np.array([0.0, band]))


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan]), min_size=1))
def test_shares_sum_to_a_hundred(bands: list[float]) -> None:
    total = share_per_band(np.array(bands)).sum()
    assert np.isnan(total) if np.isnan(bands).all() else total == pytest.approx(100)


def test_shares_of_the_bands_of_the_mexican_norm() -> None:
    days = [NOW] * 4
    bands = load_bands(TABLES / "nom172_bands.csv").index("PM10", np.array([45.4, 45.5, 51, np.nan]), days)
    assert same(share_per_band(bands), [100 / 3, 100 / 3, 100 / 3, 0, 0])


# --- Mexican health norms --------------------------------------------------------------------------------------------

IN_FORCE = [
    ("O3", "1 h", 0.090, 0.090),
    ("O3", "8 h", 0.060, 0.051),
    ("NO2", "1 h", 0.106, 0.106),
    ("NO2", "annual", 0.021, 0.021),
    ("SO2", "1 h", 0.075, 0.075),
    ("SO2", "24 h", 0.040, 0.040),
    ("CO", "1 h", 26.0, 26.0),
    ("CO", "8 h", 9.0, 9.0),
    ("PM10", "24 h", 60.0, 50.0),
    ("PM10", "annual", 28.0, 20.0),
    ("PM2.5", "24 h", 33.0, 25.0),
    ("PM2.5", "annual", 10.0, 10.0),
]


def exceeded(pollutant: str, averaging: str, value: float, day: date = NOW, decimals: int | None = None) -> float:
    found = LIMITS.exceeded(pollutant, Averaging(averaging), np.array([value]), [day], decimals=decimals)
    return float(found[0])


@pytest.mark.parametrize(("pollutant", "averaging", "until_2025", "from_2026"), IN_FORCE)
def test_limits_go_by_the_date_of_observation(
    pollutant: str, averaging: str, until_2025: float, from_2026: float
) -> None:
    days = [date(2023, 12, 31), date(2024, 1, 1), LAST_OF_2025, FIRST_OF_2026, date(2040, 1, 1)]
    found = LIMITS.limits(pollutant, Averaging(averaging), days)
    assert same(found, [np.nan, until_2025, until_2025, from_2026, from_2026])


@pytest.mark.parametrize(("pollutant", "averaging", "_", "limit"), IN_FORCE)
def test_the_limit_itself_is_not_over_it(pollutant: str, averaging: str, _: float, limit: float) -> None:
    assert exceeded(pollutant, averaging, limit) == 0
    assert exceeded(pollutant, averaging, np.nextafter(limit, np.inf)) == 0  # noise of summing
    assert exceeded(pollutant, averaging, limit + 1e-5) == 1
    assert exceeded(pollutant, averaging, limit - 1e-5) == 0
    assert exceeded(pollutant, averaging, 0.0) == 0


def test_values_are_compared_as_they_are_or_rounded_half_up() -> None:
    assert [exceeded("PM10", "24 h", value) for value in (50.0, 50.4, 50.5)] == [0, 1, 1]
    assert [exceeded("PM10", "24 h", value, decimals=0) for value in (50.4, 50.5)] == [0, 1]


def test_the_same_day_may_be_within_one_stage_and_over_the_next() -> None:
    assert exceeded("PM2.5", "24 h", 30, LAST_OF_2025) == 0
    assert exceeded("PM2.5", "24 h", 30, FIRST_OF_2026) == 1


def test_without_value_or_limit_a_day_is_not_judged() -> None:
    assert np.isnan(exceeded("PM10", "24 h", np.nan))
    assert np.isnan(exceeded("PM10", "24 h", 500, date(2023, 12, 31)))


@pytest.mark.parametrize(("pollutant", "averaging"), [("PM10", Averaging.HOUR), ("CO", Averaging.YEAR)])
def test_a_limit_that_the_norms_do_not_have_is_an_error(pollutant: str, averaging: Averaging) -> None:
    with pytest.raises(ConfigurationError, match=f"health norms have nothing for {pollutant} over {averaging}"):
        LIMITS.limits(pollutant, averaging, [NOW])


def test_days_over_count_per_station_what_could_be_judged() -> None:
    """Four days around the turn of the year, two stations; PM2.5 with limits of 33 and then 25 µg/m³."""
    days = [LAST_OF_2025 - timedelta(days=1), LAST_OF_2025, FIRST_OF_2026, date(2026, 1, 2)]
    hours = np.stack([np.stack([missing(24, 24, value), missing(17, 24, 90)]) for value in (34, 30, 30, 25)])
    hours[0, 1] = 90.0
    found = days_over(LIMITS.exceeded("PM2.5", Averaging.DAY, valid_mean(hours), days))
    assert found.over.tolist() == [2, 1]
    assert found.judged.tolist() == [4, 1]


def test_days_over_for_ozone_are_those_of_the_daily_maximum() -> None:
    hours = np.full((2, 24), 0.040)
    hours[0, 15], hours[1, 15] = 0.091, 0.090
    exceedances = LIMITS.exceeded("O3", Averaging.HOUR, daily_maximum(hours), [NOW, NOW])
    assert exceedances.tolist() == [1, 0]
    assert int(days_over(exceedances).over) == 1


def test_of_no_days_none_are_over() -> None:
    found = days_over(LIMITS.exceeded("PM10", Averaging.DAY, np.empty((0, 3)), []))
    assert (found.over.tolist(), found.judged.tolist()) == ([0, 0, 0], [0, 0, 0])


@given(st.lists(st.one_of(st.just(np.nan), st.floats(0, 200)), max_size=40), st.floats(0, 50))
def test_dirtier_air_is_never_over_on_fewer_days(values: list[float], more: float) -> None:
    days = [date(2025, 12, 15) + timedelta(days=number) for number in range(len(values))]
    clean, dirty = (
        days_over(LIMITS.exceeded("PM2.5", Averaging.DAY, np.array(values, float) + extra, days)) for extra in (0, more)
    )
    assert 0 <= int(clean.over) <= int(dirty.over) <= int(dirty.judged) == int(clean.judged)


# --- WHO -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pollutant", "averaging", "level"),
    [
        ("PM2.5", "annual", 5), ("PM2.5", "24 h", 15), ("PM10", "annual", 15), ("PM10", "24 h", 45),
        ("O3", "peak season", 60), ("O3", "8 h", 100), ("NO2", "annual", 10), ("NO2", "24 h", 25),
        ("NO2", "1 h", 200), ("SO2", "24 h", 40), ("CO", "24 h", 4),
    ],
)  # fmt: skip
def test_the_guideline_itself_is_once(pollutant: str, averaging: str, level: float) -> None:
    found = WHO.multiple(pollutant, Averaging(averaging), np.array([level, 2.5 * level, 0.0, np.nan]))
    assert same(found, [1, 2.5, 0, np.nan])


def test_the_multiple_of_an_annual_mean_that_is_not_valid_is_not_known() -> None:
    means = annual_mean(np.stack([missing(6570, 8760, 22.0), missing(6569, 8760, 22.0)]), 2025)
    assert same(WHO.multiple("PM2.5", Averaging.YEAR, means), [4.4, np.nan])


def test_gases_are_compared_in_micrograms() -> None:
    micrograms = convert_gas("NO2", np.array([20.0]), "ppb", "ug/m3")
    assert same(WHO.multiple("NO2", Averaging.YEAR, micrograms), [3.8])


def test_a_guideline_that_who_does_not_have_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="WHO's guidelines have nothing for SO2 over annual"):
        WHO.level("SO2", Averaging.YEAR)


# --- tables ----------------------------------------------------------------------------------------------------------

LIMIT_HEADING = "pollutant,averaging,valid_from,valid_to,limit"
LEVEL_HEADING = "pollutant,averaging,guideline"


def write(path: Path, *lines: str) -> Path:
    file = path / "table.csv"
    file.write_text("\n".join(("# a note", *lines)), encoding="utf-8")
    return file


def test_a_limit_may_end(tmp_path: Path) -> None:
    ended = load_health_limits(write(tmp_path, LIMIT_HEADING, "PM10,24 h,2024-01-01,2024-12-31,60"))
    assert same(ended.limits("PM10", Averaging.DAY, [date(2024, 12, 31), date(2025, 1, 1)]), [60, np.nan])


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["PM10,24 h,2024-01-01,,60", "PM10,24 h,2026-01-01,,50"], "in force together"),
        (["PM10,day,2024-01-01,,60"], "day"),
        (["PM10,24 h,2024-13-01,,60"], "2024-13-01|month"),
        (["PM10,24 h,2026-01-01,2025-12-31,60"], "valid from 2026-01-01 to 2025-12-31"),
        (["PM10,24 h,2024-01-01,,0"], "'0' is no limit"),
        (["PM10,24 h,2024-01-01,,nan"], "'nan' is no limit"),
        (["PM10,24 h,2024-01-01,"], "other columns"),
    ],
)
def test_a_faulty_table_of_limits_is_refused_by_name(tmp_path: Path, rows: list[str], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"table\.csv: not a table of health limits.*({fault})"):
        load_health_limits(write(tmp_path, LIMIT_HEADING, *rows))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["PM10,24 h,45", "PM10,24 h,50"], "two levels"),
        (["PM10,24 h,-1"], "no limit"),
        (["PM10,24 h,45,45"], "other columns"),
    ],
)
def test_a_faulty_table_of_guidelines_is_refused_by_name(tmp_path: Path, rows: list[str], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"table\.csv: not a table of guideline levels.*{fault}"):
        load_who(write(tmp_path, LEVEL_HEADING, *rows))


def test_one_table_is_not_taken_for_the_other() -> None:
    with pytest.raises(ConfigurationError, match=r"who_2021\.csv.*valid_from"):
        load_health_limits(TABLES / "who_2021.csv")
    with pytest.raises(ConfigurationError, match=r"mx_health_limits\.csv.*guideline"):
        load_who(TABLES / "mx_health_limits.csv")
