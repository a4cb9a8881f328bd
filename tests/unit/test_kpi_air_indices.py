"""EPA's NowCast and index, NOM-172 over every pollutant, and the units of gases, against worked examples."""

import csv
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_engine.formulas.air_limits import running_mean
from kpi_engine.formulas.gas_units import convert_gas
from kpi_engine.formulas.nom172 import FACTOR, concentration_weight, load_bands, weighted_mean
from kpi_engine.formulas.us_aqi import STANDARD, AqiTable, load_breakpoints, nowcast, truncate
from pulso.city.pack import pack_path
from pulso.errors import ConfigurationError

VECTORS = Path(__file__).parents[3] / "shared" / "domain" / "test_vectors.json"
TABLES = pack_path("cdmx") / "bands"
AQI = load_breakpoints(TABLES / "us_aqi_breakpoints.csv")
NOM = load_bands(TABLES / "nom172_bands.csv")
POLLUTANTS = ["pm25", "pm10", "o3_8h", "o3_1h", "co_8h", "so2_1h", "so2_24h", "no2_1h"]
CLOSED = [*zip(POLLUTANTS, [325.4, 604, None, 0.604, 50.4, None, 1004, 2049], strict=True)]
"""Where each table ends at 500; None where another averaging time goes on."""

HOUR = st.one_of(st.just(np.nan), st.integers(0, 9999).map(lambda tenths: tenths / 10))
TWELVE = st.lists(HOUR, min_size=12, max_size=12).map(lambda each: np.array(each, float))


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))[name]


def series(hours: list[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if value is None else value for value in hours], float)


def index(pollutant: str, value: float, *, clamp: bool = False) -> float:
    return float(AQI.index(pollutant, np.array([value]), clamp=clamp)[0])


def category(value: float) -> str | None:
    number = AQI.category(np.array([value]))[0]
    return None if np.isnan(number) else AQI.categories[int(number)]


def check_aqi(pollutant: str, concentration: float, expected: Mapping[str, Any] | None) -> None:
    found = index(pollutant, concentration)
    if expected is None:
        assert np.isnan(found)
        return
    assert float(AQI.truncated(pollutant, np.array([concentration]))[0]) == expected["c_trunc"]
    assert (found, category(found)) == (expected["aqi"], expected["category"])


# --- EPA's NowCast ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "pollutant"), [("epa_nowcast_pm25", "pm25"), ("epa_nowcast_pm10", "pm10")])
def test_nowcast_passes_the_domain_vectors(name: str, pollutant: str) -> None:
    for example in vectors(name):
        hours, expected = series(example["series_newest_first"]), example["expect"]
        raw = float(nowcast(hours))
        if expected is None:
            assert np.isnan(raw), example
            continue
        assert float(concentration_weight(hours)) == pytest.approx(expected["w"], abs=5e-7)
        assert raw == pytest.approx(expected["raw"], abs=5e-5)
        assert float(AQI.truncated(pollutant, np.array([raw]))[0]) == expected["reported"]
        check_aqi(pollutant, raw, example["aqi"])


def test_nowcast_needs_two_of_the_three_newest_hours() -> None:
    rest = [30.0] * 9
    for newest, is_valid in (([1, None, 3], True), ([None, 2, 3], True), ([None, None, 3], False), ([None] * 3, False)):
        assert bool(np.isnan(nowcast(series([*newest, *rest])))) is not is_valid


def test_nowcast_of_the_two_newest_hours_alone() -> None:
    assert float(nowcast(series([10, 20, *[None] * 10]))) == pytest.approx((10 + 0.5 * 20) / 1.5)


def test_nowcast_takes_any_number_of_stations_and_none() -> None:
    constant = np.full((2, 3, 12), 7.0)
    assert np.array_equal(nowcast(constant), np.full((2, 3), 7.0))
    assert nowcast(np.empty((0, 12))).shape == (0,)


