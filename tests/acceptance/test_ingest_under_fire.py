"""Ingest as a process, between a real broker and a real database, when things go wrong."""

import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from bench.mqtt_load import Loader, Message, traffic_messages
from tests.support.databases import TestDatabase
from tests.support.servers import MosquittoBroker
from tests.support.services import Service, environment_for
from tests.support.waiting import wait_until


@pytest.fixture
def ingest(broker: MosquittoBroker, database: TestDatabase, tmp_path: Path) -> Iterator[Service]:
    service = Service("ingest", environment=environment_for(broker, database), log=tmp_path / "ingest.log")
    with service:
        yield service.wait_ready()


def publish(broker: MosquittoBroker, messages: list[Message]) -> int:
    with Loader(broker.host, broker.port) as loader:
        return loader.publish(messages)


def count(database: TestDatabase, table: str) -> int:
    return int(str(database.query(f"SELECT count(*) FROM {table}")[0][0]))


def stored_keys(database: TestDatabase) -> set[tuple[str, str, str, float]]:
    """Every stored observation as (thing, property, time, result)."""
    rows = database.query(
        "SELECT external_id, observed_property, to_char(phenomenon_time, 'YYYY-MM-DD HH24:MI:SS'), result"
        " FROM observation JOIN datastream USING (datastream_id) JOIN thing USING (thing_id)"
    )
    return {(str(thing), str(name), str(at), float(str(result))) for thing, name, at, result in rows}


def published_keys(messages: list[Message]) -> set[tuple[str, str, str, float]]:
    """What `messages` say, in the notation of `stored_keys`."""
    return {
        (topic.rsplit("/", 1)[1], name, at, float(result))
        for topic, payload in messages
        for body in [json.loads(payload)]
        for at in [datetime.fromisoformat(body["phenomenon_time"]).strftime("%Y-%m-%d %H:%M:%S")]
        for name, result in body["observations"].items()
    }


def garbage(seed: int) -> Iterator[Message]:
    """Messages no one can use: random bytes, wrong types, huge, empty, NaN, from the future, from nowhere."""
    chance = random.Random(seed)
    ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    kinds = [
        lambda: chance.randbytes(chance.randint(1, 300)),
        lambda: b"",
        lambda: b'{"observations":{"speed":NaN}}',
        lambda: b'{"observations":{"speed":-Infinity}}',
        lambda: b'{"observations":{"speed":"fast"}}',
        lambda: b'{"observations":["speed",1]}',
        lambda: json.dumps({"observations": {"speed": 1}, "phenomenon_time": ahead}).encode(),
        lambda: b'{"observations":{"speed":1},"phenomenon_time":"0001-01-01T00:00:00Z"}',
        lambda: b'{"observations":{"warp_factor":9}}',
        lambda: b'{"observations":{"speed":{"result":1,"unit":"furlong/fortnight"}}}',
        lambda: b"[" * chance.randint(1, 2000),
        lambda: b'{"observations":{"speed":1',
        lambda: b'\x00"\\u0000"',
    ]
    while True:
        yield f"pulso/v1/traffic/bad-{chance.randint(0, 99)}", chance.choice(kinds)()


@pytest.mark.timeout(180)
def test_ten_thousand_bad_messages_harm_no_good_one(
    broker: MosquittoBroker, database: TestDatabase, ingest: Service
) -> None:
    good = list(traffic_messages(10_000, things=50))
    bad = list(islice(garbage(seed=7), 9_996))
    bad += [("pulso/v1/traffic/huge", b"x" * 900_000)] * 2 + [
        ("pulso/v1/nowhere/x", b"{}"),
        ("pulso/v1/traffic/a b", b"{}"),
    ]
    mixed = good + bad
    random.Random(1).shuffle(mixed)

    assert publish(broker, mixed) == 20_000
    wait_until(lambda: count(database, "rejected_message") == 10_000, within=60, what="all bad ones are kept")
    wait_until(lambda: count(database, "observation") == 30_000, within=60, what="all good ones are stored")

    assert stored_keys(database) == published_keys(good)
    assert count(database, "rejected_message WHERE reason = '' OR detail = ''") == 0
    kept = sorted(bytes(payload) for (payload,) in database.query("SELECT payload FROM rejected_message"))  # type: ignore[call-overload]
    assert kept == sorted(payload for _, payload in bad)
    reasons = {str(reason) for (reason,) in database.query("SELECT DISTINCT reason FROM rejected_message")}
    assert reasons == {
        "empty", "malformed", "wrong_shape", "unknown_topic", "unknown_property", "unknown_unit",
        "future_timestamp", "impossible_timestamp",
    }  # fmt: skip


def settled(metrics: dict[str, float]) -> float:
    outcomes = [value for name, value in metrics.items() if name.startswith("pulso_ingest_messages_settled_total")]
    return math.fsum(outcomes)


