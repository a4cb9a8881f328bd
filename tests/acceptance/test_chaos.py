"""The whole path under load while its processes are killed at random: nothing lost, nothing twice, KPIs right."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sensors_sim.truth import read_truth
from tests.support.databases import TestDatabase
from tests.support.servers import MosquittoBroker
from tests.support.services import Service, environment_for
from tests.support.waiting import wait_until

KILLS = 20
RATE = 400  # messages per second
Key = tuple[str, str, datetime]


@pytest.fixture
def services(broker: MosquittoBroker, database: TestDatabase, tmp_path: Path) -> Iterator[dict[str, Service]]:
    """Ingest, engine and web, running."""
    running: dict[str, Service] = {}
    with ExitStack() as stack:
        for module in ("ingest", "kpi_engine", "dashboard"):
            environment = environment_for(broker, database)
            environment["PULSO_WEB_PORT"] = environment["PULSO_HEALTH_PORT"]
            service = Service(module, environment=environment, log=tmp_path / f"{module}.log")
            running[module] = stack.enter_context(service)
            service.wait_ready()
        yield running


def simulate(broker: MosquittoBroker, truth: Path) -> subprocess.Popen[bytes]:
    """The simulator under load until it is told to stop."""
    command = [sys.executable, "-m", "sensors_sim", "--rate", str(RATE), "--truth", str(truth), "--seed", "5"]
    environment = os.environ | {"PULSO_MQTT_HOST": broker.host, "PULSO_MQTT_PORT": str(broker.port)}
    return subprocess.Popen([*command, "--faults", "default"], env=environment, stderr=subprocess.DEVNULL)


def published(truth: Path) -> dict[Key, float]:
    """Every observation that reached the broker, and what was sent of it."""
    return {
        (row.thing, row.observed_property, datetime.fromisoformat(row.sent_time)): float(row.sent_value)
        for row in read_truth(truth)
        if row.times_published
    }


def stored(database: TestDatabase) -> dict[Key, float]:
    rows = database.query(
        "SELECT external_id, observed_property, phenomenon_time, result FROM observation"
        " JOIN datastream USING (datastream_id) JOIN thing USING (thing_id)"
    )
    return {
        (str(thing), str(name), at): float(str(result)) for thing, name, at, result in rows if isinstance(at, datetime)
    }


def count(database: TestDatabase, query: str) -> int:
    return int(str(database.query(query)[0][0] or 0))


@pytest.mark.timeout(300)
def test_killed_twenty_times_under_load_nothing_is_lost_and_kpis_equal_a_recompute(
    broker: MosquittoBroker, database: TestDatabase, services: dict[str, Service], tmp_path: Path
) -> None:
    chance = random.Random(20)
    simulator = simulate(broker, tmp_path / "truth")
    wait_until(lambda: count(database, "SELECT count(*) FROM observation") > 1000, within=30, what="data flow")
    victims = [*services, "database"] * (KILLS // 4)
    chance.shuffle(victims)
    for victim in victims:
        before = count(database, "SELECT count(*) FROM observation")
        if victim == "database":
            database.kill()
            database.start()
        else:
            services[victim].kill()
            services[victim].start()
        more = before + chance.randint(100, 3000)  # some are killed while they still start
        wait_until(lambda more=more: count(database, "SELECT count(*) FROM observation") > more, within=60, what=victim)  # type: ignore[misc]
    simulator.terminate()
    assert simulator.wait(30) == 0

    truth = published(tmp_path / "truth")
    wait_until(
        lambda: count(database, "SELECT count(*) FROM observation") >= len(truth), within=60, what="all is stored"
    )
    assert stored(database) == truth
    assert count(database, "SELECT count(*) FROM observation_correction") == 0
    assert count(database, "SELECT sum(observations) FROM observation_batch") == len(truth), "handed on once each"

    _the_books_balance(database, messages=len({(thing, at) for thing, _, at in truth}))
    _engine_has_caught_up(database)
    assert services["dashboard"].wait_ready()
    assert services["ingest"].metrics()["pulso_ingest_messages_unaccounted_total"] == 0
    check = subprocess.run(
        [sys.executable, "-m", "kpi_engine", "recompute", "--from", hours(-2), "--to", hours(1), "--check"],
        env=os.environ | environment_for(broker, database), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert check.returncode == 0, check.stdout + check.stderr
    assert count(database, "SELECT count(*) FROM kpi_value WHERE value IS NOT NULL") > 0


def hours(count: int) -> str:
    """So many hours from now, as the command line takes it."""
    return f"{datetime.now(UTC) + timedelta(hours=count):%Y-%m-%dT%H:%M:%S}"


def _the_books_balance(database: TestDatabase, *, messages: int) -> None:
    """Over all kills: every message that was received is somewhere, and each was stored once."""
    in_flight = "SELECT sum(in_flight) FROM ingest_ledger"
    wait_until(lambda: count(database, in_flight) == 0, within=30, what="nothing is in flight")
    off = (
        "SELECT source, minute, received - stored - duplicate - rejected - ignored - returned FROM ingest_ledger"
        " WHERE received <> stored + duplicate + rejected + ignored + returned + in_flight"
    )
    assert database.query(off) == []
    assert count(database, "SELECT sum(stored) FROM ingest_ledger") >= messages
    assert count(database, "SELECT sum(received) FROM ingest_ledger") > messages, "kills make messages come again"
    assert count(database, "SELECT count(*) FROM ingest_session") > 1


def _engine_has_caught_up(database: TestDatabase) -> None:
    behind = (
        "SELECT count(*) FROM observation_batch LEFT JOIN consumer_position ON consumer = 'kpi'"
        " WHERE (observation_batch.transaction_id, observation_batch.batch_id)"
        " > (consumer_position.transaction_id, consumer_position.batch_id)"
    )
    wait_until(lambda: count(database, behind) == 0, within=60, what="the engine has consumed every batch")
