"""The estimate of each thing's clock."""

import numpy as np
import pytest

from ingest.assess import ClockEstimate, ThingClocks

NOON = 1_700_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


def hear(clocks: ThingClocks, thing: int, delays: list[float], at: int = NOON) -> None:
    received = at + np.arange(len(delays), dtype=np.int64) * SECOND
    clocks.update(
        np.full(len(delays), thing, np.int32), received - (np.array(delays) * SECOND).astype(np.int64), received
    )


def estimate(clocks: ThingClocks, thing: int) -> ClockEstimate:
    return next(clocks.estimates(np.array([thing], np.int32)))


def test_the_least_delays_tell_the_skew() -> None:
    clocks = ThingClocks()
    hear(clocks, 7, [0.3, 0.2, 40.0, 0.25, 900.0])
    assert estimate(clocks, 7).skew == pytest.approx(-0.25)
    assert estimate(clocks, 7).latest == pytest.approx(900)
    assert estimate(clocks, 7).samples == 5


def test_a_clock_ahead_has_a_positive_skew_and_one_wrong_stamp_does_not_decide() -> None:
    clocks = ThingClocks()
    hear(clocks, 7, [-120.0, -30.0, -29.0, -28.0])
    assert estimate(clocks, 7).skew == pytest.approx(30)


def test_a_clock_that_was_set_is_believed_after_an_hour() -> None:
    clocks = ThingClocks()
    hear(clocks, 7, [-100.0, -100.0])
    for quarter in range(1, 5):
        hear(clocks, 7, [0.5, 0.5], NOON + quarter * HOUR // 4)
    assert estimate(clocks, 7).skew == pytest.approx(-0.5)


def test_the_largest_delay_is_of_the_last_day() -> None:
    clocks = ThingClocks()
    hear(clocks, 7, [5000.0])
    hear(clocks, 7, [2.0], NOON + 20 * HOUR)
    assert estimate(clocks, 7).latest == pytest.approx(5000)
    hear(clocks, 7, [1.0], NOON + 40 * HOUR)
    assert estimate(clocks, 7).latest == pytest.approx(2.0)


def test_the_mean_follows_slowly() -> None:
    clocks = ThingClocks()
    hear(clocks, 7, [1.0] * 10)
    hear(clocks, 7, [11.0])
    assert estimate(clocks, 7).lateness == pytest.approx(1.5)


def test_many_things_in_one_update_are_kept_apart() -> None:
    clocks = ThingClocks()
    things = np.array([5, 3000, 5, 3000, 9], np.int32)
    received = np.full(5, NOON)
    heard = clocks.update(things, received - np.array([1, 2, 3, 4, 5]) * SECOND, received)
    assert heard.tolist() == [5, 9, 3000]
    assert [(each.thing_id, each.skew, each.latest) for each in clocks.estimates(heard)] == [
        (5, -3.0, 3.0),
        (9, -5.0, 5.0),
        (3000, -4.0, 4.0),
    ]
    assert list(clocks.estimates(np.array([4, 99_999], np.int32))) == []
    assert len(clocks.update(things[:0], received[:0], received[:0])) == 0