@given(TWELVE)
def test_a_nowcast_lies_within_the_hours_it_is_made_of(hours: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    value = float(nowcast(hours))
    if (~np.isnan(hours[:3])).sum() < 2:
        assert np.isnan(value)
    else:
        assert np.nanmin(hours) - 1e-9 <= value <= np.nanmax(hours) + 1e-9


@given(TWELVE, st.sampled_from(["PM10", "PM2.5"]))
def test_the_mexican_mean_is_the_nowcast_times_its_factor(
    hours: np.ndarray[Any, np.dtype[np.float64]], pollutant: str
) -> None:
    """Valid together; without rounding on the way they differ by the factor and half a microgram of rounding."""
    mexican = float(weighted_mean(hours, FACTOR[pollutant], reference_rounding=False))
    american = float(nowcast(hours)) * FACTOR[pollutant]
    assert (np.isnan(mexican) and np.isnan(american)) or abs(mexican - american) <= 0.5 + 1e-5


# --- EPA's index -----------------------------------------------------------------------------------------------------


def test_the_index_passes_the_domain_vectors() -> None:
    for example in vectors("aqi"):
        check_aqi(example["pollutant"], example["conc"], example["expect"])


def test_concentrations_are_cut_not_rounded() -> None:
    assert truncate(np.array([9.05, 9.0999, 9.1, 0.3 - 0.2]), 1).tolist() == [9.0, 9.0, 9.1, 0.1]
    assert truncate(np.array([54.999, 55.0, np.nan]), 0).tolist()[:2] == [54.0, 55.0]
    assert np.isnan(truncate(np.array([np.nan]), 0)).all()


@given(st.integers(0, 10**7), st.integers(0, 3))
def test_cutting_leaves_what_has_no_more_decimals_alone(steps: int, decimals: int) -> None:
    value = np.array([steps / 10**decimals])
    assert np.array_equal(truncate(value, decimals), value)


@pytest.mark.parametrize("pollutant", ["o3_8h", "so2_1h"])
def test_above_a_table_that_ends_early_there_is_no_index(pollutant: str) -> None:
    last, past = {"o3_8h": (0.2009, 0.201), "so2_1h": (304.9, 305.0)}[pollutant]
    assert index(pollutant, last) in (200, 300)
    assert np.isnan(index(pollutant, past))
    assert AQI.is_beyond(pollutant, np.array([last, past])).tolist() == [False, True]


@pytest.mark.parametrize(("pollutant", "below"), [("o3_1h", 0.124), ("so2_24h", 304), ("pm25", -0.1)])
def test_below_the_first_line_there_is_no_index(pollutant: str, below: float) -> None:
    assert np.isnan(index(pollutant, below))


@pytest.mark.parametrize(("pollutant", "end"), [each for each in CLOSED if each[1]])
def test_the_scale_goes_on_above_500_unless_it_is_clamped(pollutant: str, end: float) -> None:
    assert index(pollutant, end) == index(pollutant, end, clamp=True) == 500
    assert index(pollutant, 2 * end) > 500
    assert index(pollutant, 2 * end, clamp=True) == 500


def test_every_line_begins_and_ends_at_its_indices() -> None:
    """Each breakpoint of the shipped table, whichever pollutant."""
    rows = [line for line in (TABLES / "us_aqi_breakpoints.csv").read_text().splitlines() if line.startswith(STANDARD)]
    assert len(rows) == 39
    for row in rows:
        _, pollutant, *_, c_lo, c_hi, i_lo, i_hi, name, _, _ = row.split(",")
        assert (index(pollutant, float(c_lo)), index(pollutant, float(c_hi))) == (float(i_lo), float(i_hi))
        assert category(float(i_lo)) == category(float(i_hi)) == name


@given(st.sampled_from(POLLUTANTS), st.lists(st.floats(0, 3000), min_size=2, max_size=30))
def test_more_of_a_pollutant_never_lowers_the_index(pollutant: str, values: list[float]) -> None:
    found = AQI.index(pollutant, np.sort(np.array(values)))
    assert (np.diff(found[~np.isnan(found)]) >= 0).all()


def test_the_shipped_table_says_what_the_domain_facts_say() -> None:
    """Down to what is only recalled: one-hour ozone."""
    if not VECTORS.is_file():
        pytest.skip("no domain facts beside the repository")
    columns = ("pollutant", "unit", "averaging", "truncate_decimals", "c_lo", "c_hi", "i_lo", "i_hi", "category")
    facts = list(csv.DictReader((VECTORS.parent / "us_aqi_breakpoints.csv").read_text().splitlines()))
    notes = (TABLES / "us_aqi_breakpoints.csv").read_text().splitlines()
    shipped = list(csv.DictReader(line for line in notes if not line.startswith("#")))
    assert [[row[name] for name in columns] for row in shipped] == [[row[name] for name in columns] for row in facts]
    marks = {"verified (secondary)": "secondary", "recalled": "recalled"}
    assert [row["status"] for row in shipped] == [marks[row["confidence"]] for row in facts]


def test_categories_include_their_upper_end() -> None:
    names = [category(value) for value in (0, 50, 51, 100, 101, 150, 151, 200, 201, 300, 301, 649)]
    assert names == [name for name in AQI.categories for _ in range(2)]
    assert category(np.nan) is None


def test_an_unknown_pollutant_is_an_error() -> None:
    with pytest.raises(KeyError, match="co2"):
        AQI.index("co2", np.array([400.0]))


# --- the largest over pollutants -------------------------------------------------------------------------------------


def test_the_largest_index_speaks_and_ties_are_all_responsible() -> None:
    found = AQI.overall(
        {
            "pm25": np.array([9.0, 35.4, np.nan, np.nan]),
            "pm10": np.array([54.0, 20.0, 100.0, np.nan]),
            "no2_1h": np.array([10.0, 100.0, np.nan, np.nan]),
        }
    )
    assert found.index.tolist()[:3] == [50, 100, 73]
    assert np.isnan(found.index[3])
    assert {name: where.tolist() for name, where in found.responsible.items()} == {
        "pm25": [True, True, False, False],
        "pm10": [True, False, True, False],
        "no2_1h": [False, True, False, False],
    }
    assert not found.is_incomplete.any()
    assert found.standard == STANDARD


def test_an_index_says_where_another_averaging_time_is_missing() -> None:
    eight = np.array([0.21, 0.21, 0.1])
    alone = AQI.overall({"o3_8h": eight, "pm25": np.full(3, 9.0)})
    assert (alone.index.tolist(), alone.is_incomplete.tolist()) == ([50, 50, 187], [True, True, False])
    both = AQI.overall({"o3_8h": eight, "o3_1h": np.array([0.405, np.nan, 0.05]), "pm25": np.full(3, 9.0)})
    assert (both.index.tolist(), both.is_incomplete.tolist()) == ([301, 50, 187], [False, True, False])


def test_an_index_of_one_pollutant_is_its_own_and_of_none_an_error() -> None:
    assert AQI.overall({"pm25": np.array([400.0])}).index.tolist() == [649]
    assert AQI.overall({"pm25": np.array([400.0])}, clamp=True).index.tolist() == [500]
    assert AQI.overall({"pm25": np.empty(0)}).index.shape == (0,)
    with pytest.raises(ValueError, match="at least one"):
        AQI.overall({})


# --- its table -------------------------------------------------------------------------------------------------------

HEADING = "standard,pollutant,unit,averaging,truncate_decimals,c_lo,c_hi,i_lo,i_hi,category,colour,status"
GOOD = f"{STANDARD},pm10,ug/m3,24 h,0,0,54,0,50,Good,#00E400,secondary"


def table(path: Path, *rows: str) -> AqiTable:
    file = path / "table.csv"
    file.write_text("\n".join(("# a note", HEADING, *rows)), encoding="utf-8")
    return load_breakpoints(file)


def test_a_mexican_table_is_not_taken_for_that_of_epa() -> None:
    with pytest.raises(ConfigurationError, match=r"nom172_bands.csv: not a table of US EPA AQI 2024"):
        load_breakpoints(TABLES / "nom172_bands.csv")


def test_a_table_of_one_line_is_one(tmp_path: Path) -> None:
    found = table(tmp_path, GOOD).index("pm10", np.array([0.0, 27.0, 54.9, 55.0]))
    assert found.tolist()[:3] == [0, 25, 50]
    assert np.isnan(found[3])


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([], "no standard"),
        ([GOOD.replace(STANDARD, "NOM-172-SEMARNAT-2023")], "NOM-172"),
        ([GOOD, f"{STANDARD},pm10,ug/m3,24 h,0,56,154,51,100,Moderate,#FFFF00,secondary"], "do not ascend"),
        ([GOOD, f"{STANDARD},pm10,ug/m3,24 h,0,55,154,101,51,Moderate,#FFFF00,secondary"], "do not ascend"),
        ([GOOD, f"{STANDARD},pm10,ug/m3,24 h,0,55,154,50,100,Moderate,#FFFF00,secondary"], "do not ascend"),
        ([GOOD, f"{STANDARD},pm25,ug/m3,24 h,1,0,9,0,49,Good,#00E400,secondary"], "two indices"),
        ([GOOD.replace("0,54", "zero,54")], "zero"),
        ([GOOD.removesuffix(",secondary")], "other columns"),
        ([GOOD + ",more"], "other columns"),
    ],
)
def test_a_faulty_table_is_refused_by_name(tmp_path: Path, rows: list[str], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"table\.csv.*{fault}"):
        table(tmp_path, *rows)


