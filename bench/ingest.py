"""Ingest against a bare paho client: committed messages/s of one worker, as a ratio, in one run.

Both have a persistent session in a private Mosquitto that was filled while they were away, so both drain the same
messages with the same Receive Maximum; they take turns, so that a machine that slows down slows both.
Then the time from publish to COMMIT at half the rate that ingest reached.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.mqtt_load import Loader, traffic_messages
from bench.servers import private_broker, private_database
from pulso.frame import decode
from pulso.local.ports import free_port
from tests.support.waiting import wait_until

IN_FLIGHT = 20_000
THINGS = 1000


@dataclass(frozen=True, slots=True)
class Drained:
    """What ingest did with waiting messages: how many a second, and the seconds of each stage of their way."""

    rate: float
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Round:
    """Messages/s of both in one round, and the microseconds of a message by stage of its way through ingest."""

    bare: float
    ingest: float
    profile: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """Committed by ingest per message of the bare client."""
        return self.ingest / self.bare


def bare_paho(port: int, count: int) -> float:
    """Messages/s of the bare client (0 for a call that only makes its session)."""
    command = [sys.executable, "-m", "bench.bare_paho", "--port", str(port), "--client-id", "bare", "--share", "bare"]
    answer = subprocess.run([*command, "--count", str(count)], capture_output=True, text=True, check=True)
    messages, seconds = answer.stdout.split()
    return int(messages) / float(seconds) if count else 0.0


@dataclass(frozen=True, slots=True)
class Service:
    """A worker that runs, and the port of its metrics."""

    process: subprocess.Popen[bytes]
    health: int

    def stages(self) -> dict[str, float]:
        """Seconds by stage, as its metrics tell them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {name: float(value) for name, value in _STAGE.findall(text)}


_STAGE = re.compile(r'^pulso_ingest_stage_seconds_total\{stage="(\w+)"\} (\S+)', re.MULTILINE)


