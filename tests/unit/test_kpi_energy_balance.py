"""The energy balance of a city, against worked examples and at its edges."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_engine.formulas.base import Floats
from kpi_engine.formulas.energy_balance import (
    Basis,
    GridFactor,
    annual_energy,
    building_intensity,
    emissions_kg,
    energy_per_head,
    renewable_share,
    smart_meter_share,
)
from pulso.errors import ConfigurationError

VECTORS = Path(__file__).parents[3] / "shared" / "domain" / "test_vectors.json"

NAN = float("nan")


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))["energy"][name]


def array(*values: float) -> Floats:
    return np.array(values, np.float64)


# --- E13, E15 energy of a year ---------------------------------------------------------------------------------------


def test_energy_per_head_passes_the_domain_vectors() -> None:
    example = vectors("per_capita")
    found = energy_per_head(example["kwh_year"], 365, example["population"])
    assert (float(found.value), int(found.basis)) == (example["kwh_per_capita_year"], Basis.MEASURED)


def test_annualised_energy_per_head_passes_the_domain_vectors() -> None:
    example = vectors("annualise")
    found = energy_per_head(example["kwh_last_30d"], 30, example["population"])
    assert float(found.value) == pytest.approx(example["annualised_kwh_per_capita"])
    assert int(found.basis) == Basis.ANNUALISED


@pytest.mark.parametrize(
    ("days", "value", "basis"),
    [
        (0, NAN, Basis.REFUSED),
        (7, NAN, Basis.REFUSED),  # a quiet week is never multiplied by 52
        (27.99, NAN, Basis.REFUSED),
        (28, 36500 / 28, Basis.ANNUALISED),
        (364, 100 * 365 / 364, Basis.ANNUALISED),
        (365, 100, Basis.MEASURED),
        (366, 100, Basis.MEASURED),
        (730, 50, Basis.ANNUALISED),
        (NAN, NAN, Basis.REFUSED),
    ],
)
def test_an_annual_figure_says_how_it_came_about(days: float, value: float, basis: Basis) -> None:
    found = annual_energy(100, days)
    np.testing.assert_allclose(found.value, value)
    assert int(found.basis) == basis


def test_the_shortest_period_is_the_callers_to_choose_but_never_none() -> None:
    assert int(annual_energy(100, 28, shortest_days=90).basis) == Basis.REFUSED
    assert int(annual_energy(100, 0, shortest_days=0).basis) == Basis.REFUSED


def test_no_annual_figure_from_missing_or_negative_energy_or_without_people_or_area() -> None:
    assert annual_energy(array(NAN, -1, 0), 365).basis.tolist() == [Basis.REFUSED, Basis.REFUSED, Basis.MEASURED]
    for found in (energy_per_head(100, 365, array(0, -5, NAN)), building_intensity(100, 365, array(0, -5, NAN))):
        assert np.isnan(found.value).all()
        assert found.basis.tolist() == [Basis.REFUSED] * 3


def test_intensity_of_buildings_side_by_side() -> None:
    found = building_intensity(array(12000, 730), array(365, 73), array(100, 10))
    assert found.value.tolist() == pytest.approx([120.0, 365.0])
    assert found.basis.tolist() == [Basis.MEASURED, Basis.ANNUALISED]


@given(st.floats(0, 1e9), st.floats(-10, 1000))
def test_there_is_a_figure_unless_it_is_refused(kwh: float, days: float) -> None:
    found = annual_energy(kwh, days)
    assert bool(np.isnan(found.value)) == (int(found.basis) == Basis.REFUSED) == (days < 28)


# --- E14, E17 shares -------------------------------------------------------------------------------------------------


def test_renewable_share_passes_the_domain_vectors() -> None:
    example = vectors("per_capita")
    found = renewable_share(example["renewable_kwh"], example["kwh_year"])
    assert float(found) == pytest.approx(example["renewable_share_pct"])


@pytest.mark.parametrize("share", [renewable_share, smart_meter_share])
def test_a_share_needs_a_whole_that_holds_its_part(share: Any) -> None:
    found = share(array(0, 5, 5, 0, 6, -1, NAN, 1), array(5, 5, 20, 0, 5, 5, 5, NAN))
    np.testing.assert_equal(found, [0.0, 100.0, 25.0, NAN, NAN, NAN, NAN, NAN])
    assert share(array(), array()).shape == (0,)


# --- E16 emissions ---------------------------------------------------------------------------------------------------

OLD = GridFactor(0.5, date(2024, 1, 1), date(2024, 12, 31), "example of a year")
NEW = GridFactor(0.25, date(2025, 1, 1), date(2025, 12, 31), "example of the next")


def test_emissions_go_by_the_factor_of_the_day_of_consumption() -> None:
    days = [date(2023, 12, 31), date(2024, 1, 1), date(2024, 12, 31), date(2025, 1, 1), date(2026, 1, 1)]
    found = emissions_kg(array(10, 10, 10, 10, 10), days, [NEW, OLD])
    np.testing.assert_equal(found, [NAN, 5.0, 5.0, 2.5, NAN])


def test_emissions_of_zones_side_by_side() -> None:
    found = emissions_kg(np.array([[1.0, NAN], [4.0, 0.0]]), [OLD.last, NEW.first], [OLD, NEW])
    np.testing.assert_equal(found, [[0.5, NAN], [1.0, 0.0]])
    assert emissions_kg(np.empty((0, 2)), [], [OLD]).shape == (0, 2)


def test_two_factors_on_one_day_are_a_fault() -> None:
    again = GridFactor(0.4, date(2024, 12, 31), date(2025, 6, 30), "a second one")
    assert emissions_kg(array(1), [date(2024, 12, 30)], [OLD, again]).tolist() == [0.5]
    with pytest.raises(ConfigurationError, match="two grid factors on 2024-12-31: example of a year, a second one"):
        emissions_kg(array(1), [date(2024, 12, 31)], [OLD, again])


@pytest.mark.parametrize(
    ("kg", "first", "last"),
    [
        (-0.1, OLD.first, OLD.last),
        (NAN, OLD.first, OLD.last),
        (np.inf, OLD.first, OLD.last),
        (0.5, OLD.last, OLD.first),
    ],
)
def test_a_grid_factor_is_a_number_with_a_period(kg: float, first: date, last: date) -> None:
    with pytest.raises(ConfigurationError, match="no grid factor"):
        GridFactor(kg, first, last, "example")