def test_a_missing_table_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv"):
        load_breakpoints(tmp_path / "none.csv")


# --- NOM-172 ---------------------------------------------------------------------------------------------------------


def nom(pollutant: str, value: float, day: str) -> float:
    return float(NOM.index(pollutant, np.array([value]), [date.fromisoformat(day)])[0])


def test_nom_172_bands_pass_every_domain_vector() -> None:
    for example in vectors("nom172_band"):
        assert nom(example["pollutant"], example["value"], example["date"]) == example["expect"]["index"], example


def test_nom_172_means_fall_in_the_bands_of_their_year() -> None:
    names = ("Buena", "Aceptable", "Mala", "Muy mala", "Extremadamente mala")
    for example in vectors("nom172_nowcast"):
        value = float(weighted_mean(series(example["series_newest_first"]), FACTOR[example["pollutant"]]))
        expected = example["expect_reference_rounding"]
        if expected is None:
            assert np.isnan(value)
            continue
        assert value == expected["value"]
        assert names[int(nom(example["pollutant"], value, "2025-12-31"))] == example["band_2025"]
        assert names[int(nom(example["pollutant"], value, "2026-01-01"))] == example["band_2026"]


@pytest.mark.parametrize(("pollutant", "ends"), [("SO2", [0.035, 0.075, 0.185, 0.304]), ("CO", [5.0, 9.0, 12.0, 16.0])])
def test_bands_of_so2_and_co_include_their_upper_end(pollutant: str, ends: list[float]) -> None:
    step = {"SO2": 0.001, "CO": 0.01}[pollutant]
    assert [nom(pollutant, end, "2026-11-22") for end in ends] == [0, 1, 2, 3]
    assert [nom(pollutant, end + step, "2026-11-22") for end in ends] == [1, 2, 3, 4]
    assert nom(pollutant, 0.0, "2026-11-22") == 0
    assert np.isnan(nom(pollutant, np.nan, "2026-11-22"))


