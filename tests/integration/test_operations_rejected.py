"""Dead letters, quarantine, adopted documents and the memory of decoders, on every kind of database."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pulso.db import Database
from pulso.db.adoption import AdoptionRepository, ThingSettings
from pulso.db.documents import DocumentRepository
from pulso.db.memory import MemoryRepository
from pulso.db.rejected import (
    RejectedRepository,
    RejectedState,
    Selection,
    Settlement,
    settle,
    take_queued,
)
from pulso.errors import RejectReason, UnknownThing, UnknownZone
from pulso.model import Family, ThingState
from pulso.rejection import ADVICE, advice
from tests.support.databases import TestDatabase
from tests.support.operations import NOON, reject

pytestmark = pytest.mark.all_databases


@pytest.fixture
def letters(opened: Database) -> RejectedRepository:
    return RejectedRepository(opened)


def states(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query("SELECT rejected_id, state FROM rejected_message ORDER BY rejected_id")


async def ids(letters: RejectedRepository, **narrowed: object) -> list[int]:
    rows = await letters.list(Selection(**narrowed), limit=100)  # type: ignore[arg-type]
    return [row.rejected_id for row in rows]


async def test_every_filter_narrows_the_list(letters: RejectedRepository, database: TestDatabase) -> None:
    first = reject(database, reason="malformed", source="plant", decoder="ttn_v3@1", external_id="meter 1/a")
    second = reject(database, topic="city/7/up", seconds=60, state="discarded", decoder="ttn_v3@2")
    third = reject(database, topic="city/8/up", seconds=120, decoder="ttn_v30@2")

    assert await ids(letters) == [third, second, first]
    assert await ids(letters, reason="malformed") == [first]
    assert await ids(letters, source="plant") == [first]
    assert await ids(letters, device="meter 1/a") == [first]
    assert await ids(letters, device="city/+/up") == [third, second]
    assert await ids(letters, topic_prefix="city/7") == [second]
    assert await ids(letters, decoder="ttn_v3") == [second, first]
    assert await ids(letters, decoder="ttn_v3@1") == [first]
    assert await ids(letters, decoder="ttn_v3@2") == [second]
    assert await ids(letters, state=RejectedState.DISCARDED) == [second]
    assert await ids(letters, since=NOON + timedelta(seconds=60)) == [third, second]
    assert await ids(letters, until=NOON + timedelta(seconds=60)) == [first]
    assert await ids(letters, ids=[third, first]) == [third, first]


async def test_pages_hold_each_message_once(letters: RejectedRepository, database: TestDatabase) -> None:
    made = [reject(database, seconds=number) for number in range(7)]
    seen: list[int] = []
    before = None
    while page := await letters.list(Selection(), limit=3, before=before):
        seen += [row.rejected_id for row in page]
        before = page[-1].rejected_id
    assert seen == made[::-1]


async def test_a_message_comes_with_its_bytes_unchanged(letters: RejectedRepository, database: TestDatabase) -> None:
    number = reject(database, payload=bytes(range(256)), content_type="application/cbor")
    (kept,) = await letters.with_bytes([number, 999_999])
    assert kept.payload == bytes(range(256))
    assert (kept.row.size, kept.row.content_type) == (256, "application/cbor")


async def test_the_summary_counts_by_reason_source_and_decoder(
    letters: RejectedRepository, database: TestDatabase
) -> None:
    for second in range(3):
        reject(database, reason="malformed", source="plant", decoder="senml@1", seconds=second)
    reject(database, reason="empty")
    found = await letters.summary()
    assert [(row.reason, row.source, row.decoder, row.state, row.messages) for row in found] == [
        ("malformed", "plant", "senml@1", "kept", 3),
        ("empty", None, None, "kept", 1),
    ]
    assert found[0].last_seen - found[0].first_seen == timedelta(seconds=2)


async def test_queueing_takes_what_is_kept_and_wakes_the_workers(
    letters: RejectedRepository, database: TestDatabase
) -> None:
    mine = reject(database, reason="unmapped")
    other = reject(database, reason="malformed")
    done = reject(database, reason="unmapped", state="replayed")
    thrown = reject(database, reason="unmapped", state="discarded")
    with psycopg.connect(database.dsn, autocommit=True) as listener:
        listener.execute("LISTEN pulso_replay")
        assert await letters.countable(Selection(reason="unmapped")) == 1
        assert await letters.queue(Selection(reason="unmapped")) == 1
        assert await letters.queue(Selection(reason="unmapped")) == 0
        assert [note.channel for note in listener.notifies(timeout=1, stop_after=1)] == ["pulso_replay"]
    assert states(database) == [(mine, "queued"), (other, "kept"), (done, "replayed"), (thrown, "discarded")]


async def test_what_was_discarded_can_be_queued_when_it_is_asked_for(
    letters: RejectedRepository, database: TestDatabase
) -> None:
    number = reject(database)
    assert await letters.discard(Selection(ids=[number])) == 1
    assert await letters.queue(Selection(ids=[number])) == 0
    assert await letters.queue(Selection(ids=[number], state=RejectedState.DISCARDED)) == 1
    assert await letters.discard(Selection(ids=[number])) == 0  # it belongs to the workers now
    assert await letters.queue(Selection(state=RejectedState.QUEUED)) == 0
    assert await letters.queue(Selection(state=RejectedState.REPLAYED)) == 0


async def test_large_selections_are_moved_a_few_at_a_time(
    letters: RejectedRepository, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulso.db.rejected._MOVED_AT_ONCE", 2)
    for number in range(7):
        reject(database, topic=f"plant/line-{number}/state", reason="empty" if number == 3 else "unmapped")
    assert await letters.queue(Selection(device="plant/+/state", reason="unmapped")) == 6
    assert await letters.discard(Selection(topic_prefix="plant/")) == 1
    assert [state for _, state in states(database)] == ["queued"] * 3 + ["discarded"] + ["queued"] * 3


async def test_two_workers_take_different_messages_and_give_back_what_they_do_not_commit(
    opened: Database, database: TestDatabase
) -> None:
    made = [reject(database, state="queued", seconds=number) for number in range(4)]
    async with opened.connection() as one, opened.connection() as two:
        first = await take_queued(one.cursor(), 3)
        second = await take_queued(two.cursor(), 3)
        assert [message.rejected_id for message in first] == made[:3]
        assert [message.rejected_id for message in second] == made[3:]
        assert first[0].payload == b'{"t": 21.5}'
        await settle(one.cursor(), [Settlement(made[0], True), Settlement(made[1], True)])
        await one.commit()
        await two.rollback()
    async with opened.connection() as connection:
        assert [each.rejected_id for each in await take_queued(connection.cursor(), 9)] == made[2:]


async def test_large_payloads_are_taken_a_few_at_a_time(opened: Database, database: TestDatabase) -> None:
    made = [reject(database, state="queued", payload=b"x" * 1000) for _ in range(4)]
    async with opened.connection() as connection:
        cursor = connection.cursor()
        assert [each.rejected_id for each in await take_queued(cursor, 9, most_bytes=1500)] == made[:2]
        assert [each.rejected_id for each in await take_queued(cursor, 9, most_bytes=1)] == made[:1]


async def test_a_settled_replay_says_what_it_came_to(
    opened: Database, letters: RejectedRepository, database: TestDatabase
) -> None:
    good = reject(database, state="queued", reason="unmapped")
    bad = reject(database, state="queued", reason="unmapped", decoder="ttn_v3@1")
    kept = reject(database)
    async with opened.connection() as connection:
        await settle(
            connection.cursor(),
            [
                Settlement(good, True, decoder="mapping:plant@1a2b3c4d"),
                Settlement(bad, False, "unknown_unit", "furlong", "ttn_v3@2", "bin-7"),
                Settlement(kept, True),
            ],
        )
    rows = {row.rejected_id: row for row in await letters.list(Selection(), limit=9)}
    assert (rows[good].state, rows[good].reason, rows[good].replays) == ("replayed", "unmapped", 1)
    assert (rows[bad].state, rows[bad].reason, rows[bad].detail) == ("kept", "unknown_unit", "furlong")
    assert (rows[bad].decoder, rows[bad].external_id) == ("ttn_v3@2", "bin-7")
    assert rows[bad].replayed_at is not None
    assert (rows[kept].state, rows[kept].replays) == ("kept", 0)


async def test_old_messages_go_but_not_those_that_wait_for_a_replay(
    letters: RejectedRepository, database: TestDatabase
) -> None:
    now = datetime.now(UTC)
    reject(database, at=now - timedelta(days=40))
    waiting = reject(database, at=now - timedelta(days=40), state="queued")
    young = reject(database, at=now)
    assert await letters.delete(timedelta(days=30)) == 1
    assert states(database) == [(waiting, "queued"), (young, "kept")]


async def test_devices_nobody_understands_are_listed_with_their_last_messages(
    letters: RejectedRepository, database: TestDatabase
) -> None:
    bin_7 = [reject(database, topic="v3/app/devices/bin-7/up", external_id="bin-7", reason="unmapped", seconds=number)
             for number in range(7)]  # fmt: skip
    reject(database, external_id="bin-7", reason="undecoded", seconds=1)
    meters = [reject(database, topic=f"acme/v2/meter{number}/state", seconds=100 + number) for number in range(3)]
    reject(database, external_id="clock", reason="future_timestamp", seconds=500)
    reject(database, external_id="bin-8", reason="unmapped", state="discarded")
    database.query("INSERT INTO thing (external_id, family) VALUES ('bin-7', 'waste')")

    first, second = await letters.quarantined(limit=10)
    assert (first.device, first.external_id, first.messages) == ("acme/v2/+/state", None, 3)
    assert (first.topic, list(first.latest)) == ("acme/v2/meter2/state", meters[::-1])
    assert (second.device, second.messages, second.family) == ("bin-7", 8, "waste")
    assert second.reasons == {"unmapped": 7, "undecoded": 1}
    assert list(second.latest) == sorted([*bin_7, bin_7[-1] + 1], reverse=True)[:5]
    assert (second.first_seen, second.last_seen) == (NOON, NOON + timedelta(seconds=6))

    assert [each.device for each in await letters.quarantined(limit=1)] == ["acme/v2/+/state"]
    assert [each.device for each in await letters.quarantined(limit=9, after=(first.last_seen, first.device))] == [
        "bin-7"
    ]
    assert [each.device for each in await letters.quarantined(limit=9, device="bin-7")] == ["bin-7"]
    assert [each.device for each in await letters.quarantined(limit=9, since=NOON + timedelta(seconds=50))] == [
        "acme/v2/+/state"
    ]


async def test_adopting_keeps_the_document_and_queues_the_messages_in_one_commit(
    opened: Database, database: TestDatabase
) -> None:
    database.query("INSERT INTO zone VALUES ('centro', NULL, 'city', 'Centro', 'Centro', 19, -99)")
    number = reject(database, external_id="bin-7", reason="unmapped")
    repository = AdoptionRepository(opened)
    settings = ThingSettings(Family.WASTE, "centro", "Corner", timedelta(minutes=5))
    with pytest.raises(UnknownZone):
        await repository.adopt(["bin-7"], ThingSettings(zone_id="atlantis"), replay=Selection(device="bin-7"))
    assert states(database) == [(number, "kept")]

    queued = await repository.adopt(
        ["bin-7"], settings, replay=Selection(device="bin-7"), document=("bin-7", "# toml"), adopted_by="ana"
    )

    assert queued == 1
    assert states(database) == [(number, "queued")]
    assert await DocumentRepository(opened).texts() == {"bin-7": "# toml"}
    thing = await repository.thing("bin-7")
    assert (thing.family, thing.zone_id, thing.name, thing.expected_interval, thing.state) == (
        "waste", "centro", "Corner", 300.0, "active",
    )  # fmt: skip


async def test_things_are_listed_with_their_last_observation_and_can_be_changed(
    opened: Database, database: TestDatabase
) -> None:
    database.query("INSERT INTO zone VALUES ('centro', NULL, 'city', 'Centro', 'Centro', 19, -99)")
    database.query(
        "INSERT INTO thing (external_id, family, decoder) VALUES ('a', 'waste', 'senml@1'), ('b', NULL, NULL)"
    )
    database.query("INSERT INTO datastream (thing_id, observed_property, unit)"
                   " SELECT thing_id, 'weight', 'kg' FROM thing WHERE external_id = 'a'")  # fmt: skip
    database.query("INSERT INTO observation SELECT datastream_id, %s, 1, 2, now() FROM datastream", NOON)
    repository = AdoptionRepository(opened)

    a, b = await repository.things(limit=9)
    assert (a.last_observed, a.datastreams, a.decoder) == (NOON, 1, "senml@1")
    assert (b.last_observed, b.family) == (None, None)
    assert [each.external_id for each in await repository.things(limit=9, family="none")] == ["b"]
    assert [each.external_id for each in await repository.things(limit=9, decoder="senml")] == ["a"]
    assert [each.external_id for each in await repository.things(limit=1, after="a")] == ["b"]

    await repository.change("b", ThingSettings(Family.AIR, "centro", state=ThingState.RETIRED))
    changed = await repository.thing("b")
    assert (changed.family, changed.zone_id, changed.state, changed.expected_interval) == (
        "air", "centro", "retired", 60.0,
    )  # fmt: skip
    with pytest.raises(UnknownThing):
        await repository.change("c", ThingSettings(name="x"))
    with pytest.raises(UnknownZone):
        await repository.change("b", ThingSettings(zone_id="atlantis"))


async def test_documents_are_kept_replaced_and_deleted_with_a_word_to_the_workers(
    opened: Database, database: TestDatabase
) -> None:
    repository = DocumentRepository(opened)
    with psycopg.connect(database.dsn, autocommit=True) as listener:
        listener.execute("LISTEN pulso_devices")
        await repository.put("plant", "a = 1")
        await repository.put("plant", "a = 2", adopted_by="ana")
        assert [(each.name, each.document, each.adopted_by) for each in await repository.list()] == [
            ("plant", "a = 2", "ana")
        ]
        assert await repository.delete("plant")
        assert not await repository.delete("plant")
        assert len(list(listener.notifies(timeout=1, stop_after=3))) == 3
    assert await repository.list() == ()


async def test_memory_is_written_once_and_forgotten_by_none(opened: Database, database: TestDatabase) -> None:
    repository = MemoryRepository(opened)
    learned: dict[str, object] = {"sparkplug_b:plant/line": {"1": "Temperature"}, "homie:x": [1, 2.5, None, "µ"]}
    with psycopg.connect(database.dsn, autocommit=True) as listener:
        listener.execute("LISTEN pulso_memory")
        assert await repository.save(learned)
        assert not await repository.save(learned)
        assert not await repository.save({"nothing": None})
        assert await repository.load() == learned
        assert await repository.save({"homie:x": None, "tasmota:y": 1})
        assert await repository.load() == {"sparkplug_b:plant/line": {"1": "Temperature"}, "tasmota:y": 1}
        assert len(list(listener.notifies(timeout=0.5))) == 2


async def test_workers_that_learn_the_same_at_once_do_not_block_each_other(opened: Database) -> None:
    repository = MemoryRepository(opened)
    await asyncio.gather(
        *(repository.save({f"k{(number * step) % 50}": step for number in range(50)}) for step in (1, 3, 7, 9))
    )
    assert len(await repository.load()) == 50


def test_every_reason_has_words_and_something_to_do() -> None:
    assert set(ADVICE) == set(RejectReason)
    assert all(each.meaning.endswith(".") and each.remedy.endswith(".") for each in ADVICE.values())
    assert "does not know" in advice("of_tomorrow").meaning