def test_the_books_balance(broker: MosquittoBroker, database: TestDatabase, ingest: Service) -> None:
    messages = list(traffic_messages(3_000, things=30))
    publish(broker, [*messages, *messages[:500], *islice(garbage(seed=3), 400)])
    wait_until(lambda: settled(ingest.metrics()) == 3_900, what="every message is settled")

    books = ingest.metrics()
    assert books["pulso_ingest_messages_received_total"] == 3_900
    assert books['pulso_ingest_messages_settled_total{outcome="stored"}'] == 3_000
    assert books['pulso_ingest_messages_settled_total{outcome="duplicate"}'] == 500
    assert books['pulso_ingest_messages_settled_total{outcome="rejected"}'] == 400
    assert books["pulso_ingest_messages_in_flight"] == 0


@pytest.mark.timeout(180)
def test_killed_again_and_again_it_stores_every_message_once(
    broker: MosquittoBroker, database: TestDatabase, ingest: Service
) -> None:
    messages = list(traffic_messages(12_000, things=100))
    for start in range(0, len(messages), 2_000):
        publish(broker, messages[start : start + 2_000])
        ingest.kill()
        ingest.start().wait_ready()
    wait_until(lambda: count(database, "observation") == 36_000, within=60, what="all messages are stored")

    assert stored_keys(database) == published_keys(messages)
    assert count(database, "observation_correction") == 0
    handed_on = database.query("SELECT sum(observations) FROM observation_batch")[0][0]
    assert int(str(handed_on)) == 36_000, "each observation is handed to the engine once"


@pytest.mark.timeout(180)
def test_without_a_database_nothing_is_lost_and_memory_is_bounded(
    broker: MosquittoBroker, database: TestDatabase, ingest: Service
) -> None:
    messages = list(traffic_messages(30_000, things=100))
    publish(broker, messages[:5_000])
    database.kill()
    publish(broker, messages[5_000:])
    # A worker that had nothing to store at that moment waits 10 s for a connection before it counts that as a failure.
    wait_until(lambda: ingest.metrics()["pulso_ingest_store_failures_total"] > 0, within=30, what="it notices")
    unsettled = ingest.metrics()["pulso_ingest_messages_in_flight"]
    database.start()
    wait_until(lambda: count(database, "observation") == 90_000, within=90, what="all messages are stored")

    assert stored_keys(database) == published_keys(messages)
    assert unsettled <= 20_000, "no more than the Receive Maximum is taken from the broker"


@pytest.mark.timeout(180)
def test_large_messages_without_a_database_neither_fill_memory_nor_get_lost(
    broker: MosquittoBroker, database: TestDatabase, tmp_path: Path
) -> None:
    """A hundred megabytes arrive where 64 MiB are held: what finds no room is given back, and comes again."""
    environment = environment_for(broker, database) | {"PULSO_MQTT_KEEP_ALIVE": "5"}
    padding = b" " * 1_000_000
    messages = [(topic, payload + padding) for topic, payload in traffic_messages(100, things=20)]
    with Service("ingest", environment=environment, log=tmp_path / "ingest.log") as ingest:
        ingest.wait_ready()
        database.kill()
        publish(broker, messages)
        wait_until(lambda: "inbox_full" in ingest.tail(), within=30, what="it gives back")
        database.start()
        wait_until(lambda: count(database, "observation") == 300, within=90, what="all messages are stored")

    assert stored_keys(database) == published_keys(messages)


def test_stopped_gracefully_it_leaves_with_code_zero_and_goes_on_later(
    broker: MosquittoBroker, database: TestDatabase, ingest: Service
) -> None:
    messages = list(traffic_messages(4_000, things=100))
    publish(broker, messages[:2_000])
    assert ingest.stop() == 0
    publish(broker, messages[2_000:])
    ingest.start().wait_ready()
    wait_until(lambda: count(database, "observation") == 12_000, what="the session kept what came meanwhile")


def test_a_broker_that_restarts_is_joined_again(
    broker: MosquittoBroker, database: TestDatabase, ingest: Service
) -> None:
    messages = list(traffic_messages(2_000, things=100))
    publish(broker, messages[:1_000])
    broker.restart()
    publish(broker, messages[1_000:])
    wait_until(lambda: count(database, "observation") == 6_000, within=30, what="all messages are stored")

    assert stored_keys(database) == published_keys(messages)


def test_bad_settings_are_named_all_at_once(broker: MosquittoBroker, database: TestDatabase, tmp_path: Path) -> None:
    faults = {"PULSO_MQTT_PORT": "99999", "PULSO_INGEST_BATCH_WITHIN": "5", "PULSO_INGEST_TOPIC_FILTERS": "a/#/b"}
    environment = environment_for(broker, database) | faults
    service = Service("pulso.cli", "ingest", environment=environment, log=tmp_path / "log").start()
    code = wait_until(lambda: service._process and service._process.poll(), what="it ends")

    assert code == 2
    assert all(
        name in service.tail()
        for name in ("PULSO_MQTT_PORT", "PULSO_INGEST_BATCH_WITHIN", "PULSO_INGEST_TOPIC_FILTERS")
    )
    assert "Traceback" not in service.tail()