def test_co_is_classified_by_its_running_mean_of_eight_hours() -> None:
    """Twelve hours, of which the last five are missing: the last three windows have fewer than six."""
    hours = np.array([9.0] * 6 + [17.0] + [np.nan] * 5)
    means = running_mean(hours, 8)
    assert means[:2].tolist() == pytest.approx([(6 * 9 + 17) / 7, (5 * 9 + 17) / 6])
    bands = NOM.index("CO", means, [date(2026, 11, 22)] * len(means))
    assert bands[:2].tolist() == [2, 2]
    assert np.isnan(bands[2:]).all()


# --- units of gases --------------------------------------------------------------------------------------------------


def test_conversion_passes_the_domain_vectors() -> None:
    for name, expected in vectors("conversion").items():
        gas, unit, amount, _, wanted = name.split("_")
        assert (unit, wanted) == ("ppb", "ugm3")
        assert convert_gas(gas.upper(), np.array([float(amount)]), "ppb", "ug/m3")[0] == pytest.approx(expected)


def test_ppm_and_milligrams_are_a_thousand_of_the_small_unit() -> None:
    assert convert_gas("NO2", np.array([0.05]), "ppm", "ug/m3")[0] == pytest.approx(95.0)
    assert convert_gas("SO2", np.array([0.0524]), "mg/m3", "ppb")[0] == pytest.approx(20.0)
    assert convert_gas("CO", np.array([9000.0]), "ppb", "ppm")[0] == pytest.approx(9.0)
    assert convert_gas("CO", np.array([4.0]), "mg/m3", "ug/m3")[0] == pytest.approx(4000.0)


def test_co_has_no_factor_between_volume_and_mass() -> None:
    with pytest.raises(ConfigurationError, match="no reference factor for CO from ppm to mg/m3"):
        convert_gas("CO", np.array([1.0]), "ppm", "mg/m3")


def test_an_unknown_unit_of_a_gas_is_refused() -> None:
    for units in (("mol", "ppb"), ("ppb", "mol")):
        with pytest.raises(ConfigurationError, match="'mol' is no unit of a gas"):
            convert_gas("O3", np.array([1.0]), *units)


def test_nothing_and_missing_values_are_converted_to_the_same() -> None:
    assert convert_gas("O3", np.empty((0, 3)), "ppb", "ug/m3").shape == (0, 3)
    assert np.array_equal(convert_gas("O3", np.array([np.nan, 0.0]), "ppb", "ug/m3"), [np.nan, 0.0], equal_nan=True)


@given(
    st.sampled_from(["O3", "NO2", "SO2"]),
    st.sampled_from(["ppb", "ppm", "ug/m3", "mg/m3"]),
    st.sampled_from(["ppb", "ppm", "ug/m3", "mg/m3"]),
    st.floats(0, 1e6),
)
def test_there_and_back_is_the_same(gas: str, unit: str, wanted: str, value: float) -> None:
    there = convert_gas(gas, np.array([value]), unit, wanted)
    assert convert_gas(gas, there, wanted, unit)[0] == pytest.approx(value)
