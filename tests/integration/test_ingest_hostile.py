"""Messages made to break ingest, through the real translator and the real database."""

import pytest

from ingest.interpret import LARGEST_MESSAGE, Interpreter
from ingest.message import RawMessage
from pulso.db import Database
from pulso.db.things import MOST_DATASTREAMS
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest

TOPIC = "pulso/v1/traffic/det-1"
ABOUT = f"{TOPIC}/about"
GOOD = RawMessage("pulso/v1/traffic/good", b'{"observations":{"speed":31}}', 0, 1, 1, redelivered=False, connection=1)


async def settle(opened: Database, *messages: RawMessage) -> list[RawMessage]:
    """Run `messages` as one batch through a new worker; fails if that does not end."""
    worker = await InProcessIngest.begin(opened)
    return await worker.settle(*messages)


def message(topic: str, payload: bytes) -> RawMessage:
    return RawMessage(topic, payload, 0, 2, 1, redelivered=False, connection=1)


def reasons(database: TestDatabase) -> list[str]:
    return [str(reason) for (reason,) in database.query("SELECT reason FROM rejected_message ORDER BY rejected_id")]


HOSTILE = [
    ("NUL in a property", TOPIC, rb'{"observations":{"speed_\u0000":1}}', "unknown_property"),
    ("a lone surrogate in a property", TOPIC, rb'{"observations":{"speed_\ud800":1}}', "malformed"),
    ("a property that no index holds", TOPIC, b'{"observations":{"speed_' + b"x" * 9000 + b'":1}}', "wrong_shape"),
    ("a long suffix", TOPIC, b'{"observations":{"speed_abcdefghijklmnopq":1}}', "unknown_property"),
    ("NUL in a unit", TOPIC, rb'{"observations":{"speed":{"result":1,"unit":"\u0000"}}}', "unknown_unit"),
    ("the largest double", TOPIC, b'{"observations":{"speed":1.7976931348623157e308}}', "impossible_result"),
    ("a time before the first year", TOPIC,
     b'{"phenomenon_time":"0001-01-01T00:00:00+14:00","observations":{"speed":1}}', "impossible_timestamp"),
    ("a time after the last year", TOPIC,
     b'{"phenomenon_time":"9999-12-31T23:59:59-14:00","observations":{"speed":1}}', "future_timestamp"),
    ("a result time after the last year", TOPIC,
     b'{"result_time":"9999-12-31T23:59:59-14:00","observations":{"speed":1}}', "future_timestamp"),
    ("a result time before the first year", TOPIC,
     b'{"result_time":"0001-01-01T00:00:00+14:00","observations":{"speed":1}}', "impossible_timestamp"),
    ("NUL in a name", ABOUT, rb'{"name":"\u0000"}', "wrong_shape"),
    ("NUL in the name of a number", ABOUT, rb'{"properties":{"\u0000":1}}', "wrong_shape"),
    ("an interval that rounds to nothing", ABOUT, b'{"expected_interval":1e-320}', "wrong_shape"),
    ("a zone with NUL", ABOUT, rb'{"zone":"\u0000"}', "unknown_zone"),
    ("NUL in a topic", "pulso/v1/traffic/a\x00b", b'{"observations":{"speed":1}}', "unknown_topic"),
    ("a lone surrogate in a topic", "pulso/v1/traffic/a\ud800b", b'{"observations":{"speed":1}}', "unknown_topic"),
    ("larger than what is decoded", TOPIC, b" " * (LARGEST_MESSAGE + 1), "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "payload", "reason"), [case[1:] for case in HOSTILE], ids=[c[0] for c in HOSTILE])
async def test_hostile_message_is_put_aside_and_the_others_are_stored(
    opened: Database, database: TestDatabase, topic: str, payload: bytes, reason: str
) -> None:
    acknowledged = await settle(opened, GOOD, message(topic, payload), GOOD)

    assert len(acknowledged) == 3
    assert reasons(database) == [reason]
    assert database.query("SELECT count(*) FROM observation") == [(2,)]


async def test_what_only_the_database_refuses_is_put_aside_alone(opened: Database, database: TestDatabase) -> None:
    await refuse_occupancy(opened)
    bad = message(TOPIC, b'{"observations":{"occupancy":1,"speed":1}}')
    acknowledged = await settle(opened, *[GOOD] * 5, bad, *[GOOD] * 6)

    assert len(acknowledged) == 12
    assert reasons(database) == ["not_storable"]
    assert database.query("SELECT count(*) FROM observation") == [(11,)]


async def refuse_occupancy(opened: Database) -> None:
    async with opened.connection() as connection:
        await connection.execute("ALTER TABLE datastream ADD CHECK (observed_property <> 'occupancy')")


async def test_a_bug_in_a_decoder_costs_only_its_message(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Interpreter, _things: object, _route: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Interpreter, "_completed", broken)
    acknowledged = await settle(opened, GOOD)

    assert len(acknowledged) == 1
    assert reasons(database) == ["decoder_failed"]


async def test_a_thing_that_makes_up_names_gets_a_bounded_number_of_datastreams(
    opened: Database, database: TestDatabase
) -> None:
    flood = [
        message(TOPIC, b'{"observations":{%s}}' % b",".join(b'"speed_x%d":1' % (n * 60 + i) for i in range(60)))
        for n in range(6)
    ]
    await settle(opened, *flood)
    await settle(opened, flood[0], flood[-1], GOOD)  # after a restart

    assert database.query("SELECT count(*) FROM datastream") == [(MOST_DATASTREAMS + 1,)]
    assert set(reasons(database)) == {"too_many_properties"}


async def test_a_thing_is_of_one_family(opened: Database, database: TestDatabase) -> None:
    """A message in the name of another family is put aside, within a batch and later, and harms no right one."""
    await settle(
        opened,
        message("pulso/v1/traffic/x", b'{"observations":{"temperature":1}}'),
        message("pulso/v1/air/x", b'{"observations":{"temperature":2}}'),
        message("pulso/v1/air/x/about", b'{"name":"station"}'),
    )
    await settle(
        opened,
        message("pulso/v1/air/x", b'{"observations":{"battery":2}}'),
        message("pulso/v1/traffic/x", b'{"observations":{"battery":1}}'),
    )

    assert database.query("SELECT family, name FROM thing") == [("air", "station")]
    assert reasons(database) == ["family_mismatch"] * 2
    assert database.query("SELECT count(*) FROM observation") == [(2,)]


async def test_descriptions_that_come_again_use_no_numbers_up(opened: Database, database: TestDatabase) -> None:
    for _ in range(5):
        await settle(
            opened, message(ABOUT, b'{"zone":null,"name":"x"}'), message(TOPIC, b'{"observations":{"speed":1}}')
        )

    numbers = database.query(
        "SELECT last_value FROM thing_thing_id_seq UNION ALL SELECT last_value FROM datastream_datastream_id_seq"
    )
    assert numbers == [(1,), (1,)]
