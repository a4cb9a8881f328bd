"""Storing twice is storing once, on every kind of database."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from pulso import frame
from pulso.db import Database
from pulso.db.observations import NO_TIME, ObservationColumns, ObservationStore, Outcome, RejectedMessage, _staged
from pulso.db.sql import SQL
from pulso.errors import StorageError
from pulso.model import from_micros, to_micros
from tests.support.databases import TestDatabase

pytestmark = pytest.mark.all_databases

NOON = to_micros(datetime(2026, 11, 22, 18, tzinfo=UTC))
SECOND = 1_000_000


@pytest.fixture
def store(opened: Database) -> ObservationStore:
    return ObservationStore(opened)


def columns(*rows: tuple[int, int, float] | tuple[int, int, float, int]) -> ObservationColumns:
    """Rows of (datastream, seconds after noon, result[, result time in seconds after noon])."""
    produced = [NOON + row[3] * SECOND if len(row) == 4 else NO_TIME for row in rows]
    return ObservationColumns(
        np.array([row[0] for row in rows], np.int32),
        np.array([NOON + row[1] * SECOND for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.full(len(rows), 2, np.int16),
        np.full(len(rows), NOON + 3600 * SECOND, np.int64),
        np.array(produced, np.int64),
        np.zeros(len(rows), np.int16),
    )


def stored(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT datastream_id, extract(epoch FROM phenomenon_time - '2026-11-22T18:00Z')::int, result"
        " FROM observation ORDER BY 1, 2"
    )


def handed_on(database: TestDatabase) -> list[tuple[int, int, float, bool]]:
    rows = []
    for (data,) in database.query("SELECT frame FROM observation_batch ORDER BY batch_id"):
        assert isinstance(data, bytes)
        batch = frame.decode(data)
        times = (batch.phenomenon_time - NOON) // SECOND
        listed = (batch.datastream_id, times, batch.result, batch.corrects)
        rows += sorted(zip(*(column.tolist() for column in listed), strict=True))
    return rows


async def test_new_observations_are_stored_and_handed_on(store: ObservationStore, database: TestDatabase) -> None:
    outcomes = await store.store(columns((2, 0, 1.5), (1, 60, 2.5), (1, 0, 3.5, 5)))

    assert set(outcomes.tolist()) == {Outcome.INSERTED}
    assert stored(database) == [(1, 0, 3.5), (1, 60, 2.5), (2, 0, 1.5)]
    assert handed_on(database) == [(1, 0, 3.5, False), (1, 60, 2.5, False), (2, 0, 1.5, False)]


async def test_storing_again_changes_nothing_and_hands_nothing_on(
    store: ObservationStore, database: TestDatabase
) -> None:
    batch = columns((1, 0, 1.0), (1, 60, 2.0), (1, 0, 1.0))
    await store.store(batch)
    outcomes = await store.store(batch)

    assert set(outcomes.tolist()) == {Outcome.DUPLICATE}
    assert stored(database) == [(1, 0, 1.0), (1, 60, 2.0)]
    assert len(handed_on(database)) == 2
    assert database.query("SELECT count(*) FROM observation_correction") == [(0,)]


async def test_another_result_for_a_key_replaces_it_and_the_old_one_is_kept(
    store: ObservationStore, database: TestDatabase
) -> None:
    await store.store(columns((1, 0, 1.0), (1, 60, 9.0)))
    outcomes = await store.store(columns((1, 0, 5.0), (1, 120, 7.0)))

    assert outcomes.tolist() == [Outcome.CORRECTED, Outcome.INSERTED]
    assert stored(database) == [(1, 0, 5.0), (1, 60, 9.0), (1, 120, 7.0)]
    assert database.query("SELECT result FROM observation_correction") == [(1.0,)]
    assert handed_on(database)[2:] == [(1, 0, 5.0, True), (1, 120, 7.0, False)]


async def test_a_message_delivered_again_after_its_correction_does_not_bring_the_old_result_back(
    store: ObservationStore, database: TestDatabase
) -> None:
    await store.store(columns((1, 0, 1.0)))
    await store.store(columns((1, 0, 2.0)))
    outcomes = await store.store(columns((1, 0, 1.0)))

    assert outcomes.tolist() == [Outcome.DUPLICATE]
    assert stored(database) == [(1, 0, 2.0)]


async def test_a_result_produced_earlier_is_kept_but_does_not_stand(
    store: ObservationStore, database: TestDatabase
) -> None:
    await store.store(columns((1, 0, 2.0, 20)))
    outcomes = await store.store(columns((1, 0, 1.0, 10)))

    assert outcomes.tolist() == [Outcome.SUPERSEDED]
    assert stored(database) == [(1, 0, 2.0)]
    assert database.query("SELECT result FROM observation_correction") == [(1.0,)]


async def test_correction_within_one_batch_follows_the_order_of_arrival(
    store: ObservationStore, database: TestDatabase
) -> None:
    outcomes = await store.store(columns((1, 0, 1.0), (1, 0, 2.0), (1, 0, 1.0), (1, 0, 2.0)))

    assert outcomes.tolist() == [Outcome.INSERTED, Outcome.CORRECTED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert stored(database) == [(1, 0, 2.0)]


async def test_what_is_new_beside_what_is_known_is_stored_and_so_is_what_follows(
    store: ObservationStore, database: TestDatabase
) -> None:
    """The first batch is copied, the second one refused as a whole and looked up, the third one looked up first."""
    await store.store(columns((1, 0, 1.0), (2, 0, 2.0)))
    outcomes = await store.store(columns((3, 0, 3.0), (2, 0, 2.5), (1, 0, 1.0), (4, 0, 4.0), (4, 0, 4.0)))
    assert outcomes.tolist() == [
        Outcome.INSERTED, Outcome.CORRECTED, Outcome.DUPLICATE, Outcome.INSERTED, Outcome.DUPLICATE
    ]  # fmt: skip
    outcomes = await store.store(columns((5, 0, 5.0), (3, 0, 3.0)))
    assert outcomes.tolist() == [Outcome.INSERTED, Outcome.DUPLICATE]

    assert stored(database) == [(1, 0, 1.0), (2, 0, 2.5), (3, 0, 3.0), (4, 0, 4.0), (5, 0, 5.0)]
    assert handed_on(database) == [
        (1, 0, 1.0, False), (2, 0, 2.0, False),
        (2, 0, 2.5, True), (3, 0, 3.0, False), (4, 0, 4.0, False),
        (5, 0, 5.0, False),
    ]  # fmt: skip


async def test_it_copies_again_some_time_after_a_known_key(
    store: ObservationStore, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    insert = ObservationStore._insert

    async def counted(self: ObservationStore, *arguments: Any) -> Any:
        looked.append(len(looked))
        return await insert(self, *arguments)

    monkeypatch.setattr(ObservationStore, "_insert", counted)
    await store.store(columns((1, 0, 1.0)))
    assert looked == [], "nothing was known, so nothing is looked up"
    for second in (0, *range(1, 121)):
        await store.store(columns((1, second, 1.0)))
    assert 50 < len(looked) < 110
    assert len(stored(database)) == 121


async def test_only_some_rows_of_a_batch_tell_when_they_were_produced(
    store: ObservationStore, database: TestDatabase
) -> None:
    some = columns((1, 0, 1.0), (1, 1, 2.0, 60), (1, 2, 3.0))
    await store.store(replace(some, sent={0: (33.8, "°F"), 1: (35.6, "°F")}))
    assert database.query(
        "SELECT extract(epoch FROM result_time - '2026-11-22T18:00Z')::int, sent_result, code, result FROM observation"
        " LEFT JOIN sent_unit ON sent_unit_id = sent_unit ORDER BY phenomenon_time"
    ) == [(None, 33.8, "°F", 1.0), (60, 35.6, "°F", 2.0), (None, None, None, 3.0)]


async def test_all_of_a_batch_or_none_of_it(store: ObservationStore, database: TestDatabase) -> None:
    """A batch that fails half-way leaves neither observations nor the hand-off, and the store works on."""
    poisoned = RejectedMessage(datetime.now(UTC), "a\x00b", b"", "empty", "", None, b"", redelivered=False)
    with pytest.raises(StorageError):
        await store.store(columns((1, 0, 1.0)), [poisoned])

    assert stored(database) == []
    assert handed_on(database) == []
    await store.store(columns((1, 0, 1.0)))
    assert stored(database) == [(1, 0, 1.0)]


async def test_two_workers_storing_the_same_batches_store_them_once(opened: Database, database: TestDatabase) -> None:
    import asyncio

    batch = columns(*((stream, second, float(second)) for stream in range(1, 21) for second in range(50)))
    stores = [ObservationStore(opened) for _ in range(4)]
    outcomes = await asyncio.gather(*(store.store(batch) for store in stores))

    assert sum(int((each == Outcome.INSERTED).sum()) for each in outcomes) == 1000
    assert len(stored(database)) == 1000
    assert len(handed_on(database)) == 1000


async def test_rejected_message_that_is_delivered_again_is_kept_once(
    store: ObservationStore, database: TestDatabase
) -> None:
    message = RejectedMessage(
        datetime.now(UTC), "t", b"\xff", "malformed", "x", "pulso_json", b"print", redelivered=False
    )
    none = columns()
    await store.store(none, [message, message])  # two messages that happen to be alike
    await store.store(none, [message._replace(redelivered=True)] * 2)

    assert (
        database.query("SELECT topic, payload, reason, decoder FROM rejected_message")
        == [("t", b"\xff", "malformed", "pulso_json")] * 2
    )


async def test_duplicates_and_corrections_cost_index_probes_however_long_the_history(
    opened: Database, database: TestDatabase
) -> None:
    """The statements that look at keys that arrived again never scan the table of observations."""
    await fill(opened)
    rows = columns(*((stream, minute * 60, 1.0) for stream in range(1, 41) for minute in range(100)))
    async with opened.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(SQL["observation_stage_create"])
        async with cursor.copy(SQL["observation_stage_copy"]) as copy:
            await copy.write(_staged(rows, np.arange(len(rows)), {}))
        keys = {
            "datastream_ids": rows.datastream_id.tolist(),
            "phenomenon_times": [from_micros(time) for time in rows.phenomenon_time],
        }
        bounds = {"first": keys["phenomenon_times"][0], "last": keys["phenomenon_times"][99]}
        plans = [
            await plan_of(cursor, "observation_insert", {}),
            await plan_of(cursor, "observation_differing", {"places": list(range(len(rows))), **bounds}),
            await plan_of(cursor, "observation_lock_existing", keys | bounds),
            await plan_of(cursor, "observation_superseded", keys),
        ]
    for plan in plans:
        scans = [line for line in plan.splitlines() if " Scan " in line and "rows=0" not in line]
        scanned = [
            line for line in scans if "Seq Scan" in line and "stage" not in line and "cost=0.00..0.00" not in line
        ]
        assert not scanned, plan
        assert sum("_chunk" in line for line in scans) <= 2, plan


async def plan_of(cursor: AsyncCursor[TupleRow], statement: str, parameters: dict[str, Any]) -> str:
    await cursor.execute(b"EXPLAIN " + SQL[statement].encode(), parameters)
    return "\n".join(str(line) for (line,) in await cursor.fetchall())


async def fill(opened: Database) -> None:
    """A year of hourly observations of 40 datastreams, and some corrections."""
    async with opened.connection() as connection:
        await connection.execute(
            "INSERT INTO observation"
            " SELECT stream, '2026-11-22T18:00Z'::timestamptz - hour * interval '1 hour', 1, 2, now()"
            " FROM generate_series(1, 40) AS stream, generate_series(0, 8760) AS hour"
        )
        await connection.execute(
            "INSERT INTO observation_correction (datastream_id, phenomenon_time, result, quality, received_at)"
            " SELECT datastream_id, phenomenon_time, result, quality, received_at"
            " FROM observation WHERE datastream_id < 10"
        )
    async with opened.connection() as connection:
        await connection.execute("ANALYZE observation")
        await connection.execute("ANALYZE observation_correction")
