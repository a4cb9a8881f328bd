"""What is remembered between readings, and by which things a value is judged."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dashboard.board import load_board
from dashboard.live.city_state import CityState
from dashboard.live.frame import CellState
from pulso.city import load_pack
from pulso.db.reading import ShownRow
from pulso.model import Family

PACK = load_pack("cdmx")
NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EMPTY = ShownRow("traffic_mean_speed", "coyoacan", *[None] * 11)


def state() -> CityState:
    return CityState(PACK, load_board(PACK))


def row(window_end: datetime, observed_until: datetime) -> ShownRow:
    return replace(EMPTY, window_end=window_end, value=31.0, observed_until=observed_until, running_end=window_end)


def since(moment: datetime) -> dict[str, datetime]:
    return dict.fromkeys(PACK.kpis, moment)


def test_the_last_value_is_kept_when_only_newer_windows_were_read() -> None:
    city = state()
    city.set_rows([row(NOW - 60 * MINUTE, NOW - 60 * MINUTE)], since(NOW - timedelta(days=2)))
    city.set_rows([replace(EMPTY, running_end=NOW, running_coverage=0.1)], since(NOW - 10 * MINUTE))
    (kept,) = city.rows.values()
    assert (kept.value, kept.running_end, kept.running_coverage) == (31.0, NOW, 0.1)


def test_a_value_that_was_taken_back_is_forgotten() -> None:
    city = state()
    city.set_rows([row(NOW - MINUTE, NOW - MINUTE)], since(NOW - timedelta(days=2)))
    city.set_rows([EMPTY], since(NOW - 10 * MINUTE))
    assert list(city.rows.values()) == [EMPTY]


def test_a_zone_is_judged_by_its_own_things_and_the_city_by_all() -> None:
    city = state()
    seen = NOW - 3 * MINUTE
    coyoacan = row(NOW + MINUTE, seen)
    city.set_rows([coyoacan, replace(coyoacan, zone_id="tlalpan"), replace(coyoacan, zone_id="cdmx")], since(NOW))
    city.intervals = {(Family.TRAFFIC, None): MINUTE, (Family.TRAFFIC, "coyoacan"): 5 * MINUTE}
    assert [cell.state for cell in city.cells(NOW)] == [CellState.OK, CellState.STALE, CellState.STALE]
