"""When a value may be shown as live."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dashboard.live.frame import CellState, millis
from dashboard.live.judge import Expectation, judge
from pulso.city import KpiDefinition, load_pack
from pulso.db.reading import ShownRow

NOW = datetime(2026, 11, 22, 20, 32, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SPEED = load_pack("cdmx").kpi("traffic_mean_speed")
HOURLY = load_pack("cdmx").kpi("air_pm25_hourly")


def expect(definition: KpiDefinition = SPEED, interval: timedelta = MINUTE) -> Expectation:
    return Expectation(definition, interval)


def row(window_end: datetime, observed_until: datetime | None, **changes: object) -> ShownRow:
    known = ShownRow(
        kpi_id="traffic_mean_speed",
        zone_id="cdmx",
        window_end=window_end,
        value=31.4159,
        band="good",
        coverage=0.973,
        status="provisional",
        observed_until=observed_until,
        detail={},
        running_end=window_end,
        running_value=31.4159,
        running_coverage=0.973,
        running_until=observed_until,
    )
    return replace(known, **changes)


def test_value_of_an_open_window_with_fresh_data_is_shown_rounded() -> None:
    cell = judge(row(NOW + MINUTE, NOW - timedelta(seconds=2)), expect(), NOW)
    assert (cell.state, cell.value, cell.band, cell.coverage) == (CellState.OK, 31.4, "good", 0.97)
    assert cell.observed_until == millis(NOW) - 2000


def test_value_goes_stale_when_data_stops_although_the_engine_keeps_writing() -> None:
    seen = NOW - timedelta(seconds=91)
    cell = judge(row(NOW + MINUTE, seen), expect(), NOW)
    assert (cell.state, cell.value, cell.last) == (CellState.STALE, None, 31.4)
    assert cell.observed_until == millis(seen)


def test_slow_things_are_given_their_own_interval() -> None:
    open_window = row(NOW + MINUTE, NOW - timedelta(seconds=200))
    assert judge(open_window, expect(interval=timedelta(minutes=5)), NOW).state is CellState.OK


def test_value_goes_stale_when_no_newer_window_comes() -> None:
    end = NOW - timedelta(minutes=2, seconds=31)
    assert judge(row(end, end), expect(), NOW).state is CellState.STALE
    assert judge(row(end + timedelta(seconds=2), end), expect(), NOW).state is CellState.OK


def test_hourly_value_stays_until_the_next_hour_is_due() -> None:
    end = NOW.replace(minute=0, second=0)
    assert judge(row(end, end - timedelta(seconds=3)), expect(HOURLY), NOW).state is CellState.OK


def test_too_little_data_is_said_with_its_coverage() -> None:
    old = NOW - timedelta(minutes=10)
    running = {"running_end": NOW, "running_value": None, "running_coverage": 0.384, "running_until": NOW}
    cell = judge(row(old, old, **running), expect(), NOW)
    assert (cell.state, cell.value, cell.coverage) == (CellState.INSUFFICIENT, None, 0.38)


def test_what_is_left_in_a_window_after_the_data_stopped_is_silence_not_too_little_data() -> None:
    old = NOW - timedelta(minutes=4)
    running = {"running_end": NOW, "running_value": None, "running_coverage": 0.2, "running_until": old}
    assert judge(row(old, old, **running), expect(), NOW).state is CellState.STALE


def test_without_any_row_there_is_nothing_to_show() -> None:
    nothing = ShownRow("traffic_mean_speed", "cdmx", *[None] * 11)
    assert judge(nothing, expect(), NOW).state is CellState.NONE


def test_responsible_pollutants_are_told() -> None:
    bad = row(NOW + MINUTE, NOW, band="bad", detail={"pollutants": ["PM2.5", "O3"]})
    assert judge(bad, expect(), NOW).note == "PM2.5 · O3"
    many = replace(bad, detail={"pollutants": ["PM2.5", "PM10", "O3", "NO2"]})
    assert judge(many, expect(), NOW).note == "PM2.5 · PM10 +2"
    assert judge(replace(many, band="good"), expect(), NOW).note is None
