"""Panes, the ring they are kept in, progress of things and what becomes of a value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from kpi_engine.evaluate import Computed
from kpi_engine.panes import aggregate, coarsen, combine
from kpi_engine.progress import Progress
from kpi_engine.revisions import revise
from kpi_engine.ring import LoadedPanes, PaneRing
from kpi_engine.things import Roster
from pulso.db.binary import decode_rows, encode_rows
from pulso.db.things import RegisteredDatastream
from pulso.errors import StorageError
from pulso.model import BandState, DatastreamId, Family, KpiId, KpiStatus, ThingId, Window, ZoneId
from pulso.panes import FIELDS, NEUTRAL, Panes

MINUTE = 60_000_000
SECOND = 1_000_000


def panes(*observations: tuple[int, float, float]) -> Panes:
    """Panes of (datastream, minute, result)."""
    ids, minutes, results = zip(*observations, strict=True)
    times = np.array([round(minute * MINUTE) for minute in minutes], np.int64)
    return aggregate(np.array(ids, np.int64), times, np.array(results, float))


def test_a_pane_has_the_statistics_of_its_minute() -> None:
    found = panes((7, 100.5, 4.0), (7, 100.1, 1.0), (7, 100.9, 2.0), (7, 101.0, 9.0))
    assert found.start.tolist() == [100, 101]
    assert (found.count[0], found.sum[0], found.sum_squares[0]) == (3, 7.0, 21.0)
    assert (found.min[0], found.max[0], found.first[0], found.last[0]) == (1.0, 4.0, 1.0, 2.0)


def test_far_apart_times_and_ids_still_sort() -> None:
    found = panes((2_000_000_000, 60_000_000.0, 2.0), (1, 0.0, 1.0), (2_000_000_000, 0.0, 3.0))
    assert list(zip(found.datastream_id.tolist(), found.start.tolist(), strict=True)) == [
        (1, 0), (2_000_000_000, 0), (2_000_000_000, 60_000_000),
    ]  # fmt: skip


def test_merging_goes_by_time_not_by_arrival() -> None:
    late, early = panes((1, 10.2, 5.0)), panes((1, 10.1, 3.0), (1, 10.9, 8.0))
    merged = combine(Panes.concatenate(late, early))
    assert (merged.first[0], merged.last[0], merged.count[0]) == (3.0, 8.0, 3)


def test_hours_start_with_the_phase_of_the_local_clock() -> None:
    found = coarsen(panes((1, 29, 1.0), (1, 30, 2.0), (1, 89, 3.0)), 60, 30)
    assert found.start.tolist() == [-30, 30]
    assert found.count.tolist() == [1, 2]


def gathered(source: LoadedPanes | PaneRing, field: str, starts: list[int], ids: list[int]) -> list[list[float]]:
    found: list[list[float]] = source.look_up(np.array(starts), np.array(ids))(field).tolist()
    return found


@pytest.fixture
def ring() -> PaneRing:
    return PaneRing(resolution=1, slots=10, end=109)


def test_a_ring_and_loaded_panes_tell_the_same(ring: PaneRing) -> None:
    some = panes((5, 104, 1.0), (3, 104, 2.0), (5, 106, 3.0))
    ring.merge(some)
    for field in FIELDS:
        asked = (field, [103, 104, 106], [3, -1, 5, 99])
        assert gathered(ring, *asked) == gathered(LoadedPanes(some), *asked)
    assert gathered(ring, "sum", [103, 104, 106], [3, -1, 5, 99]) == [[0, 0, 0, 0], [2, 0, 1, 0], [0, 0, 3, 0]]


def test_a_ring_forgets_what_is_older_than_its_slots(ring: PaneRing) -> None:
    ring.merge(panes((1, 100, 1.0), (1, 109, 2.0)))
    ring.advance(114)
    assert (ring.start, ring.end) == (105, 115)
    assert gathered(ring, "count", [100, 109, 110], [1]) == [[0], [1], [0]]
    assert ring.covers(np.array([104, 105, 114, 115])).tolist() == [False, True, True, False]
    ring.advance(5000)
    assert ring.occupied().tolist() == []


def test_a_ring_grows_with_the_datastreams(ring: PaneRing) -> None:
    for first in (1000, 0, 500):
        ring.merge(panes(*((first + n, 105, float(n)) for n in range(100))))
    assert gathered(ring, "sum", [105], [1007, 42, 599]) == [[7, 42, 99]]
    assert ring.bytes_per_datastream == 10 * 72


def test_replacing_and_clearing_a_pane(ring: PaneRing) -> None:
    ring.merge(panes((1, 105, 1.0), (1, 106, 1.0)))
    ring.replace(panes((1, 105, 9.0)))
    ring.clear(np.array([1]), np.array([106]))
    assert gathered(ring, "max", [105, 106], [1]) == [[9.0], [NEUTRAL["max"]]]
    assert ring.occupied().tolist() == [105]


# --- progress --------------------------------------------------------------------------------------------------------


def stream(number: int, zone: str | None = "coyoacan", interval: float = 60) -> RegisteredDatastream:
    return RegisteredDatastream(
        DatastreamId(number), "speed", "km/h", ThingId(number), f"thing {number}", Family.TRAFFIC,
        ZoneId(zone) if zone else None, interval, {},
    )  # fmt: skip


def progress(*streams: RegisteredDatastream) -> Progress:
    return Progress(Roster((ZoneId("cdmx"), ZoneId("coyoacan"), ZoneId("tlalpan")), streams), idle_timeout=300)


def test_watermarks_by_zone_and_city() -> None:
    known = progress(stream(1), stream(2, "tlalpan"))
    known.note(np.array([1, 2]), np.array([100, 90]) * MINUTE, 100 * MINUTE)
    assert known.watermark(Family.TRAFFIC, ZoneId("coyoacan"), 101 * MINUTE) == 100 * MINUTE
    assert known.watermark(Family.TRAFFIC, ZoneId("tlalpan"), 101 * MINUTE) == 90 * MINUTE
    assert known.watermark(Family.AIR, None, 101 * MINUTE) is None
    assert known.newest_minute(Family.TRAFFIC) == 100


def test_a_slow_thing_may_be_silent_for_longer() -> None:
    known = progress(stream(1, interval=300), stream(2))
    known.note(np.array([1, 2]), np.array([95, 100]) * MINUTE, 100 * MINUTE)
    known.note(np.array([2]), np.array([104]) * MINUTE, 104 * MINUTE)
    assert known.watermark(Family.TRAFFIC, None, 104 * MINUTE) == 95 * MINUTE


def test_what_a_stranger_said_counts_once_it_is_registered() -> None:
    known = progress(stream(1))
    known.note(np.array([1, 2]), np.array([100, 103]) * MINUTE, 103 * MINUTE)
    assert known.newest_minute(Family.TRAFFIC) == 100
    moved = known.under(Roster((ZoneId("cdmx"),), (stream(1), stream(2))))
    assert moved.newest_minute(Family.TRAFFIC) == 103


# --- revisions -------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
COMPUTED = Computed(
    KpiId("k"), ZoneId("z"), Window(NOON, NOON), 1.0, BandState.GOOD, 0.9, NOON, "v1", {}
)  # fmt: skip


def test_a_window_without_observations_is_not_written() -> None:
    assert revise(replace(COMPUTED, observed_until=None), None, is_final=False) is None


def test_a_window_that_is_over_is_first_written_with_a_value() -> None:
    insufficient = replace(COMPUTED, value=None, band=None, coverage=0.1)
    assert revise(insufficient, None, is_final=True) is None
    assert revise(insufficient, None, is_final=False) is not None


def test_a_provisional_value_is_refreshed_in_place() -> None:
    first = revise(COMPUTED, None, is_final=False)
    assert first is not None
    assert (first.status, first.revision) == (KpiStatus.PROVISIONAL, 0)
    assert revise(COMPUTED, first, is_final=False) is None
    second = revise(replace(COMPUTED, value=2.0), first, is_final=True)
    assert second is not None
    assert (second.value, second.status, second.revision) == (2.0, KpiStatus.FINAL, 0)


def test_a_final_value_changes_by_revision_and_only_for_another_result() -> None:
    final = revise(COMPUTED, None, is_final=True)
    assert final is not None
    assert revise(replace(COMPUTED, version="v2", detail={"more": 1}), final, is_final=True) is None
    revised = revise(replace(COMPUTED, coverage=1.0), final, is_final=True)
    assert revised is not None
    assert (revised.status, revised.revision) == (KpiStatus.REVISED, 1)
    again = revise(replace(COMPUTED, value=None, band=None), revised, is_final=False)
    assert again is not None
    assert (again.status, again.revision) == (KpiStatus.REVISED, 2)


def test_a_final_value_with_later_observations_is_told_how_far_it_reaches() -> None:
    """Else the screen would call it stale although its data reach to the end of its window."""
    final = revise(COMPUTED, None, is_final=True)
    assert final is not None
    later = NOON + timedelta(minutes=1)
    reaching = revise(replace(COMPUTED, observed_until=later), final, is_final=True)
    assert reaching == replace(final, observed_until=later)


# --- binary rows -----------------------------------------------------------------------------------------------------

COLUMNS = [("id", "int4"), ("at", "timestamptz"), ("value", "float8"), ("flag", "int2")]


def test_rows_survive_the_binary_copy_format() -> None:
    rows = {
        "id": np.array([1, -5]), "at": np.array([0, 1_795_370_400_000_001]),
        "value": np.array([1.5, -0.0]), "flag": np.array([2, 9]),
    }  # fmt: skip
    decoded = decode_rows(COLUMNS, encode_rows(COLUMNS, rows))
    assert {name: column.tolist() for name, column in decoded.items()} == {n: c.tolist() for n, c in rows.items()}


def test_rows_with_nulls_are_refused() -> None:
    data = encode_rows(COLUMNS, {name: np.zeros(1) for name, _ in COLUMNS})
    with pytest.raises(StorageError):
        decode_rows(COLUMNS, data[:-4])
