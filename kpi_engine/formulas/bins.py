"""Waste bins and their collection: levels, rates, emptying events and tonnes. Pure arrays.

Fill levels are 0 to 1 (NGSI `fillingLevel`, verified); NGSI `binFullnessThreshold` is in percent (verified), so divide
it by 100 first. Readings run along the last axis, oldest first; NaN is a reading that is missing or not valid.
Ultrasonic levels are good for broad classes rather than for single percents (verified, ais-insights.ai). No standard
defines these indicators unless one is named: cut points and rules are our own design.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.base import Floats, Ints
from kpi_engine.formulas.ratios import ratio
from kpi_engine.formulas.samples import Bools, cuts_above, cuts_reached, mean, measured, percentile, reaches
from kpi_engine.rounding import round_half_up

OVERFLOW = 0.95
LEVEL_CUTS = (0.5, 0.8, OVERFLOW)
LEVEL_BANDS = ("ok", "plan", "collect", "overflow risk")

OVERFLOW_RATE_CUTS = (2.0, 5.0)
OVERFLOW_RATE_BANDS = ("good", "watch", "bad")

EMPTYING_DROP = 0.30
EMPTIED_LEVEL = 0.25
WASTED_TRIP = 0.5

MINIMUM_POINTS = 4
MINIMUM_HOURS = 6.0
USUAL_DAYS = 28
LONGEST_HOURS = 30 * 24.0
URGENT_HOURS = 12.0

_SLOPE_DECIMALS = 9  # so that the order of summation cannot decide whether a bin that stands still fills

FIRE_CELSIUS = 60.0

ALARM_STATES = ("burning", "dropped", "lidOpen", "moved", "vandalized")
"""Values of NGSI `status` that are alarms (the values verified, the choice our own design)."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The straight line through the readings since the last emptying; NaN where the readings do not suffice for one.

    `slope` in 1/h, `fill` the fitted level at the moment asked for, `points` how many readings there are.
    """

    slope: Floats
    fill: Floats
    points: Ints


def fill_from_distance(distance: Floats, empty: Floats | float, full: Floats | float) -> Floats:
    """W1 fill level (d_empty - d) / (d_empty - d_full), clipped to 0 to 1; all distances in the same unit.

    `empty` and `full` are what the sensor sees of an empty and a full bin. NaN for a missing or negative distance and
    where `empty` is not greater than `full`.
    """
    share = ratio(np.asarray(empty) - np.where(measured(distance), distance, np.nan), np.asarray(empty) - full)
    return np.clip(share, 0.0, 1.0)


def last_level(fills: Floats) -> Floats:
    """W1 last level: median of the newest three valid readings along the last axis, which one echo cannot spoil.

    Of the one or two there are, if there are no three; NaN without any.
    """
    valid_last = np.argsort(np.isfinite(fills), axis=-1, kind="stable")
    return percentile(np.take_along_axis(fills, valid_last[..., -3:], axis=-1), 50.0)


def level_band(level: Floats) -> Floats:
    """Index into LEVEL_BANDS: ok below 0.5, plan, from 0.8 collect, from 0.95 overflow risk; lower ends included."""
    return cuts_reached(level, LEVEL_CUTS)


def overflow_rate(levels: Floats) -> Floats:
    """W2 share in % of the reporting bins along the last axis at or above 0.95; NaN where none reports."""
    return _percent_of(reaches(levels, OVERFLOW), np.isfinite(levels))


def overflow_rate_band(rate: Floats) -> Floats:
    """Index into OVERFLOW_RATE_BANDS: good to 2 %, watch to 5 %, bad above; upper ends included."""
    return cuts_above(rate, OVERFLOW_RATE_CUTS)


def overflow_time_share(levels: Floats, hours: Floats) -> Floats:
    """W3 share in % of the observed bin-hours at or above 0.95; at most 1 % is good.

    `levels` that bins had for `hours` each, over the last axis. Hours without a level are not observed; NaN where
    nothing is.
    """
    observed = np.where(np.isfinite(levels) & measured(hours), hours, 0.0)
    over = np.where(reaches(levels, OVERFLOW), observed, 0.0)
    return 100.0 * ratio(over.sum(axis=-1), observed.sum(axis=-1))


def emptied(fills: Floats) -> Bools:
    """W6 emptying events: a drop of at least 0.30 from the valid reading before, to at most 0.25; both included.

    The event is at the reading after the drop. A first reading is never one: nobody saw what was there before.
    """
    dropped = reaches(_valid_before(fills) - fills, EMPTYING_DROP)
    low: Bools = cuts_above(fills, (EMPTIED_LEVEL,)) == 0
    return dropped & low


def fill_at_collection(fills: Floats) -> Floats:
    """W7 level just before each emptying event, at the place of the event, and NaN elsewhere; the target is 0.75-0.95.

    That bins are often half full at a scheduled pickup is verified (ais-insights.ai).
    """
    return np.where(emptied(fills), _valid_before(fills), np.nan)


def wasted_trips(fills_at_collection: Floats) -> Bools:
    """W7 where a bin was collected below 0.5, the limit excluded; false where nothing was collected."""
    return np.isfinite(fills_at_collection) & ~reaches(fills_at_collection, WASTED_TRIP)


def collection_efficiency(fills_at_collection: Floats, threshold: float) -> Floats:
    """W8 share in % of the collections along the last axis at or above `threshold`; at least 80 % is good.

    There is no standard definition, so a screen has to name the threshold. NaN without collections.
    """
    return _percent_of(reaches(fills_at_collection, threshold), np.isfinite(fills_at_collection))


def service_completion(done: Floats, planned: Floats | float) -> Floats:
    """W9 collections done over planned in %, above 100 if more was done; at least 95 % is good. NaN without a plan."""
    return _percent(done, planned)


def fill_trend(hours: Floats, fills: Floats, now: Floats | float) -> Trend:
    """W4 fill rate: least-squares line through the readings since the last emptying, that of the event included.

    `hours` of the readings and `now` on one clock. Takes at least 4 readings and 6 h from the first to the last of
    them, both included; without an emptying event all readings are taken.
    """
    events = np.cumsum(emptied(fills), axis=-1)
    used = np.isfinite(fills) & np.isfinite(hours) & (events == events[..., -1:])
    points = used.sum(axis=-1)
    newest = np.where(used, hours, -np.inf).max(axis=-1, initial=-np.inf)
    span = newest - np.where(used, hours, np.inf).min(axis=-1, initial=np.inf)
    enough = (points >= MINIMUM_POINTS) & reaches(span, MINIMUM_HOURS)
    middle, level = mean(np.where(used, hours, np.nan)), mean(np.where(used, fills, np.nan))
    away = np.where(used, hours - middle[..., None], 0.0)
    rise = np.where(used, fills - level[..., None], 0.0)
    slope = round_half_up(ratio((away * rise).sum(axis=-1), (away * away).sum(axis=-1)), _SLOPE_DECIMALS)
    slope = np.where(enough, slope, np.nan)
    return Trend(slope, level + slope * (now - middle), points)


def usual_rate(daily_rates: Floats) -> Floats:
    """W4 in place of a trend: mean rate in 1/h of today's weekday over the last 28 days, NaN where none is known.

    `daily_rates` (..., 28), oldest first, yesterday last. Raises ValueError for another number of days.
    """
    if daily_rates.shape[-1] != USUAL_DAYS:
        raise ValueError(f"{daily_rates.shape[-1]} days are not {USUAL_DAYS}")
    return mean(daily_rates[..., ::7])  # 28, 21, 14 and 7 days ago


def time_to_full(fill: Floats, rate: Floats, limit: float = 1.0) -> Floats:
    """W5 hours until a bin at `fill` now reaches `limit` at `rate` in 1/h: 0 if it has, at most 30 days.

    `fill` is the fitted level of `fill_trend`, or the last level where the rate is the usual one. NaN where either is
    missing and where the rate is not positive.
    """
    return np.clip(ratio(limit - fill, rate), 0.0, LONGEST_HOURS)


def is_urgent(hours_to_full: Floats) -> Bools:
    """W5 where a bin is full in less than 12 h; false where that is not known."""
    return np.isfinite(hours_to_full) & ~reaches(hours_to_full, URGENT_HOURS)


def response_times(hours: Floats, fills: Floats, threshold: float) -> Floats:
    """W10 hours from the first reading at or above `threshold` to the emptying, at the place of the event.

    The first one since the emptying before. NaN elsewhere, and where the bin was collected before it got there.
    """
    events = emptied(fills)
    reached = reaches(fills, threshold)
    places = np.broadcast_to(np.arange(fills.shape[-1]), fills.shape)
    emptied_at = np.maximum.accumulate(np.where(events, places, 0), axis=-1)
    running: Ints = np.cumsum(reached, axis=-1) - reached  # how often it was reached before each reading
    first = reached & (running == np.take_along_axis(running, emptied_at, axis=-1))
    since = np.maximum.accumulate(np.where(first, places, -1), axis=-1)
    before, cycle = _shifted(since, -1), _shifted(emptied_at, 0)
    waited = hours - np.take_along_axis(hours, before.clip(min=0), axis=-1)
    return np.where(events & (before >= cycle), waited, np.nan)


def response_time_p90(response_times: Floats) -> Floats:
    """W10 90th percentile in h of the response times along the last axis, by linear interpolation; at most 24 is good.

    NaN without any; there is no minimum of events, so show how many there were.
    """
    return percentile(response_times, 90.0)


def collected_share(collected: Floats, generated: Floats | float) -> Floats:
    """W11 tonnes collected over tonnes generated in %. NaN where nothing is generated."""
    return _percent(collected, generated)


def controlled_share(controlled: Floats, generated: Floats | float) -> Floats:
    """W11 tonnes managed in controlled facilities over tonnes generated in %: SDG 11.6.1.

    Verified (plasticsmartcities.org on the Waste Wise Cities Tool). NaN where nothing is generated.
    """
    return _percent(controlled, generated)


def recycling_share(recycled: Floats, total: Floats | float) -> Floats:
    """W12 tonnes recycled over all tonnes in %, one of the six shares of ITU-T Y.4903 EN: EN: WA: 1C (verified)."""
    return _percent(recycled, total)


def generation_per_head(tonnes: Floats, population: Floats | float, days: Floats | float) -> Floats:
    """W13 kg per head and day of the tonnes generated over `days` days. NaN without people or days.

    As the national diagnosis of 2020 counts it (recalled).
    """
    return ratio(ratio(np.where(measured(tonnes), tonnes, np.nan) * 1000.0, population), days)


def alarms(celsius: Floats, states: NDArray[np.str_]) -> Bools:
    """W14 where a bin is hotter than 60 °C, the limit excluded, or its NGSI `status` is one of ALARM_STATES."""
    hot: Bools = cuts_above(celsius, (FIRE_CELSIUS,)) == 1
    return hot | np.isin(states, ALARM_STATES)


def alarm_count(celsius: Floats, states: NDArray[np.str_]) -> Ints:
    """W14 bins along the last axis that are in alarm; there should be none."""
    count: Ints = alarms(celsius, states).sum(axis=-1)
    return count


def _percent(part: Floats, whole: Floats | float) -> Floats:
    return 100.0 * ratio(np.where(measured(part), part, np.nan), whole)


def _percent_of(some: Bools, all_of_them: Bools) -> Floats:
    return 100.0 * ratio(some.sum(axis=-1).astype(float), all_of_them.sum(axis=-1).astype(float))


def _valid_before(fills: Floats) -> Floats:
    """For each reading the valid one before it; NaN where there is none."""
    places = np.broadcast_to(np.arange(fills.shape[-1]), fills.shape)
    newest = _shifted(np.maximum.accumulate(np.where(np.isfinite(fills), places, -1), axis=-1), -1)
    return np.where(newest >= 0, np.take_along_axis(fills, newest.clip(min=0), axis=-1), np.nan)


def _shifted(places: Ints, first: int) -> Ints:
    """Each value one place later, `first` at the beginning."""
    return np.concatenate([np.full_like(places[..., :1], first), places[..., :-1]], axis=-1)
