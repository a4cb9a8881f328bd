"""Statistics of samples with gaps, and which cut points a value is beyond."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_engine.formulas.ratios import ratio
from kpi_engine.formulas.samples import cuts_above, cuts_reached, mean, percentile, reaches

NAN = float("nan")


def floats(*values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values, float)


def same(found: Any, *expected: float) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.array(expected))


def test_a_mean_is_of_the_finite_samples() -> None:
    same(mean(np.array([[1, NAN, 3], [NAN, NAN, np.inf]])), 2, NAN)
    same(mean(floats()), NAN)


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(NAN)), max_size=40), st.integers(0, 100))
def test_percentile_is_that_of_numpy_over_what_is_there(values: list[float], percent: int) -> None:
    there = [value for value in values if not np.isnan(value)]
    expected = np.percentile(there, percent) if there else NAN
    assert percentile(floats(*values), percent) == pytest.approx(expected, rel=1e-9, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(("percent", "minimum"), [(-1, 1), (101, 1), (50, 0)])
def test_impossible_percentiles_are_refused(percent: float, minimum: int) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(floats(1), percent, minimum=minimum)


def test_cuts_differ_on_the_cut_alone() -> None:
    values = floats(0.9, 1, 1.1, 2, NAN)
    same(cuts_above(values, (1, 2)), 0, 0, 1, 1, NAN)
    same(cuts_reached(values, (1, 2)), 0, 1, 1, 2, NAN)
    same(reaches(values, 1), False, True, True, True, False)
    same(cuts_above(floats(), (1, 2)))


def test_the_last_bits_of_a_sum_do_not_decide_about_a_limit() -> None:
    assert 0.1 + 0.2 > 0.3 > 0.47 - 0.17
    same(cuts_above(floats(0.1 + 0.2), (0.3,)), 0)
    same(reaches(floats(0.47 - 0.17), 0.3), True)


def test_a_ratio_over_nothing_is_not_known() -> None:
    same(ratio(floats(1, 0, 1, NAN, 1), floats(2, 0, 0, 1, NAN)), 0.5, NAN, NAN, NAN, NAN)
    infinite = float("inf")
    same(ratio(floats(1, infinite, infinite), floats(infinite, 1, infinite)), NAN, NAN, NAN)
