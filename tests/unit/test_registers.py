"""Cumulative registers: why they fall, and the energy between their readings."""

import numpy as np
import pytest

from pulso.model import Flag
from pulso.registers import derived_energy, episodes, growth

HOUR = 3_600_000_000
NAN = float("nan")


@pytest.mark.parametrize(
    ("before", "after", "hours", "max_kw", "size", "flag"),
    [
        (100, 104, 1, 10, NAN, 0),
        (100, 100, 1, 10, NAN, 0),
        (100, 110.5, 1, 10, NAN, 0),  # with the slack of rounding
        (100, 130, 1, 10, NAN, Flag.EXCHANGE),  # no meter of 10 kW counts that
        (100, 130, 24, 10, NAN, 0),  # after a gap it may
        (5000, 0, 1, 10, NAN, Flag.RESET),
        (5000, 4, 1, 10, NAN, Flag.RESET),
        (5000, 1234, 1, 10, NAN, Flag.EXCHANGE),
        (99_998, 3, 1, 10, NAN, Flag.ROLLOVER),
        (99_998, 300, 1, 10, NAN, Flag.EXCHANGE),
        (99_998, 300, 100, 10, NAN, Flag.ROLLOVER),
        (998, 3, 1, 10, NAN, Flag.RESET),  # a thousand is no size of a register
        (998, 3, 1, 10, 1000, Flag.ROLLOVER),
        (100, 99.9, 1, 10, NAN, Flag.EXCHANGE),  # it runs backwards: not this register
        (NAN, 5, 1, 10, NAN, 0),
    ],
)
def test_an_episode_is_told_by_the_power_it_would_take(  # noqa: PLR0917 (the columns of the table)
    before: float, after: float, hours: float, max_kw: float, size: float, flag: int
) -> None:
    assert episodes(np.array([before]), np.array([after]), np.array([hours]), max_kw, size).tolist() == [flag]


def test_growth_goes_through_the_end_of_a_known_register_only() -> None:
    before, after, size = np.array([998.0, 998.0, 500.0]), np.array([3.0, 3.0, 400.0]), np.array([1000.0, NAN, 1000.0])
    assert growth(before, after, size).tolist() == [5.0, -995.0, -100.0]


def test_energy_is_never_negative_and_a_gap_keeps_its_own() -> None:
    #        0 h   1 h   2 h          26 h (gap)  27 h    28 h: reset  29 h   30 h: another meter
    hours = [0, 1, 2, 26, 27, 28, 29, 30]
    kwh = np.array([100.0, 102.0, 104.0, 152.0, 154.0, 1.0, 3.0, 7000.0])
    derived = derived_energy(np.array(hours) * HOUR, kwh, max_kw=10)
    assert derived.kwh.tolist()[:4] == [2.0, 2.0, 48.0, 2.0]
    assert np.isnan(derived.kwh[[4, 6]]).all()
    assert derived.kwh[5] == 2.0
    assert derived.flags.tolist() == [0, 0, 0, 0, Flag.RESET, 0, Flag.EXCHANGE]
    assert derived.gap.tolist() == [False, False, True, False, False, False, False]


@pytest.mark.parametrize("size", [100_000.0, NAN])
def test_energy_counts_through_a_rollover(size: float) -> None:
    derived = derived_energy(np.array([0, HOUR]), np.array([99_998.0, 3.0]), 10, size)
    assert derived.kwh.tolist() == [5.0]


def test_readings_may_come_in_any_order_and_twice() -> None:
    times, kwh = np.array([2, 0, 1, 1]) * HOUR, np.array([106.0, 100.0, 999.0, 102.0])
    assert derived_energy(times, kwh).kwh.tolist() == [2.0, 4.0]
    assert len(derived_energy(times[:0], kwh[:0]).kwh) == len(derived_energy(times[:1], kwh[:1]).kwh) == 0
