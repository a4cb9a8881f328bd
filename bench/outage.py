"""Ingest with the database away at full rate: memory has to stay flat, and everything to be stored when it is back.

A private Mosquitto with room for the whole outage, a private database that is stopped in the middle, a loader that
publishes at a given rate throughout. Memory of the ingest process is read twice a second.
"""

import argparse
import os
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil
import psycopg

from bench.ingest import ingest_service
from bench.mqtt_load import Loader, traffic_messages
from bench.servers import database_server, private_broker

_WARM_UP = 15.0  # seconds of load before the database goes


@dataclass
class Memory:
    """Resident bytes of a process, over time."""

    process: psutil.Process
    readings: list[tuple[float, int]] = field(default_factory=list)

    def follow(self, stop: threading.Event) -> None:
        """Read until `stop` is set."""
        while not stop.wait(0.5):
            self.readings.append((time.monotonic(), self.process.memory_info().rss))

    def most(self, since: float, until: float) -> float:
        """Megabytes at most in a span of time."""
        return max((size for at, size in self.readings if since <= at <= until), default=0) / 1e6

    def slope(self, since: float, until: float) -> float:
        """Megabytes that memory grew per minute: last quarter of a span against its second quarter, by their means."""
        span = (until - since) / 4
        means = []
        for begin in (since + span, since + 3 * span):
            inside = [size for at, size in self.readings if begin <= at < begin + span]
            means.append(sum(inside) / max(len(inside), 1))
        return (means[1] - means[0]) / 1e6 / (2 * span / 60)


def main() -> None:
    """Print the figures beside the bars of the design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long the database is away")
    parser.add_argument("--rate", type=float, default=10_000, help="messages/s that are published throughout")
    options = parser.parse_args()
    total = int((options.seconds + 2 * _WARM_UP) * options.rate)
    print(f"outage: {options.seconds:g} s without the database at {options.rate:,.0f} messages/s of 3 observations")
    limits = {"max_queued_messages": "0", "max_queued_bytes": "0"}
    with ExitStack() as stack:
        broker = stack.enter_context(private_broker(limits))
        database, _ = stack.enter_context(database_server())
        process = stack.enter_context(ingest_service(broker.port, database.url("pulso"))).process
        loader = stack.enter_context(Loader("127.0.0.1", broker.port))
        memory, stop = Memory(psutil.Process(process.pid)), threading.Event()
        following = threading.Thread(target=memory.follow, args=(stop,))
        following.start()
        began = time.monotonic()
        publishing = threading.Thread(target=loader.publish_at, args=(traffic_messages(total), options.rate))
        publishing.start()
        time.sleep(_WARM_UP)
        database.stop()
        away = time.monotonic()
        time.sleep(options.seconds)
        back = time.monotonic()
        database.start()
        publishing.join()
        published = time.monotonic() - began
        stored = wait_until_stored(database.url("pulso"), 3 * total)
        drained = time.monotonic()
        stop.set()
        following.join()
    print(f"  published {total:,} messages in {published:.0f} s; {stored:,} of {3 * total:,} observations stored")
    print(f"  all stored {drained - back:.0f} s after the database was back; {os.cpu_count()} processors")
    print(
        f"  memory: {memory.most(began, away):.0f} MB at most before,"
        f" {memory.most(away, back):.0f} MB while it was away"
    )
    print(f"  growth while it was away: {memory.slope(away, back):+.2f} MB/min   (bar: flat)")
    if stored != 3 * total:
        raise SystemExit("not everything was stored")


def wait_until_stored(url: str, count: int) -> int:
    """The number of observations, when it is `count` or has not grown for a minute."""
    stored, since = -1, time.monotonic()
    while stored < count and time.monotonic() - since < 60:
        time.sleep(2)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT count(*) FROM observation").fetchone()
        now = int(row[0]) if row else 0
        if now > stored:
            stored, since = now, time.monotonic()
    return stored


if __name__ == "__main__":
    main()