@contextmanager
def ingest_service(port: int, dsn: str) -> Iterator[Service]:
    """`pulso ingest` as it is run in production, subscribed."""
    health = free_port()
    environment = os.environ | {
        "PULSO_HEALTH_PORT": str(health),
        "PULSO_MQTT_PORT": str(port),
        "PULSO_DB_URL": dsn,
        "PULSO_INGEST_IN_FLIGHT": str(IN_FLIGHT),
        "PULSO_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "ingest"], env=environment)
    try:
        wait_until(lambda: _is_ready(health), within=60, what="ingest is ready")
        yield Service(process, health)
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(health: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _number(connection: psycopg.Connection[Any], query: LiteralString) -> float:
    row = connection.execute(query).fetchone()
    return float(row[0]) if row else 0.0


def drain(port: int, dsn: str, count: int) -> Drained:
    """How ingest commits `count` waiting messages: first receipt to last COMMIT."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE observation, observation_batch, observation_correction")
        with ingest_service(port, dsn) as service:
            deadline = time.monotonic() + 120
            while _number(connection, "SELECT coalesce(sum(observations), 0) FROM observation_batch") < 3 * count:
                if time.monotonic() > deadline:
                    raise SystemExit("ingest did not commit all messages within 120 s")
                time.sleep(0.2)
            stages = service.stages()
        first = _number(connection, "SELECT extract(epoch FROM min(received_at))::float8 FROM observation")
        last = _number(connection, "SELECT extract(epoch FROM max(stored_at))::float8 FROM observation_batch")
    return Drained(count / (last - first), stages)


def committed_after(dsn: str, stop: threading.Event) -> Iterator[NDArray[np.float64]]:
    """Seconds from phenomenon time to the news of the COMMIT, batch by batch, until `stop` is set."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("LISTEN pulso_observation_batch")
        seen = int(_number(connection, "SELECT coalesce(max(batch_id), 0) FROM observation_batch"))
        while not stop.is_set():
            if not list(connection.notifies(timeout=0.5, stop_after=1)):
                continue
            now = time.time()
            rows = connection.execute(
                "SELECT batch_id, frame FROM observation_batch WHERE batch_id > %s ORDER BY batch_id", (seen,)
            ).fetchall()
            for batch_id, frame in rows:
                seen = batch_id
                yield now - decode(frame).phenomenon_time / 1e6


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from publish to committed of every observation, and until the last of those of things nobody knew."""

    steady: NDArray[np.float64]
    introduction: float


def latency(port: int, dsn: str, rate: float, seconds: float) -> Waits:
    """Waits at `rate` messages/s, after all its things were introduced by one message each, as fast as can be."""
    stop = threading.Event()
    collected: list[NDArray[np.float64]] = []

    def all_committed(messages: int) -> bool:
        return sum(map(len, collected)) >= 3 * messages

    def watch() -> None:
        for waits in committed_after(dsn, stop):
            collected.append(waits)  # noqa: PERF402 (the other thread looks on)

    watcher = threading.Thread(target=watch)
    with ingest_service(port, dsn), Loader("127.0.0.1", port) as loader:
        watcher.start()
        began = time.monotonic()
        loader.publish(live_messages(THINGS))
        wait_until(lambda: all_committed(THINGS), within=30, what="the things are introduced")
        introduction = time.monotonic() - began
        collected.clear()
        sent = loader.publish_at(live_messages(int(rate * seconds)), rate)
        wait_until(lambda: all_committed(sent), within=30, what="all is committed")
        stop.set()
        watcher.join()
    return Waits(np.concatenate(collected), introduction)


def live_messages(count: int) -> Iterator[tuple[str, bytes]]:
    """Messages whose phenomenon time is the moment they are handed out."""
    for number in range(count):
        at = datetime.now(UTC).isoformat()
        topic = f"pulso/v1/traffic/live-{number % THINGS:05d}"
        results = f'{{"speed":{30 + number % 40},"vehicle_count":{number % 60},"occupancy":{number % 100}}}'
        yield topic, f'{{"phenomenon_time":"{at}","observations":{results}}}'.encode()


def run(messages: int, rounds: int) -> tuple[list[Round], Waits, str]:
    """All figures of one run: the rounds, the waits, and the database they were had with."""
    measured: list[Round] = []
    with private_broker() as broker, private_database() as (dsn, database):
        bare_paho(broker.port, 0)
        with ingest_service(broker.port, dsn):
            pass  # it has made its session
        for number in range(rounds):
            start = datetime.now(UTC) - timedelta(days=1 + number)
            with Loader("127.0.0.1", broker.port) as loader:
                loader.publish(traffic_messages(messages, start=start))
            bare, drained = bare_paho(broker.port, messages), drain(broker.port, dsn, messages)
            profile = {name: seconds / messages * 1e6 for name, seconds in drained.stages.items()}
            measured.append(Round(bare, drained.rate, profile))
            print(f"  round {number + 1}: bare {measured[-1].bare:,.0f}/s, ingest {measured[-1].ingest:,.0f}/s")
        half = statistics.median(each.ingest for each in measured) / 2
        bare_paho(broker.port, 0)
        waits = latency(broker.port, dsn, half, seconds=10)
    return measured, waits, database


def _shown(last: Round) -> str:
    stages = ", ".join(f"{name} {spent:.1f}" for name, spent in sorted(last.profile.items(), key=lambda each: -each[1]))
    return f"profile of the last round, µs a message: {stages}; {1e6 / last.ingest:.1f} in all, as stages overlap"


def main() -> None:
    """Print the figures beside the bars of the design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=60_000, help="waiting messages per round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"ingest: {options.messages:,} messages of 3 observations, {options.rounds} rounds")
    measured, waits, database = run(options.messages, options.rounds)
    ratio = statistics.median(each.ratio for each in measured)
    committed = statistics.median(each.ingest for each in measured)
    p50, p99 = np.percentile(waits.steady, [50, 99])
    print(f"  database {database}, {os.cpu_count()} processors")
    print(f"  committed / received by bare paho: {ratio:.2f}   (bar: 0.70)   at {committed:,.0f} messages/s")
    print(f"  {_shown(measured[-1])}")
    print(f"  publish -> committed at half of that: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms   (bar: p99 250 ms)")
    print(f"  {THINGS:,} things nobody knew: their first messages committed in {waits.introduction:.2f} s")


if __name__ == "__main__":
    main()
