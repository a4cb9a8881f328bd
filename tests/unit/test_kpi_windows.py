"""Windows, watermarks and rounding."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kpi_engine.rounding import round_half_up
from kpi_engine.windows import Horizon, SlidingWindows, chunks, from_minute, local_phase, to_minute, watermark
from pulso.errors import ConfigurationError

MINUTE = 60_000_000


def test_a_sliding_window_contains_each_minute_as_often_as_steps_fit_into_it() -> None:
    windows = SlidingWindows(length=15, step=5).assign(100)
    assert [(to_minute(w.start), to_minute(w.end)) for w in windows] == [(90, 105), (95, 110), (100, 115)]


def test_a_tumbling_window_contains_each_minute_once() -> None:
    (window,) = SlidingWindows(length=15, step=15).assign(104)
    assert (to_minute(window.start), to_minute(window.end)) == (90, 105)


@pytest.mark.parametrize(("length", "step"), [(5, 7), (10, 4), (15, 45), (5, 0), (10, 20)])
def test_impossible_windows_cannot_be_built(length: int, step: int) -> None:
    with pytest.raises(ConfigurationError):
        SlidingWindows(length, step)


@pytest.mark.parametrize(
    ("zone", "phase"), [("America/Mexico_City", 0), ("Asia/Kolkata", 30), ("Asia/Kathmandu", 15), ("Europe/Madrid", 0)]
)
def test_hours_begin_with_the_local_clock(zone: str, phase: int) -> None:
    assert local_phase(ZoneInfo(zone)) == phase
    start = SlidingWindows(60, 60, phase).assign(to_minute(datetime(2026, 7, 1, 12, 47, tzinfo=UTC)))[0].start
    assert start.astimezone(ZoneInfo(zone)).minute == 0


def test_the_live_window_ends_with_the_step_that_has_begun() -> None:
    windows = SlidingWindows(5, 1)
    assert windows.end_after(100) == 101
    assert SlidingWindows(60, 60).end_after(125) == 180


def test_reach_touches_the_windows_beside() -> None:
    windows = SlidingWindows(15, 15)
    assert windows.ends_touching(np.array([31])).tolist() == [45]
    assert windows.ends_touching(np.array([31]), reach=5).tolist() == [30, 45]
    assert windows.ends_touching(np.array([28]), reach=5).tolist() == [30, 45]


def test_windows_open_as_time_moves_on_even_without_data_in_between() -> None:
    windows = SlidingWindows(30, 1)
    before = Horizon.of(100, 200)
    assert windows.ends_opened(before, Horizon.of(104, 200)).tolist() == [102, 103, 104, 105]
    assert windows.ends_opened(before, Horizon.of(1000, 2000)).tolist() == list(range(102, 131))  # they hold minute 100
    assert windows.ends_opened(Horizon(), before).tolist() == []
    assert SlidingWindows(15, 15).ends_opened(before, Horizon.of(1000, 2000)).tolist() == []


def test_a_clock_that_is_ahead_opens_no_window_before_its_time() -> None:
    windows = SlidingWindows(5, 1)
    before, now = Horizon.of(104, 100), Horizon.of(104, 101)
    assert windows.end_after(before.shown or 0) == 101
    assert windows.ends_opened(before, now).tolist() == [102]


def mark(newest: list[int], silent: list[int], now: int = 1000, patience: int = 5) -> int | None:
    """Watermark in minutes of things with these newest minutes, silent for so many minutes."""
    heard = [(now - minutes) * MINUTE for minutes in silent]
    times = np.array(newest, np.int64) * MINUTE
    found = watermark(times, np.array(heard, np.int64), np.full(len(newest), patience * MINUTE), now * MINUTE)
    return None if found is None else found // MINUTE


def test_the_slowest_thing_holds_the_watermark() -> None:
    assert mark([1000, 997, 999], [0, 1, 0]) == 997


def test_a_silent_thing_holds_nothing_back() -> None:
    assert mark([1000, 900, 999], [0, 6, 0]) == 999


def test_a_thing_whose_clock_is_behind_holds_nothing_back() -> None:
    assert mark([1000, 900, 999], [0, 0, 0]) == 999


def test_when_all_are_silent_processing_time_takes_over() -> None:
    assert mark([980, 981], [19, 20]) == 995
    assert mark([], []) is None


def test_chunks_bound_number_and_span() -> None:
    ends = np.array([1, 2, 3, 50, 51, 100])
    assert [chunk.tolist() for chunk in chunks(ends, 2, 10)] == [[1, 2], [3], [50, 51], [100]]


def test_rounding_ignores_the_order_of_summation() -> None:
    assert round_half_up(np.array([45.499999999999, 45.5, 45.4])).tolist() == [46.0, 46.0, 45.0]
    assert round_half_up(0.0585, 3) == 0.059
    assert round_half_up(-0.5) == 0.0
    assert np.isnan(round_half_up(np.array([np.nan])))[0]


def test_minutes_and_moments_convert_exactly() -> None:
    moment = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
    assert from_minute(to_minute(moment + timedelta(seconds=59))) == moment
